"""Pure. What the headers of a series claim about its size, and what its InstanceNumbers tell.

A number in a header describes an acquisition, and an image that was derived from it may carry
the number along: for derived images a claim counts only when it fits exactly.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ingestd.numbering import Numbers

#: A number up to this may be the size of a series, and one that is not so many times what is here.
MOST, TIMES_MORE = 100_000, 10


class Image(NamedTuple):
    """One instance of a series; the names are those of the columns of `instance`."""

    SOPInstanceUID: str
    SOPClassUID: str | None = None
    InstanceNumber: int | None = None
    frames: int | None = None
    Modality: str | None = None
    ImageType: Sequence[str] | None = None
    SeriesType: Sequence[str] | None = None
    AcquisitionNumber: int | None = None
    TemporalPositionIdentifier: int | None = None
    ImagesInAcquisition: int | None = None
    NumberOfTemporalPositions: int | None = None
    NumberOfSlices: int | None = None
    NumberOfTimeSlices: int | None = None
    ImageIndex: int | None = None
    CardiacNumberOfImages: int | None = None
    InConcatenationTotalNumber: int | None = None
    NumberOfSeriesRelatedInstances: int | None = None
    EchoTime: float | None = None
    TriggerTime: float | None = None
    DiffusionBValue: float | None = None

    @property
    def moment(self) -> tuple[float | None, ...]:
        """What tells it from another image at the same position."""
        return (
            self.TemporalPositionIdentifier,
            self.AcquisitionNumber,
            self.EchoTime,
            self.TriggerTime,
            self.DiffusionBValue,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How many images there should be, and which ones that counts."""

    words: str  #: the attributes it was made from
    expected: int
    images: Sequence[Image]
    missing: tuple[str, ...] = ()  #: what it knows to be missing
    fault: str | None = None  #: what speaks against these being the ones that were counted
    is_fixed: bool = False  #: the same whatever is here so far

    @property
    def is_possible(self) -> bool:
        """Whether a series can be so large; else there would be no end of what is missing."""
        return is_possible(self.expected, self.images)


def is_possible(expected: int, images: Sequence[Image]) -> bool:
    """Whether these images may be of a series of so many."""
    return expected <= max(MOST, TIMES_MORE * len(images))


def is_derived(image: Image) -> bool:
    """Whether its pixels were made from other images (PS3.3 C.7.6.1.1.2)."""
    return _first(image.ImageType) == "DERIVED"


def is_localizer(image: Image) -> bool:
    """Whether it is a scout, on which slices are planned (PS3.3 C.8.2.1.1.1)."""
    return "LOCALIZER" in (image.ImageType or ())


def claims(images: Sequence[Image]) -> Iterator[Claim]:
    """Make the claims of a series, the most telling first."""
    if parts := _agreed(images, "InConcatenationTotalNumber"):
        words = "InConcatenationTotalNumber"
        yield Claim(words=words, expected=parts, images=images, is_fixed=True)
    flat = [image for image in images if (image.frames or 1) == 1 and not is_localizer(image)]
    acquired = [image for image in flat if not is_derived(image)]
    for claim in (_acquisition, _temporal, _pet, _cardiac):
        if acquired:
            made = claim(acquired)
        else:
            made = claim(flat)
            made = made if made and made.expected == len(flat) else None
        if made:
            yield made
    if related := _agreed(images, "NumberOfSeriesRelatedInstances"):
        words = "NumberOfSeriesRelatedInstances"
        yield Claim(words=words, expected=related, images=images, is_fixed=True)


def _agreed(images: Sequence[Image], name: str) -> int | None:
    """Return a number that all images share; none when it is absent, below 1 or disputed."""
    values = {getattr(image, name) for image in images}
    value = values.pop() if len(values) == 1 else None
    return value if isinstance(value, int) and value > 0 else None


def _first(values: Sequence[str] | None) -> str | None:
    return next(iter(values or ()), None)


def _moments(images: Sequence[Image]) -> Counter[int]:
    """Count the images of each temporal position, when all of them say which is theirs."""
    moments = Counter(image.TemporalPositionIdentifier for image in images)
    return Counter({moment: n for moment, n in moments.items() if moment and None not in moments})


def _acquisition(images: Sequence[Image]) -> Claim | None:
    """ImagesInAcquisition: of one temporal position (GE, Philips), of all, or of a part."""
    size = _agreed(images, "ImagesInAcquisition")
    times = _agreed(images, "NumberOfTemporalPositions") or 1
    words, moments = "ImagesInAcquisition", _moments(images)
    if size is None:
        return _acquisitions(images)
    if times == 1 and len(images) > size:
        return _acquisitions(images) or Claim(words=words, expected=size, images=images)
    of_one_moment = len(moments) == 1 and 1 not in moments  # The others are series of their own.
    of_all_moments = len(moments) == times and len(images) == size
    if times == 1 or of_one_moment or of_all_moments:
        fixed = not (of_one_moment or of_all_moments)
        fault = _unended(images, size // times) if of_all_moments and times > 1 else None
        return Claim(words=words, expected=size, images=images, is_fixed=fixed, fault=fault)
    words += " x NumberOfTemporalPositions"
    return _in_time(words, images, size, times, is_fixed=True)


def _in_time(
    words: str, images: Sequence[Image], size: int, times: int, *, is_fixed: bool = False
) -> Claim:
    """So many images at each of so many temporal positions."""
    moments = _moments(images)
    missing = _lacking(moments, size, times) if is_possible(size * times, images) else ()
    return Claim(
        words=words,
        expected=size * times,
        images=images,
        missing=missing,
        fault=_crowded(moments, size, times),
        is_fixed=is_fixed,
    )


def _acquisitions(images: Sequence[Image]) -> Claim | None:
    """Several acquisitions in one series, each with a number of its own.

    A size of 1 says nothing: a scanner that counts each slice as an acquisition would be
    believed to be done after every slice.
    """
    parts: dict[int | None, set[int | None]] = {}
    for image in images:
        parts.setdefault(image.AcquisitionNumber, set()).add(image.ImagesInAcquisition)
    sizes = [max(sizes, key=lambda size: size or 0) or 0 for sizes in parts.values()]
    if any(len(sizes) > 1 for sizes in parts.values()) or len(parts) < 2 or min(sizes) < 2:
        return None
    words = f"ImagesInAcquisition of {len(parts)} acquisitions"
    found = Counter(image.AcquisitionNumber for image in images)
    lacking = tuple(
        f"{size - found[number]} images of acquisition {number}"
        for number, size in zip(parts, sizes, strict=True)
        if found[number] < size
    )
    return Claim(words=words, expected=sum(sizes), images=images, missing=lacking)


def _temporal(images: Sequence[Image]) -> Claim | None:
    """NumberOfTemporalPositions, each as long as the longest one that is here."""
    times, moments = _agreed(images, "NumberOfTemporalPositions"), _moments(images)
    if not times or times < 2 or len(moments) < 2:
        return None
    if times * (_agreed(images, "ImagesInAcquisition") or 0) == len(images):
        return None  # That is how long one is, and what was wrong with it was said.
    size = max(moments.values())
    claim = _in_time(f"NumberOfTemporalPositions x {size} images", images, size, times)
    return replace(claim, fault=claim.fault or _unended(images, size))


def _unended(images: Sequence[Image], size: int) -> str | None:
    """Say that a loss at the end would leave all temporal positions alike, unless it would not.

    It would where a sender goes through all of them at one place before the next place.
    """
    last = Numbers(images).last_block(lambda image: image.TemporalPositionIdentifier)
    return None if last == size > 1 else "a loss at the end of each would not show"


def _lacking(moments: Counter[int], size: int, times: int) -> tuple[str, ...]:
    """Name the temporal positions that are short."""
    if not moments:
        return ()
    return tuple(
        f"{size - moments[moment]} of {size} images of temporal position {moment}"
        for moment in range(1, times + 1)
        if moments[moment] < size
    )


def _crowded(moments: Counter[int], size: int, times: int) -> str | None:
    """Say which temporal position there should not be, or has images that others should have."""
    for moment, count in sorted(moments.items()):
        if moment > times:
            return f"TemporalPositionIdentifier {moment} is not one of {times}"
        if count > size:
            return f"TemporalPositionIdentifier {moment} has {count} images, not {size}"
    return None


def _pet(images: Sequence[Image]) -> Claim | None:
    """NumberOfSlices, in DYNAMIC series of each time slice (PS3.3 C.8.9.1). Gated ones vary."""
    slices = _agreed(images, "NumberOfSlices")
    kinds = {_first(image.SeriesType) for image in images}
    if slices is None or kinds & {"GATED"}:
        return None
    if times := _agreed(images, "NumberOfTimeSlices"):
        return _indexed("NumberOfSlices x NumberOfTimeSlices", images, slices * times)
    if kinds & {"DYNAMIC"}:
        return None
    return _indexed("NumberOfSlices", images, slices)


def _indexed(words: str, images: Sequence[Image], expected: int) -> Claim:
    """Images of which each has its ImageIndex, from 1 to their number (PS3.3 C.8.9.4)."""
    indices = Counter(image.ImageIndex for image in images)
    fault: str | None = None
    missing: tuple[str, ...] = ()
    if None not in indices:
        known = sorted(index for index in indices if index is not None)
        twice, times = indices.most_common(1)[0]
        if known[0] < 1 or known[-1] > expected:
            out = known[0] if known[0] < 1 else known[-1]
            fault = f"ImageIndex {out} is not one of {expected}"
        elif times > 1:
            fault = f"ImageIndex {twice} comes {times} times"
        elif is_possible(expected, images):
            lost = sorted(set(range(1, expected + 1)) - set(known))
            missing = tuple(f"ImageIndex {index}" for index in lost)
    return Claim(
        words=words,
        expected=expected,
        images=images,
        missing=missing,
        fault=fault,
        is_fixed=True,
    )


def _cardiac(images: Sequence[Image]) -> Claim | None:
    """CardiacNumberOfImages: the phases of one heart cycle, at each position."""
    phases = _agreed(images, "CardiacNumberOfImages")
    if phases is None or phases < 2:
        return None
    places = -(-len(images) // phases)
    words = "CardiacNumberOfImages" + (f" x {places} positions" if places > 1 else "")
    return Claim(words=words, expected=phases * places, images=images)
