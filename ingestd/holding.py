"""Edge: files of a series, open, and still the ones that the catalog knows."""

from __future__ import annotations

import errno
import os
from io import BufferedReader, FileIO
from typing import TypeGuard

from ingestd import files
from ingestd.errors import IngestError, Reason
from ingestd.model import SeriesFile


class Held:
    """A file that is open, and still the one the catalog knows; it closes when nobody needs it."""

    __slots__ = ("_file", "fd")

    def __init__(self, fd: int, file: SeriesFile) -> None:
        self.fd, self._file = fd, file
        self.see_unchanged()

    def __del__(self) -> None:
        os.close(self.fd)

    def see_unchanged(self) -> None:
        """See that it has the size and the time that the catalog has.

        raises  IngestError `still_changing`, or as `io_error`
        """
        file = self._file
        try:
            seen = os.fstat(self.fd)
        except OSError as error:
            raise io_error(error) from error
        if (seen.st_size, files.mtime_ns(seen)) != (file.size_bytes, file.mtime_ns):
            raise IngestError(
                Reason.STILL_CHANGING,
                f"{seen.st_size} bytes, and another time; the catalog has {file.size_bytes}",
            )


class Reader(BufferedReader):
    """Reads what is held open, from its begin."""

    def __init__(self, held: Held) -> None:
        super().__init__(FileIO(held.fd, closefd=False))
        self._held = held  # Open as long as this is.
        self.seek(0)


class Files:
    """Opens the files of a series, and the root of each only once."""

    def __init__(self) -> None:
        self._roots = files.Insides()

    def hold(self, file: SeriesFile) -> Held:
        """Open a file that is still the one the catalog knows, or else a copy of it.

        raises  IngestError `still_changing`, `not_readable` or `transient_io`, of the file itself
        """
        errors: list[IngestError] = []
        for place in (file, *file.copies):
            try:
                return self._open(place)
            except IngestError as error:
                errors.append(error)
        try:
            raise errors[0]
        finally:
            errors.clear()  # Else error and frame would keep each other, and our roots open.

    def _open(self, file: SeriesFile) -> Held:
        try:
            return Held(self._roots.open(file.root, file.path), file)
        except OSError as error:
            raise io_error(error) from error


def open_unchanged(file: SeriesFile) -> Reader:
    """Open a file to read from, as `Files.hold` does.

    raises  IngestError as that
    """
    return Reader(Files().hold(file))


def is_io(error: Exception) -> TypeGuard[OSError]:
    """Whether it is the kernel's word; pydicom raises an OSError of its own for items cut short."""
    return isinstance(error, OSError) and error.errno is not None


def io_error(error: OSError) -> IngestError:
    """Say in our words why a drop folder's file cannot be read just now."""
    denied = error.errno in {errno.EACCES, errno.EPERM}
    reason = Reason.NOT_READABLE if denied else Reason.TRANSIENT_IO
    return IngestError(reason, os.strerror(error.errno) if error.errno else type(error).__name__)
