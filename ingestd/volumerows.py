"""Pure. What the catalog says of a stack, or of what is none."""

from typing import Any

from ingestd.dicom.geometry import TILT_DEGREES, NotAStack, Stack
from ingestd.dicom.splitting import Outcome
from ingestd.model import SeriesJob


def description(stack: Stack) -> str:
    """Say in NIfTI's 79 characters what matters most."""
    holes = f"{counted(len(stack.missing_mm))} missing" if stack.missing_mm else ""
    return "; ".join(word for word in ("ingestd", holes, stack.split_by) if word)


def counted(slices: int) -> str:
    """Write how many slices."""
    return "1 slice" if slices == 1 else f"{slices} slices"


def row(job: SeriesJob, number: int, outcome: Outcome) -> dict[str, Any]:
    """Fill the columns that positions decide."""
    found: dict[str, Any] = {
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
        return found | {"reason": outcome.reason}
    return found | {
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
        verb = "is" if holes == 1 else "are"
        words.append(f"{counted(holes)} {verb} missing and filled with the lowest value there is")
    if stack.tilt_degrees > TILT_DEGREES:
        words.append(f"tilted by {stack.tilt_degrees:.3g} degrees; the affine carries the shear")
    return words


def slice_rows(job: SeriesJob, number: int, outcome: Outcome) -> list[dict[str, Any]]:
    """Say where each slice came from; without a stack, the slices along the normal."""
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
