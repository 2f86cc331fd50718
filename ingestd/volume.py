"""Edge: a series becomes volumes on disk and rows that say what they are, or why there is none."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingestd import config, nifti, preview, tables, voxels
from ingestd.dicom import sidecar
from ingestd.dicom.geometry import TILT_DEGREES, NotAStack, Plane, Stack
from ingestd.dicom.splitting import Outcome, stacks
from ingestd.errors import IngestError, Reason, Verdict
from ingestd.headers import Headers
from ingestd.model import SeriesJob
from ingestd.slicefile import Source

FOLDER = "volumes"
BESIDE = (".json", ".jpg")  #: published beside each volume


class Volume(NamedTuple):
    """A volume in memory."""

    array: NDArray[Any]  #: ([timepoints,] slices, rows, columns[, 3]), rescaled
    affine: NDArray[np.float64]  #: (4, 4), (slice, row, column, 1) to patient LPS in mm
    spacing: tuple[float, float, float]  #: slice, row, column in mm

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """The affine to patient RAS, for the same (slice, row, column)."""
        return np.asarray(nifti.LPS_TO_RAS @ self.affine)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """What the headers of a series gave."""

    planes: list[Plane]
    sources: dict[str, Source]  #: by SOPInstanceUID
    about: dict[str, dict[str, Any]]  #: the same, what sidecar and units need
    faults: list[NotAStack]  #: files that hold no plane, one for each reason


def build(
    job: SeriesJob, *, state: Path, options: config.Volume, beat: voxels.Beat = lambda _: None
) -> tuple[pa.Table, pa.Table]:
    """Stack one series.

    state   the state folder; volumes are published in `volumes/<Study>/` below it
    beat    is told the index of a file before it is read
    return  rows for tables.VOLUME, at least one, and for tables.VOLUME_SLICE
    raises  IngestError when a file cannot be read just now, or the state folder is full
    """
    series = _headers(job, beat)
    found: list[Outcome] = []
    if series.planes:
        found += stacks(series.planes, allow_missing=options.allow_missing)
    found += series.faults
    rows: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    for number, outcome in enumerate(found):
        row = _row(job, number, outcome)
        if isinstance(outcome, Stack):
            path = f"{FOLDER}/{job.StudyInstanceUID}/{job.SeriesInstanceUID}_{number}"
            row |= _published(outcome, series, state, path, options=options, beat=beat)
        rows.append(row)
        slices += _slice_rows(job, number, outcome)
    return (
        pa.Table.from_pylist(rows, schema=tables.VOLUME),
        pa.Table.from_pylist(slices, schema=tables.VOLUME_SLICE),
    )


def companions(path: str) -> list[str]:
    """Name the files that were published with a volume, and that leave with it.

    path    that of the volume, relative to the state folder, as the table `volume` has it
    """
    stem = path.removesuffix(".gz").rpartition(".")[0]
    return [stem + suffix for suffix in BESIDE]


def load(state: Path, row: Mapping[str, Any]) -> Volume:
    """Read a published volume.

    row     of the table `volume`
    raises  IngestError with the row's reason when it is no volume; OSError when it cannot be read
    """
    if row["path"] is None:
        raise IngestError(Reason(row["reason"]), row["detail"])
    affine = np.array(row["affine_lps_mm"], dtype=float).reshape(4, 4)
    slices, rows, columns = row["spacing_mm"]
    return Volume(nifti.read(state / row["path"]), affine, (slices, rows, columns))


def _headers(job: SeriesJob, beat: voxels.Beat) -> _Series:
    """Read every header once; a file that holds no plane is counted by its reason."""
    found: list[Plane] = []
    sources: dict[str, Source] = {}
    about: dict[str, dict[str, Any]] = {}
    faults: dict[Reason, list[str]] = defaultdict(list)
    reader = Headers()
    for index, file in enumerate(job.files):
        beat(index)
        try:
            header = reader.read(index, file)
        except IngestError as error:
            if error.reason.verdict in {Verdict.RETRY, Verdict.HALT}:
                raise
            faults[error.reason].append(error.detail)
            continue
        found += header.planes
        for plane in header.planes[:1]:
            if plane.SOPInstanceUID != file.SOPInstanceUID:
                raise IngestError(Reason.STILL_CHANGING, "the file holds another instance now")
            sources[plane.SOPInstanceUID] = header.source
            about[plane.SOPInstanceUID] = header.about
    return _Series(
        planes=found,
        sources=sources,
        about=about,
        faults=[_fault(reason, words, len(job.files)) for reason, words in faults.items()],
    )


def _fault(reason: Reason, words: Sequence[str], count: int) -> NotAStack:
    return NotAStack(reason=reason, detail=f"{len(words)} of {count} files: {words[0]}")


def _published(
    stack: Stack,
    series: _Series,
    state: Path,
    path: str,
    *,
    options: config.Volume,
    beat: voxels.Beat,
) -> dict[str, Any]:
    """Read the pixels of a stack and publish them; return the columns that this decides."""
    size = int(np.prod(stack.shape))
    if size > options.max_voxels:
        words = f"{size} voxels; [volume] max_voxels is {options.max_voxels}"
        return {"reason": Reason.TOO_MANY_VOXELS, "detail": words}
    known = series.about[stack.first.SOPInstanceUID]
    try:
        array, (slope, intercept) = voxels.stacked(stack, series.sources, beat)
    except IngestError as error:
        if error.reason.verdict in {Verdict.RETRY, Verdict.HALT}:
            raise
        return {"reason": error.reason, "detail": error.detail}
    if not nifti.holds(array, options.format):
        words = f"{options.format} has no colours of {array.dtype} x {array.shape[-1]}; npy has"
        return {"reason": Reason.UNSUPPORTED_SYNTAX, "detail": words}
    content = nifti.Voxels(
        array=array,
        affine_lps_mm=stack.affine_lps_mm,
        slope=slope,
        intercept=intercept,
        description=_description(stack),
        step_s=sidecar.step_s(stack, known),
    )
    nifti.write(state / f"{path}.{options.format}", content, options.format)
    document = json.dumps(sidecar.document(stack, known), indent=1, sort_keys=True)
    nifti.publish(state / f"{path}.json", document.encode())
    inverted = series.sources[stack.first.SOPInstanceUID].layout.photometric == "MONOCHROME1"
    middle = array[len(array) // 2]
    picture = preview.render(middle, stack.affine_lps_mm, inverted=inverted)
    nifti.publish(state / f"{path}.jpg", picture)
    return {
        "path": f"{path}.{options.format}",
        "dtype": str(array.dtype),
        "units": "RGB" if array.ndim == 5 else sidecar.units(known),
    }


def _description(stack: Stack) -> str:
    holes = f"{len(stack.missing_mm)} slices missing" if stack.missing_mm else ""
    return "; ".join(word for word in ("ingestd", holes, stack.split_by) if word)


def _row(job: SeriesJob, number: int, outcome: Outcome) -> dict[str, Any]:
    """Fill the columns that positions decide."""
    row: dict[str, Any] = {
        "SeriesInstanceUID": job.SeriesInstanceUID,
        "stack": number,
        "revision": job.revision,
        "detail": outcome.detail,
        "slice_spacing_mm": outcome.slice_spacing_mm,
        "spacing_deviation_mm": outcome.spacing_deviation_mm,
        "missing_slices": outcome.missing_mm,
        "orientation": outcome.orientation,
        "split_by": outcome.split_by,
    }
    if isinstance(outcome, NotAStack):
        return row | {"reason": outcome.reason}
    return row | {
        "detail": "; ".join(_remarks(outcome)) or None,
        "shape": outcome.shape,
        "spacing_mm": outcome.spacing_mm,
        "affine_lps_mm": outcome.affine_lps_mm.ravel().tolist(),
        "tilt_degrees": outcome.tilt_degrees,
    }


def _remarks(stack: Stack) -> list[str]:
    """Say in words what a reader of the volume must know."""
    words = [stack.detail] if stack.detail else []
    holes = sum(plane is None for timepoint in stack.timepoints for plane in timepoint)
    if holes:
        words.append(f"{holes} slices are missing and filled with the lowest value there is")
    if stack.tilt_degrees > TILT_DEGREES:
        words.append(f"tilted by {stack.tilt_degrees:.3g} degrees; the affine carries the shear")
    return words


def _slice_rows(job: SeriesJob, number: int, outcome: Outcome) -> list[dict[str, Any]]:
    if isinstance(outcome, Stack):
        placed = [
            (t, s, plane, where)
            for t, timepoint in enumerate(outcome.timepoints)
            for s, (plane, where) in enumerate(zip(timepoint, outcome.positions_mm, strict=True))
            if plane is not None
        ]
    else:
        pairs = zip(outcome.planes, outcome.positions_mm, strict=False)
        placed = [(0, s, plane, where) for s, (plane, where) in enumerate(pairs)]
    return [
        {
            "SeriesInstanceUID": job.SeriesInstanceUID,
            "stack": number,
            "timepoint": t,
            "slice": s,
            "SOPInstanceUID": plane.SOPInstanceUID,
            "frame": plane.frame,
            "position_mm": where,
        }
        for t, s, plane, where in placed
    ]
