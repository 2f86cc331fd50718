"""Edge: one file of a series, if it is still the one the catalog knows: header, place of pixels."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING

from ingestd import inflating
from ingestd.dicom import frames, mosaic
from ingestd.dicom.layout import (
    BAD_VALUE,
    BIG_ENDIAN,
    LITTLE_ENDIAN,
    PIXEL_KEYWORDS,
    Layout,
    layout,
)
from ingestd.dicom.scan import IMPLICIT, Scan
from ingestd.dicom.scan import Pixels as PixelPlace
from ingestd.errors import IngestError, Reason
from ingestd.holding import Files, Held, io_error, is_io, open_unchanged
from ingestd.model import SeriesFile

if TYPE_CHECKING:
    from pydicom import Dataset

#: Syntaxes whose pixel bytes lie in the file as they lie in memory.
STRAIGHT = {IMPLICIT.decode(), LITTLE_ENDIAN, BIG_ENDIAN}
DEFLATED = "1.2.840.10008.1.2.1.99"
LONG_VRS = {b"OB", b"OW", b"OF", b"OD", b"UN", b"OV"}
PIXEL_TAGS = {
    0x7FE00010: "PixelData",
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
}
UNDEFINED = 0xFFFFFFFF

MOST_RESCALE = 1e30  #: no slope and no intercept is larger; volumes hold 32-bit floats

Rescale = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of the series, as far as its pixels go."""

    index: int  #: its place in the job
    file: SeriesFile
    layout: Layout
    offset: int | None  #: of the first pixel byte, or None when a decoder has to be asked
    length: int  #: bytes of one frame, when `offset` is not None
    deflated: bool  #: `offset` counts inflated bytes
    rescale: tuple[Rescale, ...]  #: slope and intercept of each frame, or one for all
    tiles: int | None  #: slices in the mosaic, or None
    #: Offset of the fragments of the one frame, when that is known.
    packed: int | None = field(default=None, compare=False)
    held: Held | None = field(default=None, compare=False)  #: since its header was read

    def hold(self) -> Held:
        """Open it, unless it is.

        raises  IngestError as `Files.hold`
        """
        if self.held is not None:
            with suppress(IngestError):  # It is worth another look, and there may be a copy.
                self.held.see_unchanged()
                return self.held
        return Files().hold(self.file)

    @property
    def is_whole(self) -> bool:
        """Whether the file is long enough for all of its pixels; a decoder finds out by itself."""
        if self.offset is None or self.deflated:
            return True
        return self.offset + self.length * self.layout.frames <= self.file.size_bytes

    def rescale_of(self, frame: int) -> Rescale:
        """Return slope and intercept of one frame."""
        return self.rescale[0] if len(self.rescale) == 1 else self.rescale[frame]


def whole(file: SeriesFile) -> Dataset:
    """Read a file with its pixels, if it is still the one the catalog knows, or else a copy.

    raises  IngestError as `open_unchanged`, or `decoder_failed` when pydicom cannot read it
    """
    with open_unchanged(file) as handle:
        return parsed(handle)


def parsed(handle: BufferedReader) -> Dataset:
    """Read an open file with its pixels.

    raises  IngestError as `io_error`, or `decoder_failed` when pydicom cannot read it
    """
    import pydicom  # noqa: PLC0415 -- plain images do without it

    try:
        return pydicom.dcmread(handle, force=True)
    except (OSError, NotImplementedError, *BAD_VALUE) as error:
        if is_io(error):
            raise io_error(error) from error
        words = f"pydicom cannot read it ({type(error).__name__})"
        raise IngestError(Reason.DECODER_FAILED, words) from error


def header(file: SeriesFile) -> tuple[Dataset, int | None, int]:
    """Read a header, up to the pixels.

    return  the header, with an empty element where the pixels are; the offset of their first byte
            and their length when they lie in the file as in memory, else None and 0
    raises  IngestError as `open_unchanged`, or `not_dicom` when there is no reading it
    """
    import pydicom  # noqa: PLC0415 -- plain images do without it
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415

    with open_unchanged(file) as handle:
        try:
            if found := inflating.header(handle):
                return _inflated(*found)
            handle.seek(0)
            dataset = pydicom.dcmread(handle, stop_before_pixels=True, force=True)
            offset, length = _pixel_element(handle, dataset)
        except (OSError, InvalidDicomError, NotImplementedError, *BAD_VALUE) as error:
            if is_io(error):
                raise io_error(error) from error
            words = f"the header cannot be read ({type(error).__name__})"
            raise IngestError(Reason.NOT_DICOM, words) from error
    return dataset, offset, length


def packed(found: Scan) -> int | None:
    """Give the offset of the fragments, when the pixels are compressed."""
    tag, _, offset, length = found.pixels
    compressed = length == UNDEFINED and found.syntax.decode("ascii", "replace") not in STRAIGHT
    return offset if compressed and PIXEL_TAGS[tag] == "PixelData" else None


def pixels_of(found: Scan) -> tuple[str, int | None, int]:
    """Say where the pixels are: keyword, and offset and length as `header` gives them."""
    tag, vr, offset, length = found.pixels
    straight = length != UNDEFINED and found.syntax.decode("ascii", "replace") in STRAIGHT
    if vr and vr not in LONG_VRS:
        straight = False
    return PIXEL_TAGS[tag], *((offset, length) if straight else (None, 0))


def _pixel_element(handle: BufferedReader, dataset: Dataset) -> tuple[int | None, int]:
    """Parse the header of the pixel element, and put an empty one into the data set."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    begin = handle.tell()
    start = handle.read(12)
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") or "")
    if syntax == DEFLATED:
        _deflated(handle, dataset)
        return None, 0
    if len(start) < 8:
        return None, 0
    group, element = struct.unpack(order + "HH", start[:4])
    keyword = PIXEL_TAGS.get(group << 16 | element)
    if keyword is None:
        return None, 0
    setattr(dataset, keyword, b"")
    if implicit:
        offset, (length,) = begin + 8, struct.unpack(order + "I", start[4:8])
    elif start[4:6] in LONG_VRS and len(start) == 12:
        dataset[keyword].VR = start[4:6].decode()
        offset, (length,) = begin + 12, struct.unpack(order + "I", start[8:12])
    else:
        return None, 0
    straight = length != UNDEFINED and (not syntax or syntax in STRAIGHT)
    return (offset, length) if straight else (None, 0)


def _inflated(elements: bytes, found: PixelPlace) -> tuple[Dataset, int | None, int]:
    """Make the header of a deflated file, from its elements in front of the pixels."""
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 -- plain images do without it
    from pydicom.filereader import read_dataset  # noqa: PLC0415
    from pydicom.uid import UID  # noqa: PLC0415

    tag, vr, offset, length = found
    dataset = read_dataset(BytesIO(elements), is_implicit_VR=False, is_little_endian=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(DEFLATED)
    setattr(dataset, PIXEL_TAGS[tag], b"")
    dataset[PIXEL_TAGS[tag]].VR = vr.decode()
    return (dataset, offset, length) if length != UNDEFINED else (dataset, None, 0)


def _deflated(handle: BufferedReader, dataset: Dataset) -> None:
    """Put an empty pixel element into the data set of a deflated file that is not plain."""
    import pydicom  # noqa: PLC0415 -- plain images do without it

    handle.seek(0)
    whole = pydicom.dcmread(handle, force=True)
    for keyword in PIXEL_KEYWORDS:
        if keyword in whole:
            setattr(dataset, keyword, b"")


def source(
    index: int, file: SeriesFile, dataset: Dataset, offset: int | None, length: int
) -> Source:
    """Keep of a header what its pixels need.

    raises  IngestError `no_pixels` or `decoder_failed`
    """
    at = layout(dataset)
    try:
        rescale = tuple(_rescale(dataset, at.frames))
        if not all(abs(one) <= MOST_RESCALE for pair in rescale for one in pair):
            raise ValueError("not a number, or none that a volume could hold")
    except BAD_VALUE as error:
        words = f"slope or intercept cannot be read ({type(error).__name__})"
        raise IngestError(Reason.DECODER_FAILED, words) from error
    size = at.frame_bits // 8
    straight = (
        offset is not None
        and at.bits_allocated >= 8
        and not (at.swapped or at.subsampled)
        and (at.samples == 1 or (at.photometric == "RGB" and not at.planar))
    )
    found = Source(
        index=index,
        file=file,
        layout=at,
        offset=offset if straight else None,
        length=size,
        deflated=at.syntax == DEFLATED,
        rescale=rescale,
        tiles=mosaic.tiles(dataset) if at.frames == 1 else None,
    )
    if straight and (length < size * at.frames or not found.is_whole):
        there = length if found.deflated else min(length, file.size_bytes - (offset or 0))
        words = f"truncated: {there} bytes of pixels, {size * at.frames} are declared"
        raise IngestError(Reason.DECODER_FAILED, words)
    return found


def _rescale(dataset: Dataset, count: int) -> list[Rescale]:
    """Read slope and intercept: of each frame when frames have their own, else one for all."""
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence") or [{}]
    if groups and len(groups) == count:
        items = [frames.item("PixelValueTransformationSequence", own, shared[0]) for own in groups]
        found = [_slope(one if one is not None else dataset) for one in items]
        return found if len(set(found)) > 1 else found[:1]
    if dose := dataset.get("DoseGridScaling"):
        return [(float(dose), 0.0)]
    return [_slope(dataset)]


def _slope(dataset: Dataset) -> Rescale:
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is None or slope == "":
        return 1.0, float(intercept or 0)
    return float(slope), float(intercept or 0)
