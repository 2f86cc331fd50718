"""Pure. Palette colours: from indices to red, green and blue, whatever form the tables have."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ingestd.dicom.grey import numbers
from ingestd.dicom.layout import BAD_VALUE
from ingestd.errors import IngestError, Reason

_MOST_ENTRIES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Palette:
    """Three tables in one (PS3.3 C.7.6.3.1.5)."""

    first: int  #: the index that the first entry belongs to; smaller ones get it too
    colours: NDArray[np.uint8]  #: (entries, 3); larger indices get the last
    lacks: str | None = None  #: when its tables are shorter than they say

    def look_up(self, indices: NDArray[Any]) -> NDArray[np.uint8]:
        """Give the colours of indices, as (..., 3)."""
        at = np.clip(indices.astype(np.int64) - self.first, 0, len(self.colours) - 1)
        return self.colours[at]


def palette(dataset: Dataset, *, big_endian: bool) -> Palette:
    """Read the palette of a header, plain or segmented.

    raises  IngestError `decoder_failed` when there is none or it cannot be used
    spec    PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6, segments C.7.9.2
    """
    channels = [_channel(dataset, name, big_endian=big_endian) for name in ("Red", "Green", "Blue")]
    length = min(len(one.entries) for one in channels)
    colours = np.stack([one.entries[:length] for one in channels], axis=-1)
    bits = max(one.bits for one in channels)
    said = max(one.said for one in channels)
    lacks = f"the palette has {length} of the {said} entries that it declares"
    # Some writers say 16 bits and put 8 into the lower half.
    shift = bits - 8 if colours.max(initial=0) > 255 else 0
    return Palette(
        first=channels[0].first,
        colours=np.right_shift(colours, shift).astype(np.uint8),
        lacks=lacks if length < said else None,
    )


class _Channel(NamedTuple):
    """The table of one colour."""

    first: int
    entries: NDArray[np.uint16]
    bits: int
    said: int  #: how many entries the header declares


def _channel(dataset: Dataset, name: str, *, big_endian: bool) -> _Channel:
    descriptor = numbers(dataset, f"{name}PaletteColorLookupTableDescriptor")
    if len(descriptor) != 3 or descriptor[2] not in {8, 16}:
        raise _unusable(f"{name}: no descriptor, or not one of 8 or 16 bits")
    length, first, bits = (
        int(descriptor[0]) or _MOST_ENTRIES,
        int(descriptor[1]),
        int(descriptor[2]),
    )
    data = _bytes(dataset, f"{name}PaletteColorLookupTableData")
    if data:
        # Entries of 8 bits come packed in pairs, with a byte of padding after an odd number.
        wide = len(data) >= 2 * length or (bits == 16 and len(data) < length)
        entries = _words(data, 16 if wide else 8, big_endian=big_endian)
    else:
        segments = _bytes(dataset, f"Segmented{name}PaletteColorLookupTableData")
        entries = expanded(_words(segments, bits, big_endian=big_endian), bits)
    if not entries.size:
        raise _unusable(f"{name}: no entries")
    return _Channel(first, entries[:length], bits, length)


def expanded(words: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """Expand a segmented table.

    words   opcodes, lengths and values, as they come
    bits    width of a word in the file; offsets count bytes
    raises  IngestError `decoder_failed` when the segments make no sense
    spec    PS3.3 C.7.9.2
    """
    out: list[int] = []
    _expand([int(word) for word in words], bits // 8, out, at=0, segments=-1)
    return np.array(out, np.uint16)


def _expand(words: list[int], word_bytes: int, out: list[int], *, at: int, segments: int) -> None:
    """Append what `segments` segments from word `at` on say; -1 means all there are."""
    top = segments >= 0  # A copied segment may not copy again: no loops.
    while segments and at + 2 < len(words):
        opcode, count = words[at], words[at + 1]
        if not count:  # Each segment says something, so that their number has a limit too.
            raise _unusable(f"an empty segment at word {at}")
        if opcode == 0 and at + 2 + count <= len(words):  # Discrete
            out.extend(words[at + 2 : at + 2 + count])
            at += 2 + count
        elif opcode == 1 and out:  # Linear, from the last value on
            steps = np.linspace(out[-1], words[at + 2], count + 1)[1:]
            out.extend(int(value) for value in np.rint(steps))
            at += 3
        elif opcode == 2 and not top and at + 3 < len(words):  # Indirect
            offset = words[at + 2] + (words[at + 3] << (8 * word_bytes))
            _expand(words, word_bytes, out, at=offset // word_bytes, segments=count)
            at += 4
        else:
            raise _unusable(f"segment of kind {opcode} at word {at}")
        if len(out) > _MOST_ENTRIES:
            raise _unusable("more entries than indices")
        segments -= 1


def _bytes(dataset: Dataset, keyword: str) -> bytes:
    try:
        value = dataset.get(keyword)
    except BAD_VALUE:
        raise _unusable(f"{keyword} cannot be read") from None
    return value if isinstance(value, bytes) else b""


def _words(data: bytes, bits: int, *, big_endian: bool) -> NDArray[np.uint16]:
    """Read words of 8 or 16 bits; the bytes of 8-bit words are swapped in a big endian file."""
    order = ">" if big_endian else "<"
    words = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2")
    return words.astype("<u2") if bits == 16 else words.astype("<u2").view(np.uint8).astype("u2")


def _unusable(what: str) -> IngestError:
    return IngestError(Reason.DECODER_FAILED, f"the palette cannot be used: {what}")
