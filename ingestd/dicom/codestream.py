"""Pure. What a compressed frame says of itself, in its first bytes."""

import struct
from dataclasses import dataclass

_SOT = 0xFF90  # A part of a tile begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Codestream:
    """What the frame says of itself, whatever DICOM says beside it."""

    rows: int
    columns: int
    precision: int  #: 0 where it would take long to find
    signed: bool = False
    ycc: bool | None = None  #: True: YCbCr, False: RGB, None: it does not say
    lacks: str = ""  #: what a decoder would fill with black; of JPEG 2000 only


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
        lacks=_lacking(content, at, right, lower),
    )


def _lacking(content: bytes, at: int, right: int, lower: int) -> str:
    """Say how many tiles are not there, if any: openjpeg takes them for black.

    spec  T.800 A.4.2, A.5.1, B.3
    """
    wide, high, left, upper = struct.unpack_from(">4I", content, at + 24)
    if not wide or not high:
        return "its tiles have no size"
    declared = -(-(right - left) // wide) * -(-(lower - upper) // high)
    if declared <= 1:
        return ""
    there = len(_tiles(content, at + 2))
    return f"{there} of its {declared} tiles are there" if there < declared else ""


def _tiles(content: bytes, at: int) -> set[int]:
    """Collect the numbers of the tiles, from one part of a tile to the next."""
    there: set[int] = set()
    while at + 12 <= len(content):
        marker, length = struct.unpack_from(">HH", content, at)
        if marker == _SOT:
            tile, length = struct.unpack_from(">HI", content, at + 4)
            there.add(tile)
            if length < 14:  # 0: up to the end.
                break
            at += length
        elif there or length < 2:
            break
        else:
            at += 2 + length
    return there


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
