"""Pure. Is a series all there? Evidence in, a state out, with the words for why.

The first rule that has something to say decides:

    DICOMDIR        a directory that came along lists the instances by name
    count           the header says how many images there should be
    nature          one object is the whole of it
    geometry        a gap in a stack, echoes or timepoints of unequal length; or equal ones,
                    sent one after the other
    InstanceNumber  holes
    nothing         no rule decides; a loss at the end would not show

A sender that stops early leaves a stack without a gap and numbers without a hole. So these can
prove that something is missing, and never alone that nothing is: that is `unknown`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ingestd.claims import Claim, Image, Numbers, claims, is_localizer
from ingestd.errors import Reason
from ingestd.model import SeriesState

__all__ = ["IMAGE_COLUMNS", "STACK_COLUMNS", "Image", "Judgement", "StackRow", "judge"]

IMAGE_COLUMNS = Image._fields
MISSING_SHOWN = 100  #: names in `missing`; the rest is counted


class StackRow(NamedTuple):
    """What a row of `volume` says, in the order of STACK_COLUMNS."""

    reason: str | None = None
    shape: Sequence[int] | None = None
    missing_slices: Sequence[float] | None = None
    split_by: str | None = None


STACK_COLUMNS = StackRow._fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known about a series that fell quiet."""

    state: SeriesState  #: complete, incomplete or unknown
    evidence: str  #: in words; the first one names the rule
    expected: int | None  #: how many images there should be, when something says so
    found: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    images: Sequence[Image]
    stacks: Sequence[StackRow]
    listed: Collection[str]

    def says(
        self,
        state: SeriesState,
        words: str,
        *,
        expected: int | None = None,
        missing: Iterable[str] = (),
    ) -> Judgement:
        """Make a judgement of this series."""
        names = tuple(missing)
        if len(names) > MISSING_SHOWN:
            names = (*names[:MISSING_SHOWN], f"and {len(names) - MISSING_SHOWN} more")
        found = len(self.images)
        return Judgement(state=state, evidence=words, expected=expected, found=found, missing=names)


def judge(
    images: Sequence[Image], stacks: Sequence[StackRow], *, listed: Collection[str] = ()
) -> Judgement:
    """Say whether a series is all there.

    images  one for each instance of the series, in any order; at least one
    stacks  one for each row of `volume`; none when no volumes are built
    listed  the SOPInstanceUIDs that a DICOMDIR names for this series, if one came along
    """
    assert images, "a series without images was judged"
    series = _Series(images=images, stacks=stacks, listed=listed)
    notes: list[str] = []
    for rule in (_by_list, _by_count, _by_nature, _by_gaps, _by_siblings, _by_number):
        said = rule(series)
        if isinstance(said, Judgement):
            return replace(said, evidence="; ".join([said.evidence, *notes]))
        if said:
            notes.append(said)
    words = "nothing says how many there should be; a loss at the end would not show"
    return series.says(SeriesState.UNKNOWN, "; ".join([words, *notes]))


def _by_list(series: _Series) -> Judgement | None:
    """Compare with a DICOMDIR. What came besides it does no harm."""
    if not series.listed:
        return None
    absent = sorted(set(series.listed) - {image.SOPInstanceUID for image in series.images})
    words = f"DICOMDIR: lists {len(series.listed)}"
    state = SeriesState.INCOMPLETE if absent else SeriesState.COMPLETE
    names = [*_positions(series), *(f"SOPInstanceUID {uid}" for uid in absent)]
    return series.says(state, words, expected=len(series.listed), missing=names if absent else ())


def _by_count(series: _Series) -> Judgement | str | None:
    """Compare with the first number in the headers that can be the size of this series."""
    notes = []
    for claim in claims(series.images):
        count = len(claim.images)
        if count > claim.expected:
            notes.append(f"{claim.words} is {claim.expected}, yet there are {count}")
            continue
        if count < claim.expected:
            return _short(series, claim)
        if fault := Numbers(claim.images).fault():
            notes.append(f"{claim.words} = {claim.expected} as found, but {fault}")
            continue
        words = f"count: {claim.words} = {claim.expected}"
        return series.says(SeriesState.COMPLETE, words, expected=claim.expected)
    return "; ".join(notes)


def _short(series: _Series, claim: Claim) -> Judgement:
    """Name what a count misses, as far as positions and numbers tell."""
    lacking = claim.expected - len(claim.images)
    names = _names(series, Numbers(claim.images).holes(upto=claim.expected))
    return series.says(
        SeriesState.INCOMPLETE,
        f"count: {claim.words} = {claim.expected}, {lacking} missing",
        expected=claim.expected,
        missing=names or [*claim.missing] or [f"{lacking} images"],
    )


#: Objects that hold no slices: each is whole by itself, and no number of them belongs together.
DOCUMENTS = frozenset(
    # reports, references, presentations, plans
    {"SR", "KO", "PR", "DOC", "PLAN", "ASMT", "STAIN", "SMR"}
    # registrations and regions, drawn on other series
    | {"REG", "FID", "SEG", "RWV", "ANN", "TEXTUREMAP", "M3D", "RTSEGANN"}
    # radiotherapy
    | {"RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "RTINTENT", "RTRAD"}
    # curves over time
    | {"AU", "ECG", "EPS", "HD", "RESP", "EMG", "EEG", "EOG", "POS"}
)

#: One exposure, photograph or clip is one image; one of them alone is no part of a stack.
VIEWS = frozenset(
    {"CR", "DX", "MG", "IO", "PX", "RG", "RF", "XA", "RTIMAGE", "US", "IVUS", "NM"}
    | {"XC", "ES", "OP", "DMS", "GM", "SC", "OT"}
)


def _by_nature(series: _Series) -> Judgement | None:
    """Pass what is whole by itself, and say why it is."""
    kinds = {image.Modality for image in series.images}
    if kinds <= DOCUMENTS:
        names = ", ".join(sorted(str(kind) for kind in kinds))
        return series.says(SeriesState.COMPLETE, f"nature: {names} is no image of a stack")
    if len(series.images) > 1:
        return None
    image = series.images[0]
    if (image.frames or 1) > 1 and image.Modality != "SM":  # That may be one of many levels.
        words = f"nature: one object holds all {image.frames} frames"
    elif is_localizer(image):
        words = "nature: one LOCALIZER"
    elif image.Modality in VIEWS:
        words = f"nature: one {image.Modality} image, whole by itself"
    else:
        return None
    return series.says(SeriesState.COMPLETE, words, expected=1)


def _by_gaps(series: _Series) -> Judgement | None:
    """Find the places in stacks that nothing came for."""
    if positions := _positions(series):
        in_time = any("timepoints by" in (stack.split_by or "") for stack in series.stacks)
        words = f"geometry: a gap at {len(positions)} position{'s' * (len(positions) > 1)}"
        expected = None if in_time else len(series.images) + len(positions)
        names = _names(series, Numbers(series.images).holes())
        return series.says(SeriesState.INCOMPLETE, words, expected=expected, missing=names)
    if any(stack.reason == Reason.MISSING_SLICES for stack in series.stacks):
        words = "geometry: timepoints of unequal length"
        names = _names(series, Numbers(series.images).holes()) or ["slices of some timepoints"]
        return series.says(SeriesState.INCOMPLETE, words, missing=names)
    left = len(series.images) - _stacked(series)
    if 0 < left < len(series.images) and not any(stack.reason for stack in series.stacks):
        words = f"geometry: {left} images fill no whole timepoint; interrupted, or still arriving"
        return series.says(SeriesState.INCOMPLETE, words, missing=["the rest of a timepoint"])
    return None


#: What `split_by` names where the same positions are imaged again with another contrast.
CONTRASTS = frozenset({"EchoNumbers", "EchoTime", "FlipAngle", "KVP", "ConvolutionKernel"})
LIKENESSES = CONTRASTS | {"ImageType", "ComplexImageComponent"}


def _by_siblings(series: _Series) -> Judgement | str | None:
    """Compare echoes and timepoints: a sender that stops early leaves one of them short."""
    stacks = series.stacks
    if not stacks or any(stack.reason or not stack.shape for stack in stacks):
        return None
    split = {name for stack in stacks for name in _split(stack)}
    sizes = [_slices(stack) for stack in stacks]
    if len(stacks) > 1 and len(set(sizes)) > 1 and split <= CONTRASTS:
        words = f"geometry: {' and '.join(sorted(split))} divide it into unequal stacks"
        names = [
            f"{max(sizes) - size} of {max(sizes)} slices of {stack.split_by}"
            for stack, size in zip(stacks, sizes, strict=True)
            if size < max(sizes)
        ]
        expected = sum(max(sizes) * _timepoints(stack) for stack in stacks)
        return series.says(SeriesState.INCOMPLETE, words, expected=expected, missing=names)
    words = f"no gap in {len(stacks)} stack{'s' * (len(stacks) > 1)} of {_listing(sizes)} slices"
    volumes = sum(_timepoints(stack) for stack in stacks)
    alike = volumes > 1 and len(set(sizes)) == 1 and split <= LIKENESSES
    if not alike or not _end_would_show(series, sizes[0]):
        return words
    kind = "stacks" if len(stacks) > 1 else "timepoints"
    evidence = f"geometry: no gap, {volumes} {kind} of {sizes[0]} slices each, one after the other"
    return series.says(SeriesState.COMPLETE, evidence, expected=len(series.images))


def _end_would_show(series: _Series, slices: int) -> bool:
    """Whether a loss at the end would leave the last volume short.

    It would not when one file is a whole volume, nor when the numbers go through all echoes or
    moments of a position before they go to the next position.
    """
    numbers = Numbers(series.images)
    a_file_is_a_slice = _stacked(series) == len(series.images)
    return a_file_is_a_slice and numbers.fault() is None and numbers.last_block() == slices > 1


def _by_number(series: _Series) -> Judgement | str | None:
    """Look for holes in InstanceNumber; where it repeats, within each acquisition."""
    groups: dict[int | None, list[Image]] = {None: list(series.images)}
    if not Numbers(series.images).distinct:
        groups = defaultdict(list)
        for image in series.images:
            groups[image.AcquisitionNumber].append(image)
    holes = [hole for group in groups.values() for hole in Numbers(group).holes()]
    if not holes:
        return Numbers(series.images).words()
    words = f"InstanceNumber: {len(holes)} missing between the first and the last"
    return series.says(
        SeriesState.INCOMPLETE,
        words,
        expected=len(series.images) + len(holes),
        missing=_names(series, holes),
    )


def _positions(series: _Series) -> list[str]:
    """Name the positions that are missing, and the stack when there are several."""
    return [
        f"position {at:.2f} mm" + (f" ({stack.split_by})" if stack.split_by and several else "")
        for several in [len(series.stacks) > 1]
        for stack in series.stacks
        for at in stack.missing_slices or ()
    ]


def _names(series: _Series, holes: Sequence[int]) -> list[str]:
    """Name what is missing by position and by number; in one name when it must be the same."""
    positions = _positions(series)
    if len(positions) == len(holes) == 1:
        return [f"{positions[0]}, InstanceNumber {holes[0]}"]
    return [*positions, *(f"InstanceNumber {hole}" for hole in holes)]


def _stacked(series: _Series) -> int:
    """Count the slices that are in a volume."""
    return sum(_timepoints(stack) * _slices(stack) for stack in series.stacks)


def _slices(stack: StackRow) -> int:
    return stack.shape[-3] if stack.shape and len(stack.shape) >= 3 else 0


def _timepoints(stack: StackRow) -> int:
    return stack.shape[0] if stack.shape and len(stack.shape) == 4 else 1


def _split(stack: StackRow) -> list[str]:
    """Name what set a stack apart; how its timepoints were told apart does not."""
    parts = (stack.split_by or "").replace(", ", "; ").split("; ")
    return [part.split("=")[0] for part in parts if part and not part.startswith("timepoints by")]


def _listing(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"
