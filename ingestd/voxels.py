"""Edge: the pixels of a series, read once, straight to their place in one array."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BufferedReader
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingestd import by_two, inflating
from ingestd.dicom.geometry import Plane, Stack
from ingestd.dicom.layout import Layout, stored_values
from ingestd.dicom.plane import named
from ingestd.errors import IngestError, Reason, Verdict
from ingestd.holding import Held, Reader, io_error
from ingestd.slicefile import Rescale, Source, parsed

Place: TypeAlias = tuple[int, int, Plane]  #: timepoint, slice, and what lies there
Work: TypeAlias = tuple[Source, Sequence[Place]]  #: a file, and what is to be read of it
Beat = Callable[[int], None]
Fill = Callable[[memoryview, int], None]  #: puts the bytes from there on into memory
Decode = Callable[[int], NDArray[Any]]  #: gives one frame

SMALL = 1 << 23  #: a volume of fewer bytes is read before a second thread has begun


def stacked(
    stack: Stack, sources: dict[str, Source], beat: Beat, *, threads: int = 1
) -> tuple[NDArray[Any], Rescale]:
    """Read the pixels of a stack into one array.

    stack    where each plane belongs
    sources  the files of its planes, by SOPInstanceUID
    beat     is told the index of each file before it is read
    threads  so many files are decoded at once, without beats if there are several
    return   (timepoints, slices, rows, columns[, samples]) of stored values with the slope and
             intercept of all of them; or float32 of rescaled values with (1, 0) when those differ
    raises   IngestError as `open_unchanged`; `decoder_failed` when all slopes are 0; with the
             slice's name when it cannot be decoded, or there is no memory for it
    """
    places: dict[str, list[Place]] = {}
    for t, timepoint in enumerate(stack.timepoints):
        for s, plane in enumerate(timepoint):
            if plane is not None:
                places.setdefault(plane.SOPInstanceUID, []).append((t, s, plane))
    work: list[Work] = sorted(
        ((sources[name], at) for name, at in places.items()), key=lambda one: one[0].index
    )
    slopes = {source.rescale_of(_frame(source, plane)) for source, at in work for *_, plane in at}
    one = len(slopes) == 1
    if one and next(iter(slopes))[0] == 0:
        words = "RescaleSlope is 0 in all slices: every voxel would have the same value"
        raise IngestError(Reason.DECODER_FAILED, words)
    array = _room(stack, [source for source, _ in work], raw=one)

    read = partial(_read_named, array=array, raw=one)
    if all(source.offset is not None for source, _ in work):
        by_two.each(work, read, lambda one: beat(one[0].index), alone=array.nbytes < SMALL)
    elif threads == 1:
        for one_file in work:
            beat(one_file[0].index)
            read(one_file)
    else:
        with ThreadPoolExecutor(threads) as pool:
            deque(pool.map(read, work), maxlen=0)
    _fill_holes(stack, array)
    return array, next(iter(slopes)) if one else (1.0, 0.0)


def _read_named(work: Work, *, array: NDArray[Any], raw: bool) -> None:
    """Read one file; name its slice when that fails."""
    source, at = work
    try:
        _read(source, at, array, raw=raw)
    except MemoryError as error:
        words = f"{named(at[0][2])}: no memory to decode it"
        raise IngestError(Reason.WORKER_MEMORY, words) from error
    except IngestError as error:
        if error.reason.verdict is not Verdict.DEGRADE:
            raise
        raise IngestError(error.reason, f"{named(at[0][2])}: {error.detail}") from error


def _room(stack: Stack, sources: Sequence[Source], *, raw: bool) -> NDArray[Any]:
    """Make the array, empty.

    raises  IngestError `worker_memory`
    """
    kinds = [source.layout.dtype for source in sources] if raw else [np.dtype(np.float32)]
    samples = {source.layout.samples for source in sources}
    assert len(samples) == 1, "planes of different samples were stacked"
    first = stack.first
    shape: tuple[int, ...] = (len(stack.timepoints), len(stack.positions_mm))
    shape += (first.rows, first.columns, *(samples - {1}))
    kind = np.result_type(*kinds)
    try:
        return np.empty(shape, kind)
    except MemoryError as error:
        words = f"no memory for its {math.prod(shape) * kind.itemsize} bytes; see [workers]"
        raise IngestError(Reason.WORKER_MEMORY, f"{words} memory_bytes") from error


def _frame(source: Source, plane: Plane) -> int:
    """Return the frame that holds a plane: tiles of a mosaic are all in the one there is."""
    return 0 if source.tiles else plane.frame


def _read(source: Source, places: Sequence[Place], array: NDArray[Any], *, raw: bool) -> None:
    """Read one file, once, and put its planes where they belong."""
    at = source.layout
    held = source.hold()
    if source.offset is None:
        decode = _decoding(source, held)
    else:
        fill = _inflated(Reader(held)) if source.deflated else _as_it_lies(held.fd)
        decode = partial(_image, source, fill)
    if source.tiles:
        image = decode(0)
        for t, s, plane in places:
            array[t, s] = _rescaled(_tile(image, plane, source.tiles), source, 0, raw=raw)
        return
    for t, s, plane in sorted(places, key=lambda place: place[2].frame):
        place = array[t, s]
        if source.offset is not None and raw and place.dtype == at.dtype:
            _straight(source, fill, plane.frame, place)
        else:
            place[...] = _rescaled(decode(plane.frame), source, plane.frame, raw=raw)


def _decoding(source: Source, held: Held) -> Decode:
    """Give what decodes the frames of a file.

    raises  IngestError as `parsed`
    """
    from ingestd.dicom import pixels  # noqa: PLC0415 -- codecs take long to import

    if source.packed is None:
        return partial(pixels.frame, parsed(Reader(held)))
    room = bytearray(source.file.size_bytes - source.packed)
    _as_it_lies(held.fd)(memoryview(room), source.packed)
    found = pixels.Stored(content=memoryview(room), encapsulated=True)
    return lambda frame: pixels.decoded(found, source.layout, frame).values


def _image(source: Source, fill: Fill, frame: int) -> NDArray[Any]:
    image = np.empty(source.layout.shape, source.layout.dtype)
    _straight(source, fill, frame, image)
    return image


def _as_it_lies(fd: int) -> Fill:
    """Read bytes where they are in the file."""

    def fill(memory: memoryview, start: int) -> None:
        done = 0
        while done < len(memory):
            try:
                count = os.preadv(fd, [memory[done:]], start + done)
            except OSError as error:
                raise io_error(error) from error
            if not count:
                words = "the file became shorter while it was read"
                raise IngestError(Reason.STILL_CHANGING, words)
            done += count

    return fill


def _inflated(handle: BufferedReader) -> Fill:
    """Read bytes where they are in the deflated data set, forwards."""
    try:
        return inflating.Inflating(handle).fill
    except OSError as error:
        raise io_error(error) from error


def _straight(source: Source, fill: Fill, frame: int, place: NDArray[Any]) -> None:
    """Read the bytes of one frame to where it belongs, and make them stored values there."""
    assert source.offset is not None, "a compressed frame was read as it lies in the file"
    at = source.layout
    fill(memoryview(place.data).cast("B")[: source.length], source.offset + frame * source.length)
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
