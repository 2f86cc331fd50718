"""Pure. What a series lacks, by name: positions with their neighbours, numbers, timepoints."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ingestd.claims import Image

#: What follows the name of what is missing: files, whose names may hold those of patients.
BETWEEN, WAS, AS_FILE = ", between ", ", was ", ", file "

IN_TIME = "timepoints by "

MOST = 10_000  #: so many positions of a series are looked at: made-up headers may lack millions


class StackRow(NamedTuple):
    """What a row of `volume` says, in the order of STACK_COLUMNS."""

    reason: str | None = None
    shape: Sequence[int] | None = None
    missing_slices: Sequence[float] | None = None
    split_by: str | None = None
    stack: int = 0
    slice_spacing_mm: float | None = None

    @property
    def slices(self) -> int:
        """How many slices a timepoint has; 0 when it is no volume."""
        return self.shape[-3] if self.shape and len(self.shape) >= 3 else 0

    @property
    def timepoints(self) -> int:
        """How many timepoints it has."""
        return self.shape[0] if self.shape and len(self.shape) == 4 else 1

    @property
    def split(self) -> list[str]:
        """Name what set it apart; how its timepoints were told apart does not."""
        parts = (self.split_by or "").replace(", ", "; ").split("; ")
        return [part.split("=")[0] for part in parts if part and not part.startswith(IN_TIME)]


STACK_COLUMNS = StackRow._fields


class Slice(NamedTuple):
    """Where a slice of a stack is: a row of `volume_slice`, and its file."""

    stack: int
    position_mm: float | None
    SOPInstanceUID: str
    path: str


class Hole(NamedTuple):
    """A position at which slices are missing."""

    name: str
    neighbours: str  #: BETWEEN and their files, or nothing
    images: int | None  #: how many are missing there; None when nobody knows


def holes(
    images: Sequence[Image], stacks: Sequence[StackRow], slices: Sequence[Slice]
) -> list[Hole]:
    """Name the positions that are missing, up to MOST; the stack too, when there are several."""
    moments = {image.SOPInstanceUID: image for image in images}
    found: list[Hole] = []
    for stack in stacks:
        if not stack.missing_slices:
            continue
        own = [one for one in slices if one.stack == stack.stack and one.position_mm is not None]
        placed = _Placed(stack, own, moments, several=len(stacks) > 1)
        for at in stack.missing_slices:
            found += placed.holes(at)
            if len(found) > MOST:
                return found
    return found


class _Placed:
    """The slices of a stack, in the order of their positions."""

    def __init__(
        self,
        stack: StackRow,
        slices: Sequence[Slice],
        images: dict[str, Image],
        *,
        several: bool,
    ) -> None:
        self._by, self._in_time = moment_of(stack), IN_TIME in (stack.split_by or "")
        self._stack = f" ({stack.split_by})" if stack.split_by and several else ""
        self._near = (stack.slice_spacing_mm or 0.0) / 2
        self._slices = sorted(slices, key=_position)
        self._moments = [
            getattr(images.get(one.SOPInstanceUID), self._by, None) if self._by else None
            for one in self._slices
        ]
        self._every = {moment for moment in self._moments if moment is not None}

    def holes(self, at: float) -> Iterator[Hole]:
        """Name one position, at each timepoint that lacks it."""
        name = f"position {at:.2f} mm{self._stack}"
        below = bisect_left(self._slices, at - self._near, key=_position)
        above = bisect_right(self._slices, at + self._near, key=_position)
        neighbours = ""
        if below > 0 and above < len(self._slices):
            neighbours = f"{BETWEEN}{self._slices[below - 1].path} and {self._slices[above].path}"
        if self._by is None:
            yield Hole(name, neighbours, None if self._in_time else 1)
            return
        there = {moment for moment in self._moments[below:above] if moment is not None}
        lacking = sorted(self._every - there)
        if not lacking or not there:
            yield Hole(name, neighbours, len(lacking) or None)
            return
        for moment in lacking:
            yield Hole(f"{name} of {self._by} {text(moment)}", neighbours, 1)


def _position(one: Slice) -> float:
    assert one.position_mm is not None, "it was left out"
    return one.position_mm


def moment_of(stack: StackRow) -> str | None:
    """Name the one attribute that tells the timepoints of a stack apart, when images have it."""
    words = (stack.split_by or "").rpartition(IN_TIME)[2].split(";")[0]
    return words if IN_TIME in (stack.split_by or "") and words in Image._fields else None


def short_moments(images: Sequence[Image], stacks: Sequence[StackRow]) -> list[str]:
    """Name the timepoints that have fewer images than the longest one."""
    for by in dict.fromkeys(moment_of(stack) or "TemporalPositionIdentifier" for stack in stacks):
        counts = Counter(getattr(image, by) for image in images)
        if None not in counts and len(counts) > 1:
            most = max(counts.values())
            return [
                f"{most - count} of {most} slices of {by} {text(moment)}"
                for moment, count in sorted(counts.items())
                if count < most
            ]
    return []


def named(found: Sequence[Hole], numbers: Sequence[int]) -> list[str]:
    """Name what is missing by position and by number; in one name when it must be the same."""
    if len(found) == len(numbers) == 1:
        (hole,) = found
        return [f"{hole.name}, InstanceNumber {numbers[0]}{hole.neighbours}"]
    return [
        *(hole.name + hole.neighbours for hole in found),
        *(f"InstanceNumber {number}" for number in numbers),
    ]


def text(moment: float) -> str:
    """Write a moment as a person would: 2 and not 2.0."""
    return f"{moment:g}"


def lost(image: Image, path: str) -> str:
    """Name an image whose file is gone."""
    return f"{_identity(image)}{WAS}{path}"


def listed(uid: str, file: str) -> str:
    """Name an image that a DICOMDIR lists and that did not come."""
    return f"SOPInstanceUID {uid}" + (f"{AS_FILE}{file}" if file else "")


def without_files(name: str) -> str:
    """Leave out of a name what may hold the name of a patient."""
    for mark in (BETWEEN, WAS, AS_FILE):
        name = name.split(mark, 1)[0]
    return name


def _identity(image: Image) -> str:
    if image.InstanceNumber is None:
        return f"SOPInstanceUID {image.SOPInstanceUID}"
    return f"InstanceNumber {image.InstanceNumber}"
