"""Edge: which frame of an image stands for all of it, or which tiles make it up."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ingestd.dicom import grey, pixels
from ingestd.dicom.layout import Layout
from ingestd.dicom.pixels import Stored
from ingestd.errors import IngestError, Reason

#: So many frames are tried for one that shows something; segmentations have many that do not.
TRIED_FRAMES = 32
BROKEN_FRAMES = 3  #: after so many that cannot be decoded no more are tried
PATIENCE_S = 10.0  #: nor after so long, since the worker has a deadline for the whole file

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  #: VL Whole Slide Microscopy Image Storage
MOST_TILES, MOST_PIXELS = 256, 1 << 24  #: of a slide that is put together


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is shown of an image."""

    at: Layout  #: of these values
    values: NDArray[Any]  #: stored values
    index: int  #: of the frame that says how they are shown
    decoder: str  #: as `pixels.Decoded`
    note: str | None = None  #: what is to be said of the choice


def chosen(stored: Stored, at: Layout, dataset: Dataset, times: int) -> Chosen:
    """Choose a frame, or put the tiles of a small slide together.

    times   as for `pixels.decoded`
    raises  IngestError when nothing can be decoded
    """
    return _stitched(stored, at, dataset) or _middle(stored, at, times)


def _middle(stored: Stored, at: Layout, times: int) -> Chosen:
    """Choose the middle frame; when that is broken or shows nothing, the nearest that does."""
    middle = at.frames // 2
    near = range(max(0, middle - TRIED_FRAMES), min(at.frames, middle + TRIED_FRAMES))
    flat: Chosen | None = None
    errors: list[IngestError] = []
    end_s = time.monotonic() + PATIENCE_S
    for index in sorted(near, key=lambda index: abs(index - middle))[:TRIED_FRAMES]:
        try:
            found = pixels.decoded(stored, at, index, times=times)
        except IngestError as error:
            errors.append(error)
            given_up = len(errors) == BROKEN_FRAMES or time.monotonic() > end_s
            if given_up or error.reason is not Reason.DECODER_FAILED:
                break
            continue
        note = f"frame {index} is shown; {errors[0].detail}" if errors else None
        one = Chosen(at=at, values=found.values, index=index, decoder=found.decoder, note=note)
        if at.frames == 1 or (found.values != found.values.flat[0]).any():
            return one
        flat = flat or one
    if flat is None:
        raise errors[0]
    return flat


def _stitched(stored: Stored, at: Layout, dataset: Dataset) -> Chosen | None:
    """Put the tiles of a slide together; None when it is none, or a large level of one.

    A tile that is broken, or was never scanned, stays white.
    raises  IngestError when no tile can be decoded
    spec    PS3.3 C.7.6.17.3, C.8.12.4
    """
    if at.frames == 1 or str(dataset.get("SOPClassUID")) != SLIDE:
        return None
    size = [grey.numbers(dataset, f"TotalPixelMatrix{one}") for one in ("Rows", "Columns")]
    rows, columns = (int(found[0]) if found else 0 for found in size)
    tiles = -(-rows // at.rows) * -(-columns // at.columns)
    if rows <= 0 or columns <= 0 or rows * columns > MOST_PIXELS or tiles > MOST_TILES:
        return None
    whole = replace(at, rows=rows, columns=columns, frames=1)
    white = (1 << at.bits_stored) - 1 if at.samples > 1 else 0
    values = np.full(whole.shape, white, at.dtype)
    decoder, errors, end_s = "", [], time.monotonic() + PATIENCE_S
    places = dict(reversed([*_places(dataset, at, columns)]))
    waiting = {one for one in places if 0 <= one[0] < rows and 0 <= one[1] < columns}
    for top, left in sorted(waiting):
        try:
            found = pixels.decoded(stored, at, places[top, left])
        except IngestError as error:
            errors.append(error)
            if time.monotonic() > end_s:
                break
            continue
        room = values[top : top + at.rows, left : left + at.columns]
        room[...] = found.values[: room.shape[0], : room.shape[1]]
        waiting.discard((top, left))
        decoder = found.decoder
    if not decoder:
        if errors:
            raise errors[0]
        return None
    note = f"{len(waiting)} of its tiles stay white; {errors[0].detail}" if errors else None
    return Chosen(at=whole, values=values, index=0, decoder=decoder, note=note)


def _places(dataset: Dataset, at: Layout, columns: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Give the first row and column of each frame, from 0, and its index; none when not known.

    Further optical paths and focal planes come later and lie at the same places.
    """
    across = -(-columns // at.columns)
    full = str(dataset.get("DimensionOrganizationType") or "") == "TILED_FULL"
    for index in range(min(at.frames, MOST_TILES)):
        if full:
            down, right = divmod(index, across)
            yield (down * at.rows, right * at.columns), index
            continue
        for place in grey.functional_groups(dataset, index, "PlanePositionSlideSequence"):
            top = grey.numbers(place, "RowPositionInTotalImagePixelMatrix")
            left = grey.numbers(place, "ColumnPositionInTotalImagePixelMatrix")
            if top and left:
                yield (int(top[0]) - 1, int(left[0]) - 1), index
