"""Small images, made fast: each is a copy of one that was written once, with other UIDs."""

from functools import cache

import numpy as np
from pydicom import Dataset, uid

from ingestd.phantom.headers import Study, add_pixels, fill, to_bytes

EDGE = 32  # rows and columns
STUDY, SERIES, IMAGE = 1, 2, 3  # kinds of UIDs
PER_STUDY = 4  # series


def made_uid(kind: int, number: int) -> str:
    """Make a UID; all of a kind are of one length."""
    return f"1.2.826.0.1.3680043.9.{kind}.1{number:09d}"


def content(series: int, at: int, *, slices: int, version: int = 0) -> bytes:
    """Write one slice of a series; another version has another pixel."""
    made = written(at, slices)
    numbers = (
        (STUDY, 0, series // PER_STUDY),
        (SERIES, 0, series),
        (IMAGE, at, series * 1000 + at),
    )
    for kind, before, after in numbers:
        made = made.replace(made_uid(kind, before).encode(), made_uid(kind, after).encode())
    return made[:-2] + (1000 + version).to_bytes(2, "little")


@cache
def written(at: int, slices: int) -> bytes:
    """Write a slice of the first series."""
    study = Study(
        seed=1,
        name="small",
        patient={"PatientName": "Small^Nobody", "PatientID": "SMALL-1", "PatientSex": "O"},
        date="20260115",
        time="083000",
        description="Small study",
        accession="SMALL00001",
        code=("SMALL", "Procedure of small images"),
        machine={"Manufacturer": "ingestd phantoms", "StationName": "SMALL1"},
    )
    ds: Dataset = study.header(uid.CTImageStorage, "series", at + 1)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = made_uid(STUDY, 0), made_uid(SERIES, 0)
    ds.SOPInstanceUID = made_uid(IMAGE, at)
    fill(ds, {"Modality": "CT", "SeriesNumber": 1, "ImagesInAcquisition": slices, "KVP": "120"})
    ds.AcquisitionNumber, ds.FrameOfReferenceUID = 1, made_uid(STUDY, 0)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ImagePositionPatient = ["-40", "-40", f"{2.5 * at:.1f}"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.PixelSpacing, ds.SliceThickness = ["2.5", "2.5"], "2.5"
    ds.RescaleIntercept, ds.RescaleSlope = "-1000", "1"
    ramp = np.add.outer(np.arange(EDGE), np.arange(EDGE)).astype(np.uint16)
    add_pixels(ds, (ramp * 16 + 10 * at) % 4000, bits=12)
    return to_bytes(ds)
