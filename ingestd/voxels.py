"""Edge: the pixels of a series, read once, straight to their place in one array."""

import os
from collections.abc import Callable, Sequence
from io import BufferedReader
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from ingestd.dicom import pixels
from ingestd.dicom.geometry import Plane, Stack
from ingestd.dicom.layout import Layout, stored_values
from ingestd.errors import IngestError, Reason
from ingestd.slicefile import Rescale, Source, io_error, open_unchanged

Beat = Callable[[int], None]


def stacked(stack: Stack, sources: dict[str, Source], beat: Beat) -> tuple[NDArray[Any], Rescale]:
    """Read the pixels of a stack into one array.

    stack    where each plane belongs
    sources  the files of its planes, by SOPInstanceUID
    beat     is told the index of each file before it is read
    return   (timepoints, slices, rows, columns[, samples]) of stored values with the slope and
             intercept of all of them; or float32 of rescaled values with (1, 0) when those differ
    raises   IngestError as `open_unchanged`, or when a frame cannot be decoded
    """
    places: dict[str, list[tuple[int, int, Plane]]] = {}
    for t, timepoint in enumerate(stack.timepoints):
        for s, plane in enumerate(timepoint):
            if plane is not None:
                places.setdefault(plane.SOPInstanceUID, []).append((t, s, plane))
    used = {name: sources[name] for name in places}
    slopes = {
        sources[n].rescale_of(_frame(sources[n], p)) for n, at in places.items() for *_, p in at
    }
    one = len(slopes) == 1
    dtype = (
        np.result_type(*(each.layout.dtype for each in used.values()))
        if one
        else np.dtype(np.float32)
    )
    first = stack.first
    samples = {each.layout.samples for each in used.values()}
    assert len(samples) == 1, "planes of different samples were stacked"
    shape = (len(stack.timepoints), len(stack.positions_mm), first.rows, first.columns)
    array = np.empty(shape if samples == {1} else (*shape, *samples), dtype)
    for name, each in sorted(used.items(), key=lambda item: item[1].index):
        beat(each.index)
        _read(each, places[name], array, raw=one)
    _fill_holes(stack, array)
    return array, next(iter(slopes)) if one else (1.0, 0.0)


def _frame(source: Source, plane: Plane) -> int:
    """Return the frame that holds a plane: tiles of a mosaic are all in the one there is."""
    return 0 if source.tiles else plane.frame


def _read(
    source: Source, places: Sequence[tuple[int, int, Plane]], array: NDArray[Any], *, raw: bool
) -> None:
    """Read one file, once, and put its planes where they belong."""
    at = source.layout
    with open_unchanged(source.file) as handle:
        dataset = _whole(handle) if source.offset is None else None
        if source.tiles:
            image = _image(source, handle, dataset, 0)
            for t, s, plane in places:
                array[t, s] = _rescaled(_tile(image, plane, source.tiles), source, 0, raw=raw)
            return
        for t, s, plane in places:
            place = array[t, s]
            if dataset is None and raw and place.dtype == at.dtype:
                _straight(source, handle, plane.frame, place)
            else:
                image = _image(source, handle, dataset, plane.frame)
                place[...] = _rescaled(image, source, plane.frame, raw=raw)


def _whole(handle: BufferedReader) -> Dataset:
    try:
        return pydicom.dcmread(handle, force=True)
    except OSError as error:
        raise io_error(error) from error


def _image(
    source: Source, handle: BufferedReader, dataset: Dataset | None, frame: int
) -> NDArray[Any]:
    if dataset is not None:
        return pixels.frame(dataset, frame)
    image = np.empty(source.layout.shape, source.layout.dtype)
    _straight(source, handle, frame, image)
    return image


def _straight(source: Source, handle: BufferedReader, frame: int, place: NDArray[Any]) -> None:
    """Read the bytes of one frame to where it belongs, and make them stored values there."""
    assert source.offset is not None, "a compressed frame was read as it lies in the file"
    at = source.layout
    memory = memoryview(place.data).cast("B")
    start, done = source.offset + frame * source.length, 0
    while done < source.length:
        try:
            count = os.preadv(handle.fileno(), [memory[done:]], start + done)
        except OSError as error:
            raise io_error(error) from error
        if not count:
            raise IngestError(Reason.STILL_CHANGING, "the file became shorter while it was read")
        done += count
    if at.big_endian:
        place.byteswap(inplace=True)
    if place.dtype.kind in "iu" and not _clean(place, at):
        stored_values(place.view(f"u{place.dtype.itemsize}"), at)


def _clean(values: NDArray[Any], at: Layout) -> bool:
    """Whether the bits above BitsStored hold the sign and nothing else; cheaper than shifting."""
    if at.bits_stored == at.bits_allocated:
        return True
    if at.high_bit != at.bits_stored - 1:
        return False
    if at.signed:
        limit = 1 << (at.bits_stored - 1)
        return bool(values.min() >= -limit and values.max() < limit)
    return bool(values.max() < 1 << at.bits_stored)


def _tile(image: NDArray[Any], plane: Plane, count: int) -> NDArray[Any]:
    """Cut one slice out of a mosaic."""
    assert plane.frame < count, "a tile was asked for that the mosaic does not have"
    down, along = divmod(plane.frame, image.shape[1] // plane.columns)
    top, left = down * plane.rows, along * plane.columns
    return image[top : top + plane.rows, left : left + plane.columns]


def _rescaled(image: NDArray[Any], source: Source, frame: int, *, raw: bool) -> NDArray[Any]:
    if raw:
        return image
    slope, intercept = source.rescale_of(frame)
    return image.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _fill_holes(stack: Stack, array: NDArray[Any]) -> None:
    """Fill missing slices with the lowest value there is, so that they look like air."""
    holes = [
        (t, s)
        for t, timepoint in enumerate(stack.timepoints)
        for s, plane in enumerate(timepoint)
        if plane is None
    ]
    if not holes:
        return
    there = np.ones(array.shape[:2], bool)
    there[tuple(zip(*holes, strict=True))] = False
    lowest = min(array[t, s].min() for t, s in np.argwhere(there).tolist())
    for t, s in holes:
        array[t, s] = lowest
