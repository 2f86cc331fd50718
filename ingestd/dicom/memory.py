"""Pure. What is remembered from file to file, so that what repeats is worked out once.

Most elements of a series are the same in each of its files, byte for byte. An element is known
by its bytes, its character set and its private creator; elements that follow each other unchanged
are known by all their bytes together, and taken by one comparison.
"""

from itertools import pairwise
from typing import NamedTuple

from ingestd.dicom import elements, values
from ingestd.dicom.charsets import Encodings
from ingestd.dicom.elements import Element, Entry, Kind, kind_of
from ingestd.dicom.encoding import LENGTH, LONG, SHORT, SHORT_LENGTH, TAG, Dialect, public_vr
from ingestd.dicom.values import Problem

#: Elements that do not repeat fill the memory; beyond so many it is emptied.
MEMORY_ELEMENTS = 20_000
#: A longer element is worked out each time: it seldom repeats, and it takes room.
MEMORY_BYTES = 2048
SHORTEST_STRETCH = 2
MOST_SPOTS = 20_000
MOST_KINDS = 20_000
#: A longer sequence is not remembered from file to file.
SEQUENCE_BYTES = 1 << 15


class Stretch(NamedTuple):
    """Elements that followed each other in files before."""

    blob: bytes
    extent: int  #: its length in bytes
    entries: list[Entry]
    rows: list[Element]
    creators: dict[int, str]  #: that were in force; private elements mean what these say
    instance: dict[str, object]  #: the columns that they fill
    problems: list[Problem]
    first_tag: int
    last_tag: int
    in_order: bool  #: each has a higher tag than the one before


class Sequence(NamedTuple):
    """A sequence as it was met last."""

    blob: bytes
    entry: Entry
    rows: list[Element]  #: its own and those of its items


class Spot:
    """What the first eight bytes of an element tell of it, and what followed them before."""

    __slots__ = ("kind", "sequence", "size", "start", "stretch")

    def __init__(self, kind: Kind, start: int, size: int | None) -> None:
        self.kind = kind
        self.start = start  #: of the value, from the first byte of the element on
        self.size = size  #: of the value; None when the eight bytes do not hold it
        self.stretch: Stretch | None = None  #: that begins with these bytes
        self.sequence: Sequence | None = None


class Context:
    """A way to spell elements together with what is remembered of them."""

    __slots__ = ("_kinds", "dialect", "encodings", "known", "spots", "text_bytes")

    def __init__(self, dialect: Dialect, encodings: Encodings, text_bytes: int) -> None:
        self.dialect = dialect
        self.encodings = encodings
        self.text_bytes = text_bytes
        #: by its bytes, with the private creator where there is one
        self.known: dict[object, Entry] = {}
        #: by the first eight bytes of an element
        self.spots: dict[bytes, Spot] = {}
        self._kinds: dict[bytes, Kind] = {}

    def spot(self, first: bytes) -> Spot:
        """Look at the first eight bytes of an element; what has fewer is not plain."""
        return self.spots.get(first) or self._new_spot(first)

    def take(
        self, spot: Spot, data: bytes, here: int, end: int, creators: dict[int, str]
    ) -> Entry | None:
        """Take one element if it is plain.

        end  of what encloses it
        """
        kind = spot.kind
        if not kind.plain:
            return None
        size = spot.size
        start = here + spot.start
        if size is None:
            if end < start:
                return None
            size = LENGTH[self.dialect.little](data, here + 8)[0]
        stop = start + size
        if stop > end or size > MEMORY_BYTES:
            return None
        key: object = data[here:stop]
        creator = None
        if kind.block is not None and (creator := creators.get(kind.block)) is not None:
            key = creator, key
        entry = self.known.get(key)
        if entry is None:
            entry = self.make(kind, data[start:stop], creator)
            entry.extent = stop - here
            self.learn(key, entry)
        return entry

    def make(self, kind: Kind, value: bytes, creator: str | None, fault: str = "") -> Entry:
        """Work out an element that is no sequence."""
        found = values.read(
            kind.vr,
            value,
            little=self.dialect.little,
            encodings=self.encodings,
            text_bytes=self.text_bytes,
            tag=kind.tag,
        )
        if fault:
            found = found._replace(kind="unknown_vr", detail=fault)
        return elements.make(kind, value, found, self.dialect, creator)

    def learn(self, key: object, entry: Entry) -> None:
        """Remember an element; forget everything when that becomes too much."""
        if len(self.known) >= MEMORY_ELEMENTS:
            self.known.clear()
        self.known[key] = entry

    def keep(
        self, blob: bytes, entries: list[Entry], rows: list[Element], creators: dict[int, str]
    ) -> None:
        """Remember elements that follow each other."""
        if len(entries) >= SHORTEST_STRETCH:
            instance = elements.instance_columns(entries)
            problems = [problem for entry in entries for problem in entry.problems]
            tags = [entry.kind.tag for entry in entries]
            in_order = all(one < other for one, other in pairwise(tags))
            self.spot(blob[:8]).stretch = Stretch(
                blob,
                len(blob),
                entries,
                rows,
                dict(creators),
                instance,
                problems,
                first_tag=tags[0],
                last_tag=tags[-1],
                in_order=in_order,
            )

    def keep_sequence(self, blob: bytes, entry: Entry, rows: list[Element]) -> None:
        """Remember a sequence in place of the one before that began alike."""
        if len(blob) <= SEQUENCE_BYTES:
            self.spot(blob[:8]).sequence = Sequence(blob, entry, rows)

    def _new_spot(self, first: bytes) -> Spot:
        if len(first) < 8:
            return Spot(_NOTHING, 0, None)
        kind = self._kind(first)
        implicit, little = self.dialect
        if implicit:
            found = Spot(kind, 8, LENGTH[little](first, 4)[0])
        elif kind.long:
            found = Spot(kind, 12, None)
        else:
            found = Spot(kind, 8, SHORT_LENGTH[little](first, 6)[0])
        if len(self.spots) >= MOST_SPOTS:
            self.spots.clear()
        self.spots[first] = found
        return found

    def _kind(self, first: bytes) -> Kind:
        """Tell what a tag and VR stand for."""
        implicit, little = self.dialect
        spelled = first[: 4 if implicit else 6]
        if (known := self._kinds.get(spelled)) is not None:
            return known
        group, number = TAG[little](first, 0)
        tag = group << 16 | number
        code = spelled[4:]
        if implicit and group & 1:
            return _NOTHING  # Its VR depends on its creator.
        if implicit:
            kind = Kind(tag, public_vr(tag), None)
        elif code in SHORT:
            kind = Kind(tag, SHORT[code], SHORT[code])
        elif code in LONG:
            kind = Kind(tag, LONG[code], LONG[code], long=True)
        else:
            return _NOTHING
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        self._kinds[spelled] = kind
        return kind


_NOTHING = kind_of(0, "UN", None)  #: stands for what is not plain


class Memory:
    """What one worker process remembers from file to file; bounded."""

    def __init__(self, text_bytes: int) -> None:
        self.text_bytes = text_bytes
        self._contexts: dict[tuple[Dialect, Encodings, bytes], Context] = {}

    def context(self, dialect: Dialect, encodings: Encodings, group: bytes = b"") -> Context:
        """Give what is remembered for a dialect and a character set.

        group  of elements that stand before the data set: no stretch goes on into it
        """
        key = dialect, encodings, group
        found = self._contexts.get(key)
        if found is None:
            if len(self._contexts) >= 64:
                self._contexts.clear()
            found = self._contexts[key] = Context(dialect, encodings, self.text_bytes)
        return found
