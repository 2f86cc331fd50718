"""Pure. What is worth knowing beside a volume: BIDS names where they exist, no patient identity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ingestd.dicom.frames import item
from ingestd.dicom.geometry import Stack
from ingestd.dicom.layout import BAD_VALUE
from ingestd.dicom.plane import Plane, Value
from ingestd.dicom.planes import value

if TYPE_CHECKING:
    from pydicom import Dataset

#: Copied as they are; BIDS has these names and units.
SAME = (
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "MagneticFieldStrength",
    "SeriesDescription",
    "ProtocolName",
    "SeriesNumber",
    "ImageType",
    "ScanningSequence",
    "SequenceVariant",
    "SequenceName",
    "MRAcquisitionType",
    "FlipAngle",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PatientPosition",
    "KVP",
    "ConvolutionKernel",
    "RescaleType",
    "Units",
    "DoseUnits",
    "DecayCorrection",
)

#: DICOM has milliseconds, BIDS has seconds.
MILLISECONDS = ("EchoTime", "RepetitionTime", "InversionTime")
BIDS_NAMES = {"ManufacturerModelName": "ManufacturersModelName"}


def about(dataset: Dataset) -> dict[str, Any]:
    """Pick from a header what describes its series."""
    found: dict[str, Any] = {}
    for keyword in SAME:
        if (one := _said(dataset, keyword)) is not None:
            found[BIDS_NAMES.get(keyword, keyword)] = list(one) if isinstance(one, tuple) else one
    for keyword in MILLISECONDS:
        one = _said(dataset, keyword)
        if isinstance(one, float):
            found[keyword] = one / 1000
    if "RescaleType" not in found:
        kind = _grouped(dataset, "PixelValueTransformationSequence", "RescaleType")
        found |= {"RescaleType": str(kind)} if kind else {}
    if "RepetitionTime" not in found:
        time = _grouped(dataset, "MRTimingAndRelatedParametersSequence", "RepetitionTime")
        found |= {"RepetitionTime": float(time) / 1000} if isinstance(time, int | float) else {}
    return found


def _said(dataset: Dataset, keyword: str) -> Value:
    """Give a value; None when it is absent or breaks its VR, which `problem` says already."""
    try:
        found = value(dataset, keyword)
    except BAD_VALUE:
        return None
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _grouped(dataset: Dataset, group: str, keyword: str) -> Value:
    """Give a value of a functional group of the first frame, or that all frames share."""
    try:
        shared = dataset.get("SharedFunctionalGroupsSequence") or [{}]
        own = dataset.get("PerFrameFunctionalGroupsSequence") or [{}]
        found = item(group, own[0], shared[0])
    except BAD_VALUE:
        return None
    return _said(found, keyword) if found is not None else None


def units(known: dict[str, Any]) -> str | None:
    """Name the unit of rescaled values, or None when nothing says it.

    RescaleType US means unspecified (PS3.3 C.11.1.1.2). A CT without RescaleType is in HU by its
    definition (C.8.2.1.1.2), unless it is a localizer.
    """
    for keyword in ("RescaleType", "Units"):
        if known.get(keyword) and known[keyword] != "US":
            return str(known[keyword])
    if known.get("DoseUnits"):
        return {"GY": "Gy"}.get(known["DoseUnits"], str(known["DoseUnits"]))
    return "HU" if known.get("Modality") == "CT" and "RescaleType" not in known else None


def step_s(stack: Stack, known: dict[str, Any]) -> float:
    """Return the seconds between timepoints: measured, else RepetitionTime of MR, else 0."""
    if len(stack.timepoints) < 2:
        return 0.0
    firsts = [next(plane for plane in one if plane is not None) for one in stack.timepoints]
    for name in ("TriggerTime", "FrameReferenceTime", "NominalCardiacTriggerDelayTime"):
        times = [plane.keys.get(name) for plane in firsts]
        if name in (stack.split_by or "") and all(isinstance(one, float) for one in times):
            return (float(times[-1]) - float(times[0])) / (len(times) - 1) / 1000  # type: ignore[arg-type]
    return float(known.get("RepetitionTime", 0)) if known.get("Modality") == "MR" else 0.0


def document(stack: Stack, known: dict[str, Any]) -> dict[str, Any]:
    """Make the sidecar of a volume."""
    found = dict(known)
    found |= {
        "SplitBy": stack.split_by,
        "Units": units(known),
        "SpacingMm": list(stack.spacing_mm),
        "AffineLpsMm": stack.affine_lps_mm.tolist(),
        "MissingSlicesMm": list(stack.missing_mm),
        "TiltDegrees": stack.tilt_degrees,
    }
    if len(stack.timepoints) > 1:
        found["Timepoints"] = [_moment(one) for one in stack.timepoints]
    return {name: one for name, one in found.items() if one is not None}


def _moment(planes: tuple[Plane | None, ...]) -> dict[str, Value]:
    """Say what holds for all slices of one timepoint."""
    there = [plane for plane in planes if plane is not None]
    first = there[0].keys
    return {
        name: one
        for name, one in first.items()
        if one is not None and all(plane.keys.get(name) == one for plane in there)
    }
