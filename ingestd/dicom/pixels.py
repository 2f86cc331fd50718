"""Edge: one frame of stored values, whatever the transfer syntax."""

import io
import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import get_frame

from ingestd.dicom import decoders, reduced
from ingestd.dicom.codestream import Codestream, codestream
from ingestd.dicom.colour import ycc_to_rgb
from ingestd.dicom.header import Header
from ingestd.dicom.layout import (
    BAD_VALUE,
    GE_PRIVATE,
    Layout,
    believable,
    content,
    frame_count,
    layout,
    stored_values,
)
from ingestd.errors import IngestError, Reason

__all__ = ["Decoded", "Stored", "decode", "decoded", "frame", "frame_count", "stored", "stored_in"]

log = logging.getLogger(__name__)

_NATIVE = {
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    GE_PRIVATE,
}
# glibc returns freed memory to the kernel and faults it in again, page by page, for each picture:
# that more than doubled the time of a thumbnail. Once it has freed a block of this size it keeps
# up to twice as much (mallopt(3), M_MMAP_THRESHOLD: the dynamic adjustment).
np.empty(16 << 20, np.uint8)

_ITEM = b"\xfe\xff\x00\xe0"  # What encapsulated pixel data begins with (PS3.5 A.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One frame, and who decoded it."""

    values: NDArray[Any]  #: (rows, columns) or (rows, columns, samples)
    decoder: str  #: "native", `reduced.NAME`, or a name in `decoders.DECODERS`


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The value of a pixel data element, and what helps to find frames in it."""

    content: bytes | memoryview
    encapsulated: bool  #: it was written as fragments
    offsets: tuple[bytes, bytes] | None = None  #: ExtendedOffsetTable and its lengths


def stored(dataset: Dataset, at: Layout) -> Stored:
    """Give the pixels of a data set.

    raises  IngestError `no_pixels` when they are empty
    """
    value = content(dataset, at.keyword)
    encapsulated = bool(dataset[at.keyword].is_undefined_length)
    return Stored(content=value, encapsulated=encapsulated, offsets=_offsets(dataset))


def stored_in(header: Header, dataset: Dataset) -> Stored:
    """Give the pixels of a file that was read; `dataset` holds its offset table, if any."""
    pixels = header.walk.pixels
    assert pixels is not None, "it has no pixels"
    value = header.walk.view[pixels.start : pixels.end]
    return Stored(content=value, encapsulated=pixels.encapsulated, offsets=_offsets(dataset))


def _offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        try:
            return dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
        except BAD_VALUE:
            return None
    return None


def frame(dataset: Dataset, index: int = 0) -> NDArray[Any]:
    """Give one frame of stored values: no LUT, no rescale, YBR_* converted to RGB.

    dataset  in memory, with its file meta when the file had one
    index    from 0; only this frame is decoded
    return   (rows, columns) or (rows, columns, samples); PALETTE COLOR stays indices
    raises   IngestError `no_pixels`, `unsupported_syntax` or `decoder_failed`
    """
    return decode(dataset, index).values


def decode(dataset: Dataset, index: int = 0) -> Decoded:
    """Do what `frame` does and say who decoded it."""
    at = layout(dataset)
    return decoded(stored(dataset, at), at, index)


def decoded(pixels: Stored, at: Layout, index: int, *, times: int = 1) -> Decoded:
    """Give one frame; the pixels are only read, and may be what is given back.

    times  so many pixels in a row become one: where that spares work, the frame is smaller, by no
           more than this, and its values are means
    """
    if not 0 <= index < at.frames:
        raise IngestError(Reason.DECODER_FAILED, f"frame {index} of {at.frames}")
    source = pixels.content
    if at.syntax in _NATIVE and source[:4] == _ITEM and pixels.encapsulated:
        raise IngestError(
            Reason.UNSUPPORTED_SYNTAX, "the pixels are compressed, the transfer syntax says not how"
        )
    if at.syntax in _NATIVE or _mislabelled(at, source):
        return Decoded(values=_native(at, source, index), decoder="native")
    if at.syntax not in decoders.DECODERS:
        name = uid.UID(at.syntax).name
        raise IngestError(Reason.UNSUPPORTED_SYNTAX, f"no decoder for {name}")
    return _encapsulated(pixels, at, index, times)


def _mislabelled(at: Layout, source: bytes | memoryview) -> bool:
    """Whether pixels are native though the syntax says compressed: no item, and the right size."""
    length = (at.frame_bits * at.frames + 7) // 8
    return source[:4] != _ITEM and len(source) in {length, length + length % 2}


def _native(at: Layout, source: bytes | memoryview, index: int) -> NDArray[Any]:
    """Slice one frame out of uncompressed bytes."""
    full = replace(at, photometric="YBR_FULL")
    if at.subsampled and len(source) * 8 >= full.frame_bits * at.frames:
        at = full  # It says 4:2:2 and carries every sample all the same.
    first, last = at.frame_bits * index, at.frame_bits * (index + 1)
    if last > len(source) * 8:
        raise IngestError(
            Reason.DECODER_FAILED,
            f"truncated: frame {index} ends at byte {(last + 7) // 8} of {len(source)}",
        )
    if at.swapped:
        even = source if len(source) % 2 == 0 else bytes(source) + b"\0"
        source = np.frombuffer(even, "u2").byteswap().tobytes()
    if at.bits_allocated == 1:
        return _unpacked(at, source, first)
    kind = at.dtype if "Float" in at.keyword else np.dtype(f"u{at.bits_allocated // 8}")
    order = kind.newbyteorder(">" if at.pixels_big_endian else "<")
    flat = np.frombuffer(source, order, count=at.frame_bits // at.bits_allocated, offset=first // 8)
    flat = flat.astype(kind, copy=at.pixels_big_endian)
    values = flat if "Float" in at.keyword else stored_values(flat, at)
    return _colour(at, values)


def _unpacked(at: Layout, source: bytes | memoryview, first_bit: int) -> NDArray[Any]:
    """Unpack one bit for each pixel; a frame need not begin at a whole byte (PS3.5 8.1.1)."""
    spare = first_bit % 8
    length = (spare + at.frame_bits + 7) // 8
    packed = np.frombuffer(source, np.uint8, count=length, offset=first_bit // 8)
    bits = np.unpackbits(packed, bitorder="little", count=spare + at.size)
    return bits[spare:].reshape(at.shape)


def _colour(at: Layout, flat: NDArray[Any]) -> NDArray[Any]:
    """Bring native samples into (rows, columns, samples), and YBR_* into RGB."""
    if at.samples == 1:
        return flat.reshape(at.shape)
    if at.subsampled:
        flat = _upsampled(flat)
        if flat.size != at.rows * at.columns * at.samples:
            raise IngestError(
                Reason.DECODER_FAILED,
                f"two pixels share a colour, and {at.rows} x {at.columns} pixels are no pairs",
            )
    elif at.planar:
        flat = np.moveaxis(flat.reshape(at.samples, at.rows, at.columns), 0, -1)
    values = flat.reshape(at.shape)
    if at.samples == 3 and at.photometric.startswith("YBR"):
        partial = "PARTIAL" in at.photometric
        return ycc_to_rgb(values, at.bits_stored, partial=partial)
    return values


def _upsampled(flat: NDArray[Any]) -> NDArray[Any]:
    """Give each pixel its own colour: Y1 Y2 B R becomes Y1 B R, Y2 B R (PS3.3 C.7.6.3.1.2)."""
    pairs = flat[: flat.size // 4 * 4].reshape(-1, 4)
    return pairs[:, [0, 2, 3, 1, 2, 3]].reshape(-1)


def _encapsulated(pixels: Stored, at: Layout, index: int, times: int) -> Decoded:
    """Find the fragments of one frame and give them to one decoder after the other."""
    one = _fragments(pixels, at, index)
    believable(at, len(one))
    known = codestream(one)
    if known is not None and (known.rows, known.columns) != (at.rows, at.columns):
        raise IngestError(
            Reason.DECODER_FAILED,
            f"the header says {at.rows} x {at.columns}, the frame {known.rows} x {known.columns}",
        )
    if known is not None and known.lacks:
        raise IngestError(Reason.DECODER_FAILED, f"truncated: {known.lacks}")
    if times > 1 and known is not None and at.syntax in reduced.SYNTAXES:
        smaller = _smaller(one, at, known, times)
        if smaller is not None:
            return smaller
    failures = []
    for name, decoder in decoders.DECODERS[at.syntax].items():
        try:
            values = decoder(one, at)
            if values.shape != at.shape:
                raise ValueError(f"gave {values.shape}, not {at.shape}")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - codecs raise what they like
            failures.append(f"{name}: {type(error).__name__}: {_one_line(error)}")
            log.debug("decoder_gave_up", extra={"at": {"decoder": name, "syntax": at.syntax}})
            continue
        log.debug("decoded", extra={"at": {"decoder": name, "syntax": at.syntax}})
        return Decoded(values=_as_stored(values, at, known), decoder=name)
    raise IngestError(Reason.DECODER_FAILED, "; ".join(failures))


def _smaller(one: bytes, at: Layout, known: Codestream, times: int) -> Decoded | None:
    """Decode at a fraction of the size; None when that cannot be done or fails."""
    try:
        values = reduced.decode(one, at, known, times)
    except Exception:  # noqa: BLE001 - codecs raise what they like
        return None
    if values is None:
        return None
    return Decoded(values=_as_stored(values, at, known), decoder=reduced.NAME)


def _fragments(pixels: Stored, at: Layout, index: int) -> bytes:
    """Join the fragments of one frame, by the offset table when there is one."""
    try:
        one: bytes = get_frame(
            _View(pixels.content),
            index,
            number_of_frames=at.frames,
            extended_offsets=pixels.offsets,
        )
    except Exception as error:
        raise IngestError(Reason.DECODER_FAILED, f"fragments: {_one_line(error)}") from error
    if not one:
        raise IngestError(Reason.DECODER_FAILED, f"truncated: frame {index} has no bytes")
    return one


class _View(io.RawIOBase):
    """Bytes to read from without a copy of them all: a slide may have thousands of frames."""

    def __init__(self, content: bytes | memoryview) -> None:
        self._content, self._at = memoryview(content), 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, memory: Any) -> int:
        """Give what fits, as files do."""
        found = self._content[self._at : self._at + len(memory)]
        memory[: len(found)] = found
        self._at += len(found)
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go there, as files do."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        self._at = max(0, start + offset)
        return self._at


def _as_stored(values: NDArray[Any], at: Layout, known: Codestream | None) -> NDArray[Any]:
    """Give decoded values the sign and width that the header asks for.

    Codecs give the type of their codestream: unsigned where the syntax knows no sign, and
    sometimes signed where DICOM says unsigned, or the other way round.
    """
    if values.dtype.kind == "f":
        raise IngestError(Reason.DECODER_FAILED, "the frame holds floats, the header integers")
    if values.dtype == at.dtype and not at.signed:
        return values if _fits(at, known) else stored_values(values, at)
    bits = min(known.precision if known and known.precision else 64, at.bits_stored)
    if at.signed and values.dtype.kind == "u":
        wide = 8 * values.dtype.itemsize
        values = (values << (wide - bits)).view(f"i{values.dtype.itemsize}") >> (wide - bits)
    elif not at.signed and values.dtype.kind == "i":
        values = values.view(f"u{values.dtype.itemsize}") & ((1 << bits) - 1)
    return values.astype(at.dtype, copy=False)


def _fits(at: Layout, known: Codestream | None) -> bool:
    """Whether a decoded value cannot have bits that BitsStored does not count."""
    return at.bits_stored == (known.precision if known and known.precision else at.bits_allocated)


def _one_line(error: Exception) -> str:
    """Shorten what a codec says; none of them knows of patients."""
    return " ".join(str(error).split())[:200]
