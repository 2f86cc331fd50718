"""Edge: one compressed frame to values; which decoders know a syntax, and in which order."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from ingestd.dicom.codestream import codestream
from ingestd.dicom.colour import to_rgb
from ingestd.dicom.layout import Layout
from ingestd.dicom.second import by_pydicom, gdcm_apart

#: The bytes of one frame to (rows, columns) or (rows, columns, samples).
Decode = Callable[[bytes, Layout], NDArray[Any]]
Chain = dict[str, Decode]  #: decoders by name, best first


def _turbo(content: bytes, at: Layout) -> NDArray[Any]:
    """libjpeg-turbo: baseline, extended with 12 bits, progressive, lossless; also makes RGB."""
    if at.samples == 1:
        return _array(imagecodecs.jpeg8_decode(content))
    known = codestream(content)
    ycc = known.ycc if known else None
    if ycc is None:
        ycc = at.photometric.startswith("YBR")
    space = "YCBCR" if ycc else "RGB"
    return _array(imagecodecs.jpeg8_decode(content, colorspace=space, outcolorspace="RGB"))


def _jpegsof3(content: bytes, at: Layout) -> NDArray[Any]:
    return to_rgb(_array(imagecodecs.jpegsof3_decode(content)), at)


def _charls(content: bytes, at: Layout) -> NDArray[Any]:
    return to_rgb(_array(imagecodecs.jpegls_decode(content)), at)


def _openjpeg(content: bytes, at: Layout) -> NDArray[Any]:
    return to_rgb(_array(imagecodecs.jpeg2k_decode(content, numthreads=1)), at)


def _libjxl(content: bytes, at: Layout) -> NDArray[Any]:  # noqa: ARG001 (all decoders look alike)
    return _array(imagecodecs.jpegxl_decode(content, numthreads=1))  # RGB already


def _rle(content: bytes, at: Layout) -> NDArray[Any]:
    kind = np.dtype(f"u{at.bits_allocated // 8}")
    _check_segments(content, at.samples * kind.itemsize)
    raw = imagecodecs.dicomrle_decode(content, kind.newbyteorder("<"))
    planes = np.frombuffer(raw, kind, count=at.size).reshape(at.samples, at.rows, at.columns)
    return to_rgb(planes[0] if at.samples == 1 else np.moveaxis(planes, 0, -1), at)


def _check_segments(content: bytes, expected: int) -> None:
    """Refuse an RLE header that leads out of the frame: imagecodecs would follow it (PS3.5 G.5)."""
    count, *offsets = struct.unpack_from("<16L", content)
    offsets = [*offsets[:count], len(content)]
    if count != expected or offsets[0] < 64 or offsets != sorted(offsets):
        raise ValueError(f"{count} segments at {offsets}, expected {expected}")


def _inflate(content: bytes, at: Layout) -> NDArray[Any]:
    """Deflated Image Frame: one raw deflate stream (RFC 1951) for each frame."""
    length = (at.frame_bits + 7) // 8
    return _stored(zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, length), at)


def _stored(content: bytes, at: Layout) -> NDArray[Any]:
    """Uncompressed, but in fragments."""
    length = (at.frame_bits + 7) // 8
    if len(content) < length:
        raise ValueError(f"{len(content)} bytes of {length}")
    if at.bits_allocated == 1:
        bits = np.frombuffer(content, np.uint8)
        return np.unpackbits(bits, bitorder="little", count=at.size).reshape(at.shape)
    flat = np.frombuffer(content, f"<u{at.bits_allocated // 8}", count=at.size)
    if at.planar:
        flat = np.moveaxis(flat.reshape(at.samples, at.rows, at.columns), 0, -1)
    return to_rgb(flat.reshape(at.shape), at)


def _array(values: object) -> NDArray[Any]:
    assert isinstance(values, np.ndarray), "imagecodecs gives arrays"
    return values


# What comes first was faultless over the real files; what comes second must not crash either.
# Left out, since broken frames kill the process with them: liblj92, openjph, gdcm. The last is
# asked all the same, in a process of its own; Pillow is not asked about JPEG 2000, where it hangs.
_JPEG: Chain = {"libjpeg-turbo": _turbo, "pillow": by_pydicom("pillow")}
_LOSSLESS: Chain = {"libjpeg-turbo": _turbo, "jpegsof3": _jpegsof3}
_JPEG_LS: Chain = {"charls": _charls, "gdcm": gdcm_apart}
_JPEG_2000: Chain = {"openjpeg": _openjpeg, "gdcm": gdcm_apart}
_HTJ2K: Chain = {"openjpeg": _openjpeg}
_RLE: Chain = {"imagecodecs": _rle, "pydicom": by_pydicom("pydicom")}
_JPEG_XL: Chain = {"libjxl": _libjxl}

#: The decoders of each syntax, best first.
DECODERS: dict[str, Chain] = {
    uid.JPEGBaseline8Bit: _JPEG,
    uid.JPEGExtended12Bit: _JPEG,
    "1.2.840.10008.1.2.4.53": {"libjpeg-turbo": _turbo},  # Spectral selection, retired
    "1.2.840.10008.1.2.4.55": {"libjpeg-turbo": _turbo},  # Full progression, retired
    uid.JPEGLossless: _LOSSLESS,
    uid.JPEGLosslessSV1: _LOSSLESS,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
    uid.HTJ2KLossless: _HTJ2K,
    uid.HTJ2KLosslessRPCL: _HTJ2K,
    uid.HTJ2K: _HTJ2K,
    uid.RLELossless: _RLE,
    "1.2.840.10008.1.2.4.110": _JPEG_XL,  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111": _JPEG_XL,  # JPEG XL JPEG Recompression
    "1.2.840.10008.1.2.4.112": _JPEG_XL,  # JPEG XL
    "1.2.840.10008.1.2.1.98": {"stored": _stored},  # Encapsulated Uncompressed, retired
    "1.2.840.10008.1.2.8.1": {"zlib": _inflate},  # Deflated Image Frame Compression
}
