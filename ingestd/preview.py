"""Edge: three slices through the middle of a volume in one JPEG, in true proportions."""

from io import BytesIO
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingestd.dicom.windowing import window_linear_exact

EDGE_PX = 256  #: longest edge of the volume, in the picture
SHADE = (0.5, 99.5)  #: percentiles that become black and white


def render(
    volume: NDArray[Any], affine_lps_mm: NDArray[np.float64], *, inverted: bool = False
) -> bytes:
    """Draw axial, coronal and sagittal from left to right, as a radiologist expects them.

    volume         (slices, rows, columns[, 3]), one timepoint
    affine_lps_mm  (4, 4), (slice, row, column, 1) to patient x, y, z
    inverted       low values are white (MONOCHROME1)
    return         a JPEG; patient left is right in it, the head is up, the nose left or up
    """
    colour = volume.ndim == 4
    upright, edges = _upright(volume, affine_lps_mm)
    x, y, z = (length // 2 for length in upright.shape[:3])
    views = (
        (np.swapaxes(upright[:, :, z], 0, 1), edges[1], edges[0]),
        (np.swapaxes(upright[:, y], 0, 1)[::-1], edges[2], edges[0]),
        (np.swapaxes(upright[x], 0, 1)[::-1], edges[2], edges[1]),
    )
    scale = EDGE_PX / float((np.array(upright.shape[:3]) * edges).max())
    panels = [_panel(view, down * scale, across * scale) for view, down, across in views]
    if not colour:
        panels = _shaded(panels, inverted=inverted)
    return _side_by_side(panels, colour=colour)


def _upright(
    volume: NDArray[Any], affine_lps_mm: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Turn a volume by right angles, so that it is as nearly upright as they allow.

    return  a view whose axes go to the patient's left, back and head; the edges of its voxels
    """
    edges = np.linalg.norm(affine_lps_mm[:3, :3], axis=0)
    cosines = affine_lps_mm[:3, :3] / edges
    order = max(permutations(range(3)), key=lambda axes: abs(cosines[range(3), axes]).sum())
    upright = volume.transpose(*order, *range(3, volume.ndim))
    ways = [-1 if cosines[patient, axis] < 0 else 1 for patient, axis in enumerate(order)]
    return upright[:: ways[0], :: ways[1], :: ways[2]], edges[list(order)]


def _panel(view: NDArray[Any], down: float, across: float) -> NDArray[Any]:
    """Scale one view to its size in pixels."""
    rows, columns = (
        max(1, round(n * px)) for n, px in zip(view.shape, (down, across), strict=False)
    )
    if view.ndim == 3:
        image = Image.fromarray(np.ascontiguousarray(view, np.uint8))
    else:
        image = Image.fromarray(np.ascontiguousarray(view, np.float32))
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))


def _shaded(panels: list[NDArray[Any]], *, inverted: bool) -> list[NDArray[np.uint8]]:
    """Turn values into grey, the same in all panels."""
    every = np.concatenate([panel.ravel() for panel in panels])
    every = every[np.isfinite(every)]
    inside = every[every > every.min()] if every.size else every  # Not air, not padding.
    every = inside if inside.size else every
    low, high = np.percentile(every, SHADE) if every.size else (0.0, 1.0)
    width = max(float(high - low), 1e-6)
    grey = [window_linear_exact(np.nan_to_num(p), float(low) + width / 2, width) for p in panels]
    return [np.asarray(255 - one, np.uint8) if inverted else one for one in grey]


def _side_by_side(panels: list[NDArray[Any]], *, colour: bool) -> bytes:
    height = max(panel.shape[0] for panel in panels)
    width = sum(panel.shape[1] for panel in panels)
    sheet = Image.new("RGB" if colour else "L", (width, height))
    left = 0
    for panel in panels:
        sheet.paste(Image.fromarray(panel), (left, (height - panel.shape[0]) // 2))
        left += panel.shape[1]
    out = BytesIO()
    sheet.save(out, "JPEG", quality=85)
    return out.getvalue()
