"""Pure. The planes of a series become stacks: what belongs together, and what tells it apart.

1. Localizers go apart. What `CLASSES` of `planes` names always sets slices apart, then orientation.
2. Where a position repeats, the first of `APART` that varies there makes stacks of its own.
3. What still repeats is arranged in time by `timing`.

Stacks are numbered by their lowest InstanceNumber, then by what split them.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ingestd.dicom.geometry import NotAStack, Stack, judge, not_a_stack
from ingestd.dicom.plane import Plane, Value, normal
from ingestd.dicom.timing import Apart, Timed, arrange, slots, text
from ingestd.errors import Reason

SAME_DIRECTION = 1e-4  #: difference of a direction cosine above which orientations differ

#: Vary between whole volumes of a series, each with its own contrast.
APART = ("EchoTime", "FlipAngle", "ConvolutionKernel", "KVP")

#: Tried when slices that never share a position form no volume together.
LAST_RESORT = ("AcquisitionNumber", "TemporalPositionIdentifier", "EchoTime", "ConvolutionKernel")

Outcome: TypeAlias = Stack | NotAStack


def stacks(planes: Sequence[Plane], *, allow_missing: bool) -> list[Outcome]:
    """Split a series and judge each part, in the order in which stacks are numbered."""
    scouts = [plane for plane in planes if plane.localizer]
    others = [plane for plane in planes if not plane.localizer]
    found: list[tuple[tuple[float, str], Outcome]] = []
    if scouts:
        detail = f"ImageType of {len(scouts)} images says LOCALIZER"
        found.append((_rank(scouts), NotAStack(reason=Reason.LOCALIZER, detail=detail)))
    for words, part in _classes(others):
        for outcome in _misfit(words, part) or _oriented(part, allow_missing=allow_missing):
            named = replace(outcome, split_by=_join(words, outcome.split_by))
            found.append((_rank(_members(outcome)), named))
    return [outcome for _, outcome in sorted(found, key=lambda one: one[0])]


def _rank(planes: Sequence[Plane]) -> tuple[float, str]:
    numbers = [plane.number for plane in planes if plane.number is not None]
    first = min(numbers, default=math.inf)
    return first, min(f"{plane.SOPInstanceUID} {plane.frame:09}" for plane in planes)


def _members(outcome: Outcome) -> list[Plane]:
    if isinstance(outcome, NotAStack):
        return list(outcome.planes)
    return [plane for one in outcome.timepoints for plane in one if plane is not None]


def _join(*words: str | None) -> str | None:
    return "; ".join(word for word in words if word) or None


def _classes(planes: Sequence[Plane]) -> list[tuple[str | None, list[Plane]]]:
    """Group planes by their classes, each with the words for what varies."""
    groups: dict[tuple[tuple[str, Value], ...], list[Plane]] = defaultdict(list)
    for plane in planes:
        groups[tuple(plane.classes.items())].append(plane)
    values: dict[str, set[Value]] = defaultdict(set)
    for key in groups:
        for name, value in key:
            values[name].add(value)
    return [
        (_join(*(f"{n}={text(v)}" for n, v in key if len(values[n]) > 1)), part)
        for key, part in groups.items()
    ]


def _misfit(words: str | None, part: list[Plane]) -> list[Outcome]:
    """Say of a single slice that it is as large as no other one of the series."""
    shaped = words is not None and ("Rows=" in words or "Columns=" in words)
    if len(part) > 1 or not shaped:
        return []
    detail = f"one slice of {part[0].rows} x {part[0].columns}; the others have another shape"
    return [not_a_stack(Reason.MIXED_SHAPE, detail, part)]


def _oriented(planes: Sequence[Plane], *, allow_missing: bool) -> list[Outcome]:
    """Group planes by orientation and judge each group."""
    if len(planes) < 2:
        return [judge([planes], allow_missing=allow_missing)]
    groups = _directions(planes)
    if len(groups) > 2 and len(groups) == len(planes):
        detail = f"{len(planes)} slices, each in a direction of its own; likely a radial scan"
        return [NotAStack(reason=Reason.MIXED_ORIENTATION, detail=detail, planes=tuple(planes))]
    found = []
    for group in groups:
        words = f"normal={text(tuple(normal(group).round(4)))}" if len(groups) > 1 else None
        found += [
            replace(outcome, split_by=_join(words, outcome.split_by))
            for outcome in _placed(group, allow_missing=allow_missing)
        ]
    return found


def _directions(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Group planes that lie in one direction."""
    groups: list[list[Plane]] = []
    firsts, last = np.empty((len(planes), 6)), 0
    for plane in planes:
        own = np.array(plane.row + plane.column)
        if not groups or np.abs(firsts[last] - own).max() > SAME_DIRECTION:
            near = np.abs(firsts[: len(groups)] - own).max(axis=1, initial=0.0) <= SAME_DIRECTION
            last = int(near.argmax()) if near.any() else len(groups)
        if last == len(groups):
            firsts[last] = own
            groups.append([])
        groups[last].append(plane)
    return groups


def _placed(planes: Sequence[Plane], *, allow_missing: bool) -> list[Outcome]:
    """Judge planes of one orientation: as one stack, in time, or apart."""
    places = slots(planes)
    if max(map(len, places)) == 1:
        outcome = judge([planes], allow_missing=allow_missing)
        return _regrouped(planes, outcome, allow_missing=allow_missing) or [outcome]
    for name in APART:
        if any(len({plane.keys.get(name) for plane in slot}) > 1 for slot in places):
            return _apart(_by(planes, name), allow_missing=allow_missing)
    if len(places) == 1:
        return [_flat(planes)]
    times = arrange(places)
    if isinstance(times, Apart):
        return _apart(times.groups, allow_missing=allow_missing)
    return [_judged(times, allow_missing=allow_missing) if isinstance(times, Timed) else times]


def _judged(times: Timed, *, allow_missing: bool) -> Outcome:
    outcome = judge(times.timepoints, allow_missing=allow_missing)
    words = times.words if len(times.timepoints) > 1 else None
    if isinstance(outcome, Stack):
        return replace(outcome, split_by=words, detail=_join(outcome.detail, times.note))
    return replace(outcome, split_by=words)


def _by(planes: Sequence[Plane], name: str) -> list[tuple[str, list[Plane]]]:
    groups: dict[Value, list[Plane]] = defaultdict(list)
    for plane in planes:
        groups[plane.keys.get(name)].append(plane)
    return [(f"{name}={text(value)}", group) for value, group in groups.items()]


def _apart(groups: list[tuple[str, list[Plane]]], *, allow_missing: bool) -> list[Outcome]:
    return [
        replace(outcome, split_by=_join(words, outcome.split_by))
        for words, group in groups
        for outcome in _placed(group, allow_missing=allow_missing)
    ]


def _regrouped(
    planes: Sequence[Plane], outcome: Outcome, *, allow_missing: bool
) -> list[Outcome] | None:
    """Split uneven slices by what may explain them, if every part is then a stack."""
    if isinstance(outcome, Stack) or outcome.reason is not Reason.UNEVEN_SPACING:
        return None
    for name in LAST_RESORT:
        groups = _by(planes, name)
        if 1 < len(groups) <= len(planes) / 2:
            parts = [(words, judge([g], allow_missing=allow_missing)) for words, g in groups]
            if all(isinstance(part, Stack) for _, part in parts):
                return [replace(part, split_by=words) for words, part in parts]
    return None


def _flat(planes: Sequence[Plane]) -> NotAStack:
    words = f"one position, seen {len(planes)} times; a volume needs two positions"
    return not_a_stack(Reason.TOO_FEW_SLICES, words, planes)
