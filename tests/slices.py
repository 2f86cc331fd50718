"""A series of slices that take a moment to stack, and room."""

import os
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file

#: A real CT of five slices that comes with pydicom.
CT_FOLDER = Path(str(get_testdata_file("98892001/CT5N/2062", download=False))).parent


def thick_series(folder: Path, slices: int) -> None:
    """Write a CT of 512 x 512, half a megabyte each, that nobody can compress."""
    dataset = pydicom.dcmread(max(CT_FOLDER.iterdir()))
    dataset.Rows = dataset.Columns = 512
    folder.mkdir(parents=True)
    for number in range(slices):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        dataset.InstanceNumber = number
        dataset.ImagePositionPatient = [0, 0, number]
        dataset.PixelData = os.urandom(512 * 512 * 2)
        dataset.save_as(folder / str(number))
