"""Edge: what is the same everywhere about files: names as text, a look, a publication."""

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO

from ingestd.errors import IngestError, Reason
from ingestd.model import Sighting

CATALOG_NAME = "catalog.duckdb"  #: in the state folder; the DuckDB file
SNAPSHOT_NAME = "snapshot.duckdb"  #: in the state folder; a copy that anybody may open
SOCKET_NAME = "ingestd.sock"  #: in the state folder; where the daemon answers

SPECIAL = {
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}

#: A FIFO must not hold us up, nor a terminal become ours.
FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

NOT_TEXT = "its name is not UTF-8; name a link to it whose name is"  #: a root, a state folder

_ESCAPED = re.compile(r"//x([0-9a-f]{2})")


def default_state() -> Path:
    """Say where the state folder is when nobody says: INGESTD_STATE, else by XDG."""
    if given := os.environ.get("INGESTD_STATE"):
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "ingestd"


def as_text(relative: str) -> str:
    """Spell a path below a root so that it fits into UTF-8 text, and so into SQL.

    A byte that is not UTF-8 (Python's U+DC80 to U+DCFF) becomes `//xNN`. No other path is
    spelled so: two slashes never meet in a path that scandir gave.
    """
    if relative.isascii():
        return relative
    return "".join(
        f"//x{ord(char) - 0xDC00:02x}" if 0xDC80 <= ord(char) <= 0xDCFF else char
        for char in relative
    )


def as_path(root: str, text: str) -> str:
    """Give the path to open for what `as_text` spelled."""
    if "//x" in text:
        text = _ESCAPED.sub(lambda hit: chr(0xDC00 + int(hit[1], 16)), text)
    return f"{root}/{text}" if text else root


class Inside:
    """A root that is open, so that many files in it can be; it closes when nobody needs it.

    A drop folder belongs to senders, and a hostile one can put a link in the place of a folder
    after we looked at it. So where the kernel ended is asked of the kernel.
    """

    def __init__(self, root: str) -> None:
        """Open it.

        raises  OSError as open gives it
        """
        self._base = -1
        self._base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._real = _place(self._base)

    def close(self) -> None:
        """Let it go now: an error that somebody keeps holds all that its frames had in hand."""
        if self._base >= 0:
            os.close(self._base)
        self._base = -1

    def __del__(self) -> None:
        self.close()

    def open(self, text: str, flags: int = FILE_FLAGS) -> int:
        """Open what is at a path below it, and see that it really lies there.

        raises  OSError as open gives it; IngestError `outside_root`
        """
        handle = os.open(as_path("", text)[1:] or ".", flags, dir_fd=self._base)
        try:
            self._see(handle)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _see(self, handle: int) -> None:
        found = _place(handle)
        if found != self._real and not found.startswith(self._real.rstrip("/") + "/"):
            if _place(self._base) != self._real:  # It was moved, or unmounted lazily; no link lied.
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            raise IngestError(Reason.OUTSIDE_ROOT, "a link in its path leads out of its root")


class Insides:
    """Some roots, each of them opened once, for as long as many files in them are opened."""

    def __init__(self) -> None:
        self._roots: dict[str, Inside] = {}

    def open(self, root: str, text: str, flags: int = FILE_FLAGS) -> int:
        """Open what is at a path below a root, and see that it really lies there.

        raises  OSError as open gives it; IngestError `outside_root`
        """
        inside = self._roots.get(root)
        try:
            if inside is None:
                inside = self._roots[root] = Inside(root)
            return inside.open(text, flags)
        except OSError as error:
            error.filename = as_path(root, text)
            self.close()  # A share may have gone, and come back as another one.
            raise

    def close(self) -> None:
        """Let the roots go."""
        while self._roots:
            self._roots.popitem()[1].close()


def open_inside(root: str, text: str, flags: int = FILE_FLAGS) -> int:
    """Open one file; as `Insides.open`."""
    with closing(Insides()) as roots:
        return roots.open(root, text, flags)


def _place(handle: int) -> str:
    """Ask the kernel where something open lies.

    raises  OSError when its path is too long to say
    """
    return os.readlink(f"/proc/self/fd/{handle}")


def look(root: str, text: str, status: os.stat_result | None = None) -> Sighting:
    """Look at one file once.

    status  of the entry itself, when the caller has it already
    raises  OSError as stat gives it, IsADirectoryError for a folder; IngestError `not_a_file`,
            `path_too_long`, or `outside_root` when a symbolic link leads out of the root
    """
    path = as_path(root, text)
    try:
        status = status or os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise too_long(path) from error
        raise
    if stat.S_ISLNK(status.st_mode):
        status = _linked(root, path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder")
    if not stat.S_ISREG(status.st_mode):
        kind = SPECIAL.get(stat.S_IFMT(status.st_mode), "special file")
        raise IngestError(Reason.NOT_A_FILE, f"a {kind}, not a regular file")
    return Sighting(
        root=root,
        path=text,
        size_bytes=status.st_size,
        mtime_ns=mtime_ns(status),
        seen_s=time.monotonic(),
        changed_ns=status.st_ctime_ns,
    )


def _linked(root: str, path: str) -> os.stat_result:
    """Look at what a symbolic link leads to, which must be in the root."""
    target, real = os.path.realpath(path), os.path.realpath(root)
    if target != real and not target.startswith(real + "/"):
        raise IngestError(Reason.OUTSIDE_ROOT, "the symbolic link leads out of its root")
    try:
        return os.stat(path)
    except FileNotFoundError as error:
        os.lstat(path)  # Nothing to tell of when the link itself has left.
        raise IngestError(Reason.NOT_A_FILE, "a symbolic link that leads to nothing") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            words = "a symbolic link that leads to itself"
            raise IngestError(Reason.NOT_A_FILE, words) from error
        raise


def too_long(path: str) -> IngestError:
    """Say that the kernel takes no path as long as this one."""
    words = f"its path has {len(os.fsencode(path))} bytes, more than the kernel takes"
    return IngestError(Reason.PATH_TOO_LONG, words)


def mtime_ns(status: os.stat_result) -> int:
    """Give the modification time, within 64 bits: some file systems can hold the year 2554."""
    return max(-(1 << 63), min((1 << 63) - 1, status.st_mtime_ns))


def publish(target: Path, content: bytes) -> None:
    """Put `content` at `target` so that it survives a power cut, or leave `target` as it was.

    raises  OSError; the caller turns it into a Reason, since it knows whose disk this is
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")  # Beside it: rename is atomic.
    try:
        with part.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    fsync_folder(target.parent)  # Without this the rename itself can be lost.


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Write a file that somebody asked for: it appears whole, or `target` stays as it was.

    raises  OSError
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):  # /dev/null, a FIFO: never replaced.
            with target.open("wb") as out:
                yield out
            return
    final = Path(os.path.realpath(target))
    part = final.with_name(f".{final.name[:200]}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(final)
    finally:
        part.unlink(missing_ok=True)


def staged(final: str, digest: str) -> str:
    """Name where a derived file waits, beside its final place, until its row is certain.

    The digest keeps two files with one UID apart: only one of them will own the name.
    """
    folder, _, name = final.rpartition("/")
    return f"{folder}/.{name}.{digest[:16]}.part"


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """Give another path to `folder` that is short: a Unix socket's may have 107 bytes only."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_bytes(state: Path) -> int:
    """How much room the disk has that the state folder is on, or will be on."""
    there = next(folder for folder in (state, *state.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(there).free
