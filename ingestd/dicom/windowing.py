"""Pure. From stored values to display grey: the modality step, then the VOI step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Percentiles that become black and white when no window of the header will do.
LOW_PERCENT, HIGH_PERCENT = 0.5, 99.5

#: So many samples are enough to find percentiles.
SAMPLES = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescale:
    """Modality value = stored value x slope + intercept (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lut:
    """A table of values: a Modality LUT (PS3.3 C.11.1) or a VOI LUT (C.11.2)."""

    first: int  #: the input that the first entry belongs to; smaller ones get it too
    table: NDArray[np.uint16]  #: larger inputs get the last entry
    bits: int  #: an entry of 2 ** bits - 1 is white


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """WindowCenter, WindowWidth and the function between them (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str = "LINEAR"  #: or LINEAR_EXACT or SIGMOID

    @property
    def defined(self) -> bool:
        """Whether the standard says what this window does."""
        least = {"LINEAR": self.width >= 1, "LINEAR_EXACT": self.width > 0}
        return least.get(self.function, self.function == "SIGMOID" and self.width > 0)

    @property
    def ramp(self) -> tuple[float, float] | None:
        """The middle and the length of the straight part; None where there is none."""
        if self.function == "LINEAR":
            return (self.center - 0.5, self.width - 1) if self.width > 1 else None
        return (self.center, self.width) if self.function == "LINEAR_EXACT" else None


Modality = Rescale | Lut
Voi = Window | Lut


def modality_values(values: NDArray[Any], modality: Modality) -> NDArray[np.float64]:
    """Map stored values to modality values.

    values  any shape, stored values
    return  same shape; for CT in Hounsfield units
    spec    PS3.3 C.11.1
    """
    if isinstance(modality, Lut):
        return look_up(values, modality).astype(np.float64)
    with np.errstate(over="ignore"):
        return values * np.float64(modality.slope) + modality.intercept


def look_up(values: NDArray[Any], lut: Lut) -> NDArray[np.uint16]:
    """Take each value's entry; below the table the first, above it the last.

    values  any shape; fractions are rounded down to the entry before
    return  same shape, entries of the table
    spec    PS3.3 C.11.1.1.1, C.11.2.1.1
    """
    at = np.clip(values.astype(np.int64) - lut.first, 0, lut.table.size - 1)
    return lut.table[at]


def window_linear(values: NDArray[Any], center: float, width: float) -> NDArray[np.uint8]:
    """Map modality values to display grey with the LINEAR VOI function.

    values  any shape, modality values
    center  WindowCenter (0028,1050), in the unit of `values`
    width   WindowWidth (0028,1051), in the unit of `values`, at least 1
    return  same shape; 0 is black, 255 is white; MONOCHROME1 is inverted by the caller
    raises  ValueError when width < 1, where the standard leaves LINEAR undefined
    spec    PS3.3 C.11.2.1.2.1; both half-unit shifts are the standard's, not our rounding
    """
    if width < 1:
        raise ValueError(f"WindowWidth is {width}, below 1")
    if width == 1:  # The ramp has no length. What remains is a threshold.
        return np.where(values > center - 0.5, np.uint8(255), np.uint8(0))
    return ramp(values, center - 0.5, width - 1)


def window_linear_exact(values: NDArray[Any], center: float, width: float) -> NDArray[np.uint8]:
    """Map modality values to display grey with the LINEAR_EXACT VOI function.

    values  any shape, modality values
    return  same shape; 0 is black, 255 is white
    raises  ValueError when width is not above 0
    spec    PS3.3 C.11.2.1.3.2
    """
    if width <= 0:
        raise ValueError(f"WindowWidth is {width}, not above 0")
    return ramp(values, center, width)


def window_sigmoid(values: NDArray[Any], center: float, width: float) -> NDArray[np.uint8]:
    """Map modality values to display grey with the SIGMOID VOI function.

    values  any shape, modality values
    return  same shape; `center` becomes mid-grey
    raises  ValueError when width is not above 0
    spec    PS3.3 C.11.2.1.3.1
    """
    if width <= 0:
        raise ValueError(f"WindowWidth is {width}, not above 0")
    # Beyond 700 exp() overflows, and long before that the picture is black or white.
    power = np.clip(-4 * (values - np.float64(center)) / width, -700, 700)
    return np.rint(255 / (1 + np.exp(power))).astype(np.uint8)


def voi_grey(values: NDArray[Any], voi: Voi) -> NDArray[np.uint8]:
    """Map modality values to display grey.

    values  any shape, modality values
    return  same shape; 0 is black, 255 is white
    raises  ValueError for a window that is not `defined`
    """
    if isinstance(voi, Lut):
        top = (1 << voi.bits) - 1
        shade = np.rint(look_up(values, voi) * np.float64(255 / top))
        return np.clip(shade, 0, 255).astype(np.uint8)
    functions = {
        "LINEAR": window_linear,
        "LINEAR_EXACT": window_linear_exact,
        "SIGMOID": window_sigmoid,
    }
    if voi.function not in functions:
        raise ValueError(f"VOILUTFunction is {voi.function}")
    return functions[voi.function](values, voi.center, voi.width)


def grey(values: NDArray[Any], modality: Modality, voi: Voi) -> NDArray[np.uint8]:
    """Map stored values to display grey, on the shortest way.

    values  any shape, stored values; not a number becomes black
    return  same shape; 0 is black, 255 is white
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    if isinstance(modality, Rescale) and isinstance(voi, Window) and voi.ramp is not None:
        return ramp(values, *line(modality, voi))

    def both(stored: NDArray[Any]) -> NDArray[np.uint8]:
        return voi_grey(modality_values(stored, modality), voi)

    return through_table(values, both)


def through_table(
    values: NDArray[Any], function: Callable[[NDArray[Any]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Give `function(values)`, computed once for each possible value where these are few."""
    bits = 8 * values.dtype.itemsize
    if values.dtype.kind not in "iu" or bits > 16 or values.size < 1 << bits:
        return function(values)
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    domain = np.arange(1 << bits, dtype=np.uint32).astype(unsigned).view(values.dtype)
    return np.take(function(domain), values.view(unsigned), mode="clip")


def order_only(modality: Modality) -> Modality:
    """Give what matters of a modality step when black and white are found in the values.

    A line only says which end is the larger; the rest would cost precision.
    """
    if isinstance(modality, Lut):
        return modality
    return Rescale(slope=-1.0 if modality.slope < 0 else 1.0)


def full_range(values: NDArray[Any], modality: Modality) -> Window | None:
    """Give the window from the smallest to the largest value; None when all are one value.

    values  any shape, stored values without padding
    """
    return _between(values, modality, 0, 100)


def percentile_window(values: NDArray[Any], modality: Modality) -> Window | None:
    """Give the window from LOW_PERCENT to HIGH_PERCENT of the values; None when they are equal.

    values  any shape, stored values without padding
    """
    return _between(values, modality, LOW_PERCENT, HIGH_PERCENT)


def possible_range(dtype: np.dtype[Any], bits_stored: int) -> Window:
    """Give the window over all values that BitsStored can hold; for floats from 0 to 1."""
    if dtype.kind == "f":
        return Window(center=0.5, width=1.0, function="LINEAR_EXACT")
    low = -(1 << (bits_stored - 1)) if dtype.kind == "i" else 0
    width = (1 << bits_stored) - 1
    return Window(center=low + width / 2, width=width, function="LINEAR_EXACT")


def sampled(values: NDArray[Any]) -> NDArray[Any]:
    """Thin values out to about SAMPLES. An odd step visits every column of most images."""
    step = values.size // SAMPLES
    flat = values.reshape(-1)
    return flat[:: step | 1] if step > 1 else flat


def _between(values: NDArray[Any], modality: Modality, low: float, high: float) -> Window | None:
    ordered = np.sort(values.reshape(-1), kind="stable")  # Radix sort, where there are 16 bits.
    if values.dtype.kind == "f":
        ordered = ordered[np.isfinite(ordered)]
    if not ordered.size:
        return None
    last = ordered.size - 1
    ends = ordered[[round(last * low / 100), round(last * high / 100)]]
    bottom, top = sorted(modality_values(ends, modality).tolist())
    if isinstance(modality, Lut):  # A table need not rise: ask what it makes of each value.
        made = modality_values(ordered, modality)
        bottom, top = float(made.min()), float(made.max())
    if not bottom < top or not 1e-300 < top - bottom < np.inf:
        return None
    return Window(center=(bottom + top) / 2, width=top - bottom, function="LINEAR_EXACT")


def line(modality: Rescale, window: Window) -> tuple[float, float]:
    """Make one straight line of two: no modality values are needed.

    return  the stored value that becomes 127.5, and how far black is from white: see `ramp`
    """
    assert window.ramp is not None, "there is no straight part"
    middle, length = window.ramp
    return (middle - modality.intercept) / modality.slope, length / modality.slope


def ramp(values: NDArray[Any], middle: float, length: float) -> NDArray[np.uint8]:
    """Draw a straight line from black to white.

    middle  the value that becomes 127.5
    length  from black to white, in the unit of `values`; negative for a falling line
    """
    steepness = 255 / length
    shift = 128 - middle * steepness  # With the half that turns cutting off into rounding
    narrow = values.dtype.itemsize <= 2 and max(abs(shift), abs(steepness) * 65_536) < 1e6
    kind = np.dtype(np.float32 if narrow else np.float64)  # 24 bits err by a tenth of a grey.
    with np.errstate(over="ignore"):
        ramp = np.multiply(values, kind.type(steepness), dtype=kind)
        ramp += kind.type(shift)
    np.clip(ramp, 0.5, 255.5, out=ramp)
    shades: NDArray[np.uint8] = ramp.astype(np.uint8)
    return shades
