"""Pure. What each frame of a multi-frame image says for itself.

A frame is a mapping: of the keywords that `planes` reads, and `keys`, `number` and `frame`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ingestd.errors import IngestError, Reason

if TYPE_CHECKING:
    from pydicom import Dataset

Frame = dict[str, Any]

#: Group of a frame, its element, and the name under which `planes` and `splitting` know it.
GROUPS = (
    ("PlanePositionSequence", "ImagePositionPatient", "ImagePositionPatient"),
    ("PlaneOrientationSequence", "ImageOrientationPatient", "ImageOrientationPatient"),
    ("PixelMeasuresSequence", "PixelSpacing", "PixelSpacing"),
    ("MRImageFrameTypeSequence", "FrameType", "FrameType"),
    ("CTImageFrameTypeSequence", "FrameType", "FrameType"),
    ("PETFrameTypeSequence", "FrameType", "FrameType"),
    ("XRay3DFrameTypeSequence", "FrameType", "FrameType"),
    ("ParametricMapFrameTypeSequence", "FrameType", "FrameType"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent", "ComplexImageComponent"),
    ("FrameContentSequence", "StackID", "StackID"),
)

#: The same for what may tell frames at one position apart.
KEY_GROUPS = (
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIndex"),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
    ("FrameContentSequence", "FrameReferenceDateTime", "FrameReferenceDateTime"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset", "TemporalPositionTimeOffset"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
    ("MRModifierSequence", "InversionTimes", "InversionTime"),
    ("CTReconstructionSequence", "ConvolutionKernel", "ConvolutionKernel"),
    ("CTXRayDetailsSequence", "KVP", "KVP"),
    (
        "CardiacSynchronizationSequence",
        "NominalCardiacTriggerDelayTime",
        "NominalCardiacTriggerDelayTime",
    ),
    (
        "CardiacSynchronizationSequence",
        "NominalPercentageOfCardiacPhase",
        "NominalPercentageOfCardiacPhase",
    ),
    (
        "RespiratorySynchronizationSequence",
        "NominalPercentageOfRespiratoryPhase",
        "NominalPercentageOfRespiratoryPhase",
    ),
)

#: Dimensions that say where a frame is, or that `KEY_GROUPS` has already.
NO_KEY = {
    "StackID",
    "InStackPositionNumber",
    "ImagePositionPatient",
    "TemporalPositionIndex",
    "EffectiveEchoTime",
    "DiffusionBValue",
}


def functional(dataset: Dataset) -> Iterator[Frame]:
    """Give the frames of an image with functional groups (PS3.3 C.7.6.16).

    raises  IngestError `no_geometry` when there are fewer groups than frames
    """
    shared = dataset.get("SharedFunctionalGroupsSequence") or [{}]
    groups = dataset.PerFrameFunctionalGroupsSequence
    count = int(dataset.get("NumberOfFrames") or 1)
    if len(groups) != count:
        words = f"{count} frames, and functional groups for {len(groups)}"
        raise IngestError(Reason.NO_GEOMETRY, words)
    pointers = _pointers(dataset)
    first = int(dataset.get("InstanceNumber") or 0)
    for index, own in enumerate(groups):
        frame: Frame = {"frame": index, "number": first * 100_000 + index}
        frame |= _of(GROUPS, own, shared[0])
        frame["keys"] = _of(KEY_GROUPS, own, shared[0]) | _dimensions(pointers, own)
        if direction := _direction(own, shared[0]):
            frame["keys"]["DiffusionGradientOrientation"] = direction
        yield frame


def item(
    name: str, own: Mapping[str, Any] | Dataset, shared: Mapping[str, Any] | Dataset
) -> Dataset | None:
    """Give the item of a functional group: that of the frame, else the shared one."""
    for groups in (own, shared):
        found = groups.get(name)
        if found:
            return found[0]  # type: ignore[no-any-return]
    return None


def offset(dataset: Dataset) -> Iterator[Frame]:
    """Give the frames of an image whose planes lie at offsets from the first one.

    RTDOSE and others by GridFrameOffsetVector (PS3.3 C.8.8.3.2), reconstructed NM by the signed
    SpacingBetweenSlices and SliceVector of its module (C.8.4.15).
    raises  IngestError `no_geometry` when nothing says where the frames are
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    detector = (dataset.get("DetectorInformationSequence") or [{}])[0]
    base: Frame = {
        keyword: dataset.get(keyword) or detector.get(keyword)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient")
    }
    if any(found is None for found in base.values()):
        raise IngestError(Reason.NO_GEOMETRY, f"nothing says where its {count} frames lie")
    along = np.array(base["ImageOrientationPatient"], dtype=float)
    first = np.array(base["ImagePositionPatient"], dtype=float)
    across = np.cross(along[:3], along[3:])
    for index, (far, keys) in enumerate(_offsets(dataset, count, float(first @ across))):
        place = [round(one, 9) for one in (first + far * across).tolist()]
        yield base | {"frame": index, "number": index, "ImagePositionPatient": place, "keys": keys}


def _offsets(dataset: Dataset, count: int, start: float) -> list[tuple[float, dict[str, Any]]]:
    if grid := dataset.get("GridFrameOffsetVector"):
        far = np.array(grid, dtype=float)
        if len(far) != count:
            words = f"{count} frames, and {len(far)} offsets in GridFrameOffsetVector"
            raise IngestError(Reason.NO_GEOMETRY, words)
        # The first is 0, or the vector holds positions along the normal instead of distances.
        return [(one - (start if far[0] else 0.0), {}) for one in far.tolist()]
    step, order = dataset.get("SpacingBetweenSlices"), dataset.get("SliceVector")
    if dataset.get("Modality") != "NM" or not step or not order or len(order) != count:
        raise IngestError(Reason.NO_GEOMETRY, f"nothing says where its {count} frames lie")
    slots = dataset.get("TimeSlotVector") or dataset.get("RRIntervalVector") or [1] * count
    return [
        ((int(number) - 1) * float(step), {"TimeSlotVector": int(slot)})
        for number, slot in zip(order, slots, strict=True)
    ]


def _of(table: tuple[tuple[str, str, str], ...], own: Dataset, shared: Dataset) -> Frame:
    found: Frame = {}
    for group, keyword, name in table:
        one = item(group, own, shared)
        value = one.get(keyword) if one is not None else None
        if value is None or value == "":
            continue
        if name in {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameType"}:
            found[name] = value
        else:
            found[name] = float(value) if isinstance(value, int | float) else str(value)
    return found


def _direction(own: Dataset, shared: Dataset) -> tuple[float, ...] | None:
    diffusion = item("MRDiffusionSequence", own, shared)
    if diffusion is None or not diffusion.get("DiffusionGradientDirectionSequence"):
        return None
    one = diffusion.DiffusionGradientDirectionSequence[0].get("DiffusionGradientOrientation")
    return tuple(float(part) for part in one) if one else None


def _pointers(dataset: Dataset) -> list[str | None]:
    """Name the dimensions of DimensionIndexValues; None for one that is no key."""
    from pydicom.datadict import keyword_for_tag  # noqa: PLC0415 -- see `plain`

    names: list[str | None] = []
    for one in dataset.get("DimensionIndexSequence") or []:
        tag = one.get("DimensionIndexPointer")
        name = keyword_for_tag(tag) if tag is not None else ""
        name = name or str(one.get("DimensionDescriptionLabel") or "") or str(tag)
        names.append(None if name in NO_KEY else f"dimension {name}")
    return names


def _dimensions(pointers: list[str | None], own: Dataset) -> Frame:
    content = own.get("FrameContentSequence")
    values = content[0].get("DimensionIndexValues") if content else None
    if values is None:
        return {}
    values = [values] if isinstance(values, int) else list(values)
    return {
        name: int(value) for name, value in zip(pointers, values, strict=False) if name is not None
    }
