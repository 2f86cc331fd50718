"""Pure. Siemens mosaics: the slices of a volume, tiled into one image.

Tiles run along the rows, from the top left. The first slice lies at the top left; what the header
gives as its position is that of a slice as large as the whole image, around the same centre.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ingestd.dicom import csa
from ingestd.errors import IngestError, Reason

if TYPE_CHECKING:
    from pydicom import Dataset

Frame = dict[str, Any]
CSA_IMAGE_HEADER = 0x0029, 0x1010
HEADER = 0x0019, "SIEMENS MR HEADER"
TILES = 0x0A  #: NumberOfImagesInMosaic in that block


def tiles(dataset: Dataset) -> int | None:
    """Return how many slices the image holds, or None when it is no mosaic.

    Software that takes mosaics apart leaves the word in ImageType, so the word alone is no proof.
    """
    if "MOSAIC" not in (dataset.get("ImageType") or []):
        return None
    try:
        return int(dataset.private_block(*HEADER)[TILES].value)
    except KeyError:
        count = private_header(dataset).get("NumberOfImagesInMosaic")
        return int(count[0]) if count else None


def unfold(dataset: Dataset) -> Iterator[Frame]:
    """Give each tile as a frame of its own.

    raises  IngestError `no_geometry` when the header does not say where the slices are
    """
    count = tiles(dataset) or 0
    side = math.ceil(math.sqrt(count))
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    step = float(dataset.get("SpacingBetweenSlices") or 0)
    if not count or rows % side or columns % side or not step:
        words = f"a mosaic of {count} tiles in {rows} x {columns}, {step:g} mm apart"
        raise IngestError(Reason.NO_GEOMETRY, words)
    along = np.array(dataset.ImageOrientationPatient, dtype=float)
    height, width = (float(one) for one in dataset.PixelSpacing)
    own_rows, own_columns = rows // side, columns // side
    first = (
        np.array(dataset.ImagePositionPatient, dtype=float)
        + along[:3] * width * (columns - own_columns) / 2
        + along[3:] * height * (rows - own_rows) / 2
    )
    across = _normal(dataset, along)
    for index in range(count):
        place = [round(one, 9) for one in (first + across * (step * index)).tolist()]
        yield {
            "frame": index,
            "Rows": own_rows,
            "Columns": own_columns,
            "ImagePositionPatient": place,
            "number": dataset.get("InstanceNumber"),
        }


def private_header(dataset: Dataset) -> dict[str, list[str]]:
    """Read the private image header; empty when there is none."""
    element = dataset.get(CSA_IMAGE_HEADER)
    if element is None or not isinstance(element.value, bytes) or not element.value:
        return {}
    try:
        return csa.read(element.value)
    except ValueError as error:
        words = f"the Siemens image header (0029,1010) is damaged: {error}"
        raise IngestError(Reason.NO_GEOMETRY, words) from error


def _normal(dataset: Dataset, along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction in which the tiles follow each other: either way along the normal."""
    across = np.asarray(np.cross(along[:3], along[3:]))
    said = private_header(dataset).get("SliceNormalVector")
    if not said or len(said) != 3:
        return across
    return across if float(np.array(said, dtype=float) @ across) > 0 else -across
