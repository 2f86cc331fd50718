"""Edge: JPEG 2000 at a half, a quarter ... of its size, for a quarter of the time or less.

A codestream holds its picture at each of these sizes. Pillow's openjpeg gives them, imagecodecs'
does not. Only plain codestreams are tried here: whatever is odd, or fails, is decoded in full by
`decoders`, which also has the words for why that failed.
"""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from pydicom import uid

from ingestd.dicom.codestream import Codestream
from ingestd.dicom.colour import to_rgb
from ingestd.dicom.layout import Layout

SYNTAXES = frozenset(
    {uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K}
)
MOST_PIXELS = 1 << 24  #: a larger frame is decoded in full
NAME = "openjpeg, reduced"

_SIZ, _COD, _SOT = 0xFF51, 0xFF52, 0xFF90


def decode(content: bytes, at: Layout, known: Codestream, times: int) -> NDArray[Any] | None:
    """Decode at about 1 / `times` of the size.

    times   not above how many pixels become one, in either direction
    return  (rows, columns) or (rows, columns, 3) in the type of the codestream, at least 1 / times
            as long as the frame; None when that is not to be had
    """
    halvings = _halvings(content, at, known, times)
    if not halvings:
        return None
    with Jpeg2KImageFile(io.BytesIO(content)) as image:
        image.reduce = halvings
        image.load()
        values = np.asarray(image)
    return to_rgb(_unshifted(values, known), at)


def _halvings(content: bytes, at: Layout, known: Codestream, times: int) -> int:
    """Say how often the frame may be halved; 0 when its codestream is not a plain one."""
    plain = at.syntax in SYNTAXES and at.photometric != "PALETTE COLOR"
    plain = plain and content[:4] == b"\xff\x4f\xff\x51" and _is_plain(content, at, known)
    most = _levels(content) if plain else 0
    while most and (1 << most > times or at.rows % (1 << most) or at.columns % (1 << most)):
        most -= 1
    return most


def _is_plain(content: bytes, at: Layout, known: Codestream) -> bool:
    """Whether it is one tile of like components, none of them subsampled (T.800 A.5.1)."""
    right, lower, *others = struct.unpack_from(">8I", content, 8)
    (count,) = struct.unpack_from(">H", content, 40)
    components = content[42 : 42 + 3 * count]
    one_tile = others[2] >= right and others[3] >= lower and not any(others[:2] + others[4:])
    alike = components == components[:1] + b"\1\1" + components[3:] and (
        count == 1 or components == components[:3] * count
    )
    deep = known.precision <= (16 if count == 1 else 8)
    small = at.rows * at.columns <= MOST_PIXELS
    return one_tile and alike and deep and small and count == at.samples in {1, 3}


def _levels(content: bytes) -> int:
    """Give how often the wavelet halved the picture (T.800 A.6.1); 0 when it does not say."""
    at = 2
    while at + 4 <= len(content):
        marker, length = struct.unpack_from(">HH", content, at)
        if marker == _COD and at + 10 <= len(content):
            return min(content[at + 9], 32)
        if marker == _SOT or length < 2:
            return 0
        at += 2 + length
    return 0


def _unshifted(values: NDArray[Any], known: Codestream) -> NDArray[Any]:
    """Undo what Pillow makes of fewer bits than its mode has, and of signed ones."""
    wide = 8 * values.dtype.itemsize
    values = values >> (wide - known.precision)
    if not known.signed:
        return values
    half = values.dtype.type(1 << (known.precision - 1))
    return (values - half).view(f"i{values.dtype.itemsize}")
