"""Pure. The private header of Siemens MR images: named lists of text, in a format of its own.

Version 2 begins with SV10, version 1 does not. All numbers are little endian. A tag is its name,
four words and a number of items; an item is four words and its text, padded to four bytes.
"""

import struct

SIGNATURE = b"SV10"
TAG = struct.Struct("<64si4siii")  #: name, VM, VR, code, number of items, 77 or 205
ITEM = struct.Struct("<4i")
MOST_TAGS = 1024


def read(content: bytes) -> dict[str, list[str]]:
    """Read the header.

    return  the texts of each tag, without the empty ones
    raises  ValueError when the bytes are no such header, or are cut off
    """
    second = content.startswith(SIGNATURE)
    at = 8 if second else 0
    try:
        (count,) = struct.unpack_from("<I", content, at)
        if not 1 <= count <= MOST_TAGS:
            raise ValueError(f"{count} tags")
        at += 8
        found: dict[str, list[str]] = {}
        surplus = 0
        for number in range(count):
            name, _, _, _, items, _ = TAG.unpack_from(content, at)
            if number == 0 and not second:
                surplus = items  # Version 1 adds it to the length of each item.
            texts, at = _items(content, at + TAG.size, items, surplus=surplus, second=second)
            found[_text(name)] = texts
    except struct.error as error:
        raise ValueError("it ends inside a tag") from error
    return found


def _items(
    content: bytes, at: int, count: int, *, surplus: int, second: bool
) -> tuple[list[str], int]:
    texts = []
    for _ in range(count):
        words = ITEM.unpack_from(content, at)
        at += ITEM.size
        length = words[1] if second else words[0] - surplus
        if not 0 <= length <= len(content) - at:
            if second:
                raise ValueError("an item is longer than the header")
            break  # Version 1 counts items that were never written.
        if text := _text(content[at : at + length]):
            texts.append(text)
        at += (length + 3) // 4 * 4
    return texts, at


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("latin-1").strip()
