"""Edge: one frame becomes a small picture, or a word that says why not."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from ingestd.choice import Chosen, chosen
from ingestd.dicom import blocks, grey, pixels, windowing
from ingestd.dicom.header import Header
from ingestd.dicom.layout import Layout
from ingestd.dicom.pixels import Stored
from ingestd.dicom.showing import About, Showing, about, about_header
from ingestd.dicom.windowing import Modality, Rescale, Voi, Window
from ingestd.errors import IngestError, Reason
from ingestd.model import Picturing

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

#: Colours that are all below one part in so many of what their bits can hold use fewer bits.
MOST_DARK = 16

_SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, encoded."""

    content: bytes
    suffix: str  #: jpg, png or webp
    window_source: str  #: one of WINDOW_SOURCES
    decoder: str  #: who decoded the frame; see `pixels.Decoded`
    note: str | None = None  #: what is not as the header asks for


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
    options: Picturing,
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


def render_header(header: Header, options: Picturing) -> Picture | NoPicture:
    """Make the thumbnail of a file that was just read and has pixels; see `render`."""
    try:
        seen = about_header(header)
        return _picture(seen, pixels.stored_in(header, seen.dataset), options, None, None)
    except IngestError as error:
        return NoPicture(reason=error.reason, detail=error.detail)


def _picture(
    seen: About,
    stored: Stored,
    options: Picturing,
    index: int | None,
    window: tuple[float, float] | None,
) -> Picture:
    at = seen.at
    first = at.frames // 2 if index is None else index
    size = _size(at, seen.showing(first).aspect, options.edge_px)
    times = min(_factors((at.columns, at.rows), size))
    if index is None:
        what = chosen(stored, at, seen.dataset, times)
    else:
        found = pixels.decoded(stored, at, index, times=times)
        what = Chosen(at=at, values=found.values, index=index, decoder=found.decoder)
    how = seen.showing(what.index)
    if what.at is not at:  # Put together of tiles
        size = _size(what.at, how.aspect, options.edge_px)
    frame = _Frame(at=what.at, showing=how, values=what.values, size=size, window=window)
    shown, source = _shown(frame)
    return Picture(
        content=_encoded(shown, options),
        suffix=_SUFFIX[options.format],
        window_source=source,
        decoder=what.decoder,
        note=what.note or (how.palette.lacks if how.palette else None),
    )


def _shown(frame: _Frame) -> tuple[NDArray[np.uint8], str]:
    """Give the scaled picture and its `window_source`."""
    at, values = frame.at, frame.values
    if at.samples > 1:
        shades, source = _rgb(values, at)
        return _scaled(shades, frame.size), source
    if frame.showing.palette is not None:
        return _scaled(frame.showing.palette.look_up(values), frame.size), "palette"
    if at.bits_allocated == 1 and frame.window is None:
        white = values == (0 if frame.showing.inverted else 1)
        return _scaled(np.where(white, np.uint8(255), np.uint8(0)), frame.size), "binary"
    return _grey_picture(frame)


def _grey_picture(frame: _Frame) -> tuple[NDArray[np.uint8], str]:
    """Give the picture of the first VOI step that shows something."""
    tried = []
    for source, step, voi in _steps(frame):
        shown = _grey(frame, step, voi)
        if source == "given" or not _flat(shown):
            return shown, source
        tried.append((shown, source))
    for shown, source in tried:  # Some pixels differ, only very few: the best that shows them.
        if shown.min() != shown.max():
            return shown, source
    if tried:
        return tried[0][0], "flat"
    # All values are equal. Their place among the possible ones says how bright.
    at = frame.at
    everything = windowing.possible_range(at.dtype, at.bits_stored)
    return _grey(frame, Rescale(), everything), "flat"


def _grey(frame: _Frame, modality: Modality, voi: Voi) -> NDArray[np.uint8]:
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


def _flat(shown: NDArray[np.uint8]) -> bool:
    """Whether all greys but those of 1 % of the pixels lie within FLAT_GREYS."""
    every = shown.reshape(-1)
    few = every.size // 200 + 1
    for step in (32, 8, 1):  # What some of the pixels prove needs no more of them.
        ordered = np.sort(every[::step], kind="stable")
        if few <= ordered.size and int(ordered[-few]) - int(ordered[few - 1]) >= FLAT_GREYS:
            return False
    return True


def _rgb(values: NDArray[Any], at: Layout) -> tuple[NDArray[np.uint8], str]:
    """Bring RGB of any depth to 8 bits.

    values  (rows, columns, 3), or 4 samples in the retired ARGB
    return  the colours, and their `window_source`
    """
    if at.samples == 4 and at.photometric == "ARGB":
        values = values[..., 1:]
    if values.shape[-1] != 3 or at.photometric in {"HSV", "CMYK"}:
        raise IngestError(
            Reason.DECODER_FAILED, f"{at.photometric} with {at.samples} samples cannot be shown"
        )
    if values.dtype == np.uint8 and at.bits_stored == 8:
        return values, "color"
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    most = float(values.max(initial=0))
    top = 1.0 if values.dtype.kind == "f" else float((1 << at.bits_stored) - 1)
    source = "color"
    if most > top or 0 < most < top / MOST_DARK:  # Written with fewer bits than were declared
        top, source = most, "full_range"
    shades: NDArray[np.uint8] = np.rint(np.clip(values, 0, top) * (255 / top)).astype("u1")
    return shades, source


def _size(at: Layout, aspect: float, edge_px: int) -> tuple[int, int]:
    """Give (width, height) in pixels: square pixels, at most `edge_px`, never enlarged."""
    if not 0.1 <= aspect <= 10:  # A slip of units rather than a detector.
        aspect = 1.0
    width, height = at.columns * max(1.0, 1 / aspect), at.rows * max(1.0, aspect)
    scale = min(1.0, edge_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(shown: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale a picture of 8 bits; by averaging whole blocks first, which is the fast part."""
    if shown.shape[1::-1] == size:
        return shown
    image = Image.fromarray(np.ascontiguousarray(shown))
    factor = _factors(image.size, size)
    if factor != (1, 1):
        image = image.reduce(factor)
    return np.asarray(image.resize(size, Image.Resampling.HAMMING))


def _factors(from_size: tuple[int, int], to_size: tuple[int, int]) -> tuple[int, int]:
    """Say how many pixels become one: columns, rows."""
    return max(1, from_size[0] // to_size[0]), max(1, from_size[1] // to_size[1])


def _encoded(shown: NDArray[np.uint8], options: Picturing) -> bytes:
    """Encode a picture in the format that was configured."""
    if shown.ndim == 2 and options.format == "jpeg":  # The bytes that Pillow gives, for less.
        return bytes(imagecodecs.jpeg8_encode(shown, level=options.quality))
    settings: dict[str, Any] = {
        "jpeg": {"quality": options.quality},
        "png": {"compress_level": 1},
        "webp": {"quality": options.quality, "method": 1},
    }[options.format]
    out = io.BytesIO()
    try:
        Image.fromarray(shown).save(out, options.format, **settings)
    except (OSError, ValueError) as error:
        raise IngestError(Reason.DECODER_FAILED, f"cannot be encoded: {error}") from error
    return out.getvalue()
