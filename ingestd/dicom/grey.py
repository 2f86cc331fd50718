"""Pure. What a header says of grey: modality step, VOI steps, inversion and padding of a frame."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ingestd.dicom.layout import BAD_VALUE
from ingestd.dicom.windowing import Lut, Modality, Rescale, Voi, Window


def modality(dataset: Dataset, frame: int) -> Modality:
    """Give the step from stored to modality values; the identity when the header has none.

    spec  PS3.3 C.11.1; C.7.6.16.2.9 for enhanced objects; C.8.8.3 for dose
    """
    places = (*functional_groups(dataset, frame, "PixelValueTransformationSequence"), dataset)
    for place in places:
        luts = list(_luts(place, "ModalityLUTSequence"))
        if luts:
            return luts[0]
        slope, intercept = numbers(place, "RescaleSlope"), numbers(place, "RescaleIntercept")
        if slope and slope[0] != 0:  # Zero would make every picture flat; nobody means it.
            return Rescale(slope=slope[0], intercept=intercept[0] if intercept else 0.0)
    scaling = numbers(dataset, "DoseGridScaling")
    return Rescale(slope=scaling[0]) if scaling and scaling[0] > 0 else Rescale()


def vois(dataset: Dataset, frame: int) -> Iterator[tuple[str, Voi]]:
    """Yield the VOI steps that the header offers, best first, each with its `window_source`.

    spec  PS3.3 C.11.2; C.7.6.16.2.10 for enhanced objects
    """
    for place in (*functional_groups(dataset, frame, "FrameVOILUTSequence"), dataset):
        for lut in _luts(place, "VOILUTSequence"):
            yield "voi_lut", lut
        function = _word(place, "VOILUTFunction") or "LINEAR"
        pairs = zip(numbers(place, "WindowCenter"), numbers(place, "WindowWidth"), strict=False)
        for center, width in pairs:
            window = Window(center=center, width=width, function=function)
            if window.defined:
                yield "window", window


def inverted(dataset: Dataset, photometric: str) -> bool:
    """Whether the smallest value is white (PS3.3 C.7.6.3.1.2, C.11.6)."""
    return photometric == "MONOCHROME1" or _word(dataset, "PresentationLUTShape") == "INVERSE"


def padding(dataset: Dataset) -> tuple[float, float] | None:
    """Give the first and the last stored value that is no picture; None when there is none.

    spec  PS3.3 C.7.5.1.1.2
    """
    value = numbers(dataset, "PixelPaddingValue")
    if not value:
        return None
    limit = numbers(dataset, "PixelPaddingRangeLimit") or value
    low, high = sorted((value[0], limit[0]))
    return low, high


def without_padding(values: NDArray[Any], between: tuple[float, float] | None) -> NDArray[Any]:
    """Leave the values that are picture.

    values   any shape, stored values
    between  as `padding` gives it
    return   flat; all of them when there is no padding, or nothing would remain
    """
    if between is None:
        return values
    low, high = between
    kept: NDArray[Any] = values[(values < low) | (values > high)]
    return kept if kept.size else values


def functional_groups(dataset: Dataset, frame: int, keyword: str) -> Iterator[Dataset]:
    """Yield the item of one functional group: this frame's own first, then the shared one."""
    own = _items(dataset, "PerFrameFunctionalGroupsSequence")[frame : frame + 1]
    for group in (*own, *_items(dataset, "SharedFunctionalGroupsSequence")[:1]):
        yield from _items(group, keyword)[:1]


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Give the numbers of an element; none when it is absent, empty or no number at all.

    Beyond 1e30 nothing is measured and arithmetic ends; below 1e-30 it is zero.
    """
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return []
        several = [value] if isinstance(value, (int, float, str)) else list(value)
        found = [float(one) for one in several]
    except BAD_VALUE:
        return []
    if not all(abs(one) < 1e30 for one in found):  # Not a number is not less either.
        return []
    return [one if abs(one) > 1e-30 else 0.0 for one in found]


def _word(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "").strip().upper()
    except BAD_VALUE:
        return ""


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        return list(dataset.get(keyword) or ())
    except BAD_VALUE:
        return []


def _luts(place: Dataset, keyword: str) -> Iterator[Lut]:
    """Yield the tables of a sequence that can be used."""
    for item in _items(place, keyword):
        descriptor = numbers(item, "LUTDescriptor")
        try:
            data = item.get("LUTData")
        except BAD_VALUE:
            continue
        if len(descriptor) != 3 or not data:
            continue
        entries, first, bits = int(descriptor[0]) or 1 << 16, int(descriptor[1]), descriptor[2]
        table = _table(data, entries)
        if table.size and 1 <= bits <= 16:
            yield Lut(first=first, table=table, bits=int(bits))


def _table(data: object, entries: int) -> NDArray[np.uint16]:
    """Read LUTData: words, or bytes packed two to a word (PS3.3 C.11.1.1.1)."""
    if isinstance(data, bytes):
        kind = np.dtype("u1") if len(data) < 2 * entries else np.dtype("<u2")
        whole = len(data) // kind.itemsize * kind.itemsize
        return np.frombuffer(data[:whole], kind)[:entries].astype(np.uint16)
    words = np.atleast_1d(np.asarray(data, np.int64)).astype(np.uint16)
    if words.size < entries <= 2 * words.size:
        return words.view(np.uint8)[:entries].astype(np.uint16)
    return words[:entries]
