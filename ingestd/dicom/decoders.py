"""Edge: one compressed frame to values; which decoders know a syntax, and in which order."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from ingestd.dicom.colour import to_rgb
from ingestd.dicom.layout import Layout
from ingestd.dicom.second import by_pydicom, gdcm_apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Codestream:
    """What the frame says of itself, whatever DICOM says beside it."""

    rows: int
    columns: int
    precision: int  #: 0 where it would take long to find
    signed: bool = False
    ycc: bool | None = None  #: True: YCbCr, False: RGB, None: it does not say


#: The bytes of one frame to (rows, columns) or (rows, columns, samples).
Decode = Callable[[bytes, Layout], NDArray[Any]]
Chain = dict[str, Decode]  #: decoders by name, best first


def codestream(content: bytes) -> Codestream | None:
    """Read the header of a JPEG, JPEG-LS, JPEG 2000 or JPEG XL frame; None for all others.

    spec  ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1; ISO/IEC 18181-1 D.2
    """
    try:
        if content[:2] == b"\xff\xd8":
            return _jpeg_header(content)
        if content[:2] == b"\xff\x0a":
            return _jxl_header(content, 2)
        if content[:8] == b"\0\0\0\x0cJXL ":
            at = content.find(b"\xff\x0a", 12, 4096)
            return _jxl_header(content, at + 2) if at >= 0 else None
        in_jp2 = content[:8] == b"\0\0\0\x0cjP  "  # A whole JP2 file: boxes come first.
        at = content.find(b"\xff\x4f\xff\x51", 0, 4096 if in_jp2 else 4)
        return _j2k_header(content, at) if at >= 0 else None
    except (struct.error, IndexError):
        return None


def _jpeg_header(content: bytes) -> Codestream | None:
    at, ycc = 2, None
    while at < len(content):
        marker = content[at + 1]
        if content[at] != 0xFF or marker == 0xFF:  # Fill bytes may stand before a marker.
            at += 1
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        body = content[at + 4 : at + 2 + length]
        if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            ycc = body[11] == 1
        elif marker == 0xE0 and body[:4] == b"JFIF" and ycc is None:
            ycc = True
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}):
            precision, rows, columns, samples = struct.unpack_from(">BHHB", body)
            if bytes(body[6 : 6 + 3 * samples : 3]) in {b"RGB", b"rgb"}:
                ycc = False
            return Codestream(rows=rows, columns=columns, precision=precision, ycc=ycc)
        at += 2 + length
    return None


def _j2k_header(content: bytes, at: int) -> Codestream:
    right, lower, left, upper = struct.unpack_from(">4I", content, at + 8)
    depth = content[at + 42]
    return Codestream(
        rows=lower - upper,
        columns=right - left,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
    )


def _jxl_header(content: bytes, at: int) -> Codestream:
    bits = int.from_bytes(content[at : at + 10], "little")

    def take(count: int) -> int:
        nonlocal bits
        found = bits & ((1 << count) - 1)
        bits >>= count
        return found

    def length(*, small: bool) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = bool(take(1))
    rows = length(small=small)
    across, down = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[take(3)]
    columns = rows * across // down if across else length(small=small)
    return Codestream(rows=rows, columns=columns, precision=0)


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
