"""Series in, volumes out: on slices that we write, and on the references of others."""

import copy
import dataclasses
import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ingestd import config, slicefile, volume, volumefiles
from ingestd import voxels as stacking
from ingestd.dicom import plain, planes, sidecar
from ingestd.errors import IngestError, Reason
from ingestd.headers import Header, Headers
from ingestd.model import Harm, SeriesFile, SeriesJob

STUDY, SERIES = "1.2.3", "1.2.3.4"
CORPUS = Path(os.environ.get("INGESTD_TEST_CORPUS", "/nonexistent"))
needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="set INGESTD_TEST_CORPUS to the folder of real series"
)


def bundled(name: str) -> Dataset:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), f"pydicom no longer brings {name}"
    return pydicom.dcmread(path)


def slices(
    count: int = 4,
    name: str = "MR_small.dcm",
    each: dict[str, list[Any]] | None = None,
    **more: Any,
) -> list[Dataset]:
    """Make a series of one real slice: `each` has a value for every slice, the rest one for all."""
    base = bundled(name)
    base.StudyInstanceUID, base.SeriesInstanceUID = STUDY, SERIES
    base.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made = []
    for k in range(count):
        one = copy.deepcopy(base)
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{k + 1}"
        one.InstanceNumber = k + 1
        one.ImagePositionPatient = [-10, -20, 5 + 2.5 * k]
        own = {keyword: values[k] for keyword, values in (each or {}).items()}
        for keyword, value in (more | own).items():
            setattr(one, keyword, value)
        made.append(one)
    return made


def filled(datasets: list[Dataset], dtype: str = "<i2") -> list[Dataset]:
    """Give each slice pixels of its own: ten times its number, and a ramp."""
    for k, one in enumerate(datasets):
        values = np.arange(one.Rows * one.Columns) % 7 + 10 * (k + 1)
        one.PixelData = values.astype(dtype).tobytes()
        one["PixelData"].VR = "OW"
    return datasets


def written(folder: Path, datasets: list[Dataset]) -> SeriesJob:
    """Write a series, and make the job that the catalog would make of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, one in enumerate(datasets):
        one.save_as(folder / f"{k}.dcm")
    return job_of([folder / f"{k}.dcm" for k in range(len(datasets))])


def job_of(paths: list[Path]) -> SeriesJob:
    headers = [pydicom.dcmread(path, stop_before_pixels=True, force=True) for path in paths]
    looks = [path.stat() for path in paths]
    return SeriesJob(
        StudyInstanceUID=str(headers[0].StudyInstanceUID),
        SeriesInstanceUID=str(headers[0].SeriesInstanceUID),
        revision=3,
        files=tuple(
            SeriesFile(
                SOPInstanceUID=str(header.SOPInstanceUID),
                root=str(path.parent),
                path=path.name,
                size_bytes=look.st_size,
                mtime_ns=look.st_mtime_ns,
            )
            for path, header, look in zip(paths, headers, looks, strict=True)
        ),
    )


def built(tmp_path: Path, job: SeriesJob, **options: Any) -> list[dict[str, Any]]:
    table, _ = volume.build(
        job, state=tmp_path / "state", options=config.Volume(**options).stacking
    )
    return table.to_pylist()


def only(tmp_path: Path, job: SeriesJob, **options: Any) -> dict[str, Any]:
    (row,) = built(tmp_path, job, **options)
    return row


def voxels(tmp_path: Path, row: dict[str, Any]) -> np.ndarray:
    return volume.load(tmp_path / "state", row).array


def test_every_column_is_filled(tmp_path: Path) -> None:
    job = written(tmp_path / "in", slices(4)[::-1])
    beats: list[int] = []
    table, places = volume.build(
        job, state=tmp_path / "state", options=config.Volume().stacking, beat=beats.append
    )
    (row,) = table.to_pylist()
    assert row == {
        "SeriesInstanceUID": SERIES,
        "stack": 0,
        "reason": None,
        "detail": None,
        "path": row["path"],
        "shape": [4, 64, 64],
        "dtype": "int16",
        "spacing_mm": [2.5, 0.3125, 0.3125],
        "affine_lps_mm": [0, 0, 0.3125, -10, 0, 0.3125, 0, -20, 2.5, 0, 0, 5, 0, 0, 0, 1],
        "slice_spacing_mm": 2.5,
        "spacing_deviation_mm": 0.0,
        "tilt_degrees": 0.0,
        "missing_slices": [],
        "orientation": "axial",
        "split_by": None,
        "units": None,
        "revision": 3,
    }
    assert [(one["slice"], one["SOPInstanceUID"]) for one in places.to_pylist()] == [
        (k, f"1.2.3.4.{k + 1}") for k in range(4)
    ]
    assert [one["position_mm"] for one in places.to_pylist()] == [5.0, 7.5, 10.0, 12.5]
    assert re.fullmatch(rf"volumes/{STUDY}/{SERIES}_0\.[0-9a-f]{{16}}\.nii\.gz", row["path"])
    assert beats == [0, 1, 2, 3, 8, 4, 5, 6, 7, 8]


def test_nifti_and_dicom_agree_where_a_voxel_is(tmp_path: Path) -> None:
    along = [0.8, 0.6, 0, 0, 0, -1]
    places = [[-0.6 * 3 * k, 0.8 * 3 * k, 1] for k in range(5)]
    job = written(
        tmp_path / "in",
        filled(slices(5, each={"ImagePositionPatient": places}, ImageOrientationPatient=along)),
    )
    row = only(tmp_path, job)
    image = nibabel.load(tmp_path / "state" / row["path"])
    affine = np.reshape(row["affine_lps_mm"], (4, 4))
    for s, r, c in [(0, 0, 0), (4, 63, 1), (2, 5, 60)]:
        x, y, z, _ = affine @ [s, r, c, 1]
        np.testing.assert_allclose(image.affine @ [c, r, s, 1], [-x, -y, z, 1], atol=1e-4)
        assert image.dataobj[c, r, s] == voxels(tmp_path, row)[s, r, c]
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    np.testing.assert_allclose(image.header.get_qform(), image.affine, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("MR_small.dcm", id="explicit little endian"),
        pytest.param("MR_small_implicit.dcm", id="implicit little endian"),
        pytest.param("MR_small_bigendian.dcm", id="explicit big endian"),
        pytest.param("MR_small_RLE.dcm", id="RLE"),
        pytest.param("MR_small_jp2klossless.dcm", id="JPEG 2000"),
        pytest.param("MR_small_jpeg_ls_lossless.dcm", id="JPEG-LS"),
        pytest.param("image_dfl.dcm", id="deflated, all of it"),
        pytest.param("CT_small.dcm", id="CT"),
        pytest.param("SC_rgb_small_odd.dcm", id="colour"),
        pytest.param("SC_rgb_rle.dcm", id="colour, RLE, plane by plane"),
    ],
)
def test_each_syntax_gives_the_stored_values(tmp_path: Path, name: str) -> None:
    expected = bundled(name).pixel_array
    row = only(tmp_path, written(tmp_path / "in", slices(3, name, PixelSpacing=[1, 1])))
    assert row["reason"] is None, row["detail"]
    found = nibabel.load(tmp_path / "state" / row["path"]).dataobj.get_unscaled().T
    if found.dtype.fields:
        found = np.stack([found[name] for name in "RGB"], -1)
    assert [np.array_equal(one, expected) for one in found] == [True] * 3


@pytest.mark.parametrize("form", ["nii.gz", "nii", "npy"])
def test_each_format_gives_back_the_same_values(tmp_path: Path, form: str) -> None:
    made = filled(slices(4, RescaleSlope=1, RescaleIntercept=-1000, RescaleType="HU"))
    row = only(tmp_path, written(tmp_path / "in", made), format=form)
    loaded = volume.load(tmp_path / "state", row)
    assert (row["path"][-len(form) :], row["units"], loaded.array.dtype) == (form, "HU", np.int16)
    assert loaded.array[:, 0, 0].tolist() == [-990, -980, -970, -960]
    assert loaded.spacing == (2.5, 0.3125, 0.3125)
    np.testing.assert_array_equal(loaded.affine_ras[:3, 3], [10, 20, 5])


def test_slopes_that_differ_are_applied_before_stacking(tmp_path: Path) -> None:
    made = filled(
        slices(3, each={"RescaleSlope": [0.5, 2, 4]}, RescaleIntercept=1, RescaleType="BQML")
    )
    row = only(tmp_path, written(tmp_path / "in", made))
    assert (row["dtype"], row["units"]) == ("float32", "BQML")
    assert voxels(tmp_path, row)[:, 0, 0].tolist() == [6, 41, 121]


def test_one_slope_for_all_stays_in_the_header(tmp_path: Path) -> None:
    made = filled(slices(3, RescaleSlope="0.25", RescaleIntercept="-3"))
    row = only(tmp_path, written(tmp_path / "in", made))
    image = nibabel.load(tmp_path / "state" / row["path"])
    assert (row["dtype"], image.dataobj.slope, image.dataobj.inter) == ("int16", 0.25, -3)
    assert image.dataobj.get_unscaled()[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(("sign", "expected"), [(0, 0x0FFE), (1, -2)], ids=["unsigned", "signed"])
def test_guests_in_unused_bits_are_shown_out(tmp_path: Path, sign: int, expected: int) -> None:
    made = slices(2, BitsStored=12, HighBit=11, PixelRepresentation=sign)
    for one in made:
        one.PixelData = np.full(64 * 64, 0x5FFE, "<u2").tobytes()
    row = only(tmp_path, written(tmp_path / "in", made))
    assert set(voxels(tmp_path, row).ravel().tolist()) == {expected}


def test_a_mosaic_is_unfolded(tmp_path: Path) -> None:
    (one,) = slices(1, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"], SpacingBetweenSlices="4")
    block = one.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "US", 3)
    image = np.zeros((64, 64), "<i2")
    for k in range(3):
        image[k // 2 * 32 : k // 2 * 32 + 32, k % 2 * 32 : k % 2 * 32 + 32] = k + 1
    one.PixelData = image.tobytes()
    row = only(tmp_path, written(tmp_path / "in", [one]))
    assert (row["shape"], row["spacing_mm"]) == ([3, 32, 32], [4, 0.3125, 0.3125])
    assert row["affine_lps_mm"][3::4] == [-10 + 16 * 0.3125, -20 + 16 * 0.3125, 5, 1]
    assert [set(each.ravel().tolist()) for each in voxels(tmp_path, row)] == [{1}, {2}, {3}]


def siemens_header(tags: dict[str, list[str]]) -> bytes:
    """Write a private image header of version 2."""
    out = b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77)
    for name, texts in tags.items():
        out += struct.pack("<64si4siii", name.encode(), len(texts), b"FD", 4, len(texts), 77)
        for text in texts:
            padded = text.encode().ljust((len(text) + 3) // 4 * 4, b"\0")
            out += struct.pack("<4i", len(text), len(text), 77, len(text)) + padded
    return out


@pytest.mark.parametrize(("normal", "expected"), [("1.0", [5, 9, 13]), ("-1.0", [13, 9, 5])])
def test_a_mosaic_runs_along_the_normal_that_its_private_header_says(
    tmp_path: Path, normal: str, expected: list[int]
) -> None:
    (one,) = slices(1, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"], SpacingBetweenSlices="4")
    tags = {"NumberOfImagesInMosaic": ["3"], "SliceNormalVector": ["0.0", "0.0", normal]}
    one.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    one.add_new(0x00291010, "OB", siemens_header(tags))
    job = written(tmp_path / "in", [one])
    _, rows = volume.build(job, state=tmp_path / "state", options=config.Volume().stacking)
    z = 5 if normal == "1.0" else -3
    assert rows["position_mm"].to_pylist() == [z, z + 4, z + 8]
    assert rows["frame"].to_pylist() == [(at - 5) // 4 for at in expected]


def test_a_damaged_private_header_is_a_reason(tmp_path: Path) -> None:
    (one,) = slices(1, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    one.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    one.add_new(0x00291010, "OB", siemens_header({"NumberOfImagesInMosaic": ["3"]})[:60])
    row = only(tmp_path, written(tmp_path / "in", [one]))
    assert (row["reason"], "damaged" in row["detail"]) == ("no_geometry", True)


def enhanced(places: list[tuple[float, str, float]], times: list[int] | None = None) -> Dataset:
    """Make a multi-frame image of frames (z, stack, slope), all else shared."""
    (one,) = slices(1)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(one, keyword)
    one.NumberOfFrames = len(places)
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [2, 3]
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    one.SharedFunctionalGroupsSequence = [shared]
    one.PerFrameFunctionalGroupsSequence = []
    for k, (z, stack, slope) in enumerate(places):
        position, content, transform, own = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, z]
        content.StackID = stack
        if times:
            content.TemporalPositionIndex = times[k]
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = slope, 0, "US"
        own.PlanePositionSequence, own.FrameContentSequence = [position], [content]
        own.PixelValueTransformationSequence = [transform]
        one.PerFrameFunctionalGroupsSequence.append(own)
    frames = np.arange(len(places), dtype="<i2")[:, None, None] + np.zeros((64, 64), "<i2")
    one.PixelData = frames.tobytes()
    return one


def test_stacks_of_a_multi_frame_image_are_volumes_of_their_own(tmp_path: Path) -> None:
    places = [(3.0, "1", 1), (0.0, "1", 1), (50.0, "2", 2), (52.0, "2", 3), (6.0, "1", 1)]
    job = written(tmp_path / "in", [enhanced(places)])
    table, rows = volume.build(job, state=tmp_path / "state", options=config.Volume().stacking)
    first, second = table.to_pylist()
    assert (first["split_by"], first["dtype"], first["shape"]) == (
        "StackID=1",
        "int16",
        [3, 64, 64],
    )
    assert (second["split_by"], second["dtype"]) == ("StackID=2", "float32")
    assert voxels(tmp_path, first)[:, 0, 0].tolist() == [1, 0, 4]
    assert voxels(tmp_path, second)[:, 0, 0].tolist() == [4, 9]
    assert [one["frame"] for one in rows.to_pylist()] == [1, 0, 4, 2, 3]


def test_frames_of_a_multi_frame_image_are_ordered_in_time(tmp_path: Path) -> None:
    places = [(z, "1", 1.0) for z in (0, 0, 2, 2)]
    row = only(tmp_path, written(tmp_path / "in", [enhanced(places, times=[2, 1, 2, 1])]))
    assert row["split_by"] == "timepoints by TemporalPositionIndex"
    assert voxels(tmp_path, row)[..., 0, 0].tolist() == [[1, 3], [0, 2]]


def test_a_dose_grid_is_stacked_by_its_offsets(tmp_path: Path) -> None:
    dose = bundled("rtdose.dcm")
    row = only(tmp_path, job_of([Path(str(get_testdata_file("rtdose.dcm", download=False)))]))
    assert row["shape"] == list(dose.pixel_array.shape)
    assert row["slice_spacing_mm"] == pytest.approx(float(dose.GridFrameOffsetVector[1]))
    np.testing.assert_allclose(
        voxels(tmp_path, row), dose.pixel_array * float(dose.DoseGridScaling), rtol=1e-6
    )


def deflated(folder: Path, frames: int, values: np.ndarray) -> Path:
    """Write a dose grid whose data set is deflated."""
    dose = bundled("rtdose.dcm")
    dose.StudyInstanceUID, dose.SeriesInstanceUID = STUDY, SERIES
    dose.NumberOfFrames, (dose.Rows, dose.Columns) = frames, values.shape[1:]
    dose.BitsAllocated = dose.BitsStored = 16
    dose.HighBit, dose.DoseGridScaling = 15, 1
    dose.GridFrameOffsetVector = [3.0 * k for k in range(frames)]
    dose.PixelData = values.tobytes()
    dose.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    folder.mkdir()
    dose.save_as(folder / "dose.dcm", enforce_file_format=True)
    return folder / "dose.dcm"


def test_a_deflated_image_is_read_piece_by_piece(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 65_536, (9, 200, 300)).astype("<u2")
    path = deflated(tmp_path / "in", 9, values)
    source = Headers().read(0, job_of([path]).files[0]).source
    assert isinstance(source, slicefile.Source)
    assert source.deflated
    row = only(tmp_path, job_of([path]))
    np.testing.assert_array_equal(voxels(tmp_path, row), values)


@pytest.mark.parametrize("part", [0.5, 0.999], ids=["cut in half", "cut at the end"])
def test_a_deflated_image_that_ends_early_is_a_reason(tmp_path: Path, part: float) -> None:
    values = np.random.default_rng(3).integers(0, 65_536, (9, 200, 300)).astype("<u2")
    path = deflated(tmp_path / "in", 9, values)
    whole, job = path.read_bytes(), job_of([path])
    path.write_bytes(whole[: int(len(whole) * part)])
    look = path.stat()
    file = dataclasses.replace(job.files[0], size_bytes=look.st_size, mtime_ns=look.st_mtime_ns)
    row = only(tmp_path, dataclasses.replace(job, files=(file,)))
    assert row["reason"] == "decoder_failed"
    assert "ends early" in row["detail"]


def test_a_reconstruction_of_nuclear_medicine_is_stacked_backwards(tmp_path: Path) -> None:
    (one,) = slices(1, Modality="NM", SpacingBetweenSlices="-4", NumberOfFrames=3)
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [1, 2, 30], [1, 0, 0, 0, 1, 0]
    del one.ImagePositionPatient, one.ImageOrientationPatient
    one.DetectorInformationSequence, one.SliceVector = [detector], [1, 2, 3]
    one.PixelData = np.repeat(np.arange(3, dtype="<i2"), 64 * 64).tobytes()
    row = only(tmp_path, written(tmp_path / "in", [one]))
    assert row["affine_lps_mm"][3::4] == [1, 2, 22, 1]
    assert voxels(tmp_path, row)[:, 0, 0].tolist() == [2, 1, 0]


def test_a_hole_is_no_volume_and_is_named(tmp_path: Path) -> None:
    made = filled(slices(5))
    row = only(tmp_path, written(tmp_path / "in", made[:2] + made[3:]))
    assert (row["reason"], row["path"], row["missing_slices"]) == ("missing_slices", None, [10.0])
    assert "10 mm" in row["detail"]
    assert not (tmp_path / "state" / "volumes").exists()


def test_a_hole_is_filled_and_said_so_when_allowed(tmp_path: Path) -> None:
    made = filled(slices(5))
    job = written(tmp_path / "in", made[:2] + made[3:])
    row = only(tmp_path, job, allow_missing=True)
    assert (row["reason"], row["missing_slices"], row["shape"]) == (None, [10.0], [5, 64, 64])
    assert "filled" in row["detail"]
    assert voxels(tmp_path, row)[:, 0, 0].tolist() == [10, 20, 10, 40, 50]
    image = nibabel.load(tmp_path / "state" / row["path"])
    assert b"1 slice missing" in bytes(image.header["descrip"])


def test_a_tilted_stack_keeps_the_shear(tmp_path: Path) -> None:
    places = [[0, 0.5 * k, 2.0 * k] for k in range(4)]
    row = only(tmp_path, written(tmp_path / "in", slices(4, each={"ImagePositionPatient": places})))
    assert row["tilt_degrees"] == pytest.approx(np.degrees(np.arctan2(0.5, 2)))
    assert "tilted by 14" in row["detail"]
    image = nibabel.load(tmp_path / "state" / row["path"])
    np.testing.assert_allclose(image.affine[:3, 2], [0, -0.5, 2], atol=1e-6)
    assert (image.header["sform_code"], image.header["qform_code"]) == (1, 0)


def test_uneven_slices_leave_their_measured_positions(tmp_path: Path) -> None:
    places = [[0, 0, z] for z in (0.0, 2.0, 4.0, 7.1, 9.1)]
    job = written(tmp_path / "in", slices(5, each={"ImagePositionPatient": places}))
    table, rows = volume.build(job, state=tmp_path / "state", options=config.Volume().stacking)
    assert table["reason"].to_pylist() == ["uneven_spacing"]
    assert rows["position_mm"].to_pylist() == [0.0, 2.0, 4.0, 7.1, 9.1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("test-SR.dcm", "no_pixels", id="a report"),
        pytest.param("rtstruct.dcm", "no_pixels", id="a structure set"),
        pytest.param("waveform_ecg.dcm", "no_pixels", id="a waveform"),
        pytest.param("liver_1frame.dcm", "segmentation", id="a segmentation"),
        pytest.param("SC_rgb_rle.dcm", "no_geometry", id="a screenshot"),
        pytest.param("MR_small.dcm", "too_few_slices", id="one slice"),
    ],
)
def test_a_series_that_is_no_volume_has_one_row_that_says_why(
    tmp_path: Path, name: str, expected: str
) -> None:
    row = only(tmp_path, job_of([Path(str(get_testdata_file(name, download=False)))]))
    assert (row["reason"], row["path"]) == (expected, None)
    assert row["detail"]


def test_a_screenshot_does_not_spoil_the_volume_beside_it(tmp_path: Path) -> None:
    made = slices(4)
    del made[3].ImagePositionPatient
    rows = built(tmp_path, written(tmp_path / "in", made))
    assert [row["reason"] for row in rows] == [None, "no_geometry"]
    assert "1 of 4 files" in rows[1]["detail"]


def test_pixels_that_end_early_are_a_reason(tmp_path: Path) -> None:
    made = slices(3)
    for one in made:
        one.PixelData = one.PixelData[:5000]
    row = only(tmp_path, written(tmp_path / "in", made))
    assert (row["reason"], row["path"]) == ("decoder_failed", None)
    assert "5000" in row["detail"]


def test_too_many_voxels_are_not_read(tmp_path: Path) -> None:
    row = only(tmp_path, written(tmp_path / "in", slices(4)), max_voxels=4 * 64 * 64 - 1)
    assert (row["reason"], row["path"]) == ("too_many_voxels", None)
    assert str(4 * 64 * 64) in row["detail"]


@pytest.mark.parametrize("when", [0, 6], ids=["before its header", "before its pixels"])
def test_a_file_that_changes_is_for_later(tmp_path: Path, when: int) -> None:
    job = written(tmp_path / "in", slices(4))
    calls = 0

    def beat(_: int) -> None:
        nonlocal calls
        if calls == when:
            os.utime(tmp_path / "in" / "2.dcm", ns=(0, 12345))
        calls += 1

    with pytest.raises(IngestError) as caught:
        volume.build(job, state=tmp_path / "state", options=config.Volume().stacking, beat=beat)
    assert caught.value.reason is Reason.STILL_CHANGING


def test_a_file_that_left_is_for_later(tmp_path: Path) -> None:
    job = written(tmp_path / "in", slices(4))
    (tmp_path / "in" / "1.dcm").unlink()
    with pytest.raises(IngestError) as caught:
        volume.build(job, state=tmp_path / "state", options=config.Volume().stacking)
    assert caught.value.reason is Reason.TRANSIENT_IO


def test_a_volume_built_again_leaves_the_one_before_as_it_is(tmp_path: Path) -> None:
    made = filled(slices(4))
    first = only(tmp_path, written(tmp_path / "in", made[:3]))
    same = only(tmp_path, written(tmp_path / "in", made[:3]))
    second = only(tmp_path, written(tmp_path / "in", made))
    assert first["path"] == same["path"] != second["path"]
    assert voxels(tmp_path, first)[:, 0, 0].tolist() == [10, 20, 30]
    assert voxels(tmp_path, second)[:, 0, 0].tolist() == [10, 20, 30, 40]
    folder = (tmp_path / "state" / second["path"]).parent
    named = [
        name
        for one in (first, second)
        for name in (one["path"], *volumefiles.companions(one["path"]))
    ]
    assert sorted(folder.iterdir()) == sorted(tmp_path / "state" / name for name in named)


def described(job: SeriesJob, readers: list[Headers]) -> list[Header]:
    return [
        reader.read(k, file)
        for k, (reader, file) in enumerate(zip(readers, job.files, strict=True))
    ]


@pytest.mark.parametrize("institution", ["Hospital", "Hôpital"])
def test_slices_are_read_without_pydicom_and_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, institution: str
) -> None:
    each = {
        "RescaleSlope": ["1", "2", "2.5", "4"],
        "AcquisitionNumber": [1, 2, None, 4],
        "AcquisitionTime": ["101010", "101011.5", "", "101012 "],
        "ImagePositionPatient": [["1.0", "2", "3.25"], ["-1e1", " 2 ", "5"], [0, 0, 7], [0, 0, 9]],
    }
    job = written(tmp_path / "in", slices(4, each=each, Manufacturer=institution))
    asked = []
    whole = slicefile.header
    monkeypatch.setattr(slicefile, "header", lambda file: (asked.append(file.path), whole(file))[1])
    found = described(job, [Headers()] * 4)
    assert asked == ([] if institution.isascii() else ["0.dcm"])
    assert found == by_pydicom(job, monkeypatch)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        pytest.param("EchoTime", "99", id="an echo"),
        pytest.param("ImageOrientationPatient", [0, 1, 0, 0, 0, -1], id="an orientation"),
        pytest.param("Rows", 32, id="a shape"),
        pytest.param("PixelRepresentation", 0, id="a sign"),
        pytest.param("SeriesNumber", 77, id="a series number"),
        pytest.param("AcquisitionNumber", [1, 2], id="a list where a number belongs"),
    ],
)
def test_a_slice_that_differs_by_more_is_read_whole(
    tmp_path: Path, keyword: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = slices(3)
    setattr(made[2], keyword, value)
    made[2].PixelData = made[2].PixelData[: made[2].Rows * 64 * 2]
    job = written(tmp_path / "in", made)
    assert described(job, [Headers()] * 3) == by_pydicom(job, monkeypatch)


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"])
def test_fragments_are_found_without_pydicom(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = slices(3, name, DataSetTrailingPadding=b"\xfe\xff\x00\xe0" * 4)
    job = written(tmp_path / "in", made)
    monkeypatch.setattr(stacking, "parsed", None)  # Nobody is to ask for it.
    series = volume.headers(job)
    (stack,) = series.outcomes(allow_missing=False)
    array, _ = stacking.stacked(stack, series.sources, lambda _: None)
    np.testing.assert_array_equal(array[0], np.stack([one.pixel_array for one in made]))


def test_a_slice_replaced_between_header_and_pixels_is_the_one_that_was_begun(
    tmp_path: Path,
) -> None:
    made = filled(slices(3))
    job = written(tmp_path / "in", made)
    series = volume.headers(job)
    (stack,) = series.outcomes(allow_missing=False)
    written(tmp_path / "other", filled(made[::-1]))
    (tmp_path / "other" / "0.dcm").rename(tmp_path / "in" / "0.dcm")
    array, _ = stacking.stacked(stack, series.sources, lambda _: None)
    assert array[0, :, 0, 0].tolist() == [10, 20, 30]

    (tmp_path / "in" / "1.dcm").write_bytes(b"")
    with pytest.raises(IngestError) as refused:
        stacking.stacked(stack, series.sources, lambda _: None)
    assert refused.value.reason is Reason.STILL_CHANGING


def test_no_patient_is_named_beside_the_volume(tmp_path: Path) -> None:
    made = slices(3, PatientName="Doe^Jane", PatientID="MRN-77", ProtocolName="T1", EchoTime="12.5")
    row = only(tmp_path, written(tmp_path / "in", made))
    sidecar = (tmp_path / "state" / row["path"].replace(".nii.gz", ".json")).read_text()
    assert '"EchoTime": 0.0125' in sidecar
    assert not any(word in sidecar for word in ("Doe", "Jane", "MRN-77", "Patient" + "Name"))


def test_the_preview_shows_the_head_up_and_the_left_side_on_the_right(tmp_path: Path) -> None:
    made = slices(20, Rows=10, Columns=40, PixelSpacing=[1, 1], WindowWidth=1)
    for k, one in enumerate(made):
        values = np.zeros((10, 40), "<i2")
        values[:, 20:] = 1000 if k >= 10 else 0  # The upper left quarter of the patient.
        one.ImagePositionPatient, one.PixelData = [0, 0, k], values.tobytes()
    row = only(tmp_path, written(tmp_path / "in", made))
    jpeg = volumefiles.companions(row["path"])[1]
    picture = np.asarray(Image.open(tmp_path / "state" / jpeg)).astype(int)
    widths = [256, 256, 64]  # In pixels: 40, 40 and 10 mm, at 6.4 pixels to each.
    assert picture.shape == (128, sum(widths))
    coronal = picture[:, 256:512]
    corners = [coronal[at, across] > 128 for at in (20, 107) for across in (20, 235)]
    assert corners == [False, True, False, False]


def unscanned(_: Headers, _handle: Any, content: bytes) -> tuple[bytes, None]:
    return content, None


def by_pydicom(job: SeriesJob, monkeypatch: pytest.MonkeyPatch) -> list[Header]:
    """What the headers say when pydicom alone reads them."""
    with monkeypatch.context() as patch:
        patch.setattr(Headers, "_scanned", unscanned)
        return described(job, [Headers() for _ in job.files])


def test_what_has_the_form_of_another_says_what_it_says_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    made = slices(2)
    made[1].save_as(tmp_path / "in" / "plain.dcm")
    plain_one = job_of([tmp_path / "in" / "plain.dcm"]).files[0]
    content = (tmp_path / "in" / "plain.dcm").read_bytes()
    pixels = content.index(b"\xe0\x7f\x10\x00")
    rng, reader, differ = np.random.default_rng(6), Headers(), 0
    for k in range(300):
        other = bytearray(content)
        for at in rng.integers(128, pixels + 12, 1 + k % 2):
            other[at] ^= 1 << rng.integers(8)
        place = tmp_path / "in" / f"{k}.dcm"
        place.write_bytes(other)
        file = dataclasses.replace(plain_one, path=place.name, mtime_ns=place.stat().st_mtime_ns)
        reader.read(0, plain_one)
        found = read_alone(file, reader)
        assert found == read_alone(file), k
        differ += found != read_alone(plain_one)
    assert differ > 200


def test_the_table_of_elements_is_that_of_the_standard() -> None:
    known = {word: (tag_for_keyword(word), dictionary_VR(word).encode()) for word in plain.ELEMENTS}
    assert known == plain.ELEMENTS


def test_every_element_that_is_asked_for_is_kept() -> None:
    asked = {*planes.CLASSES, *planes.KEYS, *sidecar.SAME, *sidecar.MILLISECONDS}
    assert asked <= plain.ELEMENTS.keys()


def every_file(folders: list[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def test_every_real_header_says_what_pydicom_says(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Path(str(get_testdata_file("MR_small.dcm", download=False))).parent
    with_pixels = without = 0
    for path in every_file([bundle, *([CORPUS] if CORPUS.is_dir() else [])]):
        file = SeriesFile(
            SOPInstanceUID="",
            root=str(path.parent),
            path=path.name,
            size_bytes=path.stat().st_size,
            mtime_ns=path.stat().st_mtime_ns,
        )
        found = read_alone(file)
        with monkeypatch.context() as patch:
            patch.setattr(Headers, "_scanned", unscanned)
            assert found == read_alone(file), path.name
        with_pixels += isinstance(found, Header)
        without += not isinstance(found, Header)
    assert with_pixels > 40, "too few files to be a proof"
    assert without > 40


def read_alone(file: SeriesFile, reader: Headers | None = None) -> Header | str:
    try:
        found = (reader or Headers()).read(0, file)
    except IngestError as error:
        return str(error)
    return found._replace(source=str(found.source)) if is_error(found.source) else found


def is_error(found: object) -> bool:
    return isinstance(found, IngestError)


# Real series, and what other converters made of them.


def series_below(folder: Path) -> Iterator[list[Path]]:
    """Group files by folder and SeriesInstanceUID."""
    found: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith((".nii", ".gz", ".json", ".txt", ".md")):
            try:
                header = pydicom.dcmread(path, stop_before_pixels=True)
            except pydicom.errors.InvalidDicomError:
                continue
            found[str(path.parent), str(header.SeriesInstanceUID)].append(path)
    yield from found.values()


def canonical(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Stored voxels and affine in the nearest RAS order."""
    image = nibabel.load(path)
    stored = np.asarray(image.dataobj.get_unscaled())
    if stored.dtype.fields:
        stored = np.stack([stored[name] for name in "RGB"], -1)
    turned = nibabel.apply_orientation(stored, nibabel.io_orientation(image.affine))
    return turned, nibabel.as_closest_canonical(image).affine


def equal(ours: Path, theirs: Path) -> bool:
    (values, affine), (expected, reference) = canonical(ours), canonical(theirs)
    return (
        values.shape == expected.shape
        and np.array_equal(values, expected)
        and np.abs(affine - reference).max() <= 1e-2
    )


@needs_corpus
@pytest.mark.parametrize(
    ("name", "alone", "count"),
    [
        pytest.param("dcm_qa_nih", False, 8, id="GE by slice, Siemens mosaics"),
        pytest.param("dcm_qa_ts", False, 9, id="nine series under one UID"),
        pytest.param("dcm_qa_12bit", True, 3, id="12 of 16 bits, one UID for three files"),
        pytest.param("dcm_qa_pdt2", False, 2, id="two echoes"),
        pytest.param("dcm_qa_enh", False, 3, id="Philips and Siemens multi-frame"),
    ],
)
def test_volumes_equal_those_of_dcm2niix(
    tmp_path: Path, name: str, alone: bool, count: int
) -> None:
    wanted = sorted((CORPUS / name / "Ref").glob("*.nii"))
    groups = list(series_below(CORPUS / name / "In"))
    ours = []
    for k, paths in (
        enumerate([path] for group in groups for path in group) if alone else enumerate(groups)
    ):
        state = tmp_path / str(k)
        rows, _ = volume.build(
            job_of(paths), state=state, options=config.Volume(format="nii").stacking
        )
        ours += [state / row["path"] for row in rows.to_pylist()]
    assert len(ours) == len(wanted) == count
    left = list(ours)
    for reference in wanted:
        match = next((one for one in left if equal(one, reference)), None)
        assert match is not None, reference.name
        left.remove(match)


@needs_corpus
def test_real_slices_like_the_first_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("dcm_qa_pdt2/In", "dicom2nifti/tests/data", "dcm_qa_enh/In"):
        for paths in series_below(CORPUS / folder):
            job = job_of(paths)
            together = described(job, [Headers()] * len(paths))
            assert together == by_pydicom(job, monkeypatch), paths[0]


@needs_corpus
@pytest.mark.parametrize("name", ["23x38x3", "24x38x3"])
def test_a_legacy_converted_image_is_the_volume_of_its_slices(tmp_path: Path, name: str) -> None:
    folder = CORPUS / "dcmqi" / "data" / "segmentations" / name
    loaded = []
    for part in ("image", "multiframe"):
        (paths,) = series_below(folder / part)
        row = only(tmp_path, job_of(paths))
        loaded.append(volume.load(tmp_path / "state", row))
    np.testing.assert_array_equal(loaded[0].array, loaded[1].array)
    np.testing.assert_allclose(loaded[0].affine, loaded[1].affine, atol=1e-6)


#: Folders of dicom2nifti whose volume differs on purpose, or has a reason instead.
DIFFERENT = {
    "001_single_slice": "one slice is no volume here",
    "002_non_isotropic": "slopes differ: float32 here, float64 there",
}


@needs_corpus
def test_volumes_equal_those_of_dicom2nifti(tmp_path: Path) -> None:
    same = {}
    for k, paths in enumerate(series_below(CORPUS / "dicom2nifti" / "tests" / "data")):
        folder = paths[0].parent
        rows, _ = volume.build(
            job_of(paths), state=tmp_path / str(k), options=config.Volume(format="nii").stacking
        )
        (row,) = rows.to_pylist()
        reference = folder.with_name(f"{folder.name}_ground_truth.nii.gz")
        same[folder] = row["path"] is not None and equal(tmp_path / str(k) / row["path"], reference)
    assert len(same) == 23
    assert {folder.name for folder, equal_ in same.items() if not equal_} == set(DIFFERENT)


@needs_corpus
def test_slopes_of_a_real_series_are_applied_as_dicom2nifti_does(tmp_path: Path) -> None:
    folder = CORPUS / "dicom2nifti/tests/data/generic/anatomical/002_non_isotropic"
    (paths,) = series_below(folder)
    row = only(tmp_path, job_of(paths))
    ours, affine = canonical(tmp_path / "state" / row["path"])
    theirs, reference = canonical(folder.with_name(f"{folder.name}_ground_truth.nii.gz"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(affine, reference, atol=1e-2)


@pytest.mark.parametrize("lost", [0, 2, 5], ids=["the first", "one within", "the last"])
def test_a_header_that_cannot_be_read_never_shortens_a_volume_in_silence(
    tmp_path: Path, lost: int
) -> None:
    job = written(tmp_path / "in", slices(6))
    harm = Harm(Reason.WORKER_TIMEOUT, "took more than 60 s", in_pixels=False)
    files = [
        dataclasses.replace(file, harm=harm if at == lost else None)
        for at, file in enumerate(job.files)
    ]
    job = dataclasses.replace(job, files=tuple(files))
    stack, fault = built(tmp_path, job)
    hole = lost == 2
    assert stack["reason"] == ("missing_slices" if hole else "worker_timeout")
    assert (stack["path"], fault["reason"]) == (None, "worker_timeout")
    assert hole or f"1 of 6 files: 1.2.3.4.{lost + 1}: took" in stack["detail"]
    stack, _ = built(tmp_path, job, allow_missing=True)
    assert stack["shape"] == [6 if hole else 5, 64, 64]
    assert f"worker_timeout): 1 of 6 files: 1.2.3.4.{lost + 1}: took" in stack["detail"]


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [("ImagePositionPatient", "no_geometry"), ("PixelData", "no_pixels")],
)
def test_a_slice_without_a_place_is_told_of_beside_the_volume_of_the_others(
    tmp_path: Path, keyword: str, expected: str
) -> None:
    datasets = slices(6)
    delattr(datasets[5], keyword)
    stack, fault = built(tmp_path, written(tmp_path / "in", datasets))
    assert (stack["shape"], fault["reason"]) == ([5, 64, 64], expected)
    assert f"may belong to it ({expected}): 1 of 6 files" in stack["detail"]


def test_a_transfer_syntax_that_is_no_text_is_left_to_the_pixels(tmp_path: Path) -> None:
    job = written(tmp_path / "in", slices(3))
    for name in ("0.dcm", "1.dcm", "2.dcm"):
        content = (tmp_path / "in" / name).read_bytes()
        (tmp_path / "in" / name).write_bytes(
            content.replace(b"1.2.840.10008.1.2", b"1.2.840\xff10008.1.2")
        )
    looks = [(tmp_path / "in" / file.path).stat().st_mtime_ns for file in job.files]
    files = [dataclasses.replace(f, mtime_ns=at) for f, at in zip(job.files, looks, strict=True)]
    row = only(tmp_path, dataclasses.replace(job, files=tuple(files)))
    np.testing.assert_array_equal(voxels(tmp_path, row)[0], bundled("MR_small.dcm").pixel_array)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        pytest.param("ImagePositionPatient", b"0\\0\\1e300 ", "no_geometry", id="far away"),
        pytest.param("ImagePositionPatient", b"nan\\0\\0 ", "no_geometry", id="nowhere"),
        pytest.param("PixelSpacing", b"1e-300\\1e-300 ", "no_geometry", id="no size"),
        pytest.param("PixelSpacing", b"1e30\\1e30 ", "no_geometry", id="larger than the earth"),
        pytest.param("RescaleSlope", b"nan ", "decoder_failed", id="slope no number"),
        pytest.param("RescaleSlope", b"1e300 ", "decoder_failed", id="slope of no float32"),
        pytest.param("RescaleIntercept", b"-1e400", "decoder_failed", id="intercept endless"),
        pytest.param("RescaleSlope", b"0 ", "decoder_failed", id="slope 0"),
    ],
)
@pytest.mark.parametrize("count", [1, 5], ids=["one slice", "all slices"])
def test_numbers_that_mean_nothing_never_become_a_volume(
    tmp_path: Path, keyword: str, value: bytes, expected: str, count: int
) -> None:
    datasets, tag = slices(5), Tag(keyword)
    for one in datasets[-count:]:
        one._dict[tag] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
    rows = built(tmp_path, written(tmp_path / "in", datasets))
    if count == 1 and (keyword, value) == ("RescaleSlope", b"0 "):  # A PET slice without counts.
        assert (rows[0]["dtype"], voxels(tmp_path, rows[0])[-1].any()) == ("float32", False)
        return
    assert rows[-1]["reason"] == expected
    stack = rows[0]
    if expected == "no_geometry" and count == 1:
        assert stack["shape"] == [4, 64, 64]
        assert "may belong to it (no_geometry): 1 of 5 files" in stack["detail"]
    else:
        assert stack["path"] is None


def test_an_item_without_an_end_is_the_files_fault_and_not_the_disks(tmp_path: Path) -> None:
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHIHH", 0xFFFE, 0xE000, 0xFFFFFFFF, 0x0008, 0x1150)
    whole = Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    pixels = whole.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    (tmp_path / "one").write_bytes(whole[:pixels] + sequence + item)
    seen = (tmp_path / "one").stat()
    file = SeriesFile(
        SOPInstanceUID="1.2",
        root=str(tmp_path),
        path="one",
        size_bytes=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
    )
    for read, reason in (
        (slicefile.header, Reason.NOT_DICOM),
        (slicefile.whole, Reason.DECODER_FAILED),
    ):
        with pytest.raises(IngestError) as raised:
            read(file)
        assert raised.value.reason is reason
