"""Edge: a volume as a file, NIfTI-1 or NumPy: a stream, published whole or not at all.

The header is 348 bytes that never change their shape, so they are written here: what imports a
library for them takes as long as to stack a series.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from ingestd import files
from ingestd.errors import IngestError, Reason

BLOCK_BYTES = 1 << 20  #: compressed on its own, so that two threads can share the work
LEVEL = 2  #: of isal; as small as zlib's level 1, at four times its speed
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # No name, no time: same bytes each time.
RIGHT_ANGLE = 1e-3  #: cosine between axes above which a qform cannot hold the affine

#: Patient axes of DICOM to those of NIfTI: left becomes right, posterior becomes anterior.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: struct nifti_1_header, field for field, and the four bytes that say that no extension follows.
HEADER = struct.Struct("<i34xc1x8h14xhh2x8f3f3xB16x8x80s24xhh3f3f12f16x4s4x")
SPACE_AND_TIME = 2 | 8  #: mm and seconds
SCANNER = 1  #: code of an affine that goes to the patient's axes
MOST = 32_767  #: voxels along an axis, which the header counts in 16 bits
RGB_CODE = 128
CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768}
CODES |= {"i8": 1024, "u8": 1280}

Fill: TypeAlias = Callable[[BinaryIO], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voxels:
    """Voxels and where they are; the slice axis comes first, behind time when there is any."""

    array: NDArray[Any]  #: (timepoints, slices, rows, columns[, 3]), stored values
    affine_lps_mm: NDArray[np.float64]  #: (slice, row, column, 1) to patient x, y, z, 1
    slope: float
    intercept: float
    description: str
    step_s: float  #: between timepoints; 0 when it is not known

    @property
    def bytes(self) -> memoryview:
        """The voxels as they lie in memory, and in a NIfTI file."""
        return memoryview(np.ascontiguousarray(self.array).data).cast("B")


def write(target: Path, voxels: Voxels, form: str, *, synced: bool = True) -> None:
    """Publish a volume.

    form    "nii.gz", "nii" or "npy"
    synced  survives a power cut, too
    raises  IngestError `disk_full`; OSError for anything else that is wrong with our own disk
    """
    if form == "npy":
        slope, intercept = voxels.slope, voxels.intercept
        fill: Fill = partial(_npy, array=voxels.array, slope=slope, intercept=intercept)
        publish_from(target, fill, synced=synced)
        return
    body: list[bytes | memoryview] = [header(voxels), voxels.bytes]
    fill = partial(_gzip, parts=body) if form == "nii.gz" else lambda out: out.writelines(body)
    publish_from(target, fill, synced=synced)


def misfit(array: NDArray[Any], form: str) -> str | None:
    """Say why a file format has no place for these voxels, if it has none."""
    if form == "npy":
        return None
    if array.ndim == 5 and (array.dtype != np.uint8 or array.shape[-1] != 3):
        return f"{form} has no colours of {array.dtype} x {array.shape[-1]}; npy has"
    if max(array.shape) > MOST:
        return f"{max(array.shape)} voxels along one axis; {form} counts to {MOST}, npy further"
    return None


def publish(target: Path, content: bytes, *, synced: bool = True) -> None:
    """Publish what belongs beside a volume.

    raises  as `write`
    """
    publish_from(target, lambda out: out.write(content), synced=synced)


def header(voxels: Voxels) -> bytes:
    """Make the 352 bytes in front of the voxels.

    NIfTI's first axis is the one that runs fastest: our column. So the same bytes are NIfTI's
    (column, row, slice, time) and our (time, slice, row, column).
    """
    array = voxels.array
    colour = array.ndim == 5
    shape = array.shape[3:0:-1] + ((array.shape[0],) if array.shape[0] > 1 else ())
    affine = ras_affine(voxels.affine_lps_mm)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    orthogonal = _orthogonal(affine)
    side, turn = _quaternion(affine[:3, :3] / sizes) if orthogonal else (1.0, (0.0, 0.0, 0.0))
    return HEADER.pack(
        HEADER.size - 4,
        b"r",
        *(len(shape), *shape, *(1,) * (7 - len(shape))),
        RGB_CODE if colour else CODES[array.dtype.str[1:]],
        array.itemsize * 8 * (3 if colour else 1),
        *(side, *sizes, voxels.step_s if len(shape) == 4 else 1.0, 1.0, 1.0, 1.0),
        *(HEADER.size, *((0.0, 0.0) if colour else (voxels.slope, voxels.intercept))),
        SPACE_AND_TIME,
        voxels.description.encode("ascii", "replace")[:79],
        *(SCANNER if orthogonal else 0, SCANNER),
        *(*turn, *(affine[:3, 3] if orthogonal else (0.0, 0.0, 0.0))),
        *affine[:3].ravel(),
        b"n+1",
    )


def ras_affine(affine_lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the affine of (slice, row, column) to LPS into that of (column, row, slice) to RAS."""
    return np.asarray(LPS_TO_RAS @ affine_lps_mm[:, [2, 1, 0, 3]])


def read(path: Path) -> NDArray[Any]:
    """Read the voxels of a published volume, rescaled, the slice axis first.

    return  ([timepoints,] slices, rows, columns[, 3]); integers stay integers when the slope is 1
            and the intercept whole, everything else is float32
    raises  OSError, also when the file is not as it was published
    """
    if path.suffix == ".npy":
        return np.asarray(np.load(path))
    open_gzip: Callable[[Path], Any] = igzip.IGzipFile
    with open_gzip(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:
            raise OSError(errno.EIO, "cut short", str(path))
        dims, code = struct.unpack_from("<8h", head, 40), struct.unpack_from("<h", head, 70)[0]
        slope, intercept = struct.unpack_from("<2f", head, 112)
        colour = code == RGB_CODE
        kind = "u1" if colour else next(name for name, number in CODES.items() if number == code)
        shape = (*dims[dims[0] : 0 : -1], *((3,) if colour else ()))
        stored = np.empty(shape, f"<{kind}")
        if stored.nbytes != _filled(file, memoryview(stored.data).cast("B")):
            raise OSError(errno.EIO, "cut short", str(path))
    return stored if colour else rescaled(stored, slope, intercept)


def _filled(file: Any, memory: memoryview) -> int:
    """Read as many bytes as there are, or as there is room for."""
    done = 0
    while count := file.readinto(memory[done : done + BLOCK_BYTES * 16]):
        done += count
    return done


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


def _quaternion(axes: NDArray[np.float64]) -> tuple[float, tuple[float, float, float]]:
    """Write a rotation as NIfTI's qform has it.

    axes    (3, 3), its columns unit vectors at right angles
    return  -1 when the third axis is turned round to make it a rotation, and b, c, d
    spec    Bar-Itzhack, J. Guidance 23 (2000) 1085: the eigenvector of the largest eigenvalue
    """
    left, _, right = np.linalg.svd(axes)
    axes = left @ right  # The nearest rotation: the cosines were rounded by their writer.
    side = 1.0 if np.linalg.det(axes) > 0 else -1.0
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = axes * [1.0, 1.0, side]
    matrix = np.array(
        [
            [xx - yy - zz, 0.0, 0.0, 0.0],
            [yx + xy, yy - xx - zz, 0.0, 0.0],
            [zx + xz, zy + yz, zz - xx - yy, 0.0],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    values, vectors = np.linalg.eigh(matrix)
    b, c, d, a = vectors[:, values.argmax()].tolist()
    return side, (b, c, d) if a >= 0 else (-b, -c, -d)


def _gzip(out: BinaryIO, parts: list[bytes | memoryview]) -> None:
    """Write one gzip member, its blocks compressed by two threads (isal lets go of the GIL)."""
    out.write(GZIP_HEADER)
    check, size = 0, 0
    blocks = (part[i : i + BLOCK_BYTES] for part in parts for i in range(0, len(part), BLOCK_BYTES))
    with ThreadPoolExecutor(2) as pool:
        while some := list(islice(blocks, 16)):  # Bounds what waits to be written.
            try:
                done = pool.map(_packed, some)
            except RuntimeError:  # No memory for a thread: it takes longer, and is the same.
                done = map(_packed, some)
            for block, packed in zip(some, done, strict=True):
                out.write(packed)
                check = isal_zlib.crc32(block, check)
                size += len(block)
    out.write(isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15).flush(isal_zlib.Z_FINISH))
    out.write(check.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def _packed(block: bytes | memoryview) -> bytes:
    """Compress one block so that another can follow it in the same stream."""
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
    return packer.compress(block) + packer.flush(isal_zlib.Z_SYNC_FLUSH)


def publish_from(target: Path, fill: Fill, *, synced: bool = True) -> None:
    """Do what `files.publish` does, for content that is too large to hold twice.

    raises  as `write`
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            fill(out)
            out.flush()
            if synced:
                os.fsync(out.fileno())
        part.replace(target)
        if synced:
            files.fsync_folder(target.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            words = f"no room for {target.name} in {target.parent}"
            raise IngestError(Reason.DISK_FULL, words) from error
        raise
    finally:
        part.unlink(missing_ok=True)
