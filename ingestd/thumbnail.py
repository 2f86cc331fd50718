"""Edge: one frame becomes a small picture, or a word that says why not."""

import io
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from ingestd import config
from ingestd.dicom import blocks, grey, pixels, windowing
from ingestd.dicom.header import Header
from ingestd.dicom.layout import Layout
from ingestd.dicom.pixels import Decoded, Stored
from ingestd.dicom.showing import About, Showing, about, about_header
from ingestd.dicom.windowing import Modality, Rescale, Voi, Window
from ingestd.errors import IngestError, Reason

#: What `window_source` can say: where the grey or colour of a picture comes from.
WINDOW_SOURCES = {
    "voi_lut": "VOILUTSequence of the header",
    "window": "WindowCenter and WindowWidth of the header",
    "percentile": "0.5 to 99.5 percent of the values, padding left out",
    "full_range": "from the smallest to the largest value",
    "binary": "one bit for each pixel: black and white",
    "color": "true colours, as stored",
    "palette": "colours through the palette of the header",
    "given": "a window that was asked for",
    "flat": "every pixel has the same value",
}

#: A picture whose greys, but for 1 % of the pixels, span less than this counts as flat.
FLAT_GREYS = 8

#: So many frames are tried for one that shows something; segmentations have many that do not.
TRIED_FRAMES = 32

_SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, encoded."""

    content: bytes
    suffix: str  #: jpg, png or webp
    window_source: str  #: one of WINDOW_SOURCES
    decoder: str  #: who decoded the frame; see `pixels.Decoded`


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPicture:
    """Why there is none."""

    reason: Reason  #: no_pixels, unsupported_syntax or decoder_failed
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What a picture is made from."""

    at: Layout
    showing: Showing
    values: NDArray[Any]  #: stored values
    size: tuple[int, int]  #: width and height of the picture
    window: tuple[float, float] | None  #: that was asked for


def render(
    dataset: Dataset,
    options: config.Thumbnail,
    *,
    frame: int | None = None,
    window: tuple[float, float] | None = None,
) -> Picture | NoPicture:
    """Make the thumbnail of an instance.

    dataset  in memory, with its pixel data, and with its file meta when the file had one
    frame    from 0; None for the middle one, or when that is of one colour the nearest that
             is not
    window   center and width in modality values instead of what the header says; grey only
    return   at most `options.edge_px` long, never enlarged
    """
    try:
        seen = about(dataset)
        return _picture(seen, pixels.stored(dataset, seen.at), options, frame, window)
    except IngestError as error:
        return NoPicture(reason=error.reason, detail=error.detail)


def render_header(header: Header, options: config.Thumbnail) -> Picture | NoPicture:
    """Make the thumbnail of a file that was just read and has pixels; see `render`."""
    try:
        seen = about_header(header)
        return _picture(seen, pixels.stored_in(header, seen.dataset), options, None, None)
    except IngestError as error:
        return NoPicture(reason=error.reason, detail=error.detail)


def _picture(
    seen: About,
    stored: Stored,
    options: config.Thumbnail,
    index: int | None,
    window: tuple[float, float] | None,
) -> Picture:
    at = seen.at
    first = at.frames // 2 if index is None else index
    size = _size(at, seen.showing(first).aspect, options.edge_px)
    times = min(_factors((at.columns, at.rows), size))
    found = pixels.decoded(stored, at, first, times=times)
    if index is None:
        index, found = _frame_to_show(stored, at, found, times)
    how = seen.showing(index)
    frame = _Frame(at=at, showing=how, values=found.values, size=size, window=window)
    image, source = _shown(frame)
    return Picture(
        content=_encoded(image, options),
        suffix=_SUFFIX[options.format],
        window_source=source,
        decoder=found.decoder,
    )


def _frame_to_show(stored: Stored, at: Layout, first: Decoded, times: int) -> tuple[int, Decoded]:
    """Choose the middle frame; when that shows nothing, the nearest to it that does."""
    middle = at.frames // 2
    if at.frames == 1:
        return middle, first
    near = range(max(0, middle - TRIED_FRAMES), min(at.frames, middle + TRIED_FRAMES))
    for index in sorted(near, key=lambda index: abs(index - middle))[:TRIED_FRAMES]:
        try:
            found = first if index == middle else pixels.decoded(stored, at, index, times=times)
        except IngestError:  # The picture is of a frame that can be shown; this one cannot.
            continue
        if (found.values != found.values.flat[0]).any():
            return index, found
    return middle, first


def _shown(frame: _Frame) -> tuple[Image.Image, str]:
    """Give the scaled picture and its `window_source`."""
    at, values = frame.at, frame.values
    if at.samples > 1:
        return _scaled(_rgb(values, at), frame.size), "color"
    if frame.showing.palette is not None:
        return _scaled(frame.showing.palette.look_up(values), frame.size), "palette"
    if at.bits_allocated == 1 and frame.window is None:
        white = values == (0 if frame.showing.inverted else 1)
        return _scaled(np.where(white, np.uint8(255), np.uint8(0)), frame.size), "binary"
    return _grey_picture(frame)


def _grey_picture(frame: _Frame) -> tuple[Image.Image, str]:
    """Give the picture of the first VOI step that shows something."""
    tried = []
    for source, step, voi in _steps(frame):
        image = _grey_image(frame, step, voi)
        if source == "given" or not _flat(image):
            return image, source
        tried.append((image, source))
    for image, source in tried:  # Some pixels differ, only very few: the best that shows them.
        low, high = image.getextrema()
        if low != high:
            return image, source
    if tried:
        return tried[0][0], "flat"
    # All values are equal. Their place among the possible ones says how bright.
    at = frame.at
    everything = windowing.possible_range(at.dtype, at.bits_stored)
    return _grey_image(frame, Rescale(), everything), "flat"


def _grey_image(frame: _Frame, modality: Modality, voi: Voi) -> Image.Image:
    """Give the scaled picture that one VOI step makes."""
    rows, columns = frame.values.shape
    down, across = _factors((columns, rows), frame.size)[::-1]
    shown = None
    if down * across > 1:
        shown = blocks.mean_grey(frame.values, modality, voi, down=down, across=across)
    if shown is None:
        shown = windowing.grey(frame.values, modality, voi)
    return _scaled(np.invert(shown) if frame.showing.inverted else shown, frame.size)


def _steps(frame: _Frame) -> Iterator[tuple[str, Modality, Voi]]:
    """Yield what to try, best first; each next one is only computed when it is asked for."""
    modality, padding = frame.showing.modality, frame.showing.padding
    if frame.window is not None:
        center, width = frame.window
        function = "LINEAR" if width >= 1 else "LINEAR_EXACT"
        yield "given", modality, Window(center=center, width=width, function=function)
    for source, voi in frame.showing.vois:
        yield source, modality, voi
    order = windowing.order_only(modality)
    some = grey.without_padding(windowing.sampled(frame.values), padding)
    if (found := windowing.percentile_window(some, order)) is not None:
        yield "percentile", order, found
    every = grey.without_padding(frame.values, padding)
    if (found := windowing.full_range(every, order)) is not None:
        yield "full_range", order, found


def _flat(image: Image.Image) -> bool:
    """Whether all greys but those of 1 % of the pixels lie within FLAT_GREYS."""
    counts = list(accumulate(image.histogram()))
    low, high = (bisect_left(counts, counts[-1] * part) for part in (0.005, 0.995))
    return high - low < FLAT_GREYS


def _rgb(values: NDArray[Any], at: Layout) -> NDArray[np.uint8]:
    """Bring RGB of any depth to 8 bits.

    values  (rows, columns, 3), or 4 samples in the retired ARGB
    """
    if at.samples == 4 and at.photometric == "ARGB":
        values = values[..., 1:]
    if values.shape[-1] != 3 or at.photometric in {"HSV", "CMYK"}:
        raise IngestError(
            Reason.DECODER_FAILED, f"{at.photometric} with {at.samples} samples cannot be shown"
        )
    if values.dtype == np.uint8 and at.bits_stored == 8:
        return values
    top = (1 << at.bits_stored) - 1
    shades: NDArray[np.uint8] = np.rint(np.clip(values, 0, top) * np.float64(255 / top)).astype(
        "u1"
    )
    return shades


def _size(at: Layout, aspect: float, edge_px: int) -> tuple[int, int]:
    """Give (width, height) in pixels: square pixels, at most `edge_px`, never enlarged."""
    if not 0.1 <= aspect <= 10:  # A slip of units rather than a detector.
        aspect = 1.0
    width, height = at.columns * max(1.0, 1 / aspect), at.rows * max(1.0, aspect)
    scale = min(1.0, edge_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(pixels_8: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """Scale a picture of 8 bits; by averaging whole blocks first, which is the fast part."""
    image = Image.fromarray(np.ascontiguousarray(pixels_8))
    factor = _factors(image.size, size)
    if factor != (1, 1):
        image = image.reduce(factor)
    return image if image.size == size else image.resize(size, Image.Resampling.HAMMING)


def _factors(from_size: tuple[int, int], to_size: tuple[int, int]) -> tuple[int, int]:
    """Say how many pixels become one: columns, rows."""
    return max(1, from_size[0] // to_size[0]), max(1, from_size[1] // to_size[1])


def _encoded(image: Image.Image, options: config.Thumbnail) -> bytes:
    """Encode a picture in the format that was configured."""
    if image.mode == "L" and options.format == "jpeg":  # The bytes that Pillow gives, for less.
        return bytes(imagecodecs.jpeg8_encode(np.asarray(image), level=options.quality))
    settings: dict[str, Any] = {
        "jpeg": {"quality": options.quality},
        "png": {"compress_level": 1},
        "webp": {"quality": options.quality, "method": 1},
    }[options.format]
    out = io.BytesIO()
    try:
        image.save(out, options.format, **settings)
    except (OSError, ValueError) as error:
        raise IngestError(Reason.DECODER_FAILED, f"cannot be encoded: {error}") from error
    return out.getvalue()
