"""Pure. What was walked once becomes a pydicom data set, without reading it again."""

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ingestd.dicom.elements import Entry
from ingestd.dicom.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, UNDEFINED
from ingestd.dicom.header import Header

_SYNTAXES = {
    IMPLICIT_LITTLE: ImplicitVRLittleEndian,
    EXPLICIT_LITTLE: ExplicitVRLittleEndian,
    EXPLICIT_BIG: ExplicitVRBigEndian,
}


def dataset(header: Header) -> Dataset:
    """Give the data set with its pixels; values are converted when somebody asks for them.

    A file without a transfer syntax gets the one that it was read by, unless its pixels are
    compressed: nobody can tell how.
    """
    walk, pixels = header.walk, header.walk.pixels
    made = Dataset(_raw(walk.top))
    if pixels is not None:
        raw = pixels.entry.raw
        value = bytes(walk.view[pixels.start : pixels.end])
        length = UNDEFINED if pixels.encapsulated else len(value)
        made._dict[raw.tag] = raw._replace(value=value, length=length)  # noqa: SLF001 (raw in)
    made.set_original_encoding(*header.dialect, character_encoding=list(walk.encodings))
    made.file_meta = FileMetaDataset(_raw([at for at in walk.meta if at.kind.tag >> 16 == 2]))
    encapsulated = pixels is not None and pixels.encapsulated
    if "TransferSyntaxUID" not in made.file_meta and not encapsulated:
        syntax = _SYNTAXES.get(header.dialect)
        if syntax is not None:
            made.file_meta.TransferSyntaxUID = syntax
    return made


def _raw(entries: list[Entry]) -> dict[BaseTag, RawDataElement | DataElement]:
    return {entry.raw.tag: entry.raw for entry in entries}
