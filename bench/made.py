"""Make the files that the benches read: the same bytes on each machine.

    python bench/made.py ct FOLDER --files 2000

What repeats from slice to slice and what does not is as in files of real scanners: of about 120
elements, some 25 differ in each slice, among them the UIDs, times, position, current and dose.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.sequence import Sequence

from ingestd.phantom import ct, mr
from ingestd.phantom.headers import Study, add_pixels, add_private, coded, fill, to_bytes

KINDS = ("ct", "mr", "packed")
SLICES = 200  # of a series
PICTURES = 40  # that differ; they are used again and again
SEED = 7

#: Compressed copies take turns. RLE: pydicom; the others: imagecodecs.
PACKED = (uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless)


def make(kind: str, folder: Path, files: int) -> Path:
    """Fill a folder, unless it holds as many files already."""
    if folder.is_dir() and len(listed(folder)) == files:
        return folder
    print(f"making {files} files ({kind}) in {folder}", file=sys.stderr, flush=True)
    for index, content in enumerate(CONTENTS[kind](files)):
        place = folder / f"series{index // SLICES:03d}" / f"IM{index % SLICES:04d}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    assert len(listed(folder)) == files, f"{folder} holds something else already"
    return folder


def listed(folder: Path) -> list[str]:
    """All files below a folder, in order."""
    return sorted(f"{at}/{name}" for at, _, names in os.walk(folder) for name in names)


def ct_files(files: int) -> Iterator[bytes]:
    """Write CT slices of 512 x 512."""
    for ds in _ct_slices(files):
        yield to_bytes(ds)


def packed_files(files: int) -> Iterator[bytes]:
    """Write the same slices compressed, each in one of four ways."""
    known: dict[tuple[int, str], bytes] = {}
    for index, ds in enumerate(_ct_slices(files)):
        syntax = PACKED[index % len(PACKED)]
        key = index % PICTURES, syntax
        if key not in known:
            known[key] = encapsulate([_packed(ds, syntax)])
        ds.PixelData = known[key]
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        yield to_bytes(ds, syntax)


def mr_files(files: int) -> Iterator[bytes]:
    """Write MR slices of 256 x 256."""
    positions = [-40.0 + 3 * k for k in range(PICTURES // 2)]
    small = mr.two_echoes(positions, np.random.default_rng(SEED)).reshape(-1, mr.PIXELS, mr.PIXELS)
    edge = (256 - mr.PIXELS) // 2
    pictures = np.pad(small, ((0, 0), (edge, edge), (edge, edge))).astype(np.uint16)
    for index in range(files):
        ds = _begin(uid.MRImageStorage, "MR", index, 240 / 256)
        fill(ds, MR)
        ds.LargestImagePixelValue = int(1500 + index % 97)
        ds.SmallestImagePixelValue = 0
        ds.SAR = f"{0.4 + index % 13 / 100:.3f}"
        ds.WindowCenter, ds.WindowWidth = str(500 + index % 7), str(1000 + index % 11)
        add_pixels(ds, pictures[index % PICTURES], bits=12)
        yield to_bytes(ds)


CONTENTS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "ct": ct_files,
    "mr": mr_files,
    "packed": packed_files,
}


def _ct_slices(files: int) -> Iterator[Dataset]:
    rng = np.random.default_rng(SEED)
    small = ct.hounsfield([150.0 - 6 * k for k in range(PICTURES)], rng)
    small = np.maximum(small, -1024)
    pictures = small.repeat(2, axis=1).repeat(2, axis=2)
    pictures += rng.normal(0, 8, pictures.shape[1:]).astype(np.float32)
    stored = np.clip(np.rint(pictures + 1024), 0, 4095).astype(np.uint16)
    for index in range(files):
        ds = _begin(uid.CTImageStorage, "CT", index, 400 / 512)
        fill(ds, CT)
        ds.XRayTubeCurrent, ds.Exposure = str(180 + index * 7 % 90), str(90 + index * 7 % 45)
        ds.CTDIvol = 5 + index * 7 % 90 / 13
        ds.TableHeight = f"{150 + index % SLICES * 0.01:.2f}"
        ds.SmallestImagePixelValue = 0
        ds.LargestImagePixelValue = 2000 + index % 311
        add_pixels(ds, stored[index % PICTURES], bits=12)
        yield ds


def _begin(sop_class: uid.UID, modality: str, index: int, pixel_mm: float) -> Dataset:
    """Write what both modalities have."""
    series, at = divmod(index, SLICES)
    study = Study(
        seed=SEED,
        name=f"bench {modality} {series // 2}",
        patient=PATIENT | {"PatientID": f"BENCH-{series // 2:05d}"},
        date="20260115",
        time="083000.250000",
        description="Bench study",
        accession=f"BENCH{series // 2:06d}",
        code=("BENCH", "Procedure of a bench"),
        machine=MACHINE,
    )
    ds = study.header(sop_class, f"series {series}", at + 1)
    ds.Modality, ds.SeriesNumber = modality, series + 1
    ds.SeriesDescription = f"Series {series + 1}"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame"), None
    ds.AcquisitionNumber, ds.AcquisitionTime = 1, f"0831{20 + at * 0.19:09.6f}"
    ds.ContentTime = f"0832{20 + at * 0.17:09.6f}"
    ds.InstanceCreationTime = f"0833{20 + at * 0.17:09.6f}"
    z = 2.5 * at + 0.013 * series
    ds.ImagePositionPatient = ["-200.00", "-180.50", f"{z:.3f}"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.PixelSpacing = [f"{pixel_mm:.7g}"] * 2
    ds.SliceLocation, ds.SliceThickness = f"{z:.3f}", "2.5"
    ds.ImagesInAcquisition = SLICES
    ds.SourceImageSequence = Sequence([_reference(study, sop_class, at)])
    ds.PerformedProtocolCodeSequence = Sequence([coded("P1", "Protocol one")])
    add_private(ds, at)
    return ds


def _reference(study: Study, sop_class: uid.UID, at: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = study.uid(f"source {at}")
    return item


def _packed(ds: Dataset, syntax: str) -> bytes:
    pixels = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    if syntax == uid.RLELossless:
        return RLELosslessEncoder.encode(
            pixels,
            encoding_plugin="pydicom",
            rows=ds.Rows,
            columns=ds.Columns,
            samples_per_pixel=1,
            bits_allocated=16,
            bits_stored=12,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
            number_of_frames=1,
        )
    if syntax == uid.JPEGLosslessSV1:
        return imagecodecs.ljpeg_encode(pixels, bitspersample=12)
    if syntax == uid.JPEGLSLossless:
        return imagecodecs.jpegls_encode(pixels)
    return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0)


PATIENT = {
    "PatientName": "Bench^Nobody",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "PatientAge": "056Y",
    "PatientWeight": "70",
}
MACHINE = {
    "Manufacturer": "ingestd phantoms",
    "ManufacturerModelName": "Bench 64",
    "InstitutionName": "Bench Hospital, nowhere",
    "InstitutionalDepartmentName": "Radiology",
    "StationName": "BENCH1",
    "DeviceSerialNumber": "1",
    "SoftwareVersions": ["bench", "1"],
    "LossyImageCompression": "00",
    "PatientPosition": "HFS",
    "BodyPartExamined": "CHEST",
}
CT = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "KVP": "120",
    "FilterType": "BODY",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "400",
    "DistanceSourceToDetector": "949.075",
    "DistanceSourceToPatient": "541",
    "RotationDirection": "CW",
    "ScanOptions": "HELICAL",
    "ProtocolName": "BENCH CHEST",
    "ExposureTime": "500",
    "ConvolutionKernel": ["Br40d", "3"],
    "SpiralPitchFactor": 0.984,
    "SingleCollimationWidth": 0.625,
    "ContrastBolusAgent": "Bench contrast 300",
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
    "WindowCenter": ["40", "-500"],
    "WindowWidth": ["400", "1500"],
}
MR = {
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "ScanningSequence": "SE",
    "SequenceVariant": ["SK", "SP"],
    "ScanOptions": "PFP",
    "MRAcquisitionType": "2D",
    "SequenceName": "tse2d1_7",
    "ProtocolName": "BENCH HEAD",
    "RepetitionTime": "3200",
    "EchoTime": "96",
    "EchoNumbers": 1,
    "EchoTrainLength": "7",
    "FlipAngle": "150",
    "NumberOfAverages": "1",
    "MagneticFieldStrength": "3",
    "ImagingFrequency": "123.25",
    "ImagedNucleus": "1H",
    "PixelBandwidth": "190",
    "InPlanePhaseEncodingDirection": "ROW",
    "AcquisitionMatrix": [0, 256, 205, 0],
    "PercentSampling": "80",
    "PercentPhaseFieldOfView": "100",
    "TransmitCoilName": "Body",
    "SpacingBetweenSlices": "2.5",
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("kind", choices=KINDS)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--files", type=int, default=2000)
    options = asked.parse_args()
    make(options.kind, options.folder, options.files)


if __name__ == "__main__":
    main()
