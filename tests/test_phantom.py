"""The demo's folder: what the phantoms show, and what their headers say."""

from collections import Counter
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from ingestd import phantom
from ingestd.dicom.geometry import NotAStack, Stack
from ingestd.dicom.planes import planes
from ingestd.dicom.splitting import Outcome, stacks
from ingestd.errors import Reason
from ingestd.phantom import ct, headers, organs, studies

CUT = "cut off in the header"
NO_IMAGE = "not an image"


@pytest.fixture(scope="module")
def drop() -> list[phantom.Item]:
    return list(phantom.items())


@pytest.fixture(scope="module")
def ours(drop: list[phantom.Item]) -> dict[str, Dataset]:
    """The whole files that were computed, by path."""
    return {
        item.path: dcmread(BytesIO(item.content))
        for item in drop
        if item.story not in {CUT, NO_IMAGE, "real files of pydicom"}
    }


def under(ours: dict[str, Dataset], folder: str) -> list[Dataset]:
    return [ds for path, ds in sorted(ours.items()) if path.startswith(folder)]


def hounsfield(ds: Dataset) -> NDArray[np.float64]:
    return ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)


def stacked(images: list[Dataset], *, allow_missing: bool = False) -> list[Outcome]:
    return stacks([plane for ds in images for plane in planes(ds)], allow_missing=allow_missing)


def test_the_demo_is_small_enough_to_be_dropped_while_somebody_watches(
    drop: list[phantom.Item],
) -> None:
    assert len(drop) < 250
    assert sum(len(item.content) for item in drop) < 40e6
    assert len({item.path for item in drop}) == len(drop)


@pytest.mark.long
def test_two_runs_make_the_same_bytes(drop: list[phantom.Item]) -> None:
    assert list(phantom.items()) == drop


def test_another_seed_makes_other_instances_of_other_studies() -> None:
    one, other = (dict(studies.chest(seed))[5] for seed in (1, 2))
    first, second = dcmread(BytesIO(one)), dcmread(BytesIO(other))

    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PixelData"):
        assert first[keyword].value != second[keyword].value, keyword


def test_what_is_late_comes_last_and_is_one_slice_of_the_chest(drop: list[phantom.Item]) -> None:
    assert [item.late for item in drop] == [False] * (len(drop) - 1) + [True]
    assert drop[-1].story == "CT that lacks a slice"
    assert dcmread(BytesIO(drop[-1].content)).InstanceNumber == phantom.LATE_SLICE


def test_every_uid_is_ours_alone_but_for_the_copy(drop: list[phantom.Item]) -> None:
    whole = [item for item in drop if item.story not in {CUT, NO_IMAGE}]
    uids = Counter(
        str(dcmread(BytesIO(item.content), stop_before_pixels=True).SOPInstanceUID)
        for item in whole
    )
    contents = Counter(item.content for item in whole)

    assert [n for n in uids.values() if n > 1] == [2]
    assert [n for n in contents.values() if n > 1] == [2]


COMMON = """
SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID StudyDate
StudyTime AccessionNumber ReferringPhysicianName StudyID PatientName PatientID PatientBirthDate
PatientSex Modality SeriesNumber InstanceNumber Manufacturer ContentDate ContentTime ImageType
SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit
PixelRepresentation PixelData ReferencedStudySequence ProcedureCodeSequence
RequestAttributesSequence
"""
PLACED = """
FrameOfReferenceUID PositionReferenceIndicator ImagePositionPatient ImageOrientationPatient
PixelSpacing SliceThickness PatientPosition AcquisitionNumber
"""
MODULES = {
    "CT": COMMON + PLACED + "RescaleIntercept RescaleSlope KVP",
    "MR": COMMON
    + PLACED
    + "ScanningSequence SequenceVariant ScanOptions MRAcquisitionType RepetitionTime EchoTime "
    "EchoTrainLength EchoNumbers",
    "US": COMMON + "NumberOfFrames FrameTime FrameIncrementPointer PlanarConfiguration "
    "SequenceOfUltrasoundRegions PatientOrientation LossyImageCompression",
}


def test_every_attribute_that_its_kind_of_image_needs_is_there(ours: dict[str, Dataset]) -> None:
    absent = {
        (path, keyword)
        for path, ds in ours.items()
        for keyword in MODULES[ds.Modality].split()
        if keyword not in ds
    }

    assert absent == set()


def test_files_say_which_program_wrote_them_and_where_its_uids_come_from(
    ours: dict[str, Dataset],
) -> None:
    for path, ds in ours.items():
        assert ds.file_meta.ImplementationVersionName == "INGESTD_DEMO", path
        assert ds.file_meta.ImplementationClassUID.startswith("2.25."), path
        assert ds.SOPInstanceUID.startswith("2.25."), path
        assert len(ds.SOPInstanceUID) <= 64, path


@pytest.mark.parametrize(
    ("folder", "groups"),
    [
        pytest.param("ct-abdomen", ("Phantom^Ada", "", ""), id="one group in Latin letters"),
        pytest.param("ct-chest", ("Demo^Xiaoming", "测试^小明", ""), id="Chinese in GB18030"),
        pytest.param(
            "mr-head",
            ("Demo^Hanako", "試験^花子", "しけん^はなこ"),
            id="Japanese in ISO 2022 IR 87, with how it is spoken",
        ),
        pytest.param("us-heart", ("Phantom^Émile", "", ""), id="an accent in Latin-1"),
    ],
)
def test_names_decode(ours: dict[str, Dataset], folder: str, groups: tuple[str, str, str]) -> None:
    for ds in under(ours, folder):
        name = ds.PatientName
        assert (name.alphabetic, name.ideographic, name.phonetic) == groups


def test_japanese_is_written_with_escapes_and_not_in_utf_8(drop: list[phantom.Item]) -> None:
    content = next(item.content for item in drop if item.path.startswith("mr-head"))

    assert b"\x1b$B" in content
    assert "花子".encode() not in content


def test_the_abdomen_is_a_uniform_stack_of_axial_slices(ours: dict[str, Dataset]) -> None:
    (stack,) = stacked(under(ours, "ct-abdomen/IM")[1:])

    assert isinstance(stack, Stack)
    assert stack.shape == (40, 256, 256)
    assert stack.spacing_mm == pytest.approx((5, 1.5625, 1.5625))
    assert (stack.orientation, stack.missing_mm) == ("axial", ())
    assert stack.tilt_degrees == pytest.approx(0)


def test_numbers_of_a_ct_go_from_head_to_foot_against_the_normal(ours: dict[str, Dataset]) -> None:
    slices = sorted(under(ours, "ct-abdomen/IM")[1:], key=lambda ds: ds.InstanceNumber)
    heights = [ds.ImagePositionPatient[2] for ds in slices]

    assert heights == sorted(heights, reverse=True)


def test_the_chest_lacks_the_slice_that_comes_late_and_no_other(
    ours: dict[str, Dataset], drop: list[phantom.Item]
) -> None:
    late = {item.path for item in drop if item.late}
    early = [ds for path, ds in ours.items() if path.startswith("ct-chest") and path not in late]
    (before,), (after,) = stacked(early), stacked(under(ours, "ct-chest"))

    assert isinstance(before, NotAStack)
    assert before.reason == Reason.MISSING_SLICES
    absent = dcmread(BytesIO(drop[-1].content)).ImagePositionPatient[2]
    assert before.missing_mm == pytest.approx((absent,))
    assert isinstance(after, Stack)
    assert after.shape == (28, 256, 256)


def test_the_head_is_two_stacks_one_for_each_echo_on_the_same_oblique_positions(
    ours: dict[str, Dataset],
) -> None:
    found = stacked(under(ours, "mr-head"))

    assert [stack.shape for stack in found if isinstance(stack, Stack)] == [(20, 224, 224)] * 2
    first, second = found
    assert isinstance(first, Stack)
    assert isinstance(second, Stack)
    assert np.array_equal(first.affine_lps_mm, second.affine_lps_mm)
    assert first.spacing_mm == pytest.approx((6, 240 / 224, 240 / 224), rel=1e-4)
    assert first.tilt_degrees < 0.01
    assert first.affine_lps_mm[1, 0] == pytest.approx(
        6 * np.sin(np.radians(studies.HEAD_TILT_DEGREES)), abs=1e-4
    )


def around(images: list[Dataset], x: float, y: float, z: float) -> float:
    """The median of 3 x 3 pixels at a place of the trunk."""
    height = z + studies.TABLE_MM
    nearest = min(images, key=lambda ds: abs(ds.ImagePositionPatient[2] - height))
    column = round((x - nearest.ImagePositionPatient[0]) / nearest.PixelSpacing[1])
    row = round((y - nearest.ImagePositionPatient[1]) / nearest.PixelSpacing[0])
    return float(np.median(hounsfield(nearest)[row - 1 : row + 2, column - 1 : column + 2]))


@pytest.mark.parametrize(
    ("organ", "place", "folder"),
    [
        pytest.param("liver", (-100, 0, 55), "ct-abdomen/IM", id="the liver is on the right"),
        pytest.param("spleen", (98, 22, 65), "ct-abdomen/IM", id="the spleen is on the left"),
        pytest.param("lesion", organs.LESION[:3], "ct-abdomen/IM", id="a dark lesion"),
        pytest.param("blood", (*ct.AORTA[:2], 70), "ct-abdomen/IM", id="a bright aorta"),
        pytest.param("vein", (-20, 4, -50), "ct-abdomen/IM", id="a less bright vein"),
        pytest.param("fat", (150, -8, 50), "ct-abdomen/IM", id="fat under the skin"),
        pytest.param("air", (0, -150, 50), "ct-abdomen/IM", id="air in front of the patient"),
        pytest.param("lung", (-110, 30, 190), "ct-chest", id="air and some tissue in the lung"),
        pytest.param("nodule", organs.NODULE[:3], "ct-chest", id="a nodule in the lung"),
        pytest.param("cord", (0, 62, 190), "ct-chest", id="the cord in its canal"),
    ],
)
def test_an_organ_lies_where_it_should_and_has_its_hounsfield_units(
    ours: dict[str, Dataset], organ: str, place: tuple[float, float, float], folder: str
) -> None:
    images = [ds for ds in under(ours, folder) if "LOCALIZER" not in ds.ImageType]

    assert around(images, *place) == pytest.approx(organs.HU[organ], abs=30)


def test_bone_is_bright_and_what_the_scanner_did_not_see_is_padding(
    ours: dict[str, Dataset],
) -> None:
    for ds in under(ours, "ct-chest"):
        values = hounsfield(ds)
        assert values[0, 0] == ct.OUTSIDE
        assert ds.pixel_array[0, 0] == ds.PixelPaddingValue
        assert 500 < values.max() < 1000


def test_slices_carry_noise_and_no_two_are_alike(ours: dict[str, Dataset]) -> None:
    slices = under(ours, "ct-abdomen/IM")[1:]
    air = [hounsfield(ds)[20:40, 100:150] for ds in slices]

    assert all(8 < patch.std() < 15 for patch in air)
    assert len({ds.PixelData for ds in slices}) == len(slices)


def test_fluid_is_brighter_than_grey_than_white_matter_in_the_second_echo(
    ours: dict[str, Dataset],
) -> None:
    by_echo = {
        echo: next(
            ds
            for ds in under(ours, "mr-head")
            if ds.EchoNumbers == echo and float(ds.SliceLocation) == 14
        ).pixel_array
        for echo in (1, 2)
    }
    ventricle = (slice(110, 116), slice(96, 100))
    white = (slice(100, 104), slice(76, 82))

    assert by_echo[2][ventricle].mean() > 900
    assert by_echo[2][white].mean() < 560
    assert by_echo[1][ventricle].mean() < by_echo[1][white].mean() * 1.2


def test_the_clip_shows_a_grey_sector_a_moving_valve_and_colour(ours: dict[str, Dataset]) -> None:
    ds = ours["us-heart/clip.dcm"]
    frames = ds.pixel_array.astype(int)
    warm = (frames[..., 0] - frames[..., 2])[:, 60:200, 60:270]
    towards = (warm > 60).any(axis=(1, 2))
    away = (warm < -60).any(axis=(1, 2))

    assert frames.shape == (12, 240, 320, 3)
    assert not frames[:, 190:204, 20:30].any(), "the corner outside the sector is black"
    assert (towards != away).all(), "blood flows one way at a time, and never stands"
    assert 4 <= towards.sum() <= 8
    assert all((one != other).any() for one, other in pairwise(frames))


def test_the_private_block_is_read_back_with_its_nested_sequence(
    ours: dict[str, Dataset],
) -> None:
    block = ours["ct-abdomen/IM0005.dcm"].private_block(0x0029, headers.PRIVATE_CREATOR)
    inner = block[0x04].value[0].private_block(0x0029, headers.PRIVATE_CREATOR)

    assert block[0x01].value == "PHANTOM"
    assert inner[0x11].value == 4


def test_the_cut_file_ends_inside_its_header_and_the_note_is_no_dicom(
    drop: list[phantom.Item],
) -> None:
    (cut,) = (item.content for item in drop if item.story == CUT)
    (note,) = (item.content for item in drop if item.story == NO_IMAGE)

    assert cut[128:132] == b"DICM"
    assert len(cut) < 1500
    assert "PatientName" not in dcmread(BytesIO(cut))
    with pytest.raises(InvalidDicomError):
        dcmread(BytesIO(note))


def test_the_real_files_differ_in_syntax_or_in_kind(drop: list[phantom.Item]) -> None:
    real = [
        dcmread(BytesIO(item.content), stop_before_pixels=True)
        for item in drop
        if item.story == "real files of pydicom"
    ]
    kinds = {(ds.file_meta.TransferSyntaxUID, ds.SOPClassUID) for ds in real}

    assert len(real) == len(phantom.REAL_FILES) == len(kinds)
    assert len({syntax for syntax, _ in kinds}) >= 8


@pytest.mark.long
def test_a_file_that_pydicom_came_without_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "REAL_FILES", ("gone.dcm",))

    with pytest.raises(FileNotFoundError, match=r"pydicom's gone\.dcm"):
        list(phantom.items())


def test_writing_puts_every_file_into_the_folder_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drop: list[phantom.Item]
) -> None:
    monkeypatch.setattr(phantom, "items", lambda _seed: iter(drop))

    assert phantom.write(tmp_path / "a") == len(drop)
    assert phantom.write(tmp_path / "b", late=False) == len(drop) - 1
    for item in drop:
        assert (tmp_path / "a" / item.path).read_bytes() == item.content
    with pytest.raises(FileExistsError):
        phantom.write(tmp_path / "a")
