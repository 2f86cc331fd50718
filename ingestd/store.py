"""Edge: a folder of ours that files are taken into, so that they survive a power cut.

A file appears there whole, under its name, or not at all; nothing that stands there is ever
overwritten. Trouble with this folder halts us, as trouble with the state folder does; trouble with
the file that comes in does not, and is raised as the OSError that it is.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from blake3 import blake3

from ingestd.errors import IngestError, Reason
from ingestd.files import mtime_ns
from ingestd.names import mark
from ingestd.source import FILE_FLAGS, Changed, Source
from ingestd.storelock import StoreLock

MARKER = ".ingestd-store"  #: says that this is the folder, and not where it should be mounted
INCOMING = ".incoming"  #: where copies are made, on the same file system
CHUNK = 1 << 20
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Occupied(Exception):
    """Under this name stands something else; it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file as it stands in the store."""

    path: str  #: below the store
    size_bytes: int
    mtime_ns: int
    digest: str
    is_new: bool  #: whether we put it there just now


class Store:
    """An archive or a quarantine, as one thread uses it."""

    def __init__(self, place: Path, lock: StoreLock, *, owner: str) -> None:
        self.place, self.key = place, str(place)
        self._lock, self._owner = lock, owner
        self._prefix = mark(owner)  # Several roots share a store: each sweeps up its own parts.
        self._touched: set[str] = set()
        self._parts = 0

    def prepare(self, *, is_known: bool) -> None:
        """Make the folder, or see that it is the one it was; throw away what a crash left.

        is_known  whether the catalog holds files of this store: then it must be there
        raises    IngestError state_not_writable or disk_full
        """
        marker = self.place / MARKER
        with self._ours():
            if is_known and not marker.is_file():
                raise IngestError(
                    Reason.STATE_NOT_WRITABLE,
                    f"{self.place} holds files, says the catalog, and {MARKER} is not in it:"
                    " mount it, or put the marker back",
                )
            (self.place / INCOMING).mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock.take(marker)
            for part in (self.place / INCOMING).glob(f"{self._prefix}-*.part"):
                part.unlink()

    def claim(self, path: str) -> bool:
        """Take a name in hand; False when another root's thread has it."""
        return self._lock.claim(path, self._owner)

    def release(self, paths: Iterable[str]) -> None:
        """Let names go that were claimed."""
        self._lock.release(paths, self._owner)

    def put(self, source: Source, path: str, *, digest: str | None) -> Kept:
        """Copy a file to its place, read the copy back, and give it its name.

        The name survives a power cut only after `settle`.

        digest  of the bytes that are expected; None when nobody knows it
        raises  OSError when the source cannot be read; Changed when it holds other bytes; Occupied;
                IngestError when the store is in trouble
        """
        parent, name = path.rsplit("/", 1)
        with self._folder(parent) as folder:
            self._touched.add(parent)
            standing = self._standing(folder, name)
            if standing is not None:
                self._same(source, standing.digest, digest)
                return self._kept(path, standing, is_new=False)
            with self._copied(source, digest) as (incoming, part, copy):
                try:
                    self._name(incoming, part, folder, name)
                except FileExistsError:
                    standing = self._standing(folder, name)
                    if standing is None or standing.digest != copy.digest:
                        raise Occupied(name) from None
                    return self._kept(path, standing, is_new=False)
                return self._kept(path, copy, is_new=True)

    def publish(self, path: str, content: bytes) -> None:
        """Put a small file beside another one, if there is none yet."""
        parent, name = path.rsplit("/", 1)
        with self._folder(parent) as folder, self._ours(), self._part() as (incoming, part, out):
            self._touched.add(parent)
            write(out, content)
            os.fsync(out)
            with suppress(FileExistsError):
                self._name(incoming, part, folder, name)

    def settle(self) -> None:
        """Make every name that was given survive a power cut."""
        with self._ours():
            for parent in sorted(self._touched):
                with self._folder(parent) as folder:
                    os.fsync(folder)
        self._touched.clear()

    def take_back(self, path: str) -> None:
        """Take away what we put there just now, since nothing speaks of it."""
        parent, name = path.rsplit("/", 1)
        with self._ours(), self._folder(parent) as folder:
            os.unlink(name, dir_fd=folder)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Turn trouble with our own folder into what halts us."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise IngestError(Reason.DISK_FULL, f"no space left in {self.place}") from error
            words = f"{self.place} cannot be written: {error.strerror}"
            raise IngestError(Reason.STATE_NOT_WRITABLE, words) from error

    @contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        """Walk to a folder of the store, following no link; make what is missing, for good."""
        with self._ours():
            handle = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self._ours():  # It may have been unmounted since: an empty folder is left then.
                os.stat(MARKER, dir_fd=handle)
            for name in path.split("/"):
                with self._ours():
                    below = enter(handle, name)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)

    def _standing(self, folder: int, name: str) -> "_Copy | None":
        """Read what stands under a name already.

        raises  Occupied when it is no file
        """
        with self._ours():
            try:
                handle = os.open(name, FILE_FLAGS, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno == errno.ELOOP:  # A link: not made by us, and not followed.
                    raise Occupied(name) from None
                raise
            try:
                status = os.fstat(handle)
                if not stat.S_ISREG(status.st_mode):
                    raise Occupied(name)
                return _Copy(status.st_size, mtime_ns(status), digest_of(partial(os.read, handle)))
            finally:
                os.close(handle)

    def _same(self, source: Source, standing: str, expected: str | None) -> None:
        """See that the source holds the very bytes that stand here.

        raises  Changed, Occupied
        """
        os.lseek(source.handle, 0, os.SEEK_SET)
        found = digest_of(source.read)
        source.unchanged()
        if expected is not None and found != expected:
            raise Changed("it holds other bytes than when it was read")
        if found != standing:
            raise Occupied("other bytes stand under this name")

    @contextmanager
    def _part(self) -> Iterator[tuple[int, str, int]]:
        """Give the folder of copies, a name in it and an empty file; the name goes at the end."""
        with self._folder(INCOMING) as incoming:
            self._parts += 1
            part = f"{self._prefix}-{os.getpid()}-{self._parts}.part"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with self._ours():
                out = os.open(part, flags, mode=0o640, dir_fd=incoming)
            try:
                yield incoming, part, out
            finally:
                os.close(out)
                with suppress(OSError):  # It was renamed, or it is swept up at the next start.
                    os.unlink(part, dir_fd=incoming)

    @contextmanager
    def _copied(self, source: Source, digest: str | None) -> Iterator[tuple[int, str, "_Copy"]]:
        """Copy a file, and hold against it what the disk gives back."""
        with self._part() as (incoming, part, out):
            hasher = blake3()
            os.lseek(source.handle, 0, os.SEEK_SET)
            while chunk := source.read(CHUNK):
                hasher.update(chunk)
                with self._ours():
                    write(out, chunk)
            source.unchanged()
            found = hasher.hexdigest()
            if digest is not None and found != digest:
                raise Changed("it holds other bytes than when it was read")
            with self._ours():
                with suppress(OSError):  # Its time is nice to have; not every disk can hold it.
                    os.utime(out, ns=(source.version.mtime_ns, source.version.mtime_ns))
                os.fsync(out)
                status = os.fstat(out)
                # What is read back must come from the disk, not from memory.
                os.posix_fadvise(out, 0, 0, os.POSIX_FADV_DONTNEED)
                os.lseek(out, 0, os.SEEK_SET)
                if digest_of(partial(os.read, out)) != found:
                    raise IngestError(
                        Reason.STATE_NOT_WRITABLE,
                        f"{self.place} gives back other bytes than it got",
                    )
            yield incoming, part, _Copy(status.st_size, mtime_ns(status), found)

    def _name(self, incoming: int, part: str, folder: int, name: str) -> None:
        """Give a finished copy its name.

        raises  FileExistsError
        """
        with self._ours_but_taken():
            try:
                os.link(part, name, src_dir_fd=incoming, dst_dir_fd=folder, follow_symlinks=False)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                # A file system without hard links: only we write here, so a look is enough.
                with suppress(FileNotFoundError):
                    os.stat(name, dir_fd=folder, follow_symlinks=False)
                    raise FileExistsError(errno.EEXIST, "it is there") from None
                os.rename(part, name, src_dir_fd=incoming, dst_dir_fd=folder)

    @contextmanager
    def _ours_but_taken(self) -> Iterator[None]:
        with self._ours():
            taken: FileExistsError | None = None
            try:
                yield
            except FileExistsError as error:
                taken = error
        if taken is not None:
            raise taken

    def _kept(self, path: str, copy: "_Copy", *, is_new: bool) -> Kept:
        return Kept(
            path=path,
            size_bytes=copy.size_bytes,
            mtime_ns=copy.mtime_ns,
            digest=copy.digest,
            is_new=is_new,
        )


@dataclass(frozen=True, slots=True)
class _Copy:
    size_bytes: int
    mtime_ns: int
    digest: str


def enter(handle: int, name: str) -> int:
    """Open a folder in a folder; make it first, so that a power cut does not unmake it."""
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=handle)
    except FileNotFoundError:
        with suppress(FileExistsError):  # Another root's thread was quicker.
            os.mkdir(name, mode=0o750, dir_fd=handle)
        os.fsync(handle)
        return os.open(name, FOLDER_FLAGS, dir_fd=handle)


def digest_of(read: Callable[[int], bytes]) -> str:
    """Read a file to its end and give the BLAKE3 of that."""
    hasher = blake3()
    while chunk := read(CHUNK):
        hasher.update(chunk)
    return hasher.hexdigest()


def write(handle: int, content: bytes) -> None:
    """Write all of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
