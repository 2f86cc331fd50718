"""Edge: lists a folder to its depths, streaming, and says what it saw and what it could not see.

Never follows a symbolic link to a folder: what it points to inside the root is listed where it
is, and what lies outside is not ours.
"""

import errno
import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ingestd.errors import IngestError
from ingestd.files import (
    FOLDER_FLAGS,
    as_path,
    as_text,
    look,
    mtime_ns,
    open_inside,
    too_long,
)
from ingestd.model import Fault, Sighting

#: What the kernel says when the way to a whole share is broken.
SHARE_GONE = frozenset(
    {
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.ENODEV,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ESHUTDOWN,
    }
)
#: What it says of a share, and of one damaged or replaced folder as well.
SHARE_DOUBT = frozenset({errno.EIO, errno.ESTALE, errno.ENXIO, errno.EREMOTEIO})
SHARE_TROUBLE = SHARE_GONE | SHARE_DOUBT


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
    folders: list[str] = field(default_factory=list)  #: folders that will be listed
    absent: list[str] = field(default_factory=list)  #: `look_at` only: not there, or no file now
    more: bool = False  #: the sweep goes on after it

    def __len__(self) -> int:
        return len(self.sightings) + len(self.faults) + len(self.unlisted)


def everywhere(_: str) -> bool:
    """List every folder."""
    return True


def unheard(_: str) -> None:
    """Beat where nobody listens."""


def sweep(
    root: str,
    ignored: Ignored,
    *,
    below: str = "",
    stretch: int = 4096,
    enter: Callable[[str], bool] = everywhere,
    beat: Callable[[str], None] = unheard,
) -> Iterator[Seen]:
    """List everything under `root`/`below`, a stretch of entries at a time, ignored ones as well.

    Folders wait as text on a stack, files only within their stretch: memory does not grow with
    the number of files.

    enter   asked of each folder below the first whether to list it too
    beat    called with the folder before each call that may hang
    raises  OSError when the first folder itself cannot be listed
    """
    seen = Seen()
    folders = [below]
    looked = 0
    while folders:
        folder = folders.pop()
        beat(folder)
        try:
            with listed(root, folder) as entries:
                for entry in entries:
                    beat(folder)
                    if not ignored.entry(entry):
                        found = take(root, folder, entry, seen)
                        if found is not None and enter(found):
                            folders.append(found)
                            seen.folders.append(found)
                    looked += 1
                    if looked >= stretch:
                        seen.more, looked = True, 0
                        yield seen
                        seen = Seen()
        except OSError as error:
            if folder == below:
                raise
            not_listed(root, folder, error, seen)
        except IngestError:  # A link is where a folder was; what it is, the next listing says.
            pass
    yield seen


@contextmanager
def listed(root: str, folder: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
    """List a folder of a root, and no other one that a link may lead to by now.

    raises  OSError; IngestError `outside_root`
    """
    handle = open_inside(root, folder, FOLDER_FLAGS)
    try:
        with os.scandir(handle) as entries:
            yield entries
    finally:
        os.close(handle)


def not_listed(root: str, folder: str, error: OSError, seen: Seen) -> None:
    """Note that a folder could not be listed, and so nothing is known of what is in it."""
    seen.unlisted.append((folder, error))
    if error.errno == errno.ENAMETOOLONG:
        seen.faults.append(fault(root, folder, too_long(as_path(root, folder))))


def take(root: str, folder: str, entry: "os.DirEntry[str]", seen: Seen) -> str | None:
    """Put one entry where it belongs: among the sightings or the faults; give a folder's path."""
    name = as_text(entry.name)
    text = f"{folder}/{name}" if folder else name
    try:
        if entry.is_dir(follow_symlinks=False):
            return text
        if entry.is_symlink():
            seen.sightings.append(look(root, text))
        else:
            seen.sightings.append(look(root, text, entry.stat(follow_symlinks=False)))
    except IngestError as error:
        seen.faults.append(fault(root, text, error))
    except (FileNotFoundError, IsADirectoryError):
        return None  # It left while we listed; or a link to a folder, which is listed itself.
    except OSError as error:
        seen.unlisted.append((text, error))
    return None


def look_at(root: str, paths: Sequence[str], beat: Callable[[str], None] = unheard) -> Seen:
    """Look at some files, each by its path."""
    seen = Seen()
    for path in paths:
        beat(path)
        try:
            seen.sightings.append(look(root, path))
        except IngestError as error:
            seen.faults.append(fault(root, path, error))
        except OSError as error:
            if left(error):
                seen.absent.append(path)
            else:
                seen.unlisted.append((path, error))
    return seen


def fault(root: str, text: str, error: IngestError) -> Fault:
    """Say of an entry why it cannot be read."""
    try:
        status = os.lstat(as_path(root, text))
        size_bytes, changed_ns = status.st_size, mtime_ns(status)
    except OSError:  # It left, or its path is too long to ask.
        size_bytes = changed_ns = 0
    return Fault(
        root=root,
        path=text,
        size_bytes=size_bytes,
        mtime_ns=changed_ns,
        reason=error.reason,
        detail=error.detail,
    )


def left(error: OSError) -> bool:
    """Whether something was only gone, or something else, by the time we looked."""
    return isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
