"""Pure. What a header says of how a frame is shown: everything but the pixels themselves.

Headers of one series say the same of it, byte for byte. So it is worked out once for the same
elements, with pydicom, and kept.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from ingestd.dicom import grey, revive
from ingestd.dicom.elements import Kind, raw
from ingestd.dicom.encoding import Dialect
from ingestd.dicom.header import Header
from ingestd.dicom.layout import Layout, layout
from ingestd.dicom.palette import Palette, palette
from ingestd.dicom.windowing import Modality, Voi

#: A header with more than so many bytes of these elements is not remembered.
MOST_BYTES = 1 << 15
REMEMBERED = 256
TRANSFER_SYNTAX = 0x00020010

_KEYWORDS = (
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *("SOPClassUID", "TotalPixelMatrixRows", "TotalPixelMatrixColumns"),
    "DimensionOrganizationType",
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "DoseGridScaling"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("PresentationLUTShape", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *(f"{one}PaletteColorLookupTableDescriptor" for one in ("Red", "Green", "Blue")),
    *(f"{one}PaletteColorLookupTableData" for one in ("Red", "Green", "Blue")),
    *(f"Segmented{one}PaletteColorLookupTableData" for one in ("Red", "Green", "Blue")),
)
#: The elements that a picture depends on, and no others.
WANTED = frozenset(tag for word in _KEYWORDS if (tag := tag_for_keyword(word)) is not None)
#: Of these, what often differs from slice to slice: `grey.modality` and `grey.vois` alone ask.
VARYING = frozenset({0x00281050, 0x00281051, 0x00281052, 0x00281053})


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """How one frame is shown."""

    aspect: float  #: height of a pixel divided by its width
    modality: Modality
    vois: tuple[tuple[str, Voi], ...]  #: with their `window_source`, best first
    inverted: bool  #: the smallest value is white
    padding: tuple[float, float] | None  #: stored values from one to the other are no picture
    palette: Palette | None  #: for PALETTE COLOR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class About:
    """What a header says of its pixels."""

    at: Layout
    dataset: Dataset
    known: Showing | None  #: of the only frame

    def showing(self, frame: int) -> Showing:
        """Say how a frame is shown; raises IngestError as `palette.palette`."""
        return self.known or showing(self.dataset, self.at, frame)


Elements = tuple[tuple[Kind, bytes], ...]  # As they are in the file


class _Key(NamedTuple):
    """All that a picture depends on but for the pixels."""

    dialect: Dialect
    meta: Elements
    top: Elements
    pixels: revive.PixelElement


def about(dataset: Dataset) -> About:
    """Say what there is to know of a data set.

    raises  IngestError as `layout.layout`
    """
    return About(at=layout(dataset), dataset=dataset, known=None)


def about_header(header: Header) -> About:
    """Say what there is to know of a header that has pixels, from memory where it can.

    raises  IngestError as `layout.layout` and, for a single frame, `palette.palette`
    """
    walk = header.walk
    assert walk.pixels is not None, "nothing to show"
    top = tuple([(at.kind, at.value) for at in walk.top if at.kind.tag in WANTED])
    meta = tuple([(at.kind, at.value) for at in walk.meta if at.kind.tag == TRANSFER_SYNTAX])
    key = _Key(header.dialect, meta, top, revive.pixel_element(walk.pixels))
    small = sum([len(value) for _, value in top]) <= MOST_BYTES
    return _remembered(key) if small else _worked_out(key)


@lru_cache(maxsize=REMEMBERED)
def _remembered(key: _Key) -> About:
    """Work out what varies from slice to slice, and take the rest from memory."""
    same = _steady(key._replace(top=tuple([one for one in key.top if one[0].tag not in VARYING])))
    if same.known is None:
        return _worked_out(key)
    dataset = _assembled(key)
    modality, vois = grey.modality(dataset, 0), tuple(grey.vois(dataset, 0))
    return About(
        at=same.at, dataset=dataset, known=replace(same.known, modality=modality, vois=vois)
    )


def _worked_out(key: _Key) -> About:
    dataset = _assembled(key)
    at = layout(dataset)
    known = showing(dataset, at, 0) if at.frames == 1 else None
    return About(at=at, dataset=dataset, known=known)


_steady = lru_cache(maxsize=REMEMBERED)(_worked_out)


def _assembled(key: _Key) -> Dataset:
    meta, top = ([raw(*one, key.dialect) for one in elements] for elements in (key.meta, key.top))
    return revive.assembled(key.dialect, meta, top, key.pixels)


def showing(dataset: Dataset, at: Layout, frame: int) -> Showing:
    """Collect what a header says of showing one frame.

    raises  IngestError as `palette.palette`
    """
    coloured = at.photometric == "PALETTE COLOR" and at.samples == 1
    return Showing(
        aspect=_pixel_aspect(dataset, frame),
        modality=grey.modality(dataset, frame),
        vois=tuple(grey.vois(dataset, frame)),
        inverted=grey.inverted(dataset, at.photometric),
        padding=grey.padding(dataset),
        palette=palette(dataset, big_endian=at.big_endian) if coloured else None,
    )


def _pixel_aspect(dataset: Dataset, frame: int) -> float:
    """Give the height of a pixel divided by its width; 1 when the header does not say.

    spec  PS3.3 10.7.1.3 for spacings (row first), C.7.6.3.1.7 for PixelAspectRatio
    """
    measures = grey.functional_groups(dataset, frame, "PixelMeasuresSequence")
    for place in (*measures, dataset):
        for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
            pair = grey.numbers(place, keyword)
            if len(pair) == 2 and min(pair) > 0:
                return pair[0] / pair[1]
    return 1.0
