"""Pure. Header bytes become elements, each with path, VR, multiplicity, text and number.

Most elements of a series are the same in each of its files, byte for byte. So what an element
says is worked out once for its bytes, its character set and its private creator, and kept.
"""

from typing import NamedTuple

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from ingestd.dicom import charsets, columns, values
from ingestd.dicom.charsets import Encodings
from ingestd.dicom.encoding import CHARSET, PIXEL_REPRESENTATION, Dialect, Head, keyword
from ingestd.dicom.keywords import KEPT
from ingestd.dicom.values import Problem, Value

#: Elements that do not repeat fill the memory; beyond so many it is emptied.
MEMORY_ELEMENTS = 20_000
#: A longer element is worked out each time: it seldom repeats, and it takes room.
MEMORY_BYTES = 2048
SHORTEST_STRETCH = 3
MOST_STRETCHES = 1024

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


class Entry:
    """All that an element's bytes stand for; shared by every file that has the same bytes."""

    __slots__ = (
        "column",
        "effect",
        "encodings",
        "problem",
        "problems",
        "raw",
        "row",
        "tag",
        "typed",
    )

    def __init__(self, row: Element, raw: RawDataElement) -> None:
        self.row = row
        self.raw = raw  #: what pydicom makes a data set of
        self.tag: int = raw.tag
        self.problem: Problem | None = None  #: with the value itself
        self.problems: tuple[Problem, ...] = ()  #: and with the value as that of a column
        self.column: str | None = None
        self.typed: columns.Typed = None  #: the value in the column
        self.effect = False  #: it changes how elements after it are read
        self.encodings: Encodings | None = None  #: in force from here on


class Stretch(NamedTuple):
    """Elements that followed each other in the last file."""

    blob: bytes
    entries: list[Entry]
    rows: list[Element]
    creators: dict[int, str]  #: that were in force; private elements mean what these say


class Stretches:
    """Which elements follow each other, so that many are recognised by one comparison.

    A stretch that does not come again as it was is split where it differs. What varies from file
    to file (UIDs, positions, times) so comes to lie between stretches.
    """

    def __init__(self) -> None:
        self._by_start: dict[bytes, Stretch] = {}

    def starts(self, data: bytes, at: int) -> bool:
        """Whether some stretch begins like the element at `at`."""
        return data[at : at + 8] in self._by_start

    def find(self, data: bytes, at: int, creators: dict[int, str]) -> Stretch | None:
        """Give the stretch that is at `at`, all of it."""
        found = self._by_start.get(data[at : at + 8])
        if found is not None and data.startswith(found.blob, at) and found.creators == creators:
            return found
        return None

    def learn(
        self, data: bytes, stops: list[int], entries: list[Entry], creators: dict[int, str]
    ) -> None:
        """Keep what was taken one by one.

        stops  where the first element begins, and where each one ends
        """
        old = self._by_start.pop(data[stops[0] : stops[0] + 8], None)
        same = len(entries)
        if old is not None:
            pairs = enumerate(zip(old.entries, entries, strict=False))
            same = next((at for at, (was, now) in pairs if was is not now), same)
        self._keep(data, stops[: same + 1], entries[:same], creators)
        self._keep(data, stops[same + 1 :], entries[same + 1 :], creators)

    def _keep(
        self, data: bytes, stops: list[int], entries: list[Entry], creators: dict[int, str]
    ) -> None:
        if len(entries) < SHORTEST_STRETCH:
            return
        if len(self._by_start) >= MOST_STRETCHES:
            self._by_start.clear()
        blob = data[stops[0] : stops[-1]]
        rows = [entry.row for entry in entries]
        self._by_start[blob[:8]] = Stretch(blob, entries, rows, dict(creators))


class Context:
    """A way to spell elements together with what is remembered of them."""

    __slots__ = ("dialect", "encodings", "known", "sequences", "stretches")

    def __init__(self, dialect: Dialect, encodings: Encodings) -> None:
        self.dialect = dialect
        self.encodings = encodings
        #: by its bytes, with the private creator where there is one
        self.known: dict[object, Entry] = {}
        #: by tag and creator: the bytes of the last one met, and what they stand for
        self.sequences: dict[object, tuple[bytes, Entry, list[Element]]] = {}
        self.stretches = Stretches()


class Memory:
    """What one worker process remembers from file to file; bounded."""

    def __init__(self, text_bytes: int) -> None:
        self.text_bytes = text_bytes
        self._contexts: dict[tuple[Dialect, Encodings], Context] = {}

    def context(self, dialect: Dialect, encodings: Encodings) -> Context:
        """Give what is remembered for a dialect and a character set."""
        key = dialect, encodings
        if key not in self._contexts:
            if len(self._contexts) >= 64:
                self._contexts.clear()
            self._contexts[key] = Context(dialect, encodings)
        return self._contexts[key]

    def learn(self, context: Context, key: object, entry: Entry) -> None:
        """Remember an element; forget everything when that becomes too much."""
        if len(context.known) >= MEMORY_ELEMENTS:
            context.known.clear()
        context.known[key] = entry

    def entry(
        self, context: Context, head: Head, vr: str, value: bytes, creator: str | None
    ) -> Entry:
        """Work out an element that is no sequence."""
        found = values.read(
            vr,
            value,
            little=context.dialect.little,
            encodings=context.encodings,
            text_bytes=self.text_bytes,
            tag=head.tag,
        )
        entry = Entry(row(head.tag, vr, found, creator, len(value)), raw(context, head, value))
        if found.kind:
            entry.problem = problem(entry.row, found.kind, value, found.detail)
        if head.fault:
            entry.problem = problem(entry.row, "unknown_vr", value, head.fault)
        entry.problems = () if entry.problem is None else (entry.problem,)
        _fit(entry, found, value)
        if head.tag == CHARSET:
            entry.encodings = charsets.encodings_of(found.text or "")
        reserves = head.tag >> 16 & 1 and 0x10 <= head.tag & 0xFFFF < 0x100
        pixels = head.tag == PIXEL_REPRESENTATION and found.number is not None
        entry.effect = bool(reserves or pixels or head.tag == CHARSET)
        return entry


def row(tag: int, vr: str, value: Value, creator: str | None, size_bytes: int) -> Element:
    """Make the row of an element at the top of the data set."""
    name = f"{tag:08X}"
    word = keyword(tag)
    return Element(name, name, word, creator, vr, value.vm, value.text, value.number, size_bytes)


def raw(context: Context, head: Head, value: bytes) -> RawDataElement:
    """Make what pydicom turns into a data element when somebody asks for it."""
    implicit, little = context.dialect
    tag = BaseTag(head.tag)
    return RawDataElement(tag, head.vr, len(value), value, head.start, implicit, little)


def problem(row: Element, kind: str, value: bytes, detail: str) -> Problem:
    """Say what is wrong with an element, with as much of the value as is good to look at."""
    if row.value is not None:
        shown = row.value[:200]
    else:
        shown = charsets.clean(value[:200].decode("ascii", "backslashreplace"))[:200]
    return Problem(kind, row.keyword or row.path, shown, detail)


def _fit(entry: Entry, found: Value, value: bytes) -> None:
    """Give an element that has a column its typed value there."""
    name = entry.row.keyword
    if name is None or name not in COLUMN_TYPES:
        return
    entry.column = name
    try:
        entry.typed = columns.typed(COLUMN_TYPES[name], found)
    except ValueError as error:
        if entry.problem is None or entry.problem.kind != "bad_value":
            entry.problems += (problem(entry.row, "bad_value", value, str(error)),)


def instance_columns(entries: list[Entry]) -> dict[str, object]:
    """Collect the columns of `instance` from the elements at the top; a later one wins."""
    return {entry.column: entry.typed for entry in entries if entry.column is not None}


def complaints(entries: list[Entry]) -> list[Problem]:
    """Give what is wrong with the elements at the top."""
    return [problem for entry in entries if entry.problems for problem in entry.problems]
