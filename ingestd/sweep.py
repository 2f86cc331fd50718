"""Edge: lists a folder to its depths, streaming, and says what it saw and what it could not see.

Never follows a symbolic link to a folder: what it points to inside the root is listed where it
is, and what lies outside is not ours.
"""

import errno
import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ingestd.errors import IngestError
from ingestd.files import as_path, as_text, look, mtime_ns
from ingestd.model import Fault, Sighting

#: What the kernel says when a share, and not a file, is the trouble.
SHARE_TROUBLE = frozenset(
    {
        errno.ESTALE,
        errno.EIO,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.ENXIO,
        errno.ENODEV,
        errno.ECONNRESET,
        errno.ESHUTDOWN,
    }
)


@dataclass(frozen=True, slots=True)
class Ignored:
    """Names that are not looked at, compiled once."""

    anything: re.Pattern[str]
    folders: re.Pattern[str]

    @classmethod
    def of(cls, patterns: Sequence[str]) -> "Ignored":
        """Compile shell patterns; one that ends in a slash is for folders only."""
        anything = [pattern for pattern in patterns if not pattern.endswith("/")]
        return cls(
            anything=compiled(anything),
            folders=compiled([pattern.rstrip("/") for pattern in patterns]),
        )

    def entry(self, entry: "os.DirEntry[str]") -> bool:
        """Whether an entry of a folder is ignored."""
        if self.anything.match(entry.name):
            return True
        return bool(self.folders.match(entry.name)) and entry.is_dir(follow_symlinks=False)

    def path(self, text: str) -> bool:
        """Whether a path below the root is ignored by its own name or a folder above it."""
        *above, name = text.split("/")
        return bool(self.anything.match(name)) or any(map(self.folders.match, above))


def compiled(patterns: Sequence[str]) -> re.Pattern[str]:
    """Make one expression of many shell patterns; none of them matches nothing."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


@dataclass(slots=True)
class Seen:
    """What one stretch of a sweep saw."""

    sightings: list[Sighting] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)  #: entries that can be no DICOM file
    unlisted: list[tuple[str, OSError]] = field(default_factory=list)  #: folders we could not list

    def __len__(self) -> int:
        return len(self.sightings) + len(self.faults) + len(self.unlisted)


def sweep(root: str, ignored: Ignored, *, below: str = "", stretch: int = 4096) -> Iterator[Seen]:
    """List everything under `root`/`below`, a stretch of entries at a time.

    Folders wait as text on a stack, files only within their stretch: memory does not grow with
    the number of files.

    raises  OSError when the first folder itself cannot be listed
    """
    seen = Seen()
    folders = [below]
    first = True
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(as_path(root, folder)) as entries:
                for entry in entries:
                    if not ignored.entry(entry):
                        take(root, folder, entry, folders, seen)
                    if len(seen) >= stretch:
                        yield seen
                        seen = Seen()
        except OSError as error:
            if first:
                raise
            seen.unlisted.append((folder, error))
        first = False
    yield seen


def take(
    root: str,
    folder: str,
    entry: "os.DirEntry[str]",
    folders: list[str],
    seen: Seen,
) -> None:
    """Put one entry where it belongs: on the stack, among the sightings, among the faults."""
    name = as_text(entry.name)
    text = f"{folder}/{name}" if folder else name
    try:
        if entry.is_dir(follow_symlinks=False):
            folders.append(text)
        elif entry.is_symlink():
            take_link(root, text, seen)
        else:
            seen.sightings.append(look(root, text, entry.stat(follow_symlinks=False)))
    except IngestError as error:
        seen.faults.append(fault(root, text, error))
    except FileNotFoundError:  # It left while we listed; the next sweep knows more.
        return
    except OSError as error:
        seen.unlisted.append((text, error))


def take_link(root: str, text: str, seen: Seen) -> None:
    """Look at a symbolic link: a file of the root, a folder of it (listed there), or refused."""
    try:
        seen.sightings.append(look(root, text))
    except IngestError as error:
        seen.faults.append(fault(root, text, error))
    except IsADirectoryError:
        return


def fault(root: str, text: str, error: IngestError) -> Fault:
    """Say of an entry why it cannot be read.

    raises  OSError when it is not there any more
    """
    status = os.lstat(as_path(root, text))
    return Fault(
        root=root,
        path=text,
        size_bytes=status.st_size,
        mtime_ns=mtime_ns(status),
        reason=error.reason,
        detail=error.detail,
    )


def left(error: OSError) -> bool:
    """Whether something was only gone, or something else, by the time we looked."""
    return isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
