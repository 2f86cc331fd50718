"""Writes studies whose patients are marked, so that their traces can be looked for."""

import sys
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from ingestd import phantom

folder = Path(sys.argv[1])
phantom.write(folder)
for path in [path for path in folder.rglob("*") if path.is_file()]:
    try:
        made = pydicom.dcmread(path)
    except (InvalidDicomError, EOFError):
        continue  # Some are bad on purpose.
    made.PatientName, made.PatientID = "MARKED^PATIENT", "MARKED-ID"
    made.save_as(path)
