"""Pure. The bytes of one element become what SQL can use: text, number, multiplicity."""

import math
import re
from collections.abc import Callable
from struct import unpack
from typing import NamedTuple

from ingestd.dicom.charsets import NUL, Encodings, clean, cut, decode


class Problem(NamedTuple):
    """Something about a file that somebody should know; the file is cataloged all the same.

    bad_value          the value does not follow its VR or does not fit its column
    bad_text           the character set is missing or wrong; the text is a best guess
    bad_length         the length is no multiple of the VR's size, or leads out of its item
    bad_sequence       items or delimiters are not where they must be
    unknown_vr         a VR that no edition of the standard has
    duplicate_element  a tag twice in one data set; the last one counts
    no_preamble        no 128 bytes and "DICM" at the start
    no_file_meta       no transfer syntax; it was guessed from the data
    syntax_mismatch    the data set is not encoded as the file meta says
    meta_mismatch      file meta and data set name different instances or classes
    truncated          the pixel data is shorter than the header says
    pixels_absent      Rows and Columns without pixel data
    odd_pixels         there is a picture, but of another frame, or with part of a palette
    trailing_bytes     something after the last element that is none
    too_many_problems  this file has more problems than are kept
    """

    kind: str
    keyword: str | None  #: the keyword, or the path of an element that has none
    raw: str | None  #: the value as in the file, cut to 200 characters
    detail: str


class Value(NamedTuple):
    """What one element says."""

    vm: int  #: how many values; items for a sequence; 0 when empty
    text: str | None  #: None when empty or binary
    number: float | None  #: of a single numeric value
    kind: str = ""  #: of the problem, "" when there is none
    detail: str = ""


BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "US or SS or OW"})
#: VRs whose text depends on Specific Character Set (PS3.5 6.1.2.2)
CHARSET_DEPENDENT = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})
_SINGLE = frozenset({"LT", "ST", "UT", "UR"})
_FORMATS = {
    "US": ("H", 2), "SS": ("h", 2), "UL": ("I", 4), "SL": ("i", 4), "UV": ("Q", 8),
    "SV": ("q", 8), "FL": ("f", 4), "FD": ("d", 8),
}  # fmt: skip
#: Number of entries in a look-up table: never negative, whatever the VR says (PS3.3 C.11.1.1)
LUT_DESCRIPTORS = frozenset({0x00281101, 0x00281102, 0x00281103, 0x00283002})

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+(?:\.0*)?", re.ASCII)
_PADDING = " \0"
_PADDING_BYTES = b" \0"

EMPTY = Value(0, None, None)


def read(
    vr: str, value: bytes, *, little: bool, encodings: Encodings, text_bytes: int, tag: int = 0
) -> Value:
    """Read the value of an element that is no sequence. Never raises.

    text_bytes  longer text is cut there
    tag         look-up table descriptors need a correction
    """
    if not value:
        return EMPTY
    reader = _TEXT.get(vr)
    if reader is not None:
        return reader(vr, value, encodings, text_bytes)
    if vr in _FORMATS:
        return _numbers(vr, value, little=little, text_bytes=text_bytes, tag=tag)
    if vr == "AT":
        return _tags(value, little=little, text_bytes=text_bytes)
    return Value(1, None, None)


def _numbers(vr: str, value: bytes, *, little: bool, text_bytes: int, tag: int) -> Value:
    code, size = _FORMATS[vr]
    count, rest = divmod(len(value), size)
    if rest:
        detail = f"{len(value)} bytes are no multiple of {size}, the size of {vr}"
        return Value(max(count, 1), None, None, "bad_length", detail)
    if count == 1 and tag not in LUT_DESCRIPTORS:
        (number,) = unpack(f"{'<' if little else '>'}{code}", value)
        return Value(1, str(number), float(number))
    shown = min(count, text_bytes // 2 + 1)  # Each number takes two characters at least.
    found = list(unpack(f"{'<' if little else '>'}{shown}{code}", value[: shown * size]))
    if tag in LUT_DESCRIPTORS and found[0] < 0:
        found[0] += 65536
    text = str(found[0]) if count == 1 else cut("\\".join(map(str, found)), text_bytes)
    return Value(count, text, float(found[0]) if count == 1 else None)


def _tags(value: bytes, *, little: bool, text_bytes: int) -> Value:
    count, rest = divmod(len(value), 4)
    if rest:
        detail = f"{len(value)} bytes are no multiple of 4, the size of AT"
        return Value(max(count, 1), None, None, "bad_length", detail)
    shown = min(count, text_bytes // 9 + 1)
    parts = unpack(f"{'<' if little else '>'}{2 * shown}H", value[: 4 * shown])
    names = [f"{parts[at]:04X}{parts[at + 1]:04X}" for at in range(0, 2 * shown, 2)]
    return Value(count, cut("\\".join(names), text_bytes), None)


def _string(vr: str, value: bytes, _: Encodings, text_bytes: int) -> Value:
    """AE AS CS DA DT TM UI: the default repertoire, in which outer spaces mean nothing."""
    if (text := _simple(value, text_bytes)) is not None:
        return Value(1, text, None)
    doubt = "" if value.isascii() else f"bytes that {vr} must not have"
    return _several(_split(value.decode("latin-1")), text_bytes, "bad_text", doubt)


def _decimals(_: str, value: bytes, __: Encodings, text_bytes: int) -> Value:
    text = _simple(value, text_bytes)
    if text is not None and _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
        return Value(1, text, number)
    return _checked(_split(value.decode("latin-1")), _DECIMAL, "no decimal number", text_bytes)


def _integers(_: str, value: bytes, __: Encodings, text_bytes: int) -> Value:
    text = _simple(value, text_bytes)
    if text is not None and _INTEGER.fullmatch(text) and math.isfinite(number := float(text)):
        return Value(1, text, number)
    return _checked(_split(value.decode("latin-1")), _INTEGER, "no integer", text_bytes)


def _checked(parts: list[str], form: re.Pattern[str], detail: str, text_bytes: int) -> Value:
    """Give numbers that are written as text; an empty one among several is allowed."""
    wrong = any(part and not form.fullmatch(part) for part in parts)
    value = _several(parts, text_bytes, "bad_value", detail if wrong else "")
    if wrong or value.vm != 1:
        return value
    number = float(parts[0])
    if math.isfinite(number):
        return value._replace(number=number)
    return value._replace(kind="bad_value", detail="too large for a double")


def _texts(vr: str, value: bytes, encodings: Encodings, text_bytes: int) -> Value:
    """LO SH UC PN: several values, decoded before they are split, for 5C may be half a letter."""
    if value[0] not in _PADDING_BYTES and (text := _simple(value, text_bytes)) is not None:
        return Value(1, text, None)
    text, doubt = decode(value.rstrip(_PADDING_BYTES), encodings, name=vr == "PN")
    parts = [part.rstrip(_PADDING) for part in text.split("\\")]
    return _several(parts, text_bytes, "bad_text", doubt)


def _prose(vr: str, value: bytes, encodings: Encodings, text_bytes: int) -> Value:
    """ST LT UT UR: one value, in which a backslash is a backslash."""
    text, doubt = decode(value, encodings if vr != "UR" else ("latin-1",))
    return _several([text.rstrip(_PADDING)], text_bytes, "bad_text", doubt)


def _simple(value: bytes, text_bytes: int) -> str | None:
    """Give a single value in plain ASCII without its padding; None for anything else."""
    if b"\\" in value or not value.isascii() or b"\x1b" in value:
        return None
    bare = value.strip(_PADDING_BYTES)
    if not bare or b"\0" in bare or len(bare) > text_bytes:
        return None
    return bare.decode("ascii")


def _split(text: str) -> list[str]:
    if "\\" not in text:
        return [text.strip(_PADDING)]
    return [part.strip(_PADDING) for part in text.rstrip(_PADDING).split("\\")]


def _several(parts: list[str], text_bytes: int, kind: str, detail: str) -> Value:
    text = clean("\\".join(parts))
    if not text:
        return EMPTY
    if NUL in text and not detail:
        kind, detail = "bad_text", "a NUL inside the value"
    return Value(len(parts), cut(text, text_bytes), None, kind if detail else "", detail)


_TEXT: dict[str, Callable[[str, bytes, Encodings, int], Value]] = {
    **dict.fromkeys(("AE", "AS", "CS", "DA", "DT", "TM", "UI"), _string),
    **dict.fromkeys(("LO", "SH", "UC", "PN"), _texts),
    **dict.fromkeys(_SINGLE, _prose),
    "DS": _decimals,
    "IS": _integers,
}

#: VRs whose values can be read with nothing known but the VR.
PLAIN = BINARY - {"UN", "OB or OW", "US or SS or OW"} | _FORMATS.keys() | _TEXT.keys() | {"AT"}
