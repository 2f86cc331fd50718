"""Pure. Is a series all there? Evidence in, a state out, with the words for why.

The first rule that has something to say decides:

    gone            files that were here are not there any more; what else is said stands behind
    DICOMDIR        a directory that came along lists the instances by name
    count           the header says how many images there should be
    nature          one object is the whole of it (nature.py)
    geometry        a gap in a stack, echoes or timepoints of unequal length; or equal ones,
                    sent one after the other
    InstanceNumber  holes
    nothing         no rule decides; a loss at the end would not show

A sender that stops early leaves a stack without a gap and numbers without a hole. So these can
prove that something is missing, and never alone that nothing is: that is `unknown`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ingestd import lacking, nature
from ingestd.claims import Claim, Image, claims
from ingestd.errors import Reason
from ingestd.lacking import STACK_COLUMNS, Hole, Slice, StackRow
from ingestd.model import SeriesState
from ingestd.numbering import Numbers

__all__ = [
    "IMAGE_COLUMNS",
    "STACK_COLUMNS",
    "Image",
    "Judgement",
    "Slice",
    "StackRow",
    "is_counted",
    "judge",
]

IMAGE_COLUMNS = Image._fields
MISSING_SHOWN = 100  #: names in `missing`; the rest is counted
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known about a series that fell quiet."""

    state: SeriesState  #: complete, incomplete or unknown
    evidence: str  #: in words; the first one names the rule
    expected: int | None  #: how many images there should be, when something says so
    found: int
    missing: tuple[str, ...] = ()

    @property
    def is_gone(self) -> bool:
        """Whether it came, and nothing of it is left: somebody cleared it away."""
        return self.found == 0 and self.evidence.startswith("gone:")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    images: Sequence[Image]
    stacks: Sequence[StackRow]
    listed: Mapping[str, str]
    holes: Sequence[Hole] = ()

    def says(
        self,
        state: SeriesState,
        words: str,
        *,
        expected: int | None = None,
        missing: Iterable[str] = (),
    ) -> Judgement:
        """Make a judgement of this series."""
        return Judgement(
            state=state,
            evidence=words,
            expected=expected,
            found=len(self.images),
            missing=tuple(missing),
        )


def judge(
    images: Sequence[Image],
    stacks: Sequence[StackRow],
    *,
    slices: Sequence[Slice] = (),
    listed: Mapping[str, str] = NOTHING,
    gone: Mapping[str, str] = NOTHING,
) -> Judgement:
    """Say whether a series is all there.

    images  one for each instance of the series, in any order; none only when some are listed
    stacks  one for each row of `volume`; none when no volumes are built
    slices  where the slices of these stacks are; asked only for those with holes
    listed  what a DICOMDIR names for this series, if one came along: SOPInstanceUID to its file
    gone    the same of images whose files are not there any more, and where they were
    """
    assert images or listed, "a series of which nothing is known was judged"
    holes = lacking.holes(images, stacks, slices)
    said = _judge(_Series(images=images, stacks=stacks, listed=listed, holes=holes))
    if gone:
        said = _without(said, images, gone)
    if len(said.missing) > MISSING_SHOWN:
        more = f"and {len(said.missing) - MISSING_SHOWN} more"
        said = replace(said, missing=(*said.missing[:MISSING_SHOWN], more))
    return said


def is_counted(images: Sequence[Image], listed: Mapping[str, str] = NOTHING) -> bool:
    """Whether all images are here by a number or a list that does not depend on what is here."""
    if listed:
        return listed.keys() <= {image.SOPInstanceUID for image in images}
    for claim in filter(lambda claim: claim.is_possible, claims(images)):
        if len(claim.images) <= claim.expected:
            return claim.is_fixed and len(claim.images) == claim.expected and not _fault(claim)
    return False


def _judge(series: _Series) -> Judgement:
    notes: list[str] = []
    for rule in (_by_list, _by_count, _by_nature, _by_gaps, _by_siblings, _by_number):
        said = rule(series)
        if isinstance(said, Judgement):
            return replace(said, evidence="; ".join([said.evidence, *notes]))
        if said:
            notes.append(said)
    words = "nothing says how many there should be; a loss at the end would not show"
    return series.says(SeriesState.UNKNOWN, "; ".join([words, *notes]))


def _without(said: Judgement, images: Sequence[Image], gone: Mapping[str, str]) -> Judgement:
    """Take off the images whose files are gone: what was complete is not any more."""
    words = f"gone: {len(gone)} of {len(images)} files are not there any more"
    lost = [image for image in images if image.SOPInstanceUID in gone]
    names = (
        lacking.lost(image, gone[image.SOPInstanceUID])
        for image in sorted(lost, key=lambda one: (one.InstanceNumber or 0, one.SOPInstanceUID))
    )
    return replace(
        said,
        state=SeriesState.INCOMPLETE,
        evidence=f"{words}; with them, {said.evidence}",
        expected=max(said.expected or 0, len(images)),
        found=said.found - len(gone),
        missing=(*names, *said.missing),
    )


def _by_list(series: _Series) -> Judgement | None:
    """Compare with a DICOMDIR. What came besides it does no harm."""
    if not series.listed:
        return None
    here = {image.SOPInstanceUID for image in series.images}
    absent = sorted((file, uid) for uid, file in series.listed.items() if uid not in here)
    expected, words = len(series.listed), f"DICOMDIR: lists {len(series.listed)}"
    if absent:
        names = [lacking.listed(uid, file) for file, uid in absent]
        words += f", {len(absent)} missing"
        return series.says(SeriesState.INCOMPLETE, words, expected=expected, missing=names)
    others = (rule(series) for rule in (_by_count, _by_gaps, _by_number))
    doubts = [
        said.evidence
        for said in others
        if isinstance(said, Judgement) and said.state is SeriesState.INCOMPLETE
    ]
    words = "; yet ".join([f"{words}, all here", *doubts[:1]])
    return series.says(SeriesState.COMPLETE, words, expected=expected)


def _by_count(series: _Series) -> Judgement | str | None:
    """Compare with the first number in the headers that can be the size of this series."""
    notes = []
    for claim in claims(series.images):
        count = len(claim.images)
        if count > claim.expected:
            notes.append(f"{claim.words} is {claim.expected}, yet there are {count}")
            continue
        if not claim.is_possible:
            notes.append(f"{claim.words} is {claim.expected}, more than a series can have")
            continue
        if count < claim.expected:
            return _short(series, claim)
        if fault := _fault(claim):
            notes.append(f"{claim.words} = {claim.expected} as found, but {fault}")
            continue
        words = f"count: {claim.words} = {claim.expected}"
        return series.says(SeriesState.COMPLETE, words, expected=claim.expected)
    return "; ".join(notes)


def _fault(claim: Claim) -> str | None:
    return claim.fault or Numbers(claim.images).fault()


def _short(series: _Series, claim: Claim) -> Judgement:
    """Name what a count misses, as far as positions and numbers tell."""
    lost = claim.expected - len(claim.images)
    names = lacking.named(series.holes, Numbers(claim.images).holes(upto=claim.expected))
    return series.says(
        SeriesState.INCOMPLETE,
        f"count: {claim.words} = {claim.expected}, {lost} missing",
        expected=claim.expected,
        missing=names or [*claim.missing] or [f"{lost} images"],
    )


def _by_nature(series: _Series) -> Judgement | None:
    """Pass what is whole by itself, and say why it is."""
    words = nature.whole(series.images)
    if words is None:
        return None
    alone = len(series.images) == 1 and words.startswith("one ")
    return series.says(SeriesState.COMPLETE, f"nature: {words}", expected=1 if alone else None)


def _by_gaps(series: _Series) -> Judgement | None:
    """Find the places in stacks that nothing came for."""
    if holes := series.holes:
        counts = [hole.images for hole in holes]
        places = sum(len(stack.missing_slices or ()) for stack in series.stacks)
        words = f"geometry: a gap at {places} position{'s' * (places > 1)}"
        lost = sum(count or 0 for count in counts)
        uncounted = None in counts or len(holes) > lacking.MOST
        expected = None if uncounted else len(series.images) + lost
        names = lacking.named(holes, Numbers(series.images).holes())
        return series.says(SeriesState.INCOMPLETE, words, expected=expected, missing=names)
    if any(stack.reason == Reason.MISSING_SLICES for stack in series.stacks):
        words = "geometry: timepoints of unequal length"
        short = lacking.short_moments(series.images, series.stacks)
        names = [*short, *lacking.named([], Numbers(series.images).holes())]
        return series.says(
            SeriesState.INCOMPLETE, words, missing=names or ["slices of some timepoints"]
        )
    left = len(series.images) - _stacked(series)
    if 0 < left < len(series.images) and not any(stack.reason for stack in series.stacks):
        words = f"geometry: {left} images fill no whole timepoint; interrupted, or still arriving"
        short = lacking.short_moments(series.images, series.stacks)
        return series.says(
            SeriesState.INCOMPLETE, words, missing=short or ["the rest of a timepoint"]
        )
    return None


#: What `split_by` names where the same positions are imaged again with another contrast.
CONTRASTS = frozenset({"EchoNumbers", "EchoTime", "FlipAngle", "KVP", "ConvolutionKernel"})
LIKENESSES = CONTRASTS | {"ImageType", "ComplexImageComponent"}


def _by_siblings(series: _Series) -> Judgement | str | None:
    """Compare echoes and timepoints: a sender that stops early leaves one of them short."""
    stacks = series.stacks
    if not stacks or any(stack.reason or not stack.shape for stack in stacks):
        return None
    split = {name for stack in stacks for name in stack.split}
    sizes = [stack.slices for stack in stacks]
    if len(stacks) > 1 and len(set(sizes)) > 1 and split <= CONTRASTS:
        words = f"geometry: {' and '.join(sorted(split))} divide it into unequal stacks"
        names = [
            f"{max(sizes) - size} of {max(sizes)} slices of {stack.split_by}"
            for stack, size in zip(stacks, sizes, strict=True)
            if size < max(sizes)
        ]
        expected = sum(max(sizes) * stack.timepoints for stack in stacks)
        return series.says(SeriesState.INCOMPLETE, words, expected=expected, missing=names)
    words = f"no gap in {len(stacks)} stack{'s' * (len(stacks) > 1)} of {_listing(sizes)} slices"
    volumes = sum(stack.timepoints for stack in stacks)
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
        missing=lacking.named(series.holes, holes),
    )


def _stacked(series: _Series) -> int:
    """Count the slices that are in a volume."""
    return sum(stack.timepoints * stack.slices for stack in series.stacks)


def _listing(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"
