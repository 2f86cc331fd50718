"""Pure. Whether the pixel data is as long as the header says."""

from ingestd.dicom.values import Problem
from ingestd.dicom.walk import Pixels, Walk

#: All frames in one fragment: their number says nothing (PS3.5 A.4.5 and on).
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
_BITS = {0x7FE00008: 32, 0x7FE00009: 64}


def pixel_problems(walk: Walk, instance: dict[str, object]) -> list[Problem]:
    """Set `frames` and `has_pixels`, and say whether pixels are missing."""
    frames = instance.get("NumberOfFrames")
    pixels = walk.pixels
    has = pixels is not None and pixels.end > pixels.start
    instance["has_pixels"] = has
    if isinstance(frames, int) and frames >= 1:
        instance["frames"] = frames
    else:
        instance["frames"] = 1 if has else None
    if pixels is None or not has:
        shape = instance.get("Rows"), instance.get("Columns"), instance.get("BitsAllocated")
        if all(shape) and pixels is None:
            detail = "Rows, Columns and BitsAllocated, but no pixel data"
            return [Problem("pixels_absent", "PixelData", None, detail)]
        return []
    detail = _short(pixels, instance)
    return [Problem("truncated", "PixelData", None, detail)] if detail else []


def _short(pixels: Pixels, instance: dict[str, object]) -> str:
    """Say what is missing, "" when nothing is or nobody can tell."""
    if pixels.cut_off:
        return "the file ends inside the pixel data"
    frames = instance["frames"]
    assert isinstance(frames, int), "an image without frames"
    if pixels.encapsulated:
        if instance.get("TransferSyntaxUID") in _VIDEO or pixels.fragments > frames:
            return ""
        return f"{max(pixels.fragments - 1, 0)} fragments cannot be {frames} frames"
    wanted, there = _wanted_bits(pixels, instance) * frames, 8 * (pixels.end - pixels.start)
    return f"{there // 8} bytes, where {-(-wanted // 8)} are needed" if there < wanted else ""


def _wanted_bits(pixels: Pixels, instance: dict[str, object]) -> int:
    """Give the bits of one frame that is not compressed; 0 when the header does not say."""
    found = [instance.get(name) for name in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel")]
    rows, columns, allocated, samples = (one if isinstance(one, int) else 0 for one in found)
    samples = samples or 1
    if samples == 3 and instance.get("PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2  # Both colours are shared by two pixels (PS3.3 C.7.6.3.1.2).
    return rows * columns * samples * _BITS.get(pixels.entry.kind.tag, allocated)
