"""Pure. The studies of the demo: a trunk, a chest, a head and a heart, each with its header."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.sequence import Sequence

from ingestd.phantom import ct, mr, us
from ingestd.phantom.headers import Study, add_pixels, add_private, coded, to_bytes

ABDOMEN_SLICES, ABDOMEN_TOP_MM = 40, 115.0
CHEST_SLICES, CHEST_TOP_MM = 28, 230.0
CT_STEP_MM = 5.0
TABLE_MM = -812.5  #: where z = 0 of the trunk lies on the axis of the scanner
HEAD_SLICES, HEAD_BOTTOM_MM, HEAD_STEP_MM = 20, -46.0, 6.0
HEAD_TILT_DEGREES = 9.0  #: the slices follow the base of the skull
ECHO_TIMES_MS = (12.0, 96.0)
CLIP_FRAMES = 12
RESCALE_INTERCEPT = -1024

MAKER = {"Manufacturer": "ingestd phantoms", "InstitutionName": "Demo Hospital, nowhere"}


def abdomen(seed: int) -> Iterator[tuple[int, bytes]]:
    """A CT of the abdomen with contrast medium, and its scout as number 0."""
    study = _ct_study(
        seed,
        "abdomen",
        patient={"PatientName": "Phantom^Ada", "PatientID": "DEMO-0001", "PatientSex": "F"},
        accession="DEMO260001",
        description="CT Abdomen with contrast (phantom)",
        code=("CTABD", "CT of the abdomen"),
    )
    rng = np.random.default_rng([seed, 1])
    yield 0, to_bytes(_scout(study, ct.scout(rng)))
    positions = [ABDOMEN_TOP_MM - CT_STEP_MM * k for k in range(ABDOMEN_SLICES)]
    for index, hu in enumerate(ct.hounsfield(positions, rng)):
        ds = _ct_slice(study, "portal", index, positions, hu)
        ds.SeriesDescription, ds.SeriesNumber = "Abdomen portal venous 5.0", 2
        ds.BodyPartExamined, ds.ConvolutionKernel = "ABDOMEN", "STANDARD"
        ds.ContrastBolusAgent, ds.ContrastBolusRoute = "Phantom contrast 300", "IV"
        ds.ContrastBolusVolume = "90"
        ds.WindowCenter, ds.WindowWidth = [40, -500], [400, 1500]
        ds.WindowCenterWidthExplanation = ["ABDOMEN", "LUNG"]
        yield index + 1, to_bytes(ds)


def chest(seed: int) -> Iterator[tuple[int, bytes]]:
    """A CT of the chest; the name is written in GB18030."""
    study = _ct_study(
        seed,
        "chest",
        patient={
            "PatientName": "Demo^Xiaoming=测试^小明",
            "PatientID": "DEMO-0002",
            "PatientSex": "M",
        },
        accession="DEMO260002",
        description="胸部CT (演示)",
        code=("CTCHEST", "CT of the chest"),
        character_set="GB18030",
    )
    rng = np.random.default_rng([seed, 2])
    positions = [CHEST_TOP_MM - CT_STEP_MM * k for k in range(CHEST_SLICES)]
    for index, hu in enumerate(ct.hounsfield(positions, rng)):
        ds = _ct_slice(study, "lung", index, positions, hu)
        ds.SeriesDescription, ds.SeriesNumber = "Chest lung 5.0", 3
        ds.BodyPartExamined, ds.ConvolutionKernel = "CHEST", "LUNG"
        ds.WindowCenter, ds.WindowWidth = -500, 1500
        yield index + 1, to_bytes(ds)


def head(seed: int) -> Iterator[tuple[int, bytes]]:
    """An MR with two echoes in one series; the name is written in ISO 2022 IR 87."""
    study = Study(
        seed=seed,
        name="head",
        patient={
            "PatientName": "Demo^Hanako=試験^花子=しけん^はなこ",
            "PatientID": "DEMO-0003",
            "PatientBirthDate": "19800229",
            "PatientSex": "F",
            "PatientAge": "045Y",
            "PatientWeight": "57",
        },
        date="20260116",
        time="101500.120000",
        description="MR Head (phantom)",
        accession="DEMO260003",
        code=("MRHEAD", "MR of the head"),
        machine=MAKER
        | {"ManufacturerModelName": "Spin 3", "StationName": "DEMOMR1", "DeviceSerialNumber": "3"},
        character_set=["", "ISO 2022 IR 87"],
    )
    positions = [HEAD_BOTTOM_MM + HEAD_STEP_MM * k for k in range(HEAD_SLICES)]
    echoes = mr.two_echoes(positions, np.random.default_rng([seed, 3]))
    for echo, pictures in enumerate(echoes):
        for index, z in enumerate(positions):
            number = echo * HEAD_SLICES + index + 1
            ds = _mr_slice(study, number, echo, z, pictures[index])
            yield number, to_bytes(ds, uid.ImplicitVRLittleEndian)


def heart(seed: int, instance: int = 1) -> bytes:
    """An ultrasound clip in colour; a Latin-1 name."""
    study = Study(
        seed=seed,
        name="heart",
        patient={
            "PatientName": "Phantom^Émile",
            "PatientID": "DEMO-0004",
            "PatientBirthDate": "19551231",
            "PatientSex": "M",
        },
        date="20260117",
        time="143005",
        description="Echocardiography (phantom)",
        accession="DEMO260004",
        code=("USHEART", "Ultrasound of the heart"),
        machine=MAKER | {"ManufacturerModelName": "Sector 12", "StationName": "DEMOUS1"},
    )
    ds = study.header(uid.UltrasoundMultiFrameImageStorage, "clip", instance)
    frames = us.clip(CLIP_FRAMES, np.random.default_rng([seed, 4, instance]))
    ds.Modality, ds.SeriesNumber = "US", 1
    ds.SeriesDescription = "Apical four chamber, colour Doppler"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "0011"]
    ds.PatientOrientation = None
    ds.HeartRate, ds.BurnedInAnnotation = "72", "NO"
    ds.FrameTime, ds.FrameIncrementPointer = f"{60_000 / 72 / CLIP_FRAMES:.2f}", 0x00181063
    ds.CineRate, ds.StartTrim, ds.StopTrim = "14", "1", str(CLIP_FRAMES)
    ds.LossyImageCompression = "00"
    ds.SequenceOfUltrasoundRegions = Sequence([_region()])
    ds.ViewCodeSequence = Sequence([coded("A4C", "Apical four chamber")])
    add_pixels(ds, frames, bits=8)
    return to_bytes(ds)


def _ct_study(seed: int, name: str, *, patient: dict[str, Any], **more: Any) -> Study:
    person = {"PatientBirthDate": "19700101", "PatientAge": "056Y", "PatientWeight": "70"}
    machine = {
        "ManufacturerModelName": "Ellipse 64",
        "StationName": "DEMOCT1",
        "DeviceSerialNumber": "1",
        "SoftwareVersions": "ingestd demo 1",
    }
    return Study(
        seed=seed,
        name=name,
        patient=person | patient,
        date="20260115",
        time="083000.250000",
        machine=MAKER | machine,
        **more,
    )


def _ct(study: Study, series: str, instance: int) -> Dataset:
    """Begin a CT image: the tube, the bore and the patient in it."""
    ds = study.header(uid.CTImageStorage, series, instance)
    ds.Modality, ds.PatientPosition = "CT", "HFS"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame"), "XY"
    ds.KVP, ds.FilterType, ds.GeneratorPower, ds.FocalSpots = "120", "BODY", "48", "1.2"
    ds.DataCollectionDiameter, ds.ReconstructionDiameter = "500", "400"
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = "949.075", "541"
    ds.GantryDetectorTilt, ds.TableHeight, ds.RotationDirection = "0", "154.5", "CW"
    ds.LossyImageCompression = "00"
    return ds


def _ct_slice(
    study: Study, series: str, index: int, positions: list[float], hu: NDArray[np.float32]
) -> Dataset:
    ds = _ct(study, series, index + 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AcquisitionNumber, ds.ImagesInAcquisition = 1, len(positions)
    ds.AcquisitionTime = f"0831{20 + index * 0.25:09.6f}"
    ds.ScanOptions, ds.ProtocolName = "HELICAL", f"{study.name.upper()} PHANTOM"
    ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = "500", str(210 + 3 * (index % 9)), "105"
    ds.CTDIvol, ds.SpiralPitchFactor, ds.SingleCollimationWidth = 7.4, 0.984, 0.625
    _plane(ds, ct.PIXELS, ct.PIXEL_MM, z=positions[index] + TABLE_MM)
    ds.SliceThickness, ds.SliceLocation = "5", f"{positions[index] + TABLE_MM:.2f}"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(RESCALE_INTERCEPT), "1", "HU"
    ds.PixelPaddingValue = int(ct.OUTSIDE) - RESCALE_INTERCEPT
    add_private(ds, index)
    add_pixels(ds, np.rint(hu - RESCALE_INTERCEPT).astype(np.int16), bits=16)
    return ds


def _scout(study: Study, picture: NDArray[np.int16]) -> Dataset:
    ds = _ct(study, "scout", 1)
    ds.SeriesDescription, ds.SeriesNumber, ds.AcquisitionNumber = "Scout", 1, 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.BodyPartExamined, ds.ScanOptions = "ABDOMEN", "SCOUT MODE"
    ds.ImagePositionPatient = ["-200.0", "0.0", f"{250 + TABLE_MM:.1f}"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]
    ds.PixelSpacing, ds.SliceThickness = ["1.5625", "1.5625"], "300"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter, ds.WindowWidth = "0", "1000"
    add_pixels(ds, picture, bits=16)
    return ds


def _plane(ds: Dataset, pixels: int, pixel_mm: float, z: float, tilt_degrees: float = 0.0) -> None:
    """Place an axial slice whose middle lies on the axis; `tilt_degrees` lifts its front edge."""
    cos, sin = math.cos(math.radians(tilt_degrees)), math.sin(math.radians(tilt_degrees))
    half = (pixels - 1) / 2 * pixel_mm
    position = (-half, sin * z - cos * half, cos * z + sin * half)
    ds.ImagePositionPatient = [f"{value:.5f}" for value in position]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", f"{cos:.10g}", f"{0 - sin:.10g}"]
    ds.PixelSpacing = [f"{pixel_mm:.8g}"] * 2


def _mr_slice(
    study: Study, instance: int, echo: int, z: float, picture: NDArray[np.float32]
) -> Dataset:
    ds = study.header(uid.MRImageStorage, "dual echo", instance)
    ds.Modality, ds.PatientPosition = "MR", "HFS"
    ds.SeriesDescription, ds.SeriesNumber = "PD T2 axial dual echo", 4
    ds.BodyPartExamined, ds.ProtocolName = "HEAD", "HEAD PHANTOM"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame"), None
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.AcquisitionNumber = 1
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", ["SK", "SP"], "PFP"
    ds.MRAcquisitionType, ds.SequenceName = "2D", "tse2d2_7"
    ds.RepetitionTime, ds.EchoTime, ds.EchoNumbers = "3200", f"{ECHO_TIMES_MS[echo]:g}", echo + 1
    ds.EchoTrainLength, ds.FlipAngle, ds.NumberOfAverages = "7", "150", "1"
    ds.MagneticFieldStrength, ds.ImagingFrequency = "3", "123.25"
    ds.ImagedNucleus, ds.PixelBandwidth, ds.SAR = "1H", "190", "0.42"
    ds.InPlanePhaseEncodingDirection, ds.AcquisitionMatrix = "ROW", [0, 224, 180, 0]
    ds.PercentSampling, ds.PercentPhaseFieldOfView = "80", "100"
    ds.TransmitCoilName = "Body"
    _plane(ds, mr.PIXELS, mr.PIXEL_MM, z=z, tilt_degrees=HEAD_TILT_DEGREES)
    ds.SliceThickness, ds.SpacingBetweenSlices = "5", f"{HEAD_STEP_MM:g}"
    ds.SliceLocation = f"{z:.3f}"
    ds.WindowCenter, ds.WindowWidth = ("520", "1000") if echo else ("480", "960")
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = 0, int(picture.max())
    add_private(ds, instance)
    add_pixels(ds, picture.astype(np.uint16), bits=12)
    return ds


def _region() -> Dataset:
    """Say which part of the picture is the sector, and how large its pixels are."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 2, 2
    item.RegionLocationMinX0, item.RegionLocationMinY0 = us.REGION[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = us.REGION[2:]
    item.ReferencePixelX0 = int(us.APEX[1] - us.REGION[0])
    item.ReferencePixelY0 = int(us.APEX[0] - us.REGION[1])
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = 3, 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = us.PIXEL_CM, us.PIXEL_CM
    return item
