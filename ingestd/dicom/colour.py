"""Pure. From YCbCr to RGB."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingestd.dicom.layout import Layout


def to_rgb(values: NDArray[Any], at: Layout) -> NDArray[Any]:
    """Convert decoded YBR_FULL to RGB and leave everything else alone.

    YBR_RCT and YBR_ICT are never seen: JPEG 2000 undoes them while it decodes.
    """
    if at.samples != 3 or at.photometric not in {"YBR_FULL", "YBR_FULL_422"}:
        return values
    return ycc_to_rgb(values, at.bits_stored)


def ycc_to_rgb(values: NDArray[Any], bits: int, *, partial: bool = False) -> NDArray[Any]:
    """Convert colours from YCbCr to RGB.

    values   (rows, columns, 3), unsigned
    bits     BitsStored: the grey point of the two colour samples is half of the range
    partial  Y runs from 16 to 235 and the others to 240 (of 255), as in video
    return   same shape and dtype
    spec     PS3.3 C.7.6.3.1.2, ITU-T T.871 section 7
    """
    top, half = float((1 << bits) - 1), float(1 << (bits - 1))
    luma = values[..., 0].astype(np.float32)
    blue = values[..., 1].astype(np.float32) - half
    red = values[..., 2].astype(np.float32) - half
    if partial:
        luma = (luma - 16 / 256 * 2 * half) * (255 / 219)
        blue, red = blue * (255 / 224), red * (255 / 224)
    rgb = np.stack(
        (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue), axis=-1
    )
    whole: NDArray[Any] = np.rint(np.clip(rgb, 0, top)).astype(values.dtype)
    return whole
