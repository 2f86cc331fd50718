"""Edge: what the headers of a series say of its planes, each file read up to its pixels once.

A file whose elements have the same bytes as those of an earlier one, but for those of `VARYING`,
is the same plane elsewhere, and only those few are read. What is not plain goes through pydicom.
"""

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ingestd import slicefile
from ingestd.dicom import plain, planes, scan, sidecar
from ingestd.dicom.layout import BAD_VALUE
from ingestd.dicom.plane import Plane, Value
from ingestd.errors import IngestError
from ingestd.holding import Files, Held, io_error
from ingestd.model import SeriesFile

if TYPE_CHECKING:
    from pydicom import Dataset

FIRST_BYTES = 1 << 15  #: of a file, when nothing is known of the size of its header
MOST_BYTES = 1 << 24  #: a header beyond this is left to pydicom

#: Elements that differ between slices of one stack, with what `planes.value` makes of them.
VARYING_KEYS = {
    **dict.fromkeys(("AcquisitionDateTime", "AcquisitionTime", "ContentTime"), str),
    **dict.fromkeys(
        ("AcquisitionNumber", "FrameReferenceTime", "TemporalPositionIdentifier", "TriggerTime"),
        float,
    ),
}
VARYING = {
    keyword: plain.ELEMENTS[keyword][0]
    for keyword in (
        "SOPInstanceUID",
        "InstanceNumber",
        "ImagePositionPatient",
        "RescaleSlope",
        "RescaleIntercept",
        *VARYING_KEYS,
    )
}
STEADY = plain.WANTED.keys() - frozenset(VARYING.values())


DOSE_GRID_SCALING = plain.ELEMENTS["DoseGridScaling"][0]

#: Read anew from each file that has the form of an earlier one.
ANEW = frozenset(VARYING.values())
MOST_HELD = 256  #: so many files of a series stay open between header and pixels
FORMS = 32  #: that are remembered: UIDs and times have some lengths, not many


class Header(NamedTuple):
    """One file, without its pixels."""

    planes: list[Plane]
    source: slicefile.Source | IngestError  #: or why there is no reading the pixels
    about: dict[str, Any]


class _At(NamedTuple):
    """A file of the series."""

    number: int
    file: SeriesFile
    held: Held | None  #: to stay open for its pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A plain image, for others that differ by nothing but their place."""

    plane: Plane
    steady: dict[str, Value]  #: of its keys those that others have too
    source: slicefile.Source
    about: dict[str, Any]
    rescales: bool  #: by a slope and intercept, which may differ


class Headers:
    """Reads the headers of one series."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], _Known] = {}
        self._forms: deque[tuple[scan.Form, _Known]] = deque(maxlen=FORMS)
        self._bytes = FIRST_BYTES
        self._files = Files()

    def read(self, index: int, file: SeriesFile) -> Header:
        """Read one header.

        raises  IngestError as `slicefile.header` and `planes.planes`: there is no plane in it
        """
        held = self._files.hold(file)
        at = _At(index, file, held if index < MOST_HELD else None)
        content = self._begin(held.fd)
        for form, known in self._forms:
            if header := _formed(form, known, content, at):
                return header
        content, found = self._scanned(held.fd, content)
        key = None if found is None else _key(found)
        if found is not None and key in self._known:
            known = self._known[key]
            try:
                header = _elsewhere(known, found.values, found.pixels[2], at)
            except BAD_VALUE:  # A value that pydicom may know how to read, or how to refuse.
                key = None
            else:
                self._forms.appendleft((scan.Form(content, found, ANEW), known))
                return header
        return self._first(content, found, key, at)

    def _first(
        self, content: bytes, found: scan.Scan | None, key: tuple[object, ...] | None, at: _At
    ) -> Header:
        """Read a header that is like no other so far, and remember it for the next."""
        dataset, offset, length = _described(at.file, found)
        own = planes.planes(dataset)
        about = sidecar.about(dataset)
        try:
            source = slicefile.source(at.number, at.file, dataset, offset, length)
        except IngestError as error:  # The planes are where they are all the same.
            return Header(own, error, about)
        one_frame = source.layout.frames == 1
        packed = None
        if found is not None and one_frame and source.offset is None:
            packed = slicefile.packed(found)
        source = replace(source, packed=packed, held=at.held)
        if key is not None and len(own) == 1 and one_frame and not source.tiles:
            assert found is not None, "what has a key was walked over"
            known = _Known(
                plane=own[0],
                steady={n: v for n, v in own[0].keys.items() if n not in VARYING_KEYS},
                source=source,
                about=about,
                rescales=DOSE_GRID_SCALING not in found.values,
            )
            self._known[key] = known
            self._forms.appendleft((scan.Form(content, found, ANEW), known))
        return Header(own, source, about)

    def _begin(self, fd: int) -> bytes:
        try:
            return os.pread(fd, self._bytes, 0)
        except OSError as error:
            raise io_error(error) from error

    def _scanned(self, fd: int, content: bytes) -> tuple[bytes, scan.Scan | None]:
        """Walk over the elements; None when that is not for us."""
        while True:
            try:
                return content, scan.scan(content, plain.WANTED)
            except scan.Unusual:
                return content, None
            except scan.TooShort:
                if len(content) < self._bytes or self._bytes >= MOST_BYTES:
                    return content, None
            self._bytes *= 4
            content = self._begin(fd)


def _formed(form: scan.Form, known: _Known, content: bytes, at: _At) -> Header | None:
    """Give the header of a file that has the form of a known one; None when it has not."""
    varying = form.varying(content)
    if varying is None:
        return None
    try:
        return _elsewhere(known, varying, form.pixels[2], at)
    except BAD_VALUE:
        return None


def _described(file: SeriesFile, found: scan.Scan | None) -> tuple["Dataset", int | None, int]:
    """Give what `slicefile.header` gives, without pydicom where that does."""
    if found is not None:
        keyword, offset, length = slicefile.pixels_of(found)
        try:
            header = plain.plain(found.values, found.syntax, keyword)
        except plain.NotPlain:
            pass
        else:  # It answers all that is asked of a Dataset here.
            return cast("Dataset", header), offset, length
    return slicefile.header(file)


def _key(found: scan.Scan) -> tuple[object, ...]:
    """Make equal what is the same image elsewhere."""
    tag, vr, _, length = found.pixels
    steady = tuple((t, v) for t, v in found.values.items() if t in STEADY)
    return (found.syntax, tag, vr, length, steady)


def _elsewhere(known: _Known, values: Mapping[int, bytes], pixels: int, at: _At) -> Header:
    """Make the header of a file that is like a known one but for what varies.

    values  of the elements in `VARYING`, as far as they are there
    pixels  where their first byte is

    raises  ValueError when one of those elements is not plain numbers or text
    """
    text = {name: _text(values.get(tag)) for name, tag in VARYING.items()}
    return Header([_plane(known, text)], _source(known, text, pixels, at), known.about)


def _plane(known: _Known, text: Mapping[str, str | None]) -> Plane:
    if not text["SOPInstanceUID"]:
        raise ValueError("SOPInstanceUID is absent")
    place = (text["ImagePositionPatient"] or "").split("\\")
    x, y, z = (float(one) for one in place)
    keys: dict[str, Value] = dict(known.steady)
    for name, kind in VARYING_KEYS.items():
        one = text[name]
        if one is not None:
            if "\\" in one:
                raise ValueError(f"{name} has several values")
            keys[name] = kind(one) if one else None
    like = known.plane
    return Plane(
        SOPInstanceUID=text["SOPInstanceUID"],
        frame=like.frame,
        position=planes.vector((x, y, z)),
        row=like.row,
        column=like.column,
        rows=like.rows,
        columns=like.columns,
        spacing=like.spacing,
        precision_mm=planes.precision(place),
        number=int(text["InstanceNumber"]) if text["InstanceNumber"] else None,
        localizer=like.localizer,
        classes=like.classes,
        keys=keys,
    )


def _source(
    known: _Known, text: Mapping[str, str | None], pixels: int, at: _At
) -> slicefile.Source:
    like = known.source
    rescale = like.rescale
    if known.rescales:
        slope = float(text["RescaleSlope"] or 1)
        rescale = ((slope, float(text["RescaleIntercept"] or 0)),)
        if not all(abs(one) <= slicefile.MOST_RESCALE for one in rescale[0]):
            raise ValueError("no slope or intercept that a volume could hold")
    source = slicefile.Source(
        index=at.number,
        file=at.file,
        layout=like.layout,
        offset=None if like.offset is None else pixels,
        length=like.length,
        deflated=like.deflated,
        rescale=rescale,
        tiles=like.tiles,
        packed=None if like.packed is None else pixels,
        held=at.held,
    )
    if not source.is_whole:
        raise ValueError("the pixels are cut off")
    return source


def _text(content: bytes | None) -> str | None:
    """Give an element as text; None when it is absent.

    raises  ValueError when it is not ASCII, so that nothing here has to know character sets
    """
    return None if content is None else content.decode("ascii").strip("\0 ")
