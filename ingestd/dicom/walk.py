"""Pure. From element to element through a file, from its first byte to its last.

Only a window of the file is copied, so that a large pixel data element costs nothing. `_run`
takes plain elements one after the other; whatever it does not know (sequences, undefined
lengths, odd VRs, the end) goes through `_one`.
"""

from typing import NamedTuple

from ingestd.dicom import charsets
from ingestd.dicom.elements import Entry, Kind, kind_of, row
from ingestd.dicom.encoding import (
    PIXEL_DATA,
    UNDEFINED,
    Dialect,
    Head,
    Short,
    fragments,
    head,
    true_vr,
)
from ingestd.dicom.memory import MEMORY_BYTES, Memory, Stretch
from ingestd.dicom.nested import Found, Scope, Span, is_sequence, nest
from ingestd.dicom.values import Problem, Value
from ingestd.errors import IngestError, Reason

WINDOW_BYTES = 1 << 15


class Pixels(NamedTuple):
    """Where the pixel data is."""

    entry: Entry  #: its row; the value is left out
    start: int
    end: int
    encapsulated: bool
    fragments: int  #: with the offset table; 0 when not encapsulated
    cut_off: bool  #: the file ends before the value does


class Walk(Found):
    """The elements of one file."""

    def __init__(self, view: memoryview, memory: Memory) -> None:
        super().__init__(memory)
        self.view = view
        self.size = len(view)
        self.meta: list[Entry] = []  #: what stands before the data set: group 0002
        self.top: list[Entry] = []  #: the data set, in the order of the file
        self.instance: dict[str, object] = {}  #: the columns that elements of the top fill
        self.pixels: Pixels | None = None
        self.encodings = charsets.DEFAULT  #: of the data set
        self._doubts: list[Problem] = []  #: what is wrong with elements of the top
        self._last_tag = -1
        self._in_order = True  #: each element of the top had a higher tag than the one before
        self._base = 0  #: where in the file the window begins
        self._data = bytes(view[:WINDOW_BYTES])

    def group(self, at: int, number: bytes, dialect: Dialect) -> int:
        """Read the elements of one group that stands before the data set; give where it ends.

        Its group length is not trusted: too many writers get it wrong.
        """
        scope = Scope(self.memory.context(dialect, charsets.DEFAULT, number))
        while bytes(self.view[at : at + 2]) == number:
            at = self._run(at, scope, number)
            if bytes(self.view[at : at + 2]) == number:
                at = self._one(at, scope)
        self.meta += self.top
        self.top, self._last_tag = [], -1
        return at

    def go_on_in(self, content: bytes) -> None:
        """Go on in other bytes: what was deflated."""
        self.view, self.size = memoryview(content), len(content)
        self._base, self._data = 0, content[:WINDOW_BYTES]

    def data_set(self, at: int, dialect: Dialect) -> None:
        """Read all the rest.

        raises  IngestError `truncated` when the header ends inside an element, `too_large` when
                elements are too many or too deep
        """
        scope = Scope(self.memory.context(dialect, charsets.DEFAULT))
        while at < self.size:
            at = self._run(at, scope)
            if at < self.size:
                at = self._one(at, scope)
        self.settle_unsure()
        self.encodings = scope.context.encodings
        if not self._in_order and len({entry.kind.tag for entry in self.top}) != len(self.top):
            self.complain("duplicate_element", None, "a tag twice; the last one counts")
        self.problems += self._doubts

    def _run(self, at: int, scope: Scope, group: bytes = b"") -> int:
        """Take what is plain or known, as far as it goes; of one group only when it is given.

        All that has been the same for some files is remembered as one stretch.
        """
        data, end, here = self._data, len(self._data), at - self._base
        context, creators = scope.context, scope.creators
        pieces, first, tops, rows = 0, here, len(self.top), len(self.rows)
        known_spot = context.spots.get
        while not group or data.startswith(group, here):
            eight = data[here : here + 8]
            spot = known_spot(eight) or context.spot(eight)
            stretch, known = spot.stretch, spot.sequence
            if stretch and data.startswith(stretch.blob, here) and stretch.creators == creators:
                self._add_all(stretch)
                here += stretch.extent
                pieces += 1
            elif known and data.startswith(known.blob, here) and scope.reserved_alike(known.entry):
                self.rows += known.rows
                self._add_top(known.entry)
                here += len(known.blob)
                pieces += 1
            elif (plain := context.take(spot, data, here, end, creators)) is None:
                break
            elif plain.met_again():
                self._add(plain)
                here += plain.extent
                pieces += 1
            else:
                if pieces > 1:
                    context.keep(data[first:here], self.top[tops:], self.rows[rows:], creators)
                self._add(plain)
                if plain.effect:
                    self.heed(scope, plain)
                    context = scope.context
                    known_spot = context.spots.get
                here += plain.extent
                pieces, first, tops, rows = 0, here, len(self.top), len(self.rows)
        if pieces > 1:
            context.keep(data[first:here], self.top[tops:], self.rows[rows:], creators)
        return self._base + here

    def _add(self, entry: Entry) -> None:
        """Add an element of the top."""
        self.rows.append(entry.row)
        kind = self._add_top(entry)
        if kind.column is not None:
            self.instance[kind.column] = entry.typed
        if entry.problems:
            self._doubts += entry.problems

    def _add_top(self, entry: Entry) -> Kind:
        kind = entry.kind
        self.top.append(entry)
        if kind.tag <= self._last_tag:
            self._in_order = False
        self._last_tag = kind.tag
        return kind

    def _add_all(self, stretch: Stretch) -> None:
        self.rows += stretch.rows
        self.top += stretch.entries
        if stretch.first_tag <= self._last_tag:
            self._in_order = False
        self._in_order &= stretch.in_order
        self._last_tag = stretch.last_tag
        if stretch.instance:
            self.instance.update(stretch.instance)
        if stretch.problems:
            self._doubts += stretch.problems

    def _one(self, at: int, scope: Scope) -> int:
        """Take one element of any kind and give where the next one begins."""
        here = self._look(at, 2 * MEMORY_BYTES)
        little = scope.context.dialect.little
        try:
            spot = head(self._data, here, self.size - self._base, scope.context.dialect)
        except Short:
            return self._tail(at)
        if spot.tag >> 16 in (0, 0xFFFE) and self._is_tail(at):
            return self._tail(at)
        start = self._base + spot.start
        if spot.tag in PIXEL_DATA:
            return self._pixel_data(spot, start, scope)
        vr = true_vr(spot.vr, spot.tag, spot.length, scope.creator(spot.tag))
        if vr == "SQ" or (
            spot.length == UNDEFINED and is_sequence(vr, self._data, spot.start, little=little)
        ):
            return self._sequence(at, spot, scope)
        stop = after = start + spot.length
        if spot.length == UNDEFINED:
            span = fragments(self.view, start, little=little)
            stop, after = span.end, span.after if span.complete else self.size + 1
        if after > self.size:
            return self._cut_off()
        self._add(self.plain(scope, spot, vr, bytes(self.view[at:stop]), start - at))
        return after

    def _sequence(self, at: int, spot: Head, scope: Scope) -> int:
        """Take a sequence at the top of the data set."""
        mark = self.mark()
        width = self._base + spot.start - at  # of tag, VR and length
        need = width + (spot.length if spot.length != UNDEFINED else 0)
        if at + need > self.size:
            return self._cut_off()
        kind = kind_of(spot.tag, "SQ", "SQ")
        while True:
            here = self._look(at, need)
            if spot.start != here + width:
                spot = spot._replace(start=here + width)
            span = Span(self._data, len(self._data), hard=False)
            try:
                after = nest(self, span, spot, scope, kind.name)
            except Short:
                self.take_back(mark)
                if self._base + len(self._data) == self.size:
                    return self._cut_off()
                need = 2 * (len(self._data) - here)
                continue
            row = self.rows[mark[0]]
            content = self._data[spot.start : spot.start + row.size_bytes]
            entry = Entry(kind, row, content, scope.context.dialect)
            self._add_top(entry)
            if self.mark()[1:] == mark[1:]:
                scope.context.keep_sequence(self._data[here:after], entry, self.rows[mark[0] :])
            return self._base + after

    def _pixel_data(self, spot: Head, start: int, scope: Scope) -> int:
        """Note where the pixel data is. It may end early: the header is whole all the same."""
        vr = true_vr(spot.vr, spot.tag, spot.length, None)
        if spot.length == UNDEFINED:
            little = scope.context.dialect.little
            stop, after, count, whole = fragments(self.view, start, little=little)
        else:
            stop = after = min(start + spot.length, self.size)
            count, whole = 0, start + spot.length <= self.size
        value = Value(int(stop > start), None, None)
        kind = kind_of(spot.tag, vr, spot.vr)
        entry = Entry(kind, row(kind, value, None, stop - start), b"", scope.context.dialect)
        self._add(entry)
        self.pixels = Pixels(entry, start, stop, spot.length == UNDEFINED, count, not whole)
        return after

    def _look(self, at: int, need: int) -> int:
        """Have the window hold `need` bytes from `at` on, or all there are; give its place."""
        here = at - self._base
        if here + need > len(self._data) and self._base + len(self._data) < self.size:
            self._base, here = at, 0
            self._data = bytes(self.view[at : at + max(need, WINDOW_BYTES)])
        return here

    def _is_tail(self, at: int) -> bool:
        """Whether the data set is over: a stray delimiter comes, or nothing but NULs."""
        left = bytes(self.view[at : at + 8])
        return left[:4] in _DELIMITERS or (not any(left) and not any(bytes(self.view[at:])))

    def _tail(self, at: int) -> int:
        """Pass over what is left after the last element, unless it is the start of one."""
        left = bytes(self.view[at : at + 12])
        if self.pixels is None and len(left) < 12 and any(left) and left[:4] not in _DELIMITERS:
            return self._cut_off()
        self.complain("trailing_bytes", None, f"{self.size - at} bytes after the last element")
        return self.size

    def _cut_off(self) -> int:
        """Refuse a header that ends inside an element. After the pixel data it does no harm."""
        if self.pixels is None:
            count = len(self.top)
            raise IngestError(Reason.TRUNCATED, f"it ends inside element {count + 1} of its header")
        self.complain("trailing_bytes", None, "what follows the pixel data is no element")
        return self.size


_DELIMITERS = tuple(
    bytes.fromhex(tag) for tag in ("feff0de0", "fffee00d", "feffdde0", "fffee0dd", "feff00e0")
)
