"""Pure. Planes whose positions repeat: which of them belong to one moment.

The first of `TIMES` that gives each timepoint every position at most once decides. Without any,
InstanceNumber does, when it runs through the positions again and again. A last timepoint that was
interrupted is left out and named. Nothing is guessed: what does not fit is no stack.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ingestd.dicom.geometry import DRIFT_MM, NotAStack, not_a_stack
from ingestd.dicom.plane import Plane, Value, along, same_place_mm
from ingestd.errors import Reason

#: Vary between the timepoints of a 4-D volume; the first one that fits is used.
TIMES = (
    ("TemporalPositionIndex",),
    ("TemporalPositionIdentifier",),
    ("TimeSlotVector",),
    ("TemporalPositionTimeOffset",),
    ("DiffusionBValue", "DiffusionGradientOrientation"),
    ("NominalPercentageOfCardiacPhase",),
    ("NominalCardiacTriggerDelayTime",),
    ("NominalPercentageOfRespiratoryPhase",),
    ("TriggerTime",),
    ("FrameReferenceTime",),
    ("InversionTime",),
    ("AcquisitionNumber",),
    ("AcquisitionDateTime",),
    ("AcquisitionTime",),
    ("ContentTime",),
)

#: Must be the same all over a timepoint that only the order of InstanceNumber made.
STEADY = ("DiffusionBValue", "TriggerTime", "NominalCardiacTriggerDelayTime", "InversionTime")

Slots: TypeAlias = list[list[Plane]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Planes on the same positions, again and again."""

    timepoints: list[list[Plane]]
    words: str  #: what the timepoints were told apart by
    note: str | None = None  #: what was left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Planes that only looked like timepoints: each group is for itself."""

    groups: list[tuple[str, list[Plane]]]


def slots(planes: Sequence[Plane]) -> Slots:
    """Group planes by their position along the normal, in its order."""
    ordered, where = along(planes)
    near = same_place_mm(planes)
    found: Slots = [[ordered[0]]]
    for plane, gap in zip(ordered[1:], np.diff(where).tolist(), strict=True):
        if gap > near:
            found.append([])
        found[-1].append(plane)
    return found


def arrange(places: Slots) -> Timed | Apart | NotAStack:
    """Arrange planes in time.

    places  at least two positions, at least one of which holds several planes
    """
    planes = [plane for slot in places for plane in slot]
    dimensions = sorted({name for p in planes for name in p.keys if name.startswith("dimension ")})
    for names in (*TIMES, *((name,) for name in dimensions)):
        if found := _by_value(planes, places, names):
            return found
    return _by_number(planes, places)


def text(value: Value) -> str:
    """Write a value as a person would: 2 and not 2.0."""
    if isinstance(value, tuple):
        return "\\".join(text(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else "absent" if value is None else str(value)


def _by_value(planes: list[Plane], places: Slots, names: tuple[str, ...]) -> Timed | Apart | None:
    """Make a timepoint of each value, when that gives it every position at most once."""
    groups: dict[tuple[Value, ...], list[Plane]] = defaultdict(list)
    for plane in planes:
        groups[tuple(plane.keys.get(name) for name in names)].append(plane)
    if len(groups) < 2 or any(value[0] is None for value in groups):
        return None
    slot_of = {id(plane): at for at, slot in enumerate(places) for plane in slot}
    if any(len({slot_of[id(p)] for p in group}) < len(group) for group in groups.values()):
        return None
    values = sorted(groups, key=_order(names, groups))
    timepoints = [groups[value] for value in values]
    short = [at for at, one in enumerate(timepoints) if len(one) < len(places)]
    if short and len({len(slot) for slot in places}) == 1:
        return None  # The value drifts from slice to slice; it names no timepoint.
    whole = len(values) - len(short)
    interrupted = short == [len(values) - 1] or len(short) < whole
    if _same_places(timepoints) and whole and interrupted:
        return _timed(timepoints, len(places), f"timepoints by {' and '.join(names)}")
    if len(values) * 2 > len(planes):
        return None
    words = [
        ", ".join(f"{n}={text(v)}" for n, v in zip(names, value, strict=True)) for value in values
    ]
    return Apart(groups=list(zip(words, timepoints, strict=True)))


def _order(
    names: tuple[str, ...], groups: dict[tuple[Value, ...], list[Plane]]
) -> Callable[[tuple[Value, ...]], tuple[float, str]]:
    """Order timepoints by their number, and those of diffusion as they were acquired."""

    def order(value: tuple[Value, ...]) -> tuple[float, str]:
        if len(names) == 1 and isinstance(value[0], int | float):
            return float(value[0]), ""
        numbers = [plane.number for plane in groups[value] if plane.number is not None]
        return min(numbers, default=math.inf), str(value)

    return order


def _timed(timepoints: list[list[Plane]], full: int, words: str) -> Timed:
    """Leave out a last timepoint that was interrupted."""
    last = len(timepoints[-1])
    if last == full or any(len(one) < full for one in timepoints[:-1]):
        return Timed(timepoints=timepoints, words=words)
    note = (
        f"the last of {len(timepoints)} timepoints has {last} of {full} slices and is left out; "
        "likely the scan was interrupted, or is still arriving"
    )
    return Timed(timepoints=timepoints[:-1], words=words, note=note)


def _same_places(timepoints: list[list[Plane]]) -> bool:
    """Whether equal positions along the normal are equal positions in space."""
    planes = [plane for one in timepoints for plane in one]
    for slot in slots(planes):
        points = np.array([plane.position for plane in slot])
        if np.linalg.norm(points - points[0], axis=1).max() > DRIFT_MM:
            return False
    return True


def _by_number(planes: list[Plane], places: Slots) -> Timed | NotAStack:
    """Make timepoints of the order in which InstanceNumber visits the positions."""
    numbered = all(plane.number is not None for plane in planes)
    if not numbered or any(len({p.number for p in slot}) < len(slot) for slot in places):
        return _refused(planes, Reason.DUPLICATE_POSITION, places)
    counts = [len(slot) for slot in places]
    rounds = _rounds(planes, places)
    if len(rounds) != max(counts) and min(counts) == max(counts):  # Position by position, then.
        rounds = [list(one) for one in zip(*(sorted(s, key=_number) for s in places), strict=True)]
    whole = sum(len(one) == len(places) for one in rounds)
    if not _steady(rounds) or not _same_places(rounds):
        return _refused(planes, Reason.DUPLICATE_POSITION, places)
    if len(rounds) != max(counts) or whole < max(2, len(rounds) / 2) or _shifted(rounds, places):
        lost = len(rounds) > 2 and float(np.median(counts)) > 1
        reason = Reason.MISSING_SLICES if lost else Reason.DUPLICATE_POSITION
        return _refused(planes, reason, places)
    return _timed(rounds, len(places), "timepoints by order of InstanceNumber")


def _number(plane: Plane) -> int:
    assert plane.number is not None, "planes without a number were ordered by it"
    return plane.number


def _rounds(planes: list[Plane], places: Slots) -> list[list[Plane]]:
    """Cut the planes, in the order of InstanceNumber, where a round through the positions ends.

    The first whole round tells the order of a round. One that lacks a slice then ends where the
    order starts again, and not where its neighbour happens to fill the hole.
    """
    slot_of = {id(plane): at for at, slot in enumerate(places) for plane in slot}
    ordered = sorted(planes, key=_number)
    visits = [slot_of[id(plane)] for plane in ordered]
    cuts = _cuts(visits)
    first = next((c for c in cuts if len(c) == len(places)), None)
    if first is not None:
        rank = {visits[k]: place for place, k in enumerate(first)}
        cuts = [[0]]
        for k in range(1, len(visits)):
            if rank[visits[k]] <= rank[visits[k - 1]]:
                cuts.append([])
            cuts[-1].append(k)
    return [[ordered[k] for k in cut] for cut in cuts]


def _cuts(visits: list[int]) -> list[list[int]]:
    """Cut indices where a position comes again."""
    cuts: list[list[int]] = [[]]
    seen: set[int] = set()
    for k, visit in enumerate(visits):
        if visit in seen:
            cuts.append([])
            seen = set()
        seen.add(visit)
        cuts[-1].append(k)
    return cuts


def _shifted(rounds: list[list[Plane]], places: Slots) -> bool:
    """Whether it may be the first round that lacks its first slices, and each next one too.

    Then every round ends with slices of the next one, and only the last one is short.
    """
    first = min(_number(plane) for plane in rounds[0])
    return len(rounds[-1]) < len(places) and first > 0 and (first - 1) % len(places) != 0


def _steady(timepoints: list[list[Plane]]) -> bool:
    """Whether no timepoint mixes b-values or heart phases."""
    return all(
        len({plane.keys.get(name) for plane in one}) == 1 for one in timepoints for name in STEADY
    )


def _refused(planes: list[Plane], reason: Reason, places: Slots) -> NotAStack:
    counts = sorted({len(slot) for slot in places})
    times = f"{counts[0]} times" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} times"
    words = (
        f"{len(places)} positions, each seen {times}, and neither a time, a b-value nor the order "
        "of InstanceNumber says which slices belong together; likely slices were sent twice, "
        "or are missing from the middle"
    )
    return not_a_stack(reason, words, planes)
