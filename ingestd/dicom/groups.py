"""Pure. Enhanced multi-frame: columns from the functional groups, when all frames agree.

What classic objects say at the top, enhanced ones say in a group for all frames (5200,9229) or
in one for each frame (5200,9230). A column is filled when there is one answer for the image.
"""

from ingestd.dicom import columns
from ingestd.dicom.elements import COLUMN_TYPES, Element
from ingestd.dicom.values import Value

SHARED, PER_FRAME = "52009229", "52009230"

#: (sequence of the group, attribute in it) to column; PS3.3 C.7.6.16 and C.8.13 to C.8.15
COLUMNS = {
    ("00289110", "00280030"): "PixelSpacing",
    ("00289110", "00180050"): "SliceThickness",
    ("00289110", "00180088"): "SpacingBetweenSlices",
    ("00209113", "00200032"): "ImagePositionPatient",
    ("00209116", "00200037"): "ImageOrientationPatient",
    ("00289145", "00281052"): "RescaleIntercept",
    ("00289145", "00281053"): "RescaleSlope",
    ("00289145", "00281054"): "RescaleType",
    ("00289132", "00281050"): "WindowCenter",
    ("00289132", "00281051"): "WindowWidth",
    ("00289132", "00281055"): "WindowCenterWidthExplanation",
    ("00289132", "00281056"): "VOILUTFunction",
    ("00209071", "00180015"): "BodyPartExamined",
    ("00209071", "00209072"): "ImageLaterality",
    ("00189114", "00189082"): "EchoTime",
    ("00189112", "00180080"): "RepetitionTime",
    ("00189112", "00181314"): "FlipAngle",
    ("00189112", "00180091"): "EchoTrainLength",
    ("00189115", "00189079"): "InversionTime",
    ("00189117", "00189087"): "DiffusionBValue",
    ("00189119", "00180083"): "NumberOfAverages",
    ("00189006", "00180095"): "PixelBandwidth",
    ("00189006", "00189098"): "ImagingFrequency",
    ("00189042", "00181250"): "ReceiveCoilName",
    ("00189125", "00181312"): "InPlanePhaseEncodingDirection",
    ("00189226", "00089208"): "ComplexImageComponent",
    ("00189325", "00180060"): "KVP",
    ("00189314", "00181210"): "ConvolutionKernel",
    ("00189314", "00181100"): "ReconstructionDiameter",
    ("00189304", "00180090"): "DataCollectionDiameter",
    ("00189304", "00181120"): "GantryDetectorTilt",
    ("00189304", "00181130"): "TableHeight",
    ("00189308", "00189311"): "SpiralPitchFactor",
    ("00189321", "00189345"): "CTDIvol",
}


def fill(instance: dict[str, object], rows: list[Element]) -> None:
    """Fill columns that the top of the data set leaves empty."""
    if instance.get("NumberOfFrames") is None:
        return  # No multi-frame object, and no need to look at each row.
    frames = next((row.vm for row in rows if row.path == PER_FRAME), 0)
    for name, value in _agreed(rows, frames).items():
        if instance.get(name) is None:
            instance[name] = _typed(name, value)


def _agreed(rows: list[Element], frames: int) -> dict[str, Value]:
    """Collect what all frames say alike: once for all of them, or each the same."""
    said: dict[str, Value] = {}
    times: dict[str, int] = {}
    differ: set[str] = set()
    for row in rows:
        path = row.path
        if path.count(".") != 2 or not path.startswith((SHARED, PER_FRAME)):
            continue
        name = COLUMNS.get((path[-20:-12], path[-8:]))
        if name is None or path[-12:-9] != "[0]":
            continue
        value = Value(row.vm, row.value, row.number)
        if said.setdefault(name, value) != value:
            differ.add(name)
        times[name] = times.get(name, 0) + (frames if path.startswith(SHARED) else 1)
    return {
        name: value
        for name, value in said.items()
        if name not in differ and times[name] >= max(frames, 1)
    }


def _typed(name: str, value: Value) -> columns.Typed:
    try:
        return columns.typed(COLUMN_TYPES[name], value)
    except ValueError:
        return None  # The text is in `tag`; a value that breaks its VR is a problem already.
