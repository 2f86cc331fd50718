"""Pure. A header becomes the planes in it: of a plain image, a multi-frame one or a mosaic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ingestd.dicom import frames, mosaic
from ingestd.dicom.layout import BAD_VALUE, PIXEL_KEYWORDS
from ingestd.dicom.plane import Plane, Value, Vector
from ingestd.errors import IngestError, Reason

if TYPE_CHECKING:
    from pydicom import Dataset

UNIT_TOLERANCE = 0.01  #: direction cosines this far from length 1 are no directions
RIGHT_ANGLE = 0.01  #: cosine between row and column above which they are not perpendicular

MOST_MM = 1e6  #: a kilometre: further away, and below one part of it, nothing was measured

#: What always sets slices apart, in the order in which `split_by` names it.
CLASSES = (
    "SeriesNumber",
    "Modality",
    "ImageType",
    "ComplexImageComponent",
    "EchoNumbers",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PixelSpacing",
    "FrameOfReferenceUID",
    "StackID",
)

#: What may tell slices at one position apart; `splitting` says which of them are time.
KEYS = (
    "AcquisitionDateTime",
    "AcquisitionNumber",
    "AcquisitionTime",
    "ContentTime",
    "ConvolutionKernel",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "EchoTime",
    "FlipAngle",
    "FrameReferenceTime",
    "InversionTime",
    "KVP",
    "NominalPercentageOfCardiacPhase",
    "TemporalPositionIdentifier",
    "TriggerTime",
)

SEGMENTATIONS = {
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation Storage
    "1.2.840.10008.5.1.4.1.1.66.5",  # Surface Segmentation Storage
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation Storage
}


def planes(dataset: Dataset) -> list[Plane]:
    """Find every plane in one image.

    dataset  the header; its pixel data may be left out, but an element must stand in for it
    raises   IngestError `no_pixels`, `segmentation` or `no_geometry`
    """
    try:
        if not any(keyword in dataset for keyword in PIXEL_KEYWORDS):
            raise IngestError(Reason.NO_PIXELS, "there are no pixels in it")
        if str(dataset.get("SOPClassUID")) in SEGMENTATIONS:
            raise IngestError(
                Reason.SEGMENTATION,
                "its frames are segments, drawn on the slices of another series",
            )
        if (
            "PerFrameFunctionalGroupsSequence" in dataset
            and dataset.PerFrameFunctionalGroupsSequence
        ):
            return [_plane(dataset, one) for one in frames.functional(dataset)]
        if mosaic.tiles(dataset) is not None:
            return [_plane(dataset, one) for one in mosaic.unfold(dataset)]
        if int(dataset.get("NumberOfFrames") or 1) > 1:
            return [_plane(dataset, one) for one in frames.offset(dataset)]
        return [_plane(dataset, {})]
    except BAD_VALUE as error:
        words = f"a position, orientation or spacing cannot be read ({type(error).__name__})"
        raise IngestError(Reason.NO_GEOMETRY, words) from error


def value(dataset: Dataset, keyword: str) -> Value:
    """Give an element as something that compares and prints; None when absent or empty."""
    found = dataset.get(keyword)
    if isinstance(found, Sequence) and not isinstance(found, str | bytes):
        return tuple(_simple(one) for one in found) or None
    return None if found is None or found == "" else _simple(found)


def _simple(one: object) -> str | float:
    return float(one) if isinstance(one, float | int) else str(one)


def _plane(dataset: Dataset, own: Mapping[str, Any]) -> Plane:
    """Make one plane of what the image says and of what one frame says for itself."""

    def get(keyword: str) -> Any:
        return own[keyword] if keyword in own else dataset.get(keyword)

    position, along = get("ImagePositionPatient"), get("ImageOrientationPatient")
    spacing = get("PixelSpacing")
    for keyword, found, count in (
        ("ImagePositionPatient", position, 3),
        ("ImageOrientationPatient", along, 6),
        ("PixelSpacing", spacing, 2),
    ):
        if found is None or len(found) != count:
            raise IngestError(Reason.NO_GEOMETRY, f"{keyword} is absent or not of {count} values")
    rows, columns = (float(spacing[0]), float(spacing[1]))
    if not all(1 / MOST_MM <= one <= MOST_MM for one in (rows, columns)):
        raise IngestError(Reason.NO_GEOMETRY, f"PixelSpacing is {rows:g} x {columns:g} mm")
    number = get("number") if "number" in own else dataset.get("InstanceNumber")
    image_type = get("FrameType") or dataset.get("ImageType") or ()
    words = tuple(
        word.upper() for word in ([image_type] if isinstance(image_type, str) else image_type)
    )
    return Plane(
        SOPInstanceUID=str(dataset.SOPInstanceUID),
        frame=int(own.get("frame", 0)),
        position=vector(position),
        row=_unit(along[:3]),
        column=_perpendicular(along),
        rows=int(get("Rows")),
        columns=int(get("Columns")),
        spacing=(rows, columns),
        precision_mm=precision(position),
        number=None if number is None or number == "" else int(number),
        localizer="LOCALIZER" in words,
        classes={**_classes(dataset, own), "ImageType": words or None},
        keys={
            **{keyword: value(dataset, keyword) for keyword in KEYS if keyword in dataset},
            **own.get("keys", {}),
        },
    )


def _classes(dataset: Dataset, own: Mapping[str, Any]) -> dict[str, Value]:
    found = {keyword: own.get(keyword, value(dataset, keyword)) for keyword in CLASSES}
    spacing = own.get("PixelSpacing", dataset.get("PixelSpacing"))
    found["PixelSpacing"] = tuple(float(f"{float(one):.4g}") for one in spacing)
    return found


def vector(values: Sequence[Any]) -> Vector:
    """Give a position as numbers.

    raises  IngestError `no_geometry` when one of them is no number, or out of this world
    """
    x, y, z = (float(one) for one in values)
    if not all(abs(one) <= MOST_MM for one in (x, y, z)):
        raise IngestError(Reason.NO_GEOMETRY, "ImagePositionPatient is not within a kilometre")
    return x, y, z


def _unit(values: Sequence[Any]) -> Vector:
    x, y, z = (float(one) for one in values)
    length = float(np.sqrt(x * x + y * y + z * z))
    if not abs(length - 1) <= UNIT_TOLERANCE:
        raise IngestError(
            Reason.NO_GEOMETRY, f"ImageOrientationPatient holds a direction of length {length:.4g}"
        )
    return x / length, y / length, z / length


def _perpendicular(along: Sequence[Any]) -> Vector:
    row, column = _unit(along[:3]), _unit(along[3:])
    cosine = sum(a * b for a, b in zip(row, column, strict=True))
    if abs(cosine) > RIGHT_ANGLE:
        words = f"the cosine between row and column is {cosine:.4g}, not 0"
        raise IngestError(Reason.NO_GEOMETRY, words)
    return column


def precision(position: Sequence[Any]) -> float:
    """Return one unit of the last decimal of the coordinate that has most of them."""
    finest = 1.0
    for one in position:
        text = str(getattr(one, "original_string", one)).strip().lower()
        digits, _, exponent = text.partition("e")
        decimals = len(digits.partition(".")[2]) - int(exponent or 0)
        finest = min(finest, 10.0 ** -max(0, min(decimals, 12)))
    return finest
