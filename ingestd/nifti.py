"""Edge: a volume as a file, NIfTI-1 or NumPy: a stream, published whole or not at all."""

import errno
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from numpy.typing import NDArray

from ingestd import files
from ingestd.errors import IngestError, Reason

BLOCK_BYTES = 1 << 20  #: compressed on its own, so that two threads can share the work
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # No name, no time: same bytes each time.
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
RIGHT_ANGLE = 1e-3  #: cosine between axes above which a qform cannot hold the affine

#: Patient axes of DICOM to those of NIfTI: left becomes right, posterior becomes anterior.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Voxels:
    """Voxels and where they are; the slice axis comes first, behind time when there is any."""

    array: NDArray[Any]  #: (timepoints, slices, rows, columns[, 3]), stored values
    affine_lps_mm: NDArray[np.float64]  #: (slice, row, column, 1) to patient x, y, z, 1
    slope: float
    intercept: float
    description: str
    step_s: float  #: between timepoints; 0 when it is not known


def write(target: Path, voxels: Voxels, form: str) -> None:
    """Publish a volume.

    form    "nii.gz", "nii" or "npy"
    raises  IngestError `disk_full`; OSError for anything else that is wrong with our own disk
    """
    array = np.ascontiguousarray(voxels.array)
    if form == "npy":
        _publish(target, lambda out: _npy(out, array, voxels.slope, voxels.intercept))
        return
    head = header(voxels)
    body: list[bytes | memoryview] = [head, memoryview(array.data).cast("B")]
    if form == "nii.gz":
        _publish(target, lambda out: _gzip(out, body))
    else:
        _publish(target, lambda out: [out.write(part) for part in body])


def holds(array: NDArray[Any], form: str) -> bool:
    """Whether a file format has a type for these voxels: NIfTI's colours are 3 x 8 bits."""
    return form == "npy" or array.ndim < 5 or (array.dtype == np.uint8 and array.shape[-1] == 3)


def publish(target: Path, content: bytes) -> None:
    """Publish what belongs beside a volume.

    raises  as `write`
    """
    _publish(target, lambda out: out.write(content))


def header(voxels: Voxels) -> bytes:
    """Make the 352 bytes in front of the voxels.

    NIfTI's first axis is the one that runs fastest: our column. So the same bytes are NIfTI's
    (column, row, slice, time) and our (time, slice, row, column).
    """
    array = voxels.array
    colour = array.ndim == 5
    shape = array.shape[3:0:-1] + ((array.shape[0],) if array.shape[0] > 1 else ())
    affine = ras_affine(voxels.affine_lps_mm)
    head: Any = nibabel.Nifti1Header()  # type: ignore[no-untyped-call]
    head.set_data_dtype(RGB if colour else array.dtype)
    head.set_data_shape(shape)
    if len(shape) == 4:
        head["pixdim"][4] = voxels.step_s
    head.set_xyzt_units("mm", "sec")
    head.set_sform(affine, code="scanner")
    if _orthogonal(affine):
        head.set_qform(affine, code="scanner")
    else:
        head["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    if not colour:
        head.set_slope_inter(voxels.slope, voxels.intercept)
    head["descrip"] = voxels.description.encode("ascii", "replace")[:79]
    head["magic"], head["vox_offset"] = b"n+1", 352
    return bytes(head.binaryblock) + bytes(4)


def ras_affine(affine_lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the affine of (slice, row, column) to LPS into that of (column, row, slice) to RAS."""
    return np.asarray(LPS_TO_RAS @ affine_lps_mm[:, [2, 1, 0, 3]])


def read(path: Path) -> NDArray[Any]:
    """Read the voxels of a published volume, rescaled, the slice axis first.

    return  ([timepoints,] slices, rows, columns[, 3]); integers stay integers when the slope is 1
            and the intercept whole, everything else is float32
    """
    if path.suffix == ".npy":
        return np.asarray(np.load(path))
    voxels: Any = nibabel.Nifti1Image.from_filename(path).dataobj
    stored = np.asarray(voxels.get_unscaled()).T
    if stored.dtype == RGB:
        return stored.view(np.uint8).reshape(*stored.shape, 3)
    return rescaled(stored, float(voxels.slope), float(voxels.inter))


def rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Apply slope and intercept, and keep integers where that loses nothing."""
    return _apply(stored, _kind(stored, slope, intercept), slope, intercept)


def _kind(stored: NDArray[Any], slope: float, intercept: float) -> np.dtype[Any]:
    """Choose the type that holds every rescaled value."""
    if (slope, intercept) == (1, 0):
        return stored.dtype
    if slope != 1 or not float(intercept).is_integer() or stored.dtype.kind not in "iu":
        return np.dtype(np.float32)
    low, high = int(stored.min()) + int(intercept), int(stored.max()) + int(intercept)
    narrow = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    return np.promote_types(narrow, np.int16)


def _apply(
    stored: NDArray[Any], kind: np.dtype[Any], slope: float, intercept: float
) -> NDArray[Any]:
    if (slope, intercept) == (1, 0):
        return stored
    if kind.kind == "f":
        return np.asarray(stored.astype(kind) * kind.type(slope) + kind.type(intercept))
    return np.asarray((stored.astype(np.int64) + int(intercept)).astype(kind))


def _npy(out: BinaryIO, array: NDArray[Any], slope: float, intercept: float) -> None:
    """Write rescaled values slice by slice, so that there is never a second volume in memory."""
    kind = _kind(array, slope, intercept)
    shape = array.shape[1:] if len(array) == 1 else array.shape
    about = {"descr": kind.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, about)
    out.writelines(
        _apply(one, kind, slope, intercept).tobytes() for one in array.reshape(-1, *array.shape[2:])
    )


def _orthogonal(affine: NDArray[np.float64]) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < RIGHT_ANGLE)


def _gzip(out: BinaryIO, parts: list[bytes | memoryview]) -> None:
    """Write one gzip member, its blocks compressed by two threads (zlib lets go of the GIL)."""
    out.write(GZIP_HEADER)
    check, size = 0, 0
    blocks = (part[i : i + BLOCK_BYTES] for part in parts for i in range(0, len(part), BLOCK_BYTES))
    with ThreadPoolExecutor(2) as pool:
        while some := list(islice(blocks, 16)):  # Bounds what waits to be written.
            for block, packed in zip(some, pool.map(_packed, some), strict=True):
                out.write(packed)
                check = zlib.crc32(block, check)
                size += len(block)
    out.write(zlib.compressobj(1, zlib.DEFLATED, -15).flush(zlib.Z_FINISH))
    out.write(check.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def _packed(block: bytes | memoryview) -> bytes:
    """Compress one block so that another can follow it in the same stream."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)


def _publish(target: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Do what `files.publish` does, for content that is too large to hold twice."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            fill(out)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
        files.fsync_folder(target.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            words = f"no room for {target.name} in the state folder"
            raise IngestError(Reason.DISK_FULL, words) from error
        raise
    finally:
        part.unlink(missing_ok=True)
