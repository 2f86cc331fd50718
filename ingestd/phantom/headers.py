"""Pure. Headers for the phantoms: what a scanner writes around its pixels.

Nobody in them exists. UIDs are made from the seed and a name (PS3.5 B.2, root 2.25), so that two
runs make the same files.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

UID_SPACE = uuid.uuid5(uuid.NAMESPACE_OID, "ingestd demo")
PRIVATE_CREATOR = "INGESTD DEMO 1.0"


def made_uid(seed: int, name: str) -> UID:
    """Make the UID that belongs to a name."""
    return UID(f"2.25.{uuid.uuid5(UID_SPACE, f'{seed} {name}').int}")


IMPLEMENTATION = UID(f"2.25.{UID_SPACE.int}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One visit of one phantom patient to one machine."""

    seed: int
    name: str  #: what its UIDs are made from
    patient: Mapping[str, Any]
    date: str
    time: str
    description: str
    accession: str
    code: tuple[str, str]  #: of the procedure: value and meaning
    machine: Mapping[str, Any]
    character_set: str | list[str] = "ISO_IR 100"

    def uid(self, name: str) -> UID:
        """Make a UID in this study."""
        return made_uid(self.seed, f"{self.name} {name}")

    def header(self, sop_class: UID, series: str, instance: int) -> Dataset:
        """Begin an instance: patient, study, machine, and which one it is."""
        ds = Dataset()
        ds.SpecificCharacterSet = self.character_set
        ds.SOPClassUID = sop_class
        ds.SOPInstanceUID = self.uid(f"{series} {instance}")
        ds.StudyInstanceUID = self.uid("study")
        ds.SeriesInstanceUID = self.uid(series)
        ds.InstanceNumber = instance
        fill(ds, self.patient)
        fill(ds, self.machine)
        for part in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
            setattr(ds, f"{part}Date", self.date)
            setattr(ds, f"{part}Time", self.time)
        ds.StudyID = f"D{self.accession[-4:]}"
        ds.AccessionNumber = self.accession
        ds.StudyDescription = self.description
        ds.ReferringPhysicianName = "Referrer^Demo"
        ds.PerformedProcedureStepID = f"P{self.accession[-4:]}"
        ds.ProcedureCodeSequence = Sequence([coded(*self.code)])
        ds.ReferencedStudySequence = Sequence([self._referenced()])
        ds.RequestAttributesSequence = Sequence([self._requested()])
        return ds

    def _referenced(self) -> Dataset:
        item = Dataset()
        item.ReferencedSOPClassUID = UID("1.2.840.10008.3.1.2.3.1")
        item.ReferencedSOPInstanceUID = self.uid("order")
        return item

    def _requested(self) -> Dataset:
        item = Dataset()
        item.RequestedProcedureID = self.accession
        item.ScheduledProcedureStepID = "1"
        item.ScheduledProcedureStepDescription = "Demonstration, no patient"
        item.ScheduledProtocolCodeSequence = Sequence([coded(*self.code)])
        return item


def fill(ds: Dataset, values: Mapping[str, Any]) -> None:
    """Set elements by keyword; a word that is no keyword is our mistake."""
    for keyword, value in values.items():
        assert tag_for_keyword(keyword), f"{keyword} is no DICOM keyword"
        setattr(ds, keyword, value)


def coded(value: str, meaning: str) -> Dataset:
    """Make an item of a code sequence, in a scheme of our own (PS3.3 8.2: 99 and a name)."""
    item = Dataset()
    item.CodeValue, item.CodeMeaning = value, meaning
    item.CodingSchemeDesignator = "99INGESTD"
    return item


def add_private(ds: Dataset, slice_index: int) -> None:
    """Add a private block, as each vendor does: text, numbers, bytes and a nested sequence."""
    block = ds.private_block(0x0029, PRIVATE_CREATOR, create=True)
    block.add_new(0x01, "LO", "PHANTOM")
    block.add_new(0x02, "DS", [f"{0.25 * slice_index:.2f}", "1.5"])
    block.add_new(0x03, "OB", bytes(range(64)))
    inner = Dataset()
    inner_block = inner.private_block(0x0029, PRIVATE_CREATOR, create=True)
    inner_block.add_new(0x11, "UL", slice_index)
    inner_block.add_new(0x12, "SH", "NESTED")
    block.add_new(0x04, "SQ", Sequence([inner]))


def add_pixels(ds: Dataset, pixels: NDArray[Any], *, bits: int) -> None:
    """Add pixels: (rows, columns) in grey, (frames, rows, columns, 3) in colour."""
    colour = pixels.ndim == 4
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[1:3] if colour else pixels.shape
    if colour:
        ds.PlanarConfiguration = 0
        ds.NumberOfFrames = len(pixels)
    ds.BitsAllocated = pixels.itemsize * 8
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    ds.add_new("PixelData", "OB" if pixels.itemsize == 1 else "OW", little.tobytes())


def to_bytes(ds: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """Write a file with preamble and file meta information (PS3.10 section 7)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "INGESTD_DEMO"
    meta.SourceApplicationEntityTitle = "PHANTOM"
    ds.file_meta = meta
    out = BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()
