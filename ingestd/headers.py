"""Edge: what the headers of a series say of its planes, each file read up to its pixels once.

The first file goes through pydicom. A file whose elements have the same bytes, but for those of
`VARYING`, is the same plane elsewhere, and only those few are read.
"""

import os
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydicom.datadict import tag_for_keyword

from ingestd import slicefile
from ingestd.dicom import frames, planes, scan, sidecar
from ingestd.dicom.layout import BAD_VALUE
from ingestd.dicom.plane import Plane, Value
from ingestd.model import SeriesFile

FIRST_BYTES = 1 << 15  #: of a file, when nothing is known of the size of its header
MOST_BYTES = 1 << 24  #: a header beyond this is left to pydicom


def _tags(*keywords: str) -> dict[str, int]:
    found = {keyword: tag_for_keyword(keyword) for keyword in keywords}
    return {keyword: tag for keyword, tag in found.items() if tag is not None}


#: Elements that differ between slices of one stack, with what `planes.value` makes of them.
VARYING_KEYS = {
    **dict.fromkeys(("AcquisitionDateTime", "AcquisitionTime", "ContentTime"), str),
    **dict.fromkeys(
        ("AcquisitionNumber", "FrameReferenceTime", "TemporalPositionIdentifier", "TriggerTime"),
        float,
    ),
}
VARYING = _tags(
    "SOPInstanceUID",
    "InstanceNumber",
    "ImagePositionPatient",
    "RescaleSlope",
    "RescaleIntercept",
    *VARYING_KEYS,
)

#: Everything else that `planes`, `frames`, `mosaic`, `layout`, `slicefile` and `sidecar` look at.
STEADY = frozenset(
    _tags(
        *planes.CLASSES,
        *planes.KEYS,
        *sidecar.SAME,
        *sidecar.MILLISECONDS,
        *(group for group, _, _ in (*frames.GROUPS, *frames.KEY_GROUPS)),
        "SOPClassUID",
        "ImageOrientationPatient",
        "NumberOfFrames",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "DetectorInformationSequence",
        "GridFrameOffsetVector",
        "DoseGridScaling",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PhotometricInterpretation",
        "PlanarConfiguration",
    ).values()
) - frozenset(VARYING.values())
WANTED = STEADY | frozenset(VARYING.values())


DOSE_GRID_SCALING = 0x3004000E


class Header(NamedTuple):
    """One file, without its pixels."""

    planes: list[Plane]
    source: slicefile.Source
    about: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A plain image, for others that differ by nothing but their place."""

    plane: Plane
    source: slicefile.Source
    about: dict[str, Any]


class Headers:
    """Reads the headers of one series."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], _Known] = {}
        self._bytes = FIRST_BYTES

    def read(self, index: int, file: SeriesFile) -> Header:
        """Read one header.

        raises  IngestError as `slicefile.header` and `planes.planes`
        """
        found = self._scanned(file)
        key = None if found is None else _key(found)
        if found is not None and key in self._known:
            try:
                return _elsewhere(self._known[key], found, index, file)
            except BAD_VALUE:  # A value that pydicom may know how to read, or how to refuse.
                key = None
        dataset, offset, length = slicefile.header(file)
        own = planes.planes(dataset)
        source = slicefile.source(index, file, dataset, offset, length)
        header = Header(own, source, sidecar.about(dataset))
        if key is not None and len(own) == 1 and source.layout.frames == 1 and not source.tiles:
            self._known[key] = _Known(plane=own[0], source=source, about=header.about)
        return header

    def _scanned(self, file: SeriesFile) -> scan.Scan | None:
        """Walk over the elements; None when that is not for us."""
        with slicefile.open_unchanged(file) as handle:
            while self._bytes <= MOST_BYTES:
                try:
                    content = os.pread(handle.fileno(), self._bytes, 0)
                except OSError as error:
                    raise slicefile.io_error(error) from error
                try:
                    return scan.scan(content, WANTED)
                except scan.Unusual:
                    return None
                except scan.TooShort:
                    if len(content) < self._bytes:
                        return None
                    self._bytes *= 4
        return None


def _key(found: scan.Scan) -> tuple[object, ...]:
    """Make equal what is the same image elsewhere."""
    tag, vr, _, length = found.pixels
    steady = tuple((t, v) for t, v in found.values.items() if t in STEADY)
    return (found.syntax, tag, vr, length, steady)


def _elsewhere(known: _Known, found: scan.Scan, index: int, file: SeriesFile) -> Header:
    """Make the header of a file that is like a known one but for what varies.

    raises  ValueError when one of those elements is not plain numbers or text
    """
    text = {name: _text(found.values.get(tag)) for name, tag in VARYING.items()}
    place = (text["ImagePositionPatient"] or "").split("\\")
    x, y, z = (float(one) for one in place)
    keys: dict[str, Value] = {n: v for n, v in known.plane.keys.items() if n not in VARYING_KEYS}
    for name, kind in VARYING_KEYS.items():
        one = text[name]
        if one is not None:
            if "\\" in one:
                raise ValueError(f"{name} has several values")
            keys[name] = kind(one) if one else None
    plane = replace(
        known.plane,
        SOPInstanceUID=text["SOPInstanceUID"] or "",
        position=planes.vector((x, y, z)),
        precision_mm=planes.precision(place),
        number=int(text["InstanceNumber"]) if text["InstanceNumber"] else None,
        keys=keys,
    )
    rescale = known.source.rescale
    if DOSE_GRID_SCALING not in found.values:
        slope = float(text["RescaleSlope"]) if text["RescaleSlope"] else 1.0
        rescale = ((slope, float(text["RescaleIntercept"] or 0)),)
    offset = None if known.source.offset is None else found.pixels[2]
    source = replace(known.source, index=index, file=file, offset=offset, rescale=rescale)
    if not source.is_whole:
        raise ValueError("the pixels are cut off")
    return Header([plane], source, known.about)


def _text(content: bytes | None) -> str | None:
    """Give an element as text; None when it is absent.

    raises  ValueError when it is not ASCII, so that nothing here has to know character sets
    """
    return None if content is None else content.decode("ascii").strip("\0 ")
