"""The bytes of a NIfTI file, held against nibabel, which knows the format from its makers."""

import gzip
import io
import math
import random
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_geometry import rotation

from ingestd import nifti

EDGES = (3.0, 0.7, 0.9)


def voxels(
    kind: str = "i2",
    shape: tuple[int, ...] = (1, 5, 4, 6),
    affine: np.ndarray | None = None,
    **more: object,
) -> nifti.Voxels:
    values = np.arange(math.prod(shape)).reshape(shape).astype(kind)
    about = {"slope": 1.0, "intercept": 0.0, "description": "made", "step_s": 0.0} | more
    placed = np.diag([*EDGES, 1.0]) if affine is None else affine
    return nifti.Voxels(array=values, affine_lps_mm=placed, **about)


def affine_of(turn: tuple[float, ...], flip: int, shear: float = 0.0) -> np.ndarray:
    axes = rotation(turn)
    affine = np.eye(4)
    affine[:3] = np.column_stack(
        [
            axes[:, 2] * EDGES[0] * flip + axes[:, 1] * shear,
            axes[:, 1] * EDGES[1],
            axes[:, 0] * EDGES[2],
            [-12, 34, 56],
        ]
    )
    return affine


@pytest.mark.parametrize("kind", list(nifti.CODES))
@pytest.mark.parametrize("form", ["nii", "nii.gz"])
def test_nibabel_reads_every_type(tmp_path: Path, kind: str, form: str) -> None:
    made = voxels(kind, slope=2.0, intercept=-3.0)
    nifti.write(tmp_path / f"v.{form}", made, form)
    image = nibabel.load(tmp_path / f"v.{form}")
    np.testing.assert_array_equal(image.dataobj.get_unscaled().T, made.array[0])
    assert (image.dataobj.slope, image.dataobj.inter) == (2, -3)
    assert image.header["descrip"] == b"made"
    np.testing.assert_array_equal(
        nifti.read(tmp_path / f"v.{form}"), made.array[0].astype("f4") * 2 - 3
    )


def _lost(a: float) -> float:
    """How far off a may be, which a qform leaves out: it is sqrt(1 - b*b - c*c - d*d) of float32.

    nibabel reads what is below three steps of float32 as 0. Hence a qform of half a turn is off by
    some thousandths of a voxel, whoever writes it.
    """
    step = float(np.finfo(np.float32).eps)
    return step / a if a else 2 * step**0.5


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.sampled_from([1, -1]),
    st.sampled_from([0.0, 0.0, 1.0]),
    st.sampled_from([(1, 5, 4, 6), (7, 5, 4, 6)]),
    st.sampled_from([0.0, 2.5]),
)
@example((0.0, 168.0, 1.0), 1, 0.0, (1, 5, 4, 6), 0.0)
def test_the_header_is_the_one_that_nibabel_writes(
    turn: tuple[float, ...], flip: int, shear: float, shape: tuple[int, ...], step_s: float
) -> None:
    made = voxels(shape=shape, affine=affine_of(turn, flip, shear), step_s=step_s)
    ours = nibabel.Nifti1Header.from_fileobj(io.BytesIO(nifti.header(made)))
    expected = nibabel.Nifti1Header()
    expected.set_data_dtype(np.int16)
    expected.set_data_shape(shape[:0:-1] + ((shape[0],) if shape[0] > 1 else ()))
    expected.set_xyzt_units("mm", "sec")
    affine = nifti.ras_affine(made.affine_lps_mm)
    expected.set_sform(affine, code="scanner")
    if not shear:
        expected.set_qform(affine, code="scanner")
        limit_mm = 2 * max(ours.get_zooms()[:3]) * _lost(ours.get_qform_quaternion()[0]) + 1e-5
        np.testing.assert_allclose(ours.get_qform(), expected.get_qform(), atol=limit_mm)
        np.testing.assert_allclose(ours.get_qform(), affine, atol=limit_mm)
    np.testing.assert_array_equal(ours.get_sform(), expected.get_sform())
    np.testing.assert_allclose(ours.get_zooms()[:3], np.linalg.norm(affine[:3, :3], axis=0), 1e-6)
    for field in ("dim", "datatype", "bitpix", "xyzt_units", "sform_code", "qform_code", "magic"):
        if field != "magic":
            np.testing.assert_array_equal(ours[field], expected[field], err_msg=field)
    assert ours.get_zooms()[3:] == ((step_s,) if shape[0] > 1 else ())
    assert nibabel.Nifti1Header.diagnose_binaryblock(nifti.header(made)[:348]) == ""


def test_colours_come_back(tmp_path: Path) -> None:
    made = voxels("u1", (1, 3, 4, 5, 3))
    nifti.write(tmp_path / "v.nii", made, "nii")
    image = nibabel.load(tmp_path / "v.nii")
    assert image.shape == (5, 4, 3)
    assert image.dataobj[1, 2, 0].tolist() == tuple(made.array[0, 0, 2, 1].tolist())
    np.testing.assert_array_equal(nifti.read(tmp_path / "v.nii"), made.array[0])


def test_what_was_compressed_in_blocks_is_one_stream_for_everybody(tmp_path: Path) -> None:
    noise = random.Random(5).randbytes(3 * 1024 * 1025)  # noqa: S311 -- no secret
    assert len(noise) > nifti.BLOCK_BYTES
    made = voxels("u1", (1, 3, 1024, 1025))
    made.array[0] = np.frombuffer(noise, np.uint8).reshape(3, 1024, 1025)
    nifti.write(tmp_path / "v.nii.gz", made, "nii.gz")
    whole = gzip.decompress((tmp_path / "v.nii.gz").read_bytes())
    assert whole == nifti.header(made) + noise


@pytest.mark.parametrize("form", ["nii", "nii.gz"])
def test_a_file_that_is_cut_short_is_never_a_volume(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"v.{form}"
    nifti.write(path, voxels("u1", (1, 64, 64, 64)), form)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises((OSError, EOFError)):
        nifti.read(path)


def test_what_does_not_fit_into_the_header_is_said() -> None:
    many = np.empty((1, 2, 1, nifti.MOST + 1), np.int16)
    assert "32768 voxels along one axis" in str(nifti.misfit(many, "nii"))
    assert nifti.misfit(many, "npy") is None
    assert nifti.misfit(many[..., :-1], "nii.gz") is None
