"""Pure. A whole file: preamble, file meta, transfer syntax, data set; and what is wrong with it."""

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache

from ingestd.dicom import groups
from ingestd.dicom.directory import MediaDirectory, directory
from ingestd.dicom.elements import Entry
from ingestd.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_BIG,
    IMPLICIT_HEAD,
    IMPLICIT_LITTLE,
    LONG,
    SHORT,
    Dialect,
    keyword,
    spelled_implicit,
)
from ingestd.dicom.keywords import REQUIRED
from ingestd.dicom.memory import Memory
from ingestd.dicom.pixel_size import pixel_problems
from ingestd.dicom.values import Problem
from ingestd.dicom.walk import Walk
from ingestd.errors import IngestError, Reason

DIALECTS = {
    "1.2.840.10008.1.2": IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.2": EXPLICIT_BIG,
    "1.2.840.113619.5.2": IMPLICIT_LITTLE,  # GE private: only its pixels are big endian.
}
DEFLATED = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
MOST_PROBLEMS = 200

_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*", re.ASCII)
_NAMES = {
    IMPLICIT_LITTLE: "implicit little endian",
    EXPLICIT_LITTLE: "explicit little endian",
    EXPLICIT_BIG: "explicit big endian",
    IMPLICIT_BIG: "implicit big endian",
}


@dataclass(slots=True)
class Header:
    """What a file says."""

    walk: Walk
    dialect: Dialect
    instance: dict[str, object]
    problems: list[Problem]


def read(view: memoryview, memory: Memory, *, most_bytes: int) -> Header:
    """Read all elements of a file.

    view        its bytes
    most_bytes  a deflated data set may not grow beyond it
    raises      IngestError: not_dicom, truncated, too_large, missing_uid, bad_uid; MediaDirectory
    """
    walk = Walk(view, memory)
    at, bare = _start(walk)
    try:
        dialect = _data_set(walk, at, most_bytes)
    except MediaDirectory:
        raise
    except IngestError as error:
        if bare and not _is_dicom(walk.top):
            raise _not_dicom("it has no preamble, and its elements make no sense") from error
        raise
    instance = walk.instance
    _check_uids(instance, bare=bare and not _is_dicom(walk.top))
    groups.fill(instance, walk.rows)
    problems = walk.problems + _mismatches(walk, instance) + pixel_problems(walk, instance)
    if len(problems) > MOST_PROBLEMS:
        more = f"{len(problems) - MOST_PROBLEMS} more"
        problems[MOST_PROBLEMS:] = [Problem("too_many_problems", None, None, more)]
    return Header(walk, dialect, instance, problems)


def _start(walk: Walk) -> tuple[int, bool]:
    """Give where the first element is, and whether that is all we have to go by."""
    view = walk.view
    if bytes(view[128:132]) == b"DICM":
        return 132, False
    walk.complain("no_preamble", None, 'no "DICM" at byte 128')
    if bytes(view[:4]) == b"DICM":
        return 4, False
    if not _plausible(bytes(view[:12])):
        raise _not_dicom('no "DICM" at byte 128, nor a data set without a preamble')
    return 0, True


def _plausible(first: bytes) -> bool:
    """Whether these bytes can be the first element of a file without a preamble.

    It is of group 0002 or 0008, known to the dictionary, with the VR or the length that it has.
    """
    if len(first) < 12:
        return False
    little = first[1] == 0
    group, number, length = IMPLICIT_HEAD[little](first)
    tag = group << 16 | number
    if group not in (2, 8) or (number and keyword(tag) is None):
        return False
    if first[4:6] in SHORT or first[4:6] in LONG:
        return True
    return bool(length <= 1024)


def _is_dicom(top: list[Entry]) -> bool:
    """Whether elements without a preamble before them are those of a DICOM data set."""
    names = [entry.row.keyword for entry in top if not entry.row.path.endswith("0000")]
    known = sum(name is not None for name in names)
    return known >= 5 and 2 * known >= len(names)


def _data_set(walk: Walk, at: int, most_bytes: int) -> Dialect:
    """Read everything after the preamble."""
    at = walk.group(at, b"\x02\x00", EXPLICIT_LITTLE)
    if at < walk.size and any(walk.view[at : at + 8]):
        at = walk.group(at, b"\x00\x00", IMPLICIT_LITTLE)  # A command, left by careless writers.
    syntax = walk.instance.get("TransferSyntaxUID")
    if syntax in DEFLATED:
        walk.go_on_in(_inflate(walk.view[at:], most_bytes))
        at = 0
    seen = _seen(walk.view, at)
    if syntax is None:
        dialect = seen or IMPLICIT_LITTLE
        walk.complain("no_file_meta", "TransferSyntaxUID", f"taken for {_NAMES[dialect]}")
    else:
        said = DIALECTS.get(str(syntax), EXPLICIT_LITTLE)
        dialect = seen or said
        if said != dialect:
            walk.complain("syntax_mismatch", "TransferSyntaxUID", f"it is {_NAMES[dialect]}")
    _refuse_directory(walk, at, dialect)
    walk.data_set(at, dialect)
    return dialect


def _seen(view: memoryview, at: int) -> Dialect | None:
    """Judge by the first element how the data set is spelled; None when there is none."""
    first = bytes(view[at : at + 8])
    if len(first) < 8:
        return None
    # No data set begins with a group above 00FF that is also a multiple of 100 hexadecimal.
    little = not (first[0] == 0 and first[1] != 0)
    return Dialect(implicit=spelled_implicit(first, 0), little=little)


def _inflate(content: memoryview, most_bytes: int) -> bytes:
    """Undo the compression of a deflated data set (PS3.5 A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(content, most_bytes)
    except zlib.error as error:
        raise IngestError(Reason.TRUNCATED, "the deflated data set is damaged") from error
    if inflater.unconsumed_tail:
        raise IngestError(Reason.TOO_LARGE, f"inflates to more than {most_bytes} bytes")
    if not inflater.eof:
        raise IngestError(Reason.TRUNCATED, "the deflated data set ends early")
    return data


def _refuse_directory(walk: Walk, at: int, dialect: Dialect) -> None:
    for entry in walk.meta:
        if entry.row.path == "00020002" and entry.row.value == MEDIA_DIRECTORY:
            raise directory(walk.view, at, dialect)


def _check_uids(instance: dict[str, object], *, bare: bool) -> None:
    """Refuse what has no identity. UIDs become file names, so they are checked (PS3.5 9.1)."""
    for name in REQUIRED:
        uid = instance.get(name)
        if not uid:
            if bare:
                raise _not_dicom("it has no preamble and no UIDs")
            raise IngestError(Reason.MISSING_UID, f"{name} is absent or empty")
        if not _is_uid(str(uid)):
            raise IngestError(
                Reason.BAD_UID,
                f"{name} is not numbers joined by dots, at most 64 characters",
            )


@lru_cache(maxsize=1024)
def _is_uid(text: str) -> bool:
    """Whether it may become the name of a file."""
    return _UID.fullmatch(text) is not None


def _mismatches(walk: Walk, instance: dict[str, object]) -> list[Problem]:
    """Say where the file meta names another instance or class than the data set."""
    problems = []
    said = {entry.row.path: entry.row.value for entry in walk.meta}
    for path, name in (("00020002", "SOPClassUID"), ("00020003", "SOPInstanceUID")):
        uid = said.get(path)
        if uid and uid != instance.get(name):
            problems.append(Problem("meta_mismatch", name, uid, "the file meta has another one"))
    return problems


def _not_dicom(detail: str) -> IngestError:
    return IngestError(Reason.NOT_DICOM, detail)
