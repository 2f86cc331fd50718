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
    if ends is None:
        return None
    low, high = ends
    kept = np.clip(values, low, high)
    kept = np.subtract(kept, low, out=kept).view(f"u{kept.itemsize}")
    count = down * across
    total = _sums(kept, down, across, np.dtype("u2" if (high - low) * count < 1 << 16 else "u4"))
    return ramp(total, (middle - low) * count, length * count)


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


def _sums(values: NDArray[Any], down: int, across: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """Add up each block: rows first, since they lie together."""
    rows = values[::down].astype(kind)
    for at in range(1, down):
        rows += values[at::down]
    if across == 1:
        return rows
    total: NDArray[Any] = rows[:, ::across] + rows[:, 1::across]
    for at in range(2, across):
        total += rows[:, at::across]
    return total
