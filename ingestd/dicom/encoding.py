"""Pure. How an element is spelled in bytes, and what the dictionaries know of it."""

from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from ingestd.dicom import dictionary

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
CHARSET, PIXEL_REPRESENTATION = 0x00080005, 0x00280103

#: VRs by the length of their length field (PS3.5 7.1.2)
SHORT = {
    vr.encode(): vr
    for vr in (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "PN", "SH", "SL"),
        *("SS", "ST", "TM", "UI", "UL", "US"),
    )
}
LONG = {
    vr.encode(): vr
    for vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
}

EXPLICIT_HEAD = {True: Struct("<HH2sH").unpack_from, False: Struct(">HH2sH").unpack_from}
IMPLICIT_HEAD = {True: Struct("<HHL").unpack_from, False: Struct(">HHL").unpack_from}
SEQUENCE_END_BYTES = {True: b"\xfe\xff\xdd\xe0", False: b"\xff\xfe\xe0\xdd"}
TAG = {True: Struct("<HH").unpack_from, False: Struct(">HH").unpack_from}
LENGTH = {True: Struct("<L").unpack_from, False: Struct(">L").unpack_from}
SHORT_LENGTH = {True: Struct("<H").unpack_from, False: Struct(">H").unpack_from}


class Short(Exception):
    """The bytes at hand end before the element does."""


class Dialect(NamedTuple):
    """What a transfer syntax says of elements."""

    implicit: bool
    little: bool


IMPLICIT_LITTLE = Dialect(implicit=True, little=True)
IMPLICIT_BIG = Dialect(implicit=True, little=False)
EXPLICIT_LITTLE = Dialect(implicit=False, little=True)
EXPLICIT_BIG = Dialect(implicit=False, little=False)


class Head(NamedTuple):
    """An element up to its value."""

    tag: int
    vr: str | None  #: None when it is not written
    length: int
    start: int  #: of the value
    fault: str = ""  #: what is odd about it


def head(data: bytes, at: int, end: int, dialect: Dialect) -> Head:
    """Read tag, VR and length.

    end     of what encloses the element; tells which reading of a faulty VR is possible
    raises  Short
    """
    little = dialect.little
    if end - at < 8:
        raise Short
    group, element, length = IMPLICIT_HEAD[little](data, at)
    if dialect.implicit or group == 0xFFFE:
        return Head(group << 16 | element, None, length, at + 8)
    group, element, code, short = EXPLICIT_HEAD[little](data, at)
    tag = group << 16 | element
    if code in SHORT:
        return Head(tag, SHORT[code], short, at + 8)
    if code in LONG:
        if end - at < 12:
            raise Short
        return Head(tag, LONG[code], LENGTH[little](data, at + 8)[0], at + 12)
    return _odd(data, at, end, little=little)


def _odd(data: bytes, at: int, end: int, *, little: bool) -> Head:
    """Read an element whose VR is none.

    Two capitals are a VR of the future, whose length field is long (PS3.5 7.1.2), unless that
    leads out of the file. Anything else, such as "??" of old GE and 00 of old Philips files, is
    a length of four bytes without a VR if that is possible, and of two bytes if not.
    """
    group, element, code, short = EXPLICIT_HEAD[little](data, at)
    tag, length = group << 16 | element, LENGTH[little](data, at + 4)[0]
    if b"AA" <= code <= b"ZZ" and code.isalpha():
        if short == 0 and end - at >= 12:
            long = LENGTH[little](data, at + 8)[0]
            if long == UNDEFINED or at + 12 + long <= end:
                return Head(tag, "UN", long, at + 12, f"VR {code.decode()}")
        return Head(tag, "UN", short, at + 8, f"VR {code.decode()}")
    if length == UNDEFINED or at + 8 + length <= end:
        return Head(tag, None, length, at + 8, "no VR in a data set with explicit VRs")
    return Head(tag, None, short, at + 8, f"VR {code.hex()}")


def spelled_implicit(data: bytes, at: int) -> bool:
    """Whether the element at `at` has no VR, judged by the bytes where it would be."""
    code = data[at + 4 : at + 6]
    return not (len(code) == 2 and 0x40 < code[0] < 0x5B and 0x40 < code[1] < 0x5B)


def true_vr(vr: str | None, tag: int, length: int, creator: str | None) -> str:
    """Give the VR to read a value with: what is written, or what the dictionaries say.

    UN is looked up too: writers that pass on what they do not know write UN (PS3.5 6.2.2 note).
    "US or SS" remains: only the whole data set can tell.
    """
    if vr is not None and vr != "UN":
        return vr
    if tag >> 16 & 1:
        return private_vr(tag, creator)
    if vr == "UN" and 0xFFFF <= length < UNDEFINED:
        return "UN"
    found = public_vr(tag)
    if found == "OB or OW":  # PS3.5 A.1 and A.4
        return "OB" if length == UNDEFINED else "OW"
    if found == "US or OW":  # LUTData; a table of one entry is a number (PS3.3 C.11.1.1.1)
        return "US" if length == 2 else "OW"
    return "OW" if found == "US or SS or OW" else found


class Fragments(NamedTuple):
    """The value of an element of undefined length that is no sequence."""

    end: int  #: of the value, before the delimiter
    after: int  #: where the next element begins
    items: int
    complete: bool  #: the delimiter was there


def fragments(data: bytes | memoryview, at: int, *, little: bool) -> Fragments:
    """Find the end of encapsulated data (PS3.5 A.4), item by item.

    Where the items are broken, the next bytes that look like the delimiter end it.
    """
    first, count = at, 0
    read = IMPLICIT_HEAD[little]
    while at + 8 <= len(data):
        group, element, length = read(data, at)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return Fragments(at, at + 8, count, complete=True)
        if tag != ITEM:
            found = bytes(data[first:]).find(SEQUENCE_END_BYTES[little])
            if found < 0:
                break
            return Fragments(first + found, first + found + 8, count, complete=True)
        at += 8 + length
        count += 1
    return Fragments(len(data), len(data), count, complete=False)


@lru_cache(maxsize=8192)
def public_vr(tag: int) -> str:
    """Give the VR that PS3.6 says, "UN" when it does not say."""
    return dictionary.public_vr(tag) or ("UN" if tag & 0xFFFF else "UL")  # A group length.


@lru_cache(maxsize=8192)
def private_vr(tag: int, creator: str | None) -> str:
    """Give the VR that the creator's dictionary says, "UN" when there is none."""
    if 0x10 <= tag & 0xFFFF < 0x100:
        return "LO"  # The reservation of a block (PS3.5 7.8.1).
    if tag & 0xFFFF == 0:
        return "UL"
    return (creator and dictionary.private_vr(tag, creator)) or "UN"


@lru_cache(maxsize=8192)
def keyword(tag: int) -> str | None:
    """Give the PS3.6 keyword, None for what has none."""
    return dictionary.keyword(tag)
