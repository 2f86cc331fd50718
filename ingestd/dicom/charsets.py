"""Pure. Bytes of a header become text: Specific Character Set (PS3.3 C.12.1.1.2).

Escape sequences of ISO 2022 are left to pydicom, which has been right about them for years.
What is ours: the short ways for plain text, a word when something could not be read, and that
what comes out is fit for Arrow and SQL: no half surrogates, no NUL.
"""

import warnings

#: The Python codecs that a Specific Character Set stands for; the first is in force at the start.
Encodings = tuple[str, ...]

#: What holds without a Specific Character Set. The standard allows ASCII only; Latin-1 never fails.
DEFAULT: Encodings = ("iso8859",)

#: After each of these the first character set is in force again (PS3.5 6.1.2.5.3).
TEXT_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, 0x5C}
NAME_DELIMITERS = TEXT_DELIMITERS | {0x5E, 0x3D}

#: Stands for a NUL inside a value; SQL tools cut text at a real one.
NUL = "\N{SYMBOL FOR NULL}"


#: What is met every day; all else is looked up by pydicom, which takes long to import.
COMMON: dict[str, Encodings] = {
    "": DEFAULT,
    "ISO_IR 6": DEFAULT,
    "ISO_IR 100": ("latin_1",),
    "ISO_IR 192": ("UTF8",),
}


def encodings_of(value: str) -> Encodings:
    """Give the codecs for the text of (0008,0005); what nobody knows counts as the default."""
    if (common := COMMON.get(value)) is not None:
        return common
    from pydicom.charset import convert_encodings  # noqa: PLC0415 -- see COMMON

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = convert_encodings([part.strip() for part in value.split("\\")])
    return tuple(found) or DEFAULT


def decode(value: bytes, encodings: Encodings, *, name: bool = False) -> tuple[str, str]:
    """Decode the value of an element.

    value      as in the file, padding and all
    encodings  from `encodings_of`
    name       it is a person's name, in which ^ and = are delimiters too
    return     the text, and why it may be wrong ("" when it is right)
    """
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii"), ""
    if b"\x1b" in value:
        return _escaped(value, encodings, NAME_DELIMITERS if name else TEXT_DELIMITERS)
    doubt = "not ASCII, and no SpecificCharacterSet says what" if encodings == DEFAULT else ""
    try:
        return value.decode(encodings[0]), doubt
    except UnicodeError:
        return value.decode(encodings[0], "replace"), f"bytes that {encodings[0]} does not have"
    except (LookupError, ValueError):
        return value.decode(DEFAULT[0]), "SpecificCharacterSet names no character set"


def _escaped(value: bytes, encodings: Encodings, delimiters: set[int]) -> tuple[str, str]:
    """Decode text with escape sequences; pydicom warns of what it could not read."""
    from pydicom.charset import decode_bytes  # noqa: PLC0415 -- see COMMON

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            text = decode_bytes(value, encodings, delimiters)
        except (UnicodeError, LookupError, ValueError):
            return value.decode(DEFAULT[0]), "an escape sequence that cannot be read"
    return text, "an escape sequence that cannot be read" if said else ""


def clean(text: str) -> str:
    """Make text that Arrow and SQL tools take: a NUL is spelled, half surrogates are replaced."""
    if "\0" in text:
        text = text.replace("\0", NUL)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


def cut(text: str, limit_bytes: int) -> str:
    """Keep at most `limit_bytes` of UTF-8, and no half character."""
    if len(text) * 4 <= limit_bytes or len(text.encode()) <= limit_bytes:
        return text
    return text.encode()[:limit_bytes].decode("utf-8", "ignore")
