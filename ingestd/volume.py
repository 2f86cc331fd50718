"""Edge: a series becomes volumes on disk and rows that say what they are, or why there is none.

A volume's file carries a digest of its content in its name. So it is there before its row is
written, never replaces the file of the row before, and a crash in between leaves an orphan only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ingestd import nifti, voxels
from ingestd.dicom import sidecar
from ingestd.dicom.geometry import NotAStack, Plane, Stack, not_a_stack
from ingestd.dicom.plane import named
from ingestd.dicom.splitting import Outcome, stacks
from ingestd.errors import IngestError, Reason, Verdict
from ingestd.headers import Headers
from ingestd.model import SeriesJob, Stacking
from ingestd.slicefile import Source
from ingestd.volumefiles import FOLDER
from ingestd.volumerows import description, row, slice_rows

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST_CHARS = 16

#: Reasons for which nobody knows what a file of the series holds.
UNREAD = frozenset(
    {Reason.NOT_DICOM, Reason.WORKER_CRASHED, Reason.WORKER_TIMEOUT, Reason.WORKER_MEMORY}
)

#: Reasons for which a file may be a slice all the same, with a damaged header.
UNPLACED = frozenset({Reason.NO_GEOMETRY, Reason.NO_PIXELS})


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
class Series:
    """What the headers of a series gave."""

    planes: list[Plane]
    sources: dict[str, Source]  #: by SOPInstanceUID
    broken: dict[str, IngestError]  #: the same, files whose pixels are not to be read
    about: dict[str, dict[str, Any]]  #: the same, what sidecar and units need
    faults: list[NotAStack]  #: files that hold no plane, one for each reason

    def outcomes(self, *, allow_missing: bool) -> list[Outcome]:
        """Split and judge; the stacks are numbered in this order.

        A file whose header could not be read may be a slice of any of them, also the last one,
        whose loss leaves no gap. So they are built without it only where holes are allowed.
        """
        found = stacks(self.planes, allow_missing=allow_missing) if self.planes else []
        for fault in self.faults:
            if fault.reason in UNREAD | UNPLACED:
                barred = fault.reason in UNREAD and not allow_missing
                found = [_without(one, fault, barred=barred) for one in found]
        return found + self.faults


def _without(outcome: Outcome, fault: NotAStack, *, barred: bool) -> Outcome:
    """Say of a stack that files of its series are in none; or refuse it for that."""
    if not isinstance(outcome, Stack):
        return outcome
    words = f"without files that may belong to it ({fault.reason}): {fault.detail}"
    if not barred:
        detail = words if outcome.detail is None else f"{outcome.detail}; {words}"
        return replace(outcome, detail=detail)
    planes = [plane for time in outcome.timepoints for plane in time if plane is not None]
    words += "; mend or remove them, or set [volume] allow_missing"
    refused = not_a_stack(fault.reason, words, planes, measured=outcome)
    return replace(refused, split_by=outcome.split_by)


class Limits(Protocol):
    """What a stack has to fit into."""

    @property
    def max_voxels(self) -> int:
        """The most voxels."""
        ...

    @property
    def format(self) -> str:
        """The format of the file."""
        ...


class Filled(NamedTuple):
    """A stack with its voxels."""

    content: nifti.Voxels
    document: bytes  #: the sidecar
    units: str | None


def build(
    job: SeriesJob, *, state: Path, options: Stacking, beat: voxels.Beat = lambda _: None
) -> tuple[pa.Table, pa.Table]:
    """Stack one series.

    state   the state folder; volumes are published in `volumes/<Study>/` below it
    beat    is told what is in hand: the index of a file whose header is read, that and the number
            of files when its pixels are, and twice that number when it is no file
    return  rows for tables.VOLUME, at least one, and for tables.VOLUME_SLICE
    raises  IngestError when a file cannot be read just now, or the state folder is full
    """
    import pyarrow as pa  # noqa: PLC0415 -- `ingestd volume` does without tables

    from ingestd import tables  # noqa: PLC0415

    count = len(job.files)
    series = headers(job, beat)
    beat(2 * count)
    rows: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    for number, outcome in enumerate(series.outcomes(allow_missing=options.allow_missing)):
        rows.append(row(job, number, outcome))
        slices += slice_rows(job, number, outcome)
        if isinstance(outcome, Stack):
            try:
                filled = fill(outcome, series, options, beat=lambda at: beat(count + at))
            except IngestError as error:
                if error.reason.verdict in {Verdict.RETRY, Verdict.HALT}:
                    raise
                rows[-1] |= {"reason": error.reason, "detail": error.detail}
                continue
            beat(2 * count)
            path = f"{FOLDER}/{job.StudyInstanceUID}/{job.SeriesInstanceUID}_{number}"
            rows[-1] |= _published(outcome, series, filled, state, path, form=options.format)
    return (
        pa.Table.from_pylist(rows, schema=tables.VOLUME),
        pa.Table.from_pylist(slices, schema=tables.VOLUME_SLICE),
    )


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


def headers(job: SeriesJob, beat: voxels.Beat = lambda _: None) -> Series:
    """Read every header once; a file that holds no plane is counted by its reason.

    raises  IngestError when a file cannot be read just now
    """
    found: list[Plane] = []
    sources: dict[str, Source] = {}
    broken: dict[str, IngestError] = {}
    about: dict[str, dict[str, Any]] = {}
    faults: dict[Reason, list[str]] = defaultdict(list)
    reader = Headers()
    for index, file in enumerate(job.files):
        if file.harm is not None and not file.harm.in_pixels:
            faults[file.harm.reason].append(f"{file.SOPInstanceUID}: {file.harm.detail}")
            continue
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
            if isinstance(header.source, IngestError):
                broken[plane.SOPInstanceUID] = header.source
            else:
                sources[plane.SOPInstanceUID] = header.source
            if file.harm is not None:
                broken[plane.SOPInstanceUID] = IngestError(file.harm.reason, file.harm.detail)
            about[plane.SOPInstanceUID] = header.about
    return Series(
        planes=found,
        sources=sources,
        broken=broken,
        about=about,
        faults=[_fault(reason, words, len(job.files)) for reason, words in faults.items()],
    )


def _fault(reason: Reason, words: Sequence[str], count: int) -> NotAStack:
    return NotAStack(reason=reason, detail=f"{len(words)} of {count} files: {words[0]}")


def fill(
    stack: Stack, series: Series, options: Limits, *, beat: voxels.Beat, threads: int = 1
) -> Filled:
    """Read the pixels of a stack.

    raises  IngestError `too_many_voxels`, `unsupported_syntax`, or as `voxels.stacked`
    """
    size = int(np.prod(stack.shape))
    if size > options.max_voxels:
        words = f"{size} voxels; [volume] max_voxels is {options.max_voxels}"
        raise IngestError(Reason.TOO_MANY_VOXELS, words)
    _whole(stack, series)
    known = series.about[stack.first.SOPInstanceUID]
    array, (slope, intercept) = voxels.stacked(stack, series.sources, beat, threads=threads)
    if no_place := nifti.misfit(array, options.format):
        raise IngestError(Reason.UNSUPPORTED_SYNTAX, no_place)
    content = nifti.Voxels(
        array=array,
        affine_lps_mm=stack.affine_lps_mm,
        slope=slope,
        intercept=intercept,
        description=description(stack),
        step_s=sidecar.step_s(stack, known),
    )
    document = json.dumps(sidecar.document(stack, known), indent=1, sort_keys=True)
    units = "RGB" if array.ndim == 5 else sidecar.units(known)
    return Filled(content, document.encode(), units)


def _whole(stack: Stack, series: Series) -> None:
    """Refuse a stack with a slice that has no pixels, or that harmed a worker before.

    raises  IngestError with the reason, and the name of the slice
    """
    for timepoint in stack.timepoints:
        for plane in timepoint:
            if plane is not None and plane.SOPInstanceUID in series.broken:
                error = series.broken[plane.SOPInstanceUID]
                raise IngestError(error.reason, f"{named(plane)}: {error.detail}")


def _published(
    stack: Stack, series: Series, filled: Filled, state: Path, path: str, *, form: str
) -> dict[str, Any]:
    """Publish a volume and what belongs beside it; return the columns that this decides."""
    from ingestd import preview  # noqa: PLC0415 -- `ingestd volume` draws nothing

    array = filled.content.array
    digest = blake3(nifti.header(filled.content) if nifti.misfit(array, "nii") is None else b"")
    digest.update(filled.content.bytes).update(filled.document)
    path = f"{path}.{digest.hexdigest(DIGEST_CHARS // 2)}"
    nifti.write(state / f"{path}.{form}", filled.content, form)
    nifti.publish(state / f"{path}.json", filled.document)
    inverted = series.sources[stack.first.SOPInstanceUID].layout.photometric == "MONOCHROME1"
    picture = preview.render(array[len(array) // 2], stack.affine_lps_mm, inverted=inverted)
    nifti.publish(state / f"{path}.jpg", picture)
    return {"path": f"{path}.{form}", "dtype": str(array.dtype), "units": filled.units}
