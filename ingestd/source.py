"""Edge: a file of a drop folder, opened so that nobody can make another file of it meanwhile.

A drop folder belongs to senders, and a hostile one can put a link in the place of a file or of a
folder at any moment. So a path is walked name by name from its root, no link is ever followed, and
what was opened is compared, by device and inode, with what is unlinked.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingestd import files
from ingestd.files import as_path, mtime_ns

FILE_FLAGS = files.FILE_FLAGS | os.O_NOFOLLOW
FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Changed(Exception):
    """The file is not the one that the ledger speaks of, or not any more."""


@dataclass(frozen=True, slots=True)
class Version:
    """Which file it is, and that nobody wrote to it: any write moves the last of these."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Version":
        """Take it from a look at the open file."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, mtime_ns(status), status.st_ctime_ns
        )


@dataclass(frozen=True, slots=True)
class Source:
    """An open file of a drop folder."""

    handle: int
    folder: int  #: the folder it is in, as a handle
    name: str
    version: Version
    beat: Callable[[], None]  #: called before each read, which may hang

    def read(self, size_bytes: int) -> bytes:
        """Read on from where the last read ended."""
        self.beat()
        return os.read(self.handle, size_bytes)

    def unchanged(self) -> None:
        """See that it is still what was opened.

        raises  Changed
        """
        if Version.of(os.fstat(self.handle)) != self.version:
            raise Changed("it was written to while it was copied")

    @property
    def can_be_unlinked(self) -> bool:
        """Whether we may take names out of its folder."""
        return os.access(f"/proc/self/fd/{self.folder}", os.W_OK | os.X_OK)


@contextmanager
def folder_of(root: str, text: str) -> Iterator[tuple[int, str]]:
    """Walk to the folder of a file without following a link; give its handle, and the name.

    raises  OSError as open gives it: ELOOP or ENOTDIR where a link is in the way
    """
    *folders, name = as_path("", text)[1:].split("/")
    assert not {"", ".", ".."} & {*folders, name}, "a path of the ledger leads nowhere else"
    handle = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, FOLDER_FLAGS, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle, name
    finally:
        os.close(handle)


@contextmanager
def opened(
    root: str,
    text: str,
    *,
    size_bytes: int,
    mtime: int,
    beat: Callable[[], None] = lambda: None,
) -> Iterator[Source]:
    """Open a file that is as the ledger says.

    raises  OSError as open gives it; Changed when size or time are others, or it is no file
    """
    with folder_of(root, text) as (folder, name):
        handle = os.open(name, FILE_FLAGS, dir_fd=folder)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise Changed("it is no regular file any more")
            if (status.st_size, mtime_ns(status)) != (size_bytes, mtime):
                raise Changed("its size or time is not what it was when it was read")
            yield Source(handle, folder, name, Version.of(status), beat)
        finally:
            os.close(handle)


def unlink(root: str, text: str, version: Version) -> None:
    """Take a file out of its drop folder if it is still that file, unwritten since.

    The look and the unlink are two steps of the kernel, one right after the other: nothing narrower
    exists.

    raises  OSError as the file system gives it; Changed when it is another file, or was written to
    """
    with opened(root, text, size_bytes=version.size_bytes, mtime=version.mtime_ns) as found:
        if found.version != version:
            raise Changed("it was written to after it was copied")
        os.unlink(found.name, dir_fd=found.folder)
