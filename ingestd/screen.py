"""Pure. Text that came from headers becomes fit for a terminal: no escapes, no line breaks."""

import re
import unicodedata

#: Control characters, line breaks of Unicode, and what turns the direction of writing.
UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def plain(value: object) -> str:
    """Make a value of the catalog fit for a terminal."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", "" if value is None else str(value))


def plain_lines(text: str) -> str:
    """Make words of several lines fit for a terminal: what DuckDB says may quote values."""
    return "\n".join(map(plain, text.split("\n")))


def width(text: str) -> int:
    """Say how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def cut(text: str, cells: int) -> str:
    """Shorten a text to so many cells, and show that it was shortened.

    Words lose their end. A UID, a path or a digest loses its middle: the end tells it from others.
    """
    if width(text) <= cells:
        return text
    if " " in text or cells < 12:
        return _head(text, cells - 1) + "…"
    tail = _head(text[::-1], (cells - 1) // 2)[::-1]
    return _head(text, cells - 1 - width(tail)) + "…" + tail


def _head(text: str, cells: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += width(char)
        if taken > cells:
            return text[:index]
    return text


def fitted(wide: list[int], room: int, *, gap: int, least: int) -> list[int]:
    """Say how wide the columns of a table may be, so that a line fits.

    The widest give way first. Columns that have no room even at `least` cells are left out, from
    the right; the first one stays.

    wide    what each column would like
    return  for each column that has room, in their order
    """
    kept = len(wide)
    while kept > 1 and sum(min(size, least) for size in wide[:kept]) + gap * (kept - 1) > room:
        kept -= 1
    sizes = list(wide[:kept])
    over = sum(sizes) + gap * (kept - 1) - room
    while over > 0 and max(sizes) > least:
        widest = max(sizes)
        below = max([size for size in sizes if size < widest], default=least)
        among = [index for index, size in enumerate(sizes) if size == widest]
        take = min(over, (widest - max(below, least)) * len(among))
        for nth, index in enumerate(among):
            sizes[index] -= take // len(among) + (nth < take % len(among))
        over -= take
    return sizes
