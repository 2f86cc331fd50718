"""Pure. What was walked once becomes a pydicom data set, without reading it again."""

from collections.abc import Iterable
from typing import NamedTuple

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ingestd.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED,
    Dialect,
)
from ingestd.dicom.header import Header
from ingestd.dicom.walk import Pixels

_SYNTAXES = {
    IMPLICIT_LITTLE: ImplicitVRLittleEndian,
    EXPLICIT_LITTLE: ExplicitVRLittleEndian,
    EXPLICIT_BIG: ExplicitVRBigEndian,
}


class PixelElement(NamedTuple):
    """What is known of the pixel data element without its value."""

    tag: BaseTag
    vr: str | None
    encapsulated: bool


def pixel_element(pixels: Pixels) -> PixelElement:
    """Leave the value of the pixel data out."""
    raw = pixels.entry.raw
    return PixelElement(raw.tag, raw.VR, pixels.encapsulated)


def dataset(header: Header) -> Dataset:
    """Give the data set with its pixels; values are converted when somebody asks for them."""
    walk, pixels = header.walk, header.walk.pixels
    element = pixel_element(pixels) if pixels is not None else None
    meta, top = ([entry.raw for entry in entries] for entries in (walk.meta, walk.top))
    made = assembled(header.dialect, meta, top, element)
    made.set_original_encoding(*header.dialect, character_encoding=list(walk.encodings))
    if pixels is not None:
        raw = pixels.entry.raw
        value = bytes(walk.view[pixels.start : pixels.end])
        length = UNDEFINED if pixels.encapsulated else len(value)
        made._dict[raw.tag] = raw._replace(value=value, length=length)  # noqa: SLF001 (raw in)
    return made


def assembled(
    dialect: Dialect,
    meta: Iterable[RawDataElement],
    top: Iterable[RawDataElement],
    pixels: PixelElement | None,
) -> Dataset:
    """Give a data set of these elements, with the pixel data element empty.

    A file without a transfer syntax gets the one that it was read by, unless its pixels are
    compressed: nobody can tell how.
    """
    made = Dataset(_by_tag(top))
    made.set_original_encoding(*dialect)
    if pixels is not None:
        made._dict[pixels.tag] = RawDataElement(  # noqa: SLF001 (raw in)
            pixels.tag, pixels.vr, 0, b"", 0, *dialect
        )
    made.file_meta = FileMetaDataset(_by_tag(raw for raw in meta if raw.tag >> 16 == 2))
    encapsulated = pixels is not None and pixels.encapsulated
    if "TransferSyntaxUID" not in made.file_meta and not encapsulated:
        syntax = _SYNTAXES.get(dialect)
        if syntax is not None:
            made.file_meta.TransferSyntaxUID = syntax
    return made


def _by_tag(elements: Iterable[RawDataElement]) -> dict[BaseTag, RawDataElement | DataElement]:
    return {element.tag: element for element in elements}
