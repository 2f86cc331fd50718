"""Pure. Shapes with soft edges on a grid in millimetres, and noise with a grain.

Used by the phantoms of `ingestd demo`; no picture of a person went into them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """An ellipse; `lumps` makes its edge uneven, so that it looks grown and not turned."""

    x: float  #: centre, mm; to the patient's left
    y: float  #: centre, mm; to the patient's back
    rx: float  #: half axes, mm
    ry: float
    degrees: float = 0.0  #: turns the first axis from x towards y
    lumps: float = 0.0  #: part of the radius by which the edge moves in and out
    phase: float = 0.0  #: where the lumps are, radians


class Canvas:
    """One slice: values on pixels of equal size, the origin in the middle."""

    def __init__(self, pixels: int, pixel_mm: float, background: float) -> None:
        self.values: Floats = np.full((pixels, pixels), background, dtype=np.float32)
        self.pixel_mm = pixel_mm
        self.axis: Floats = ((np.arange(pixels) - (pixels - 1) / 2) * pixel_mm).astype(np.float32)

    def cover(self, blob: Blob) -> tuple[tuple[slice, slice], Floats]:
        """Say how much of each pixel near a blob lies in it, 0 to 1.

        return  the part of the slice that it touches (rows, columns), and the cover there
        """
        reach = max(blob.rx, blob.ry) * (1 + 2 * blob.lumps) + 2 * self.pixel_mm
        rows, columns = self._near(blob.y, reach), self._near(blob.x, reach)
        dy = self.axis[rows, None] - np.float32(blob.y)
        dx = self.axis[None, columns] - np.float32(blob.x)
        cos, sin = math.cos(math.radians(blob.degrees)), math.sin(math.radians(blob.degrees))
        u: Floats = np.asarray((dx * cos + dy * sin) / blob.rx, dtype=np.float32)
        v: Floats = np.asarray((dy * cos - dx * sin) / blob.ry, dtype=np.float32)
        radius = np.sqrt(u * u + v * v)
        edge = _lumpy(u, v, radius, blob) if blob.lumps else 1.0
        inside = (edge - radius) * (min(blob.rx, blob.ry) / self.pixel_mm) + 0.5
        return (rows, columns), np.clip(inside, 0, 1, dtype=np.float32)

    def paint(self, blob: Blob, value: float, within: Floats | None = None) -> None:
        """Put a value where a blob is; with `within`, only where that lets it."""
        if blob.rx <= 0 or blob.ry <= 0:
            return
        where, cover = self.cover(blob)
        if within is not None:
            cover = cover * within[where]
        self.values[where] += cover * (np.float32(value) - self.values[where])

    def mask(self, blob: Blob) -> Floats:
        """Give the cover of a blob over the whole slice."""
        full = np.zeros_like(self.values)
        where, cover = self.cover(blob)
        full[where] = cover
        return full

    def _near(self, centre: float, reach: float) -> slice:
        first, last = np.searchsorted(self.axis, (centre - reach, centre + reach)).tolist()
        return slice(first, last)


def _lumpy(u: Floats, v: Floats, radius: Floats, blob: Blob) -> Floats:
    """Return 1 + lumps * (sin(2 a + phase) + 0.6 sin(3 a - 2 phase)), a the angle of (u, v)."""
    inverse = 1 / np.maximum(radius, 1e-6)
    c, s = u * inverse, v * inverse
    two = 2 * s * c * math.cos(blob.phase) + (c * c - s * s) * math.sin(blob.phase)
    sin3, cos3 = s * (3 - 4 * s * s), c * (4 * c * c - 3)
    three = sin3 * math.cos(2 * blob.phase) - cos3 * math.sin(2 * blob.phase)
    return np.asarray(1 + blob.lumps * (two + 0.6 * three), dtype=np.float32)


def section(z: float, at: float, radius: float) -> float:
    """Return how wide an ellipsoid is at `z`, as part of its widest; 0 outside."""
    part = (z - at) / radius
    return math.sqrt(max(0.0, 1 - part * part))


def grain(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> Floats:
    """Make noise whose spots are about `size` samples wide; mean 0, standard deviation 1."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if size > 0:
        spectrum = np.fft.rfftn(noise)
        for axis, length in enumerate(shape):
            last = axis == len(shape) - 1
            f = np.fft.rfftfreq(length) if last else np.fft.fftfreq(length)
            damp = np.exp(-2 * (np.pi * f * size) ** 2).astype(np.float32)
            spectrum *= damp.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        noise = np.fft.irfftn(spectrum, s=shape, axes=range(len(shape))).astype(np.float32)
    return np.asarray(noise / noise.std(), dtype=np.float32)
