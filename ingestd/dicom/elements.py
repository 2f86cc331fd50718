"""Pure. Header bytes become elements, each with path, VR, multiplicity, text and number."""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ingestd.dicom import charsets, columns, values
from ingestd.dicom.charsets import Encodings
from ingestd.dicom.encoding import CHARSET, PIXEL_DATA, PIXEL_REPRESENTATION, Dialect, keyword
from ingestd.dicom.keywords import KEPT
from ingestd.dicom.values import Problem, Value

if TYPE_CHECKING:
    from pydicom.dataelem import RawDataElement

#: What varies now and then would break a stretch again and again.
CALM = 6

COLUMN_TYPES = {kept.keyword: kept.sql_type for kept in KEPT}


class Element(NamedTuple):
    """A row of `tag`, but for the instance."""

    path: str  #: such as 0040A730[2].00080104, items counted from 0
    tag: str  #: such as 00080104
    keyword: str | None
    private_creator: str | None
    vr: str
    vm: int  #: number of values; of items for a sequence
    value: str | None  #: NULL when empty, binary or a sequence
    number: float | None
    size_bytes: int  #: of the value as it is in the file


class Kind:
    """What all elements with one tag and one VR have in common."""

    __slots__ = (
        "block",
        "calm",
        "column",
        "keyword",
        "last",
        "long",
        "may_matter",
        "name",
        "plain",
        "tag",
        "vr",
        "written",
    )

    def __init__(self, tag: int, vr: str, written: str | None, *, long: bool = False) -> None:
        self.tag = tag
        self.vr = vr  #: to read the value by
        self.written = written  #: the VR in the file; None when there is none
        self.long = long  #: the length field has four bytes
        self.name = f"{tag:08X}"
        self.keyword = keyword(tag)
        self.column = self.keyword if self.keyword in COLUMN_TYPES else None
        #: group and block of a private element
        self.block = tag >> 16 << 8 | tag >> 8 & 0xFF if tag >> 16 & 1 else None
        #: it changes how elements after it are read
        self.may_matter = tag in (CHARSET, PIXEL_REPRESENTATION) or self.reserves
        #: to be taken by tag, VR and length alone
        self.plain = vr in values.PLAIN and tag >> 16 not in (0, 0xFFFE) and tag not in PIXEL_DATA
        self.last: Entry | None = None  #: of this kind, the one met last at the top
        self.calm = 0  #: how often it has been the same since

    @property
    def reserves(self) -> bool:
        """Whether it reserves a block of private elements (PS3.5 7.8.1)."""
        return bool(self.tag >> 16 & 1) and 0x10 <= self.tag & 0xFFFF < 0x100


@lru_cache(maxsize=8192)
def kind_of(tag: int, vr: str, written: str | None) -> Kind:
    """Give the kind of an element that is not plain, or not taken as such."""
    return Kind(tag, vr, written)


class Entry:
    """All that an element's bytes stand for; shared by every file that has the same bytes."""

    __slots__ = (
        "dialect",
        "effect",
        "encodings",
        "extent",
        "kind",
        "problem",
        "problems",
        "row",
        "typed",
        "value",
    )

    def __init__(self, kind: Kind, row: Element, value: bytes, dialect: Dialect) -> None:
        self.kind = kind
        self.row = row
        self.value = value  #: as in the file
        self.extent = 0  #: bytes of the whole element, for those that are taken as plain
        self.dialect = dialect
        self.problem: Problem | None = None  #: with the value itself
        self.problems: tuple[Problem, ...] = ()  #: and with the value as that of a column
        self.typed: columns.Typed = None  #: the value in the column
        self.effect = False  #: it changes how elements after it are read
        self.encodings: Encodings | None = None  #: in force from here on

    def met_again(self) -> bool:
        """Note that it was met; say whether it was the same in the last files too."""
        kind = self.kind
        kind.calm = kind.calm + 1 if kind.last is self else 0
        kind.last = self
        return kind.calm >= CALM and not self.effect

    @property
    def raw(self) -> "RawDataElement":
        """What pydicom turns into a data element when somebody asks for it."""
        return raw(self.kind, self.value, self.dialect)


def raw(kind: Kind, value: bytes, dialect: Dialect) -> "RawDataElement":
    """Make what pydicom turns into a data element when somebody asks for it."""
    from pydicom.dataelem import RawDataElement  # noqa: PLC0415 -- whoever asks has imported it
    from pydicom.tag import BaseTag  # noqa: PLC0415

    implicit, little = dialect
    tag = BaseTag(kind.tag)
    return RawDataElement(tag, kind.written, len(value), value, 0, implicit, little)


def make(kind: Kind, value: bytes, found: Value, dialect: Dialect, creator: str | None) -> Entry:
    """Put together an element that is no sequence.

    value  as in the file
    found  what it says
    """
    entry = Entry(kind, row(kind, found, creator, len(value)), value, dialect)
    if found.kind:
        entry.problem = problem(entry.row, found.kind, value, found.detail)
        entry.problems = (entry.problem,)
    if kind.column is not None:
        _fit(entry, found)
    if kind.may_matter:
        if kind.tag == CHARSET:
            entry.encodings = charsets.encodings_of(found.text or "")
        entry.effect = kind.tag != PIXEL_REPRESENTATION or found.number is not None
    return entry


def row(kind: Kind, value: Value, creator: str | None, size_bytes: int) -> Element:
    """Make the row of an element at the top of the data set."""
    name = kind.name
    return Element(
        name, name, kind.keyword, creator, kind.vr, value.vm, value.text, value.number, size_bytes
    )


def problem(row: Element, kind: str, value: bytes, detail: str) -> Problem:
    """Say what is wrong with an element, with as much of the value as is good to look at."""
    if row.value is not None:
        shown = row.value[:200]
    else:
        shown = charsets.clean(value[:200].decode("ascii", "backslashreplace"))[:200]
    return Problem(kind, row.keyword or row.path, shown, detail)


def _fit(entry: Entry, found: Value) -> None:
    """Give an element that has a column its typed value there."""
    assert entry.kind.column is not None, "asked by whoever calls"
    try:
        entry.typed = columns.typed(COLUMN_TYPES[entry.kind.column], found)
    except ValueError as error:
        if entry.problem is None or entry.problem.kind != "bad_value":
            entry.problems += (problem(entry.row, "bad_value", entry.value, str(error)),)


def instance_columns(entries: list[Entry]) -> dict[str, object]:
    """Collect the columns of `instance` from the elements at the top; a later one wins."""
    return {entry.kind.column: entry.typed for entry in entries if entry.kind.column is not None}
