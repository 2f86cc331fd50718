"""Pure. Where slices lie in the patient: a `Stack` with its affine, or `NotAStack` with a reason.

Only positions say where a slice is: InstanceNumber, SliceThickness and SpacingBetweenSlices are
never asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ingestd.dicom.plane import (
    Floats,
    Plane,
    along,
    directions,
    named,
    normal,
    orientation,
    rounding_mm,
    same_place_mm,
)
from ingestd.errors import Reason

__all__ = ["NotAStack", "Plane", "Stack", "judge", "not_a_stack"]

STEP_TOLERANCE = 0.01  #: of the step; a gap that differs more is not the step
HOLE_TOLERANCE = 0.05  #: of the step; a gap this near to k steps lacks k - 1 slices
MOST_LOST = 1000  #: steps in one gap; more is another place, not a hole
MOST_HOLES = 10_000  #: in a stack; more of them is no stack
DRIFT_MM = 0.1  #: how far a slice may lie beside the line through the stack
TILT_DEGREES = 0.5  #: a larger angle between stacking direction and normal is a tilt


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices that form a volume, or several volumes in time on the same positions."""

    timepoints: tuple[tuple[Plane | None, ...], ...]  #: along the normal; None where one is missing
    positions_mm: tuple[float, ...]  #: of each slice, along the normal
    affine_lps_mm: Floats  #: (4, 4), (slice, row, column, 1) to patient x, y, z, 1
    slice_spacing_mm: float  #: perpendicular distance of neighbours
    spacing_deviation_mm: float
    tilt_degrees: float
    missing_mm: tuple[float, ...]
    orientation: str
    split_by: str | None = None
    detail: str | None = None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel: slice, row, column. In a tilted stack the first is slanted."""
        slices, rows, columns = np.linalg.norm(self.affine_lps_mm[:3, :3], axis=0).tolist()
        return slices, rows, columns

    @property
    def shape(self) -> tuple[int, ...]:
        """Timepoints when there are several, then slices, rows, columns."""
        first = self.first
        volume = (len(self.positions_mm), first.rows, first.columns)
        return volume if len(self.timepoints) == 1 else (len(self.timepoints), *volume)

    @property
    def first(self) -> Plane:
        """A slice to ask for what all of them share."""
        return next(plane for plane in self.timepoints[0] if plane is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAStack:
    """Slices that form no volume, and why."""

    reason: Reason
    detail: str  #: for people: which slices, what distance, the likely cause
    planes: tuple[Plane, ...] = ()  #: along the normal, as far as there is one
    positions_mm: tuple[float, ...] = ()  #: one for each of `planes`
    slice_spacing_mm: float | None = None
    spacing_deviation_mm: float | None = None
    missing_mm: tuple[float, ...] | None = None
    orientation: str | None = None
    split_by: str | None = None


class _Line(NamedTuple):
    """The places where slices of a stack are, or could be."""

    planes: tuple[Plane, ...]  #: of the longest timepoint, along the normal
    gaps: Floats  #: between them
    steps: Floats  #: how many steps each gap is
    step: float  #: along the normal

    @property
    def rungs(self) -> Floats:
        """The place of each plane, counted in steps from the first one."""
        return np.concatenate(([0.0], np.cumsum(self.steps)))


def judge(timepoints: Sequence[Sequence[Plane]], *, allow_missing: bool) -> Stack | NotAStack:
    """Decide whether planes form a volume.

    timepoints     planes of one orientation, shape and pixel spacing; each position is at most
                   once in a timepoint, and the positions of each are among those of the longest
    allow_missing  build over holes; they are None in the result
    """
    every = [plane for timepoint in timepoints for plane in timepoint]
    planes, where = along(max(timepoints, key=len))
    if len(planes) < 2:
        return not_a_stack(Reason.TOO_FEW_SLICES, "one position; a volume needs two", every)
    gaps = np.diff(where)
    if gaps.min() <= same_place_mm(planes):
        detail = _twice(planes, where, int(gaps.argmin()))
        return not_a_stack(Reason.DUPLICATE_POSITION, detail, every)
    line = _line(planes, gaps)
    if line.steps.sum() - len(gaps) > MOST_HOLES:
        detail = f"{len(planes)} slices on {int(line.steps.sum()) + 1} places; too few for a volume"
        return not_a_stack(Reason.UNEVEN_SPACING, detail, every)
    stack = _stack(timepoints, line)
    if words := _uneven(line) or _drift(line):
        return not_a_stack(Reason.UNEVEN_SPACING, words, every, measured=stack)
    if stack.missing_mm and not allow_missing:
        detail = _ragged(timepoints) if line.steps.max() == 1 else _holes(stack.missing_mm, line)
        return not_a_stack(Reason.MISSING_SLICES, detail, every, measured=stack)
    return stack


def not_a_stack(
    reason: Reason, detail: str, planes: Sequence[Plane], measured: Stack | None = None
) -> NotAStack:
    """Say why planes of one orientation are no volume, and where they are."""
    ordered, where = along(planes)
    missing = measured.missing_mm if measured and reason is Reason.MISSING_SLICES else None
    return NotAStack(
        reason=reason,
        detail=detail,
        planes=ordered,
        positions_mm=where,
        orientation=orientation(planes),
        slice_spacing_mm=measured.slice_spacing_mm if measured else None,
        spacing_deviation_mm=measured.spacing_deviation_mm if measured else None,
        missing_mm=missing,
    )


def _line(planes: tuple[Plane, ...], gaps: Floats) -> _Line:
    """Measure the step.

    The median gap finds it, because holes do not move the median. The mean over all steps then
    measures it, because rounding of single positions does not move that.
    """
    steps = np.clip(np.rint(gaps / np.median(gaps)), 1.0, MOST_LOST)
    return _Line(planes, gaps, steps, float(gaps.sum() / steps.sum()))


def _uneven(line: _Line) -> str | None:
    """Say which gap is neither one step nor several, if any is."""
    gaps, steps, step = line.gaps, line.steps, line.step
    rounding = rounding_mm(line.planes) * float(np.abs(normal(line.planes)).sum())
    tolerance = max(STEP_TOLERANCE * step, rounding)
    allowed = np.where(steps > 1, max(HOLE_TOLERANCE * step, tolerance), tolerance)
    wrong = np.abs(gaps - steps * step) - allowed
    if wrong.max() <= 1e-9 * step:
        return None
    worst = int(wrong.argmax())
    return (
        f"{int((wrong > 0).sum())} of {len(gaps)} gaps are neither the step of {step:.4g} mm nor "
        f"several of them; the worst is {gaps[worst]:.4g} mm between {named(line.planes[worst])} "
        f"and {named(line.planes[worst + 1])}; likely slices of several acquisitions, or spacing "
        "that varies by intent"
    )


def _drift(line: _Line) -> str | None:
    """Say which slice lies beside the straight line through the stack, if any does."""
    points = np.array([plane.position for plane in line.planes], dtype=float)
    straight = points[0] + np.outer(line.rungs, (points[-1] - points[0]) / line.rungs[-1])
    across = normal(line.planes)
    beside = points - straight
    beside -= np.outer(beside @ across, across)
    distance = np.linalg.norm(beside, axis=1)
    if distance.max() <= max(DRIFT_MM, STEP_TOLERANCE * line.step, 2 * rounding_mm(line.planes)):
        return None
    worst = int(distance.argmax())
    return (
        f"{named(line.planes[worst])} lies {distance[worst]:.4g} mm beside the line through the "
        "stack; likely the field of view moved between slices"
    )


def _holes(missing: Sequence[float], line: _Line) -> str:
    names = ", ".join(f"{at:.4g}" for at in missing[:10]) + (", ..." if len(missing) > 10 else "")
    count = "1 slice is" if len(missing) == 1 else f"{len(missing)} slices are"
    return (
        f"{count} missing between {len(line.planes)} that are there, at {names} mm along the "
        f"normal (the step is {line.step:.4g} mm); send them again, or set [volume] allow_missing"
    )


def _ragged(timepoints: Sequence[Sequence[Plane]]) -> str:
    most = max(len(planes) for planes in timepoints)
    short = [f"{t} ({len(p)})" for t, p in enumerate(timepoints) if len(p) < most]
    return (
        f"{len(short)} of {len(timepoints)} timepoints have fewer than {most} slices: "
        f"{', '.join(short[:10])}; send the missing ones again, or set [volume] allow_missing"
    )


def _twice(planes: Sequence[Plane], where: Sequence[float], at: int) -> str:
    return (
        f"{named(planes[at])} and {named(planes[at + 1])} share the position {where[at]:.4g} mm "
        "and no attribute says what distinguishes them; likely one slice was sent twice"
    )


def _stack(timepoints: Sequence[Sequence[Plane]], line: _Line) -> Stack:
    """Put the planes of each timepoint on the grid of the longest one."""
    row, column = directions(line.planes)
    first, last = np.array(line.planes[0].position), np.array(line.planes[-1].position)
    affine: Floats = np.eye(4)
    affine[:3, 0] = (last - first) / line.rungs[-1]
    affine[:3, 1] = column * line.planes[0].spacing[0]
    affine[:3, 2] = row * line.planes[0].spacing[1]
    affine[:3, 3] = first
    across = normal(line.planes)
    count = int(line.rungs[-1]) + 1
    places: Floats = float(first @ across) + line.step * np.arange(count, dtype=np.float64)
    grid = tuple(_on_grid(one, across, places) for one in timepoints)
    holes = {s for one in grid for s, plane in enumerate(one) if plane is None}
    cosine = line.step / float(np.linalg.norm(affine[:3, 0]))
    return Stack(
        timepoints=grid,
        positions_mm=tuple(places.tolist()),
        affine_lps_mm=affine,
        slice_spacing_mm=line.step,
        spacing_deviation_mm=float(np.abs(line.gaps - line.steps * line.step).max()),
        tilt_degrees=float(np.degrees(np.arccos(min(1.0, cosine)))),
        missing_mm=tuple(float(places[s]) for s in sorted(holes)),
        orientation=orientation(line.planes),
    )


def _on_grid(planes: Sequence[Plane], across: Floats, places: Floats) -> tuple[Plane | None, ...]:
    slots: list[Plane | None] = [None] * len(places)
    where = np.array([plane.position for plane in planes]) @ across
    step = (places[-1] - places[0]) / (len(places) - 1)
    rungs = np.clip(np.rint((where - places[0]) / step), 0, len(places) - 1)
    for plane, rung in zip(planes, rungs.astype(int).tolist(), strict=True):
        slots[rung] = plane
    return tuple(slots)
