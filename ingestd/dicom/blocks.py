"""Pure. Window and scale down in one: the mean grey of blocks of pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingestd.dicom.windowing import Modality, Rescale, Voi, Window, line, ramp

#: A window this wide makes of half a stored unit no more than half a grey.
WIDE = 255


def mean_grey(
    values: NDArray[Any], modality: Modality, voi: Voi, *, down: int, across: int
) -> NDArray[np.uint8] | None:
    """Give the mean display grey of each block of `down` x `across` pixels.

    A straight line may be drawn before or after a mean is taken. Only the cutting off at black
    and white must come first, and that can be done to the stored values.

    values  (rows, columns), stored values
    return  (rows / down, columns / across), within one grey of the mean of `windowing.grey`;
            None where this way is not open: other types, other functions, blocks cut in two
    """
    whole = values.ndim == 2 and not (values.shape[0] % down or values.shape[1] % across)
    if values.dtype.kind not in "iu" or values.dtype.itemsize > 2 or not whole:
        return None
    if not isinstance(modality, Rescale) or not isinstance(voi, Window) or voi.ramp is None:
        return None
    middle, length = line(modality, voi)
    ends = _ends(values.dtype, middle, length)
    count = down * across
    if ends is None or (ends[1] - ends[0]) * count >= 1 << 32:
        return None
    total = _sums(values, down, across, *ends)
    middle, length = (middle - ends[0]) * count, length * count
    if total.dtype.itemsize > 2:
        return ramp(total, middle, length)
    return _whole_ramp(total, middle, length, (ends[1] - ends[0]) * count)


def _ends(dtype: np.dtype[Any], middle: float, length: float) -> tuple[int, int] | None:
    """Give the stored values of black and white, smaller first; None when rounding them shows."""
    half = abs(length) / 2
    ends = middle - half, middle + half
    if not all(abs(end) < 1e9 for end in ends):
        return None
    if abs(length) < WIDE and any(abs(end - round(end)) > 1e-6 for end in ends):
        return None
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    low, high = (min(max(round(end), least), most) for end in ends)
    return (low, high) if low < high else None


def _sums(
    values: NDArray[Any], down: int, across: int, low: int, high: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Cut values off at `low` and `high`, and add up how far each block is above `low`.

    Rows first, since they lie together. Sums of signed values may wrap: they are right again once
    `low` is taken off.
    """
    narrow = (high - low) * down * across < 1 << 16
    signed, kind = (np.int16, np.dtype(np.uint16)) if narrow else (np.int32, np.dtype(np.uint32))

    kept = np.clip(values, values.dtype.type(low), values.dtype.type(high))
    if kept.dtype.kind == "i":
        kept = kept.astype(signed, copy=False)
    kept = kept.view(kind) if kept.itemsize == kind.itemsize else kept.astype(kind)
    rows = kept if down == 1 else kept[::down] + kept[1::down]
    for row in range(2, down):
        rows += kept[row::down]
    rows -= kind.type(low * down % (1 << 8 * kind.itemsize))
    while narrow and across % 2 == 0:  # The upper half of the product holds the sum of both.
        pairs = rows.view(np.uint32)
        rows = np.right_shift(pairs * np.uint32(0x10001), 16).astype(kind)
        across //= 2
    total: NDArray[np.unsignedinteger[Any]] = rows[:, ::across]
    for column in range(1, across):
        total = total + rows[:, column::across]
    return total


def _whole_ramp(values: NDArray[Any], middle: float, length: float, most: int) -> NDArray[np.uint8]:
    """Do what `windowing.ramp` does in whole numbers, which takes half the time.

    values  from 0 to `most`, below 2 ** 16
    """
    one = 1 << 23  # Of a grey; the values of a ramp then fill 31 bits.
    steepness = 255 / length
    first = 128 - middle * steepness
    ends = first, first + most * steepness
    start, end = (int(min(max(grey, 0.0), 255.999) * one) for grey in ends)
    step = int((end - start) / most) % (1 << 32)  # A falling line wraps round, and comes right.
    shades = np.multiply(values.astype(np.uint32), np.uint32(step))
    shades += np.uint32(start)
    np.right_shift(shades, 23, out=shades)
    return shades.astype(np.uint8)
