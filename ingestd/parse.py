"""Edge: one file, read once, becomes its rows; or an IngestError says why not."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from mmap import mmap
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from blake3 import blake3

from ingestd.dicom import header, rows
from ingestd.dicom.elements import Element
from ingestd.dicom.header import Header
from ingestd.dicom.memory import Memory
from ingestd.dicom.values import Problem
from ingestd.errors import IngestError, Reason
from ingestd.files import mtime_ns, open_inside
from ingestd.model import Arrival
from ingestd.tables import INSTANCE, PROBLEM

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Parsed", "Problem", "read", "to_tables"]

#: A larger buffer is given back to the system after the file that needed it.
KEEP_BYTES = 64 << 20

_NOT_OURS = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One file that became an instance."""

    arrival: Arrival
    digest: str  #: BLAKE3 of the file's bytes, hexadecimal
    instance: dict[str, object]  #: columns by keyword; `frames` and `has_pixels` besides
    tags: list[Element]
    problems: list[Problem]
    header: Header | None  #: None once the pixels were given up

    @property
    def dataset(self) -> "Dataset | None":
        """The data set with its pixels, from the same read; made anew each time.

        Only until the next file is read, which takes the same memory.
        """
        from ingestd.dicom import revive  # noqa: PLC0415 -- pydicom is for those who ask

        return revive.dataset(self.header) if self.header is not None else None

    @property
    def is_truncated(self) -> bool:
        """Whether the pixel data is shorter than the header says: no thumbnail then."""
        return any(problem.kind == "truncated" for problem in self.problems)

    def without_dataset(self, problem: Problem | None = None) -> "Parsed":
        """Give up the pixels, and add what went wrong with them."""
        problems = self.problems if problem is None else [*self.problems, problem]
        return replace(self, header=None, problems=problems)


class _Scratch(threading.local):
    """What a thread uses again for each file: a buffer, and what elements stand for."""

    def __init__(self) -> None:
        self._buffer = memoryview(b"")
        self._view = memoryview(b"")
        self._memory: Memory | None = None

    def room(self, size_bytes: int) -> memoryview:
        """Give room for a file; the file before is gone, and touching it raises ValueError."""
        self._view.release()
        if len(self._buffer) < size_bytes or len(self._buffer) > KEEP_BYTES:
            self._buffer = memoryview(b"")  # First free, then take.
            # Pages of our own begin at a page: the kernel fills them four times as fast.
            self._buffer = memoryview(mmap(-1, max(size_bytes, 1 << 20)))
        self._view = self._buffer[:size_bytes]
        return self._view

    def memory(self, text_bytes: int) -> Memory:
        """Give what was learned from the files before."""
        if self._memory is None or self._memory.text_bytes != text_bytes:
            self._memory = Memory(text_bytes)
        return self._memory


_scratch = _Scratch()


def read(
    arrival: Arrival,
    *,
    max_file_bytes: int,
    text_bytes: int,
    have_read: Callable[[], object] = lambda: None,
    open_file: Callable[[str, str], int] = open_inside,
) -> Parsed:
    """Read a file once: digest, every element, the typed columns, what is wrong with it.

    max_file_bytes  a larger one is refused
    text_bytes      a longer value is cut in `tags`
    have_read       called when its bytes are here and its disk or share is not needed any more
    open_file       opens a path below a root, as `files.open_inside` does
    raises          IngestError: still_changing, transient_io, not_readable, not_a_file,
                    outside_root, too_large, worker_memory, not_dicom, truncated, missing_uid,
                    bad_uid; MediaDirectory
    """
    try:
        view = _content(arrival, max_file_bytes, open_file)
    except OSError as error:
        raise _reason(error) from error
    except MemoryError as error:
        raise IngestError(
            Reason.WORKER_MEMORY, f"no room for {arrival.size_bytes} bytes"
        ) from error
    have_read()
    found = header.read(view, _scratch.memory(text_bytes), most_bytes=max_file_bytes)
    return Parsed(
        arrival=arrival,
        digest=blake3(view).hexdigest(),
        instance=found.instance,
        tags=found.walk.rows,
        problems=found.problems,
        header=found,
    )


def _content(
    arrival: Arrival, max_file_bytes: int, open_file: Callable[[str, str], int]
) -> memoryview:
    """Give the bytes of a file that is as it was when it arrived, before and after the read."""
    handle = open_file(arrival.root, arrival.path)
    try:
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode):
            raise IngestError(Reason.NOT_A_FILE, f"mode {stat.S_IFMT(seen.st_mode):o}")
        _same(arrival, seen)
        if seen.st_size > max_file_bytes:
            detail = f"{seen.st_size} bytes, above max_file_bytes = {max_file_bytes}"
            raise IngestError(Reason.TOO_LARGE, detail)
        view = _scratch.room(seen.st_size)
        filled = 0
        while filled < len(view):
            count = os.readv(handle, [view[filled:]])
            if not count:
                raise IngestError(Reason.STILL_CHANGING, "it became shorter while it was read")
            filled += count
        _same(arrival, os.fstat(handle))
    finally:
        os.close(handle)
    return view


def _same(arrival: Arrival, seen: os.stat_result) -> None:
    if (seen.st_size, mtime_ns(seen)) != (arrival.size_bytes, arrival.mtime_ns):
        raise IngestError(Reason.STILL_CHANGING, "its size or time is not what it was")


def _reason(error: OSError) -> IngestError:
    """Say what an error of the file system means for the file.

    What we do not know is taken for transient: retries are limited, and then it is refused.
    """
    code = errno.errorcode.get(error.errno or 0, str(error.errno))
    if error.errno in _NOT_OURS:
        return IngestError(Reason.NOT_READABLE, f"{code}: {os.strerror(error.errno or 0)}")
    if error.errno == errno.ENXIO and error.filename and _is_socket(error.filename):
        return IngestError(Reason.NOT_A_FILE, "a socket")
    return IngestError(Reason.TRANSIENT_IO, f"{code}: {os.strerror(error.errno or 0)}")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def to_tables(
    parsed: Sequence[Parsed], thumbnails: Mapping[int, tuple[str | None, str | None]]
) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Make the rows of `instance`, `attribute`, `element` and `problem`.

    thumbnails  seq to (thumbnail_path, window_source); a file that is not there has none
    """
    said = set[str]().union(*(one.instance for one in parsed))
    columns: dict[str, list[Any]] = {
        name: [one.instance.get(name) for one in parsed] for name in said
    }
    for name in ("seq", "root", "path", "size_bytes"):
        columns[name] = [getattr(one.arrival, name) for one in parsed]
    columns["digest"] = [one.digest for one in parsed]
    pictures = [thumbnails.get(one.arrival.seq, (None, None)) for one in parsed]
    columns["thumbnail_path"] = [path for path, _ in pictures]
    columns["window_source"] = [source for _, source in pictures]
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(len(parsed), field.type)  # No file here has it.
        for field in INSTANCE
    ]
    instance = pa.Table.from_arrays(arrays, schema=INSTANCE)
    seqs = [one.arrival.seq for one in parsed]
    attribute, element = rows.element_tables(seqs, [one.tags for one in parsed])
    return instance, attribute, element, _problem_table(parsed)


def _problem_table(parsed: Sequence[Parsed]) -> pa.Table:
    found = [
        (
            one.arrival.seq,
            one.instance["SOPInstanceUID"],
            one.arrival.root,
            one.arrival.path,
            *problem,
        )
        for one in parsed
        for problem in one.problems
    ]
    columns = zip(*found, strict=True) if found else [[] for _ in PROBLEM]
    return pa.table(dict(zip(PROBLEM.names, columns, strict=True)), schema=PROBLEM)
