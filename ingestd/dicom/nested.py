"""Pure. Sequences: items within items, each a data set of its own (PS3.5 7.5)."""

from typing import NamedTuple

from ingestd.dicom.elements import Element, Entry, kind_of
from ingestd.dicom.encoding import (
    IMPLICIT_HEAD,
    ITEM,
    ITEM_END,
    PIXEL_REPRESENTATION,
    SEQUENCE_END,
    SEQUENCE_END_BYTES,
    UNDEFINED,
    Dialect,
    Head,
    Short,
    fragments,
    head,
    spelled_implicit,
    true_vr,
)
from ingestd.dicom.memory import MEMORY_BYTES, Context, Memory
from ingestd.dicom.values import Problem
from ingestd.errors import IngestError, Reason

DEEPEST = 48  #: sequences within sequences; the deepest report trees have a dozen
MOST_ELEMENTS = 2_000_000


class Scope:
    """What holds within one data set or item."""

    __slots__ = ("context", "creators", "parent", "pixel_representation", "prefix")

    def __init__(self, context: Context, parent: "Scope | None" = None, prefix: str = "") -> None:
        self.context = context
        self.parent = parent
        self.prefix = prefix  #: of the paths in it, such as 0040A730[2].
        self.creators: dict[int, str] = {}  #: block (group and high byte) to private creator
        self.pixel_representation: int | None = None

    def signed(self) -> bool:
        """Whether pixel values are signed, as the nearest PixelRepresentation says."""
        at: Scope | None = self
        while at is not None:
            if at.pixel_representation is not None:
                return at.pixel_representation == 1
            at = at.parent
        return False

    def creator(self, tag: int) -> str | None:
        """Give who reserved the block of a private element."""
        return self.creators.get(tag >> 8) if tag >> 16 & 1 else None

    def reserved_alike(self, entry: Entry) -> bool:
        """Whether an element that was met before has the same creator here."""
        return self.creator(entry.kind.tag) == entry.row.private_creator


class Found:
    """What comes out of a walk; sequences add to it from within."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.rows: list[Element] = []
        self.problems: list[Problem] = []
        #: "US or SS": place in `rows`, scope, head and value, until PixelRepresentation is known
        self.unsure: list[tuple[int, Scope, Head, bytes]] = []

    def mark(self) -> tuple[int, int, int]:
        """Remember how much there is, to take back what comes after."""
        return len(self.rows), len(self.problems), len(self.unsure)

    def take_back(self, mark: tuple[int, int, int]) -> None:
        """Forget what came after the mark."""
        del self.rows[mark[0] :], self.problems[mark[1] :], self.unsure[mark[2] :]

    def complain(self, kind: str, name: str | None, detail: str) -> None:
        """Add a problem that is not about a value."""
        self.problems.append(Problem(kind, name, None, detail))

    def plain(self, scope: Scope, head: Head, vr: str, blob: bytes, start: int) -> Entry:
        """Give the entry of an element that is no sequence, and note what it means for others.

        blob   the whole element as in the file
        start  of the value in it
        """
        context, tag = scope.context, head.tag
        creator = scope.creator(tag)
        key = blob if creator is None else (creator, blob)
        entry = context.known.get(key)
        if entry is None:
            unsure = vr == "US or SS"
            value = blob[start:]
            kind = kind_of(tag, "US" if unsure else vr, head.vr)
            entry = context.make(kind, value, creator, head.fault)
            entry.extent = len(blob)
            if unsure:
                self.unsure.append((len(self.rows), scope, head, value))
            elif len(blob) <= MEMORY_BYTES:
                context.learn(key, entry)
        if entry.effect:
            self.heed(scope, entry)
        return entry

    def heed(self, scope: Scope, entry: Entry) -> None:
        """Note what an element means for those after it."""
        kind = entry.kind
        if entry.encodings is not None:
            scope.context = self.memory.context(entry.dialect, entry.encodings)
        elif kind.tag == PIXEL_REPRESENTATION:
            scope.pixel_representation = int(entry.row.number or 0)
        else:
            scope.creators[kind.tag >> 16 << 8 | kind.tag & 0xFF] = entry.row.value or ""

    def settle_unsure(self) -> None:
        """Read "US or SS" values as signed where the data set says so (PS3.3 C.7.6.3.1.2)."""
        for place, scope, at, value in self.unsure:
            if scope.signed():
                old = self.rows[place]
                new = scope.context.make(kind_of(at.tag, "SS", at.vr), value, None).row
                self.rows[place] = new._replace(path=old.path)


class Span(NamedTuple):
    """Bytes in which a sequence lies."""

    data: bytes
    end: int  #: the sequence ends here at the latest
    hard: bool  #: nothing after `end` belongs to it; otherwise there may be more bytes to get


def nest(found: Found, span: Span, spot: Head, scope: Scope, path: str) -> int:
    """Add the row of a sequence and those of its items.

    return  where the next element begins
    raises  Short when it does not end in a span that is not hard; IngestError `too_large`
    """
    _, vr, length, start, _ = spot
    kind, place = kind_of(spot.tag, "SQ", vr), len(found.rows)
    named = path, kind.name, kind.keyword, scope.creator(kind.tag), "SQ"
    found.rows.append(Element(*named, 0, None, None, 0))
    if length == UNDEFINED:
        stop, count = _items(found, span, start, scope, path, open_end=True)
        size = stop - start
        if span.data.startswith(SEQUENCE_END_BYTES[scope.context.dialect.little], stop):
            stop += 8
    else:
        stop, size = start + length, length
        inner = Span(span.data, stop, hard=True)
        _, count = _items(found, inner, start, scope, path, open_end=False)
    found.rows[place] = Element(*named, count, None, None, size)
    return stop


def _items(
    found: Found, span: Span, at: int, scope: Scope, path: str, *, open_end: bool
) -> tuple[int, int]:
    """Read items up to the delimiter or the end; give where they end and how many they are."""
    if path.count("[") >= DEEPEST:
        raise IngestError(Reason.TOO_LARGE, f"more than {DEEPEST} sequences within each other")
    count = 0
    read = IMPLICIT_HEAD[scope.context.dialect.little]
    while span.end - at >= 8:
        group, element, length = read(span.data, at)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return at, count
        if tag != ITEM:
            found.complain("bad_sequence", path, "no item where one must be")
            return at, count
        try:
            at = _item(
                found, span, at + 8, length, Scope(scope.context, scope, f"{path}[{count}].")
            )
        except Short:
            if open_end:
                raise
            found.complain("bad_sequence", path, "it ends inside an element")
            at = span.end
        count += 1
    if open_end:
        raise Short
    if at < span.end:
        found.complain("bad_sequence", path, "bytes after the last item")
    return at, count


def _item(found: Found, span: Span, at: int, length: int, scope: Scope) -> int:
    """Read the elements of one item and give where it ends."""
    path, context = scope.prefix[:-1], scope.context
    end = span.end if length == UNDEFINED else _within(found, span, at + length, path)
    if not context.dialect.implicit and at < end and spelled_implicit(span.data, at):
        dialect = Dialect(implicit=True, little=context.dialect.little)
        scope.context = found.memory.context(dialect, context.encodings)
    while at < end:
        if end - at < 8 and length != UNDEFINED:
            found.complain("bad_length", path, "bytes after the last element of the item")
            return end
        context = scope.context
        first = context.spot(span.data[at : at + 8])
        entry = context.take(first, span.data, at, span.end, scope.creators)
        if entry is not None:
            at += entry.extent
            if entry.effect:
                found.heed(scope, entry)
            _add(found, scope, entry)
            continue
        spot = head(span.data, at, span.end, scope.context.dialect)
        if spot.tag == ITEM_END:
            return spot.start
        if spot.tag == SEQUENCE_END:
            found.complain("bad_sequence", path, "the sequence ends before its item does")
            return at
        at = _element(found, span, at, spot, scope)
        if len(found.rows) > MOST_ELEMENTS:
            raise IngestError(Reason.TOO_LARGE, f"more than {MOST_ELEMENTS} elements")
    if length == UNDEFINED:
        raise Short
    return at


def _element(found: Found, span: Span, at: int, spot: Head, scope: Scope) -> int:
    """Read one element of an item and give where the next one begins."""
    path = f"{scope.prefix}{spot.tag:08X}"
    vr = true_vr(spot.vr, spot.tag, spot.length, scope.creator(spot.tag))
    if spot.length == UNDEFINED:
        little = scope.context.dialect.little
        if is_sequence(vr, span.data, spot.start, little=little):
            return nest(found, span, spot, scope, path)
        value = fragments(memoryview(span.data)[: span.end], spot.start, little=little)
        if not value.complete:
            raise Short
        end, after = value.end, value.after
    else:
        end = after = _within(found, span, spot.start + spot.length, path)
        if vr == "SQ":
            return nest(found, span, spot._replace(length=end - spot.start), scope, path)
    _add(found, scope, found.plain(scope, spot, vr, span.data[at:end], spot.start - at))
    return after


def _add(found: Found, scope: Scope, entry: Entry) -> None:
    """Add the row of an element of an item."""
    if entry.problem is not None:
        found.problems.append(entry.problem)
    found.rows.append(Element(scope.prefix + entry.row.tag, *entry.row[1:]))


def _within(found: Found, span: Span, end: int, path: str) -> int:
    """Give `end`, or the end of the span where a length leads out of it."""
    if end <= span.end:
        return end
    if not span.hard:
        raise Short
    found.complain("bad_length", path, "the length leads out of the sequence around it")
    return span.end


def is_sequence(vr: str, data: bytes, start: int, *, little: bool) -> bool:
    """Whether an element of undefined length is a sequence (PS3.5 6.2.2)."""
    if vr == "SQ":
        return True
    return vr == "UN" and data[start : start + 4] == (
        b"\xfe\xff\x00\xe0" if little else b"\xff\xfe\xe0\x00"
    )
