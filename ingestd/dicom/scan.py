"""Pure. The bytes of the elements in front of the pixels, without making anything of them.

Slices of one series differ in a handful of elements. Who compares bytes first has to read the
meaning of only those. What is unusual here is left to pydicom: big endian, deflated, no preamble.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What lies in front of the pixels."""

    syntax: bytes  #: transfer syntax UID
    values: dict[int, bytes]  #: of the elements that were wanted, as they are
    pixels: tuple[int, bytes, int, int]  #: tag, VR (empty when implicit), offset, length


def scan(content: bytes, wanted: Mapping[int, bytes]) -> Scan:
    """Walk over the elements of a file.

    content  its first bytes
    wanted   tags whose bytes are kept, and the VR that each must have when the file says one
    raises   Unusual, or TooShort when `content` ends in front of the pixels
    """
    if content[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] != b"DICM":
        raise Unusual("no preamble")
    try:
        meta, at = _meta(content)
        if meta in UNUSUAL or not meta:
            raise Unusual(f"transfer syntax {meta.decode('ascii', 'replace')}")
        walk = _implicit if meta == IMPLICIT else _explicit
        values, pixels = walk(content, at, wanted)
    except struct.error as error:
        raise TooShort from error
    return Scan(syntax=meta, values=values, pixels=pixels)


def _meta(content: bytes) -> tuple[bytes, int]:
    """Return the transfer syntax, and where the data set begins."""
    at, syntax = PREAMBLE_BYTES, b""
    while True:
        group, element, vr, length = _SHORT.unpack_from(content, at)
        if group != 2:
            return syntax, at
        at += 8
        if vr in LONG_VRS:
            (length,) = _LONG.unpack_from(content, at)
            at += 4
        elif vr not in SHORT_VRS:
            raise Unusual("file meta without VR")
        if group << 16 | element == TRANSFER_SYNTAX:
            syntax = content[at : at + length].rstrip(b"\0 ")
        at += length


def _explicit(
    content: bytes, at: int, wanted: Mapping[int, bytes]
) -> tuple[dict[int, bytes], tuple[int, bytes, int, int]]:
    values: dict[int, bytes] = {}
    unpack, unpack_long, end = _SHORT.unpack_from, _LONG.unpack_from, len(content)
    while True:
        group, element, vr, length = unpack(content, at)
        tag = group << 16 | element
        at += 8
        if vr in LONG_VRS:
            (length,) = unpack_long(content, at)
            at += 4
            if tag in PIXELS:
                return values, (tag, vr, at, length)
            if length == UNDEFINED:
                start, at = at, _sequence_end(content, at, explicit=vr != b"UN")
                length = 0
                if tag in wanted:
                    _must(vr, wanted[tag])
                    values[tag] = content[start:at]
                continue
        elif vr not in SHORT_VRS:
            raise Unusual(f"VR {vr!r}")
        if tag in wanted:
            if at + length > end:
                raise TooShort
            _must(vr, wanted[tag])
            values[tag] = content[at : at + length]
        at += length


def _must(vr: bytes, expected: bytes) -> None:
    if vr != expected:
        raise Unusual(f"VR {vr!r} instead of {expected!r}")


def _implicit(
    content: bytes, at: int, wanted: Mapping[int, bytes]
) -> tuple[dict[int, bytes], tuple[int, bytes, int, int]]:
    values: dict[int, bytes] = {}
    while True:
        group, element, length = _IMPLICIT.unpack_from(content, at)
        tag = group << 16 | element
        at += 8
        if tag in PIXELS:
            return values, (tag, b"", at, length)
        start = at
        at = _sequence_end(content, at, explicit=False) if length == UNDEFINED else at + length
        if tag in wanted:
            if at > len(content):
                raise TooShort
            values[tag] = content[start:at]


def _sequence_end(content: bytes, at: int, *, explicit: bool) -> int:
    """Return where a sequence of undefined length ends."""
    while True:
        group, element, length = _IMPLICIT.unpack_from(content, at)
        at += 8
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM:
            raise Unusual("something between the items of a sequence")
        at = _item_end(content, at, explicit=explicit) if length == UNDEFINED else at + length


def _item_end(content: bytes, at: int, *, explicit: bool) -> int:
    """Return where an item of undefined length ends."""
    while True:
        group, element, length = _IMPLICIT.unpack_from(content, at)
        tag = group << 16 | element
        at += 8
        if tag == ITEM_END:
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
        if length == UNDEFINED:
            at = _sequence_end(content, at, explicit=explicit and not nested)
        else:
            at += length
