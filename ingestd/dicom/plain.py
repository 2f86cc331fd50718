"""Pure. The header of a plain image from its bytes, without pydicom, which takes long to import.

What is rare is left to pydicom: frames, mosaics, other character sets, numbers written oddly. For
the rest the values are those that pydicom gives.
"""

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

#: Every element that `planes`, `frames`, `mosaic`, `layout`, `slicefile` and `sidecar` look at.
ELEMENTS: dict[str, tuple[int, bytes]] = {
    "ImageType": (0x00080008, b"CS"),
    "SOPClassUID": (0x00080016, b"UI"),
    "SOPInstanceUID": (0x00080018, b"UI"),
    "AcquisitionDateTime": (0x0008002A, b"DT"),
    "AcquisitionTime": (0x00080032, b"TM"),
    "ContentTime": (0x00080033, b"TM"),
    "Modality": (0x00080060, b"CS"),
    "Manufacturer": (0x00080070, b"LO"),
    "SeriesDescription": (0x0008103E, b"LO"),
    "ManufacturerModelName": (0x00081090, b"LO"),
    "ComplexImageComponent": (0x00089208, b"CS"),
    "ScanningSequence": (0x00180020, b"CS"),
    "SequenceVariant": (0x00180021, b"CS"),
    "MRAcquisitionType": (0x00180023, b"CS"),
    "SequenceName": (0x00180024, b"SH"),
    "SliceThickness": (0x00180050, b"DS"),
    "KVP": (0x00180060, b"DS"),
    "RepetitionTime": (0x00180080, b"DS"),
    "EchoTime": (0x00180081, b"DS"),
    "InversionTime": (0x00180082, b"DS"),
    "EchoNumbers": (0x00180086, b"IS"),
    "MagneticFieldStrength": (0x00180087, b"DS"),
    "SpacingBetweenSlices": (0x00180088, b"DS"),
    "SoftwareVersions": (0x00181020, b"LO"),
    "ProtocolName": (0x00181030, b"LO"),
    "TriggerTime": (0x00181060, b"DS"),
    "ConvolutionKernel": (0x00181210, b"SH"),
    "FlipAngle": (0x00181314, b"DS"),
    "PatientPosition": (0x00185100, b"CS"),
    "DiffusionBValue": (0x00189087, b"FD"),
    "DiffusionGradientOrientation": (0x00189089, b"FD"),
    "SeriesNumber": (0x00200011, b"IS"),
    "AcquisitionNumber": (0x00200012, b"IS"),
    "InstanceNumber": (0x00200013, b"IS"),
    "ImagePositionPatient": (0x00200032, b"DS"),
    "ImageOrientationPatient": (0x00200037, b"DS"),
    "FrameOfReferenceUID": (0x00200052, b"UI"),
    "TemporalPositionIdentifier": (0x00200100, b"IS"),
    "StackID": (0x00209056, b"SH"),
    "NominalPercentageOfCardiacPhase": (0x00209241, b"FL"),
    "SamplesPerPixel": (0x00280002, b"US"),
    "PhotometricInterpretation": (0x00280004, b"CS"),
    "PlanarConfiguration": (0x00280006, b"US"),
    "NumberOfFrames": (0x00280008, b"IS"),
    "Rows": (0x00280010, b"US"),
    "Columns": (0x00280011, b"US"),
    "PixelSpacing": (0x00280030, b"DS"),
    "BitsAllocated": (0x00280100, b"US"),
    "BitsStored": (0x00280101, b"US"),
    "HighBit": (0x00280102, b"US"),
    "PixelRepresentation": (0x00280103, b"US"),
    "RescaleIntercept": (0x00281052, b"DS"),
    "RescaleSlope": (0x00281053, b"DS"),
    "RescaleType": (0x00281054, b"LO"),
    "DetectorInformationSequence": (0x00540022, b"SQ"),
    "Units": (0x00541001, b"CS"),
    "DecayCorrection": (0x00541102, b"CS"),
    "FrameReferenceTime": (0x00541300, b"DS"),
    "DoseUnits": (0x30040002, b"CS"),
    "GridFrameOffsetVector": (0x3004000C, b"DS"),
    "DoseGridScaling": (0x3004000E, b"DS"),
    "SharedFunctionalGroupsSequence": (0x52009229, b"SQ"),
    "PerFrameFunctionalGroupsSequence": (0x52009230, b"SQ"),
}
WANTED = dict(ELEMENTS.values())  #: tag -> VR
KEYWORDS = {tag: keyword for keyword, (tag, _) in ELEMENTS.items()}

ASCII = re.compile(rb"[\x20-\x7e]*")
INTEGER = re.compile(r" *[+-]?\d{1,12} *", re.ASCII)
DECIMAL = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})? *", re.ASCII)
BINARY = {b"US": struct.Struct("<H"), b"FL": struct.Struct("<f"), b"FD": struct.Struct("<d")}


class NotPlain(Exception):
    """The header is one for pydicom; the message says why."""


class Decimal(float):
    """A number that remembers how it was written."""

    original_string: str

    def __new__(cls, text: str) -> "Decimal":
        """Keep the text."""
        made = super().__new__(cls, text)
        made.original_string = text.strip()
        return made


class Plain(dict[str, Any]):
    """Answers what is asked of a pydicom Dataset here: `get`, `in`, and keywords as attributes."""

    file_meta: Mapping[str, str]

    def __getattr__(self, keyword: str) -> Any:
        """Give an element by its keyword."""
        try:
            return self[keyword]
        except KeyError:
            raise AttributeError(keyword) from None


def plain(values: Mapping[int, bytes], syntax: bytes, pixels: str) -> Plain:
    """Make the header of a plain image: one frame, one plane, ASCII.

    values  the bytes of elements, little endian, by tag
    syntax  transfer syntax UID
    pixels  keyword of the element that holds the pixels
    raises  NotPlain
    """
    if not syntax.isascii():
        raise NotPlain("an odd transfer syntax")
    found = Plain({KEYWORDS[tag]: _value(WANTED[tag], one) for tag, one in values.items()})
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in found:
            raise NotPlain("functional groups")
    if found.get("NumberOfFrames") not in {None, 1} or "GridFrameOffsetVector" in found:
        raise NotPlain("several frames")
    if "MOSAIC" in (found.get("ImageType") or ()):
        raise NotPlain("a mosaic")
    found[pixels] = b""
    found.file_meta = {"TransferSyntaxUID": syntax.decode("ascii")}
    return found


def _value(vr: bytes, content: bytes) -> Any:
    if vr == b"SQ":
        return content
    if kind := BINARY.get(vr):
        if len(content) % kind.size:
            raise NotPlain("the length of a number")
        return _one([number for (number,) in kind.iter_unpack(content)])
    content = content.rstrip(b"\0 ")
    if not ASCII.fullmatch(content):
        raise NotPlain("not ASCII")
    if not content:
        return None
    make = TEXTS.get(vr, str)
    return _one([make(one) for one in content.decode("ascii").split("\\")])


def _one(values: list[Any]) -> Any:
    """Give the only value as itself."""
    return values if len(values) > 1 else values[0] if values else None


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise NotPlain("an odd integer")
    return int(text)


def _decimal(text: str) -> Decimal:
    if not DECIMAL.fullmatch(text):
        raise NotPlain("an odd decimal")
    return Decimal(text)


TEXTS: dict[bytes, Callable[[str], Any]] = {b"IS": _integer, b"DS": _decimal}
