"""Pure. The bytes of the elements in front of the pixels, without making anything of them.

Slices of one series differ in a handful of elements. Who compares bytes first has to read the
meaning of only those. What is unusual here is left to pydicom: big endian, deflated, no preamble.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

PREAMBLE_BYTES = 132
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
TRANSFER_SYNTAX = 0x00020010
IMPLICIT = b"1.2.840.10008.1.2"
UNUSUAL = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

_SHORT = struct.Struct("<HH2sH")
_LONG = struct.Struct("<I")
_IMPLICIT = struct.Struct("<HHI")


class Unusual(Exception):
    """The file is one for pydicom; the message says why."""


class TooShort(Exception):
    """The elements go on behind the bytes that were given."""


Span: TypeAlias = tuple[int, int]  #: where bytes begin and end
Pixels: TypeAlias = tuple[int, bytes, int, int]  #: tag, VR (empty when implicit), offset, length


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What lies in front of the pixels."""

    syntax: bytes  #: transfer syntax UID
    values: dict[int, bytes]  #: of the elements that were wanted, as they are
    pixels: Pixels
    places: dict[int, Span]  #: of those values
    heads: list[Span]  #: of all that says where elements begin and end


class Form:
    """What files have in common that are the same but for the values of some elements.

    Whoever fits has the same elements at the same places, so that nobody has to walk over them.
    """

    def __init__(self, content: bytes, found: Scan, varying: frozenset[int]) -> None:
        """Take it from a file that was walked over."""
        steady = [place for tag, place in found.places.items() if tag not in varying]
        spans = np.array([*found.heads, *steady], dtype=np.intp).reshape(-1, 2)
        lengths = spans[:, 1] - spans[:, 0]
        starts = np.repeat(spans[:, 0] - np.cumsum(lengths) + lengths, lengths)
        self._at = starts + np.arange(lengths.sum())
        self._bytes = np.frombuffer(content, np.uint8)[self._at].tobytes()
        start, end = found.heads[
            -1
        ]  # That of the pixels: seldom right in a file that does not fit.
        self._last, self._last_bytes = slice(start, end), content[start:end]
        self._varying = {tag: at for tag, at in found.places.items() if tag in varying}
        self.pixels = found.pixels

    def varying(self, content: bytes) -> dict[int, bytes] | None:
        """Give the values that may vary; None when the file does not fit."""
        if content[self._last] != self._last_bytes:
            return None
        if np.frombuffer(content, np.uint8)[self._at].tobytes() != self._bytes:
            return None
        return {tag: content[start:end] for tag, (start, end) in self._varying.items()}


def scan(content: bytes, wanted: Mapping[int, bytes]) -> Scan:
    """Walk over the elements of a file.

    content  its first bytes
    wanted   tags whose bytes are kept, and the VR that each must have when the file says one
    raises   Unusual, or TooShort when `content` ends in front of the pixels
    """
    if content[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] != b"DICM":
        raise Unusual("no preamble")
    try:
        heads = [(PREAMBLE_BYTES - 4, PREAMBLE_BYTES)]
        syntax, at = _meta(content, heads)
        if syntax in UNUSUAL or not syntax:
            raise Unusual(f"transfer syntax {syntax.decode('ascii', 'replace')}")
        walk = _implicit if syntax == IMPLICIT else _explicit
        places, pixels = walk(content, at, wanted, heads)
    except struct.error as error:
        raise TooShort from error
    values = {tag: content[start:end] for tag, (start, end) in places.items()}
    return Scan(syntax=syntax, values=values, pixels=pixels, places=places, heads=heads)


def meta(content: bytes) -> tuple[bytes, int]:
    """Give the transfer syntax, and where the data set begins.

    raises  Unusual, or TooShort when `content` ends before it
    """
    if content[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] != b"DICM":
        raise Unusual("no preamble")
    try:
        return _meta(content, [])
    except struct.error as error:
        raise TooShort from error


def pixels_of(content: bytes) -> Pixels:
    """Find the pixels of a data set, explicit and little endian, without file meta.

    raises  Unusual, or TooShort when `content` ends before them
    """
    try:
        return _explicit(content, 0, {}, [])[1]
    except struct.error as error:
        raise TooShort from error


def _meta(content: bytes, heads: list[Span]) -> tuple[bytes, int]:
    """Return the transfer syntax, and where the data set begins."""
    at, syntax = PREAMBLE_BYTES, b""
    while True:
        start = at
        group, element, vr, length = _SHORT.unpack_from(content, at)
        if group != 2:
            return syntax, at
        at += 8
        if vr in LONG_VRS:
            (length,) = _LONG.unpack_from(content, at)
            at += 4
        elif vr not in SHORT_VRS:
            raise Unusual("file meta without VR")
        heads.append((start, at))
        if group << 16 | element == TRANSFER_SYNTAX:
            syntax = content[at : at + length].rstrip(b"\0 ")
            heads.append((at, min(at + length, len(content))))
        at += length


def _explicit(
    content: bytes, at: int, wanted: Mapping[int, bytes], heads: list[Span]
) -> tuple[dict[int, Span], Pixels]:
    places: dict[int, Span] = {}
    unpack, unpack_long, end = _SHORT.unpack_from, _LONG.unpack_from, len(content)
    while True:
        start = at
        group, element, vr, length = unpack(content, at)
        tag = group << 16 | element
        at += 8
        if vr in LONG_VRS:
            (length,) = unpack_long(content, at)
            at += 4
        elif vr not in SHORT_VRS:
            raise Unusual(f"VR {vr!r}")
        heads.append((start, at))
        if tag in PIXELS:
            if vr in LONG_VRS:
                return places, (tag, vr, at, length)
            raise Unusual(f"VR {vr!r} of pixels")
        start = at
        if length == UNDEFINED:
            at = _sequence_end(content, at, heads, explicit=vr != b"UN")
        else:
            at += length
        if tag in wanted:
            if at > end:
                raise TooShort
            _must(vr, wanted[tag])
            places[tag] = start, at


def _must(vr: bytes, expected: bytes) -> None:
    if vr != expected:
        raise Unusual(f"VR {vr!r} instead of {expected!r}")


def _implicit(
    content: bytes, at: int, wanted: Mapping[int, bytes], heads: list[Span]
) -> tuple[dict[int, Span], Pixels]:
    places: dict[int, Span] = {}
    while True:
        group, element, length = _IMPLICIT.unpack_from(content, at)
        tag = group << 16 | element
        heads.append((at, at + 8))
        at += 8
        if tag in PIXELS:
            return places, (tag, b"", at, length)
        start = at
        if length == UNDEFINED:
            at = _sequence_end(content, at, heads, explicit=False)
        else:
            at += length
        if tag in wanted:
            if at > len(content):
                raise TooShort
            places[tag] = start, at


def _sequence_end(content: bytes, at: int, heads: list[Span], *, explicit: bool) -> int:
    """Return where a sequence of undefined length ends."""
    while True:
        group, element, length = _IMPLICIT.unpack_from(content, at)
        heads.append((at, at + 8))
        at += 8
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM:
            raise Unusual("something between the items of a sequence")
        if length == UNDEFINED:
            at = _item_end(content, at, heads, explicit=explicit)
        else:
            at += length


def _item_end(content: bytes, at: int, heads: list[Span], *, explicit: bool) -> int:
    """Return where an item of undefined length ends."""
    while True:
        start = at
        group, element, length = _IMPLICIT.unpack_from(content, at)
        tag = group << 16 | element
        at += 8
        if tag == ITEM_END:
            heads.append((start, at))
            return at
        nested = False
        if explicit:
            vr = content[at - 4 : at - 2]
            nested = vr == b"UN"
            if vr in LONG_VRS:
                (length,) = _LONG.unpack_from(content, at)
                at += 4
            elif vr in SHORT_VRS:
                length >>= 16
            else:
                raise Unusual(f"VR {vr!r}")
        heads.append((start, at))
        if length == UNDEFINED:
            at = _sequence_end(content, at, heads, explicit=explicit and not nested)
        else:
            at += length
