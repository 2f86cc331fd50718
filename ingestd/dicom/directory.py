"""Pure. What a media directory (PS3.3 F, PS3.10 8.6) lists: the instances of each series, by name.

A directory is evidence that something is missing, so it is believed as a whole or not at all: one
whose records point into nothing, meet twice, or leave images without a series is not used.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ingestd.dicom.encoding import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Dialect, Short, head
from ingestd.errors import IngestError, Reason

MOST_RECORDS = 500_000
MOST_BYTES = 1 << 29
MOST_DEPTH = 32

RECORDS = 0x00041220
NEXT, IN_USE, LOWER, KIND = 0x00041400, 0x00041410, 0x00041420, 0x00041430
FILE, INSTANCE, STUDY, SERIES = 0x00041500, 0x00041511, 0x0020000D, 0x0020000E
ASKED = frozenset({NEXT, IN_USE, LOWER, KIND, FILE, INSTANCE, STUDY, SERIES})

#: Records of instances that belong to no series (PS3.3 F.4).
OF_NO_SERIES = frozenset(
    {"HANGING PROTOCOL", "PALETTE", "IMPLANT", "IMPLANT ASSY", "IMPLANT GROUP", "PRIVATE", "MRDR"}
)


class Listed(NamedTuple):
    """One instance that a directory lists."""

    SeriesInstanceUID: str
    SOPInstanceUID: str
    file: str  #: ReferencedFileID, its parts joined by a slash


class MediaDirectory(IngestError):
    """The file is a directory: no image, but it tells of some."""

    def __init__(self, listed: list[Listed], doubt: str = "") -> None:
        words = f"it lists {len(listed)} instances: evidence of what should be there"
        detail = f"not used as evidence: {doubt}" if doubt else words
        super().__init__(Reason.DICOMDIR, f"a media directory; {detail}")
        self.listed = listed


class Doubtful(Exception):
    """The records make no sense; the message says which."""


class _Record(NamedTuple):
    values: dict[int, bytes]
    little: bool

    def number(self, tag: int) -> int:
        return int.from_bytes(self.values.get(tag, b"")[:4], "little" if self.little else "big")

    def text(self, tag: int) -> str:
        return self.values.get(tag, b"").decode("ascii", "replace").strip(" \0")

    @property
    def others(self) -> tuple[int, int]:
        """Where it points to; 0 for nowhere."""
        return self.number(NEXT), self.number(LOWER)

    @property
    def in_use(self) -> bool:
        return self.values.get(IN_USE) != b"\0\0"


def directory(view: memoryview, at: int, dialect: Dialect) -> MediaDirectory:
    """Read what a directory lists.

    view  the whole file: records point at each other by their place in it
    at    where its data set begins
    """
    if len(view) > MOST_BYTES:
        return MediaDirectory([], f"it is larger than {MOST_BYTES} bytes")
    try:
        return MediaDirectory(_listed(_records(bytes(view), at, dialect)))
    except Short:
        return MediaDirectory([], "it ends inside a record")
    except Doubtful as doubt:
        return MediaDirectory([], str(doubt))


def _listed(records: dict[int, _Record]) -> list[Listed]:
    """Follow each series to its instances."""
    found: list[Listed] = []
    met: set[int] = set()
    if any(to and to not in records for one in records.values() for to in one.others):
        raise Doubtful("a record points to where no record is")
    for record in records.values():
        if record.text(KIND) == "SERIES" and record.in_use:
            uid = record.text(SERIES)
            for one in _chain(records, record.number(LOWER), met):
                if one.in_use and one.text(INSTANCE):
                    file = one.text(FILE).replace("\\", "/")
                    found.append(Listed(uid, one.text(INSTANCE), file))
    for at, record in records.items():
        orphan = at not in met and record.in_use and record.text(INSTANCE)
        if orphan and record.text(KIND) not in OF_NO_SERIES:
            raise Doubtful("it has images that belong to no series of it")
    if len({one.SOPInstanceUID for one in found}) < len(found):
        raise Doubtful("it lists one instance twice")
    if not all(_is_uid(uid) for one in found for uid in one[:2]):
        raise Doubtful("it lists instances by what are no UIDs")
    return found


def _chain(records: dict[int, _Record], at: int, met: set[int]) -> Iterator[_Record]:
    """Go from record to record of one level, each of which is met once in all."""
    while at:
        if at in met:
            raise Doubtful("its records go in a circle, or belong to two series")
        met.add(at)
        yield records[at]
        at = records[at].number(NEXT)


def _is_uid(text: str) -> bool:
    return 0 < len(text) <= 64 and all(part.isdecimal() for part in text.split("."))


def _records(data: bytes, at: int, dialect: Dialect) -> dict[int, _Record]:
    """Read all records, by their place in the file."""
    while at < len(data):
        spot = head(data, at, len(data), dialect)
        if spot.tag == RECORDS:
            end = len(data) if spot.length == UNDEFINED else spot.start + spot.length
            return dict(_items(data, spot.start, min(end, len(data)), dialect))
        at = _after(data, spot.tag, spot.length, spot.start, dialect)
    return {}


def _items(data: bytes, at: int, end: int, dialect: Dialect) -> Iterator[tuple[int, _Record]]:
    count = 0
    while at < end:
        spot = head(data, at, end, dialect)
        if spot.tag == SEQUENCE_END:
            return
        if spot.tag != ITEM:
            raise Doubtful("between its records is something else")
        count += 1
        if count > MOST_RECORDS:
            raise Doubtful(f"it has more than {MOST_RECORDS} records")
        stop = end if spot.length == UNDEFINED else spot.start + spot.length
        if stop > end:
            raise Short
        values, after = _values(data, spot.start, stop, dialect)
        if after is None and spot.length == UNDEFINED:
            raise Short
        yield at, _Record(values, dialect.little)
        at = after or stop


def _values(
    data: bytes, at: int, end: int, dialect: Dialect
) -> tuple[dict[int, bytes], int | None]:
    """Read what is asked of one record; give where its delimiter ends, if it has one."""
    values: dict[int, bytes] = {}
    while at < end:
        spot = head(data, at, end, dialect)
        if spot.tag == ITEM_END:
            return values, spot.start
        at = _after(data, spot.tag, spot.length, spot.start, dialect)
        if at > end:
            raise Short
        if spot.tag in ASKED:
            values[spot.tag] = data[spot.start : at]
    return values, None


def _after(data: bytes, tag: int, length: int, at: int, dialect: Dialect) -> int:
    """Give where an element ends; one of undefined length with all that is nested in it."""
    if length != UNDEFINED:
        return at + length
    depth = 1
    while depth:
        if depth > MOST_DEPTH:
            raise Doubtful(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is nested too deep")
        spot = head(data, at, len(data), dialect)
        at = spot.start
        if spot.length == UNDEFINED:
            depth += 1
        elif spot.tag in {ITEM_END, SEQUENCE_END}:
            depth -= 1
        elif spot.tag != ITEM:  # Into an item of known length we go, to see what it holds.
            at += spot.length
    return at
