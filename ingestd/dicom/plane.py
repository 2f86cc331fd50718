"""Pure. One slice in the patient, and what slices of one orientation share.

Lengths are in mm, directions in the patient's LPS axes (PS3.3 C.7.6.2.1.1). A position on the
stacking axis is `dot(ImagePositionPatient, normal)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = tuple[float, float, float]
Value: TypeAlias = str | int | float | tuple[str | float, ...] | None
Floats: TypeAlias = NDArray[np.float64]

SAME_PLACE = 0.01  #: of the pixel spacing; nearer positions are one position
COARSEST_MM = 0.1  #: positions written with fewer decimals earn no more tolerance than this
#: Cosine between the normal and a patient axis (37 degrees) above which the plane has its name.
PLANE_COSINE = 0.8
PLANE_NAMES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One slice: a single-frame image, a frame of a multi-frame one, or a tile of a mosaic."""

    SOPInstanceUID: str
    frame: int  #: 0-based; in a mosaic the number of the tile, row by row
    position: Vector  #: centre of the first pixel
    row: Vector  #: unit vector along a row: where the column index grows
    column: Vector  #: unit vector along a column: where the row index grows
    rows: int
    columns: int
    spacing: tuple[float, float]  #: between rows, between columns, as PixelSpacing has it
    precision_mm: float = 1e-6  #: one unit of the last decimal that the position was written with
    number: int | None = None  #: InstanceNumber, or the frame's own order in its object
    localizer: bool = False
    classes: Mapping[str, Value] = field(default_factory=dict)  #: always told apart
    keys: Mapping[str, Value] = field(default_factory=dict)  #: tell repeated positions apart


def normal(planes: Sequence[Plane]) -> Floats:
    """Return the unit normal of planes that share an orientation: row x column."""
    row, column = directions(planes)
    across = np.cross(row, column)
    return np.asarray(across / np.linalg.norm(across))


def offsets(planes: Sequence[Plane]) -> Floats:
    """Return the position of each plane along the common normal, in mm."""
    points = np.array([plane.position for plane in planes], dtype=float).reshape(-1, 3)
    return np.asarray(points @ normal(planes))


def orientation(planes: Sequence[Plane]) -> str:
    """Name the nearest anatomical plane; `oblique` when none is within 37 degrees."""
    cosines = np.abs(normal(planes))
    nearest = int(cosines.argmax())
    return PLANE_NAMES[nearest] if cosines[nearest] >= PLANE_COSINE else "oblique"


def same_place_mm(planes: Sequence[Plane]) -> float:
    """Return the distance below which two positions are one."""
    pixel = min(min(plane.spacing) for plane in planes)
    return max(SAME_PLACE * pixel, min(rounding_mm(planes), 0.1 * pixel))


def along(planes: Sequence[Plane]) -> tuple[tuple[Plane, ...], tuple[float, ...]]:
    """Sort planes by their position on the normal, and return both."""
    where = offsets(planes)
    order = np.argsort(where, kind="stable")
    return tuple(planes[i] for i in order), tuple(where[order].tolist())


def directions(planes: Sequence[Plane]) -> tuple[Floats, Floats]:
    """Return the common row and column direction: of the middle one, they differ by rounding."""
    plane = planes[len(planes) // 2]
    return np.array(plane.row, dtype=float), np.array(plane.column, dtype=float)


def rounding_mm(planes: Sequence[Plane]) -> float:
    """Return how finely the positions were written; the finest one tells what the writer does."""
    return min(COARSEST_MM, *(plane.precision_mm for plane in planes))


def named(plane: Plane) -> str:
    """Name a slice so that a person finds it, without telling who the patient is."""
    number = "" if plane.number is None else f" (number {plane.number})"
    return f"{plane.SOPInstanceUID} frame {plane.frame}{number}"
