"""Pure. How the pixels of an instance lie in its bytes, and whether its header can be believed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ingestd.errors import IngestError, Reason

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

LITTLE_ENDIAN, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"  #: explicit VR

#: What pydicom may raise when the bytes of an element do not fit its VR.
BAD_VALUE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    EOFError,
    struct.error,
)

#: The elements that hold pixels, with the type of their values when the VR decides it.
PIXEL_KEYWORDS = {"PixelData": "", "FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}

#: Implicit little endian but for its pixels: a dialect of GE's, from before there were many.
GE_PRIVATE = "1.2.840.113619.5.2"

#: A compressed frame of more samples than this must have at least a byte for `MOST_SAMPLES_A_BYTE`.
FREE_SAMPLES = 1 << 26
MOST_SAMPLES = 1 << 29  # In a compressed frame: a picture of 23,000 x 23,000.
MOST_SAMPLES_A_BYTE = 1024  # Deflate packs 1032 to 1; nothing here packs real pictures as tight.


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the Image Pixel module (PS3.3 C.7.6.3) says, checked."""

    keyword: str  #: one of PIXEL_KEYWORDS
    syntax: str  #: transfer syntax UID; of a bare data set the one it was read with
    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool  #: all red samples, then all green ...; by pixel when False
    swapped: bool  #: bytes were swapped in pairs: 8 bit written as OW in big endian

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns), or (rows, columns, samples) for more than one sample."""
        plane = (self.rows, self.columns)
        return plane if self.samples == 1 else (*plane, self.samples)

    @property
    def size(self) -> int:
        """Samples in one frame."""
        return self.rows * self.columns * self.samples

    @property
    def subsampled(self) -> bool:
        """Whether two pixels share their colour, in native syntaxes."""
        return self.photometric in {"YBR_FULL_422", "YBR_PARTIAL_422"} and self.samples == 3

    @property
    def big_endian(self) -> bool:
        """Whether the most significant byte of the elements comes first."""
        return self.syntax == BIG_ENDIAN

    @property
    def pixels_big_endian(self) -> bool:
        """Whether it does in the pixels, if they are native."""
        return self.big_endian or self.syntax == GE_PRIVATE

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one stored value, in this machine's byte order."""
        if kind := PIXEL_KEYWORDS[self.keyword]:
            return np.dtype(kind)
        return np.dtype(f"{'i' if self.signed else 'u'}{max(self.bits_allocated, 8) // 8}")

    @property
    def frame_bits(self) -> int:
        """Bits that one frame takes in a native syntax."""
        bits = self.size * self.bits_allocated
        return bits * 2 // 3 if self.subsampled else bits


def frame_count(dataset: Dataset) -> int:
    """Give NumberOfFrames; 1 when it is absent, empty or zero, which PS3.3 C.7.6.6 forbids.

    raises  IngestError `decoder_failed` when it is no number or negative
    """
    return _integer(dataset, "NumberOfFrames", default=1, low=0) or 1


def layout(dataset: Dataset) -> Layout:
    """Read and check the Image Pixel module.

    raises  IngestError `no_pixels`, or `decoder_failed` when no decoder could make sense of it
    """
    keyword = next((word for word in PIXEL_KEYWORDS if word in dataset), None)
    if keyword is None:
        raise IngestError(Reason.NO_PIXELS, "there is no pixel data element")
    samples = _integer(dataset, "SamplesPerPixel", default=1, low=1, high=4)
    fixed = PIXEL_KEYWORDS[keyword]
    allocated = np.dtype(fixed).itemsize * 8 if fixed else _integer(dataset, "BitsAllocated")
    if allocated not in {1, 8, 16, 32, 64}:
        raise IngestError(Reason.DECODER_FAILED, f"BitsAllocated is {allocated}")
    stored = allocated if fixed else _integer(dataset, "BitsStored", default=allocated)
    if not 1 <= stored <= allocated:
        raise IngestError(Reason.DECODER_FAILED, f"BitsStored is {stored} of {allocated}")
    high = stored - 1 if fixed else _integer(dataset, "HighBit", default=stored - 1)
    syntax = transfer_syntax(dataset)
    return Layout(
        keyword=keyword,
        syntax=syntax,
        rows=_integer(dataset, "Rows", low=1, high=0xFFFF),
        columns=_integer(dataset, "Columns", low=1, high=0xFFFF),
        samples=samples,
        frames=frame_count(dataset),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high if stored - 1 <= high < allocated else stored - 1,
        signed=not fixed and _integer(dataset, "PixelRepresentation", default=0, high=1) == 1,
        photometric=photometric(dataset, samples),
        planar=samples > 1 and _integer(dataset, "PlanarConfiguration", default=0, high=1) == 1,
        swapped=(syntax == BIG_ENDIAN and allocated <= 8 and _element(dataset, keyword).VR == "OW"),
    )


def content(dataset: Dataset, keyword: str) -> bytes:
    """Give the bytes of the pixel data element.

    raises  IngestError `no_pixels` when it is empty
    """
    value = _element(dataset, keyword).value
    if not value:
        raise IngestError(Reason.NO_PIXELS, f"{keyword} is empty")
    if not isinstance(value, bytes):
        raise IngestError(Reason.DECODER_FAILED, f"{keyword} is no bytes")
    return value


def photometric(dataset: Dataset, samples: int) -> str:
    """Give PhotometricInterpretation; when it is absent, what the number of samples leaves.

    raises  IngestError `decoder_failed` when it is there and cannot be read
    """
    try:
        value = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    except BAD_VALUE:
        raise IngestError(
            Reason.DECODER_FAILED, "PhotometricInterpretation cannot be read"
        ) from None
    return value or ("RGB" if samples == 3 else "MONOCHROME2")


def transfer_syntax(dataset: Dataset) -> str:
    """Give the transfer syntax UID; for a data set without file meta the one it was read with."""
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID") or "") if meta is not None else ""
    if syntax:
        return syntax
    little_endian = dataset.original_encoding[1]
    return BIG_ENDIAN if little_endian is False else LITTLE_ENDIAN


def believable(at: Layout, encoded_bytes: int) -> None:
    """Refuse a compressed frame whose header asks for far more than its bytes can hold.

    raises  IngestError `decoder_failed`; a codec would have allocated it all first
    """
    if at.size > min(MOST_SAMPLES, max(FREE_SAMPLES, encoded_bytes * MOST_SAMPLES_A_BYTE)):
        raise IngestError(
            Reason.DECODER_FAILED,
            f"{at.rows} x {at.columns} x {at.samples} samples cannot be in {encoded_bytes} bytes",
        )


def stored_values(values: NDArray[Any], at: Layout) -> NDArray[Any]:
    """Cut BitsStored out of BitsAllocated; overlays and other guests in the rest are dropped.

    values  any shape, unsigned, `at.bits_allocated` wide; may be changed in place
    return  same shape, `at.dtype`, sign extended; the same memory where nothing has to be cut
    spec    PS3.5 8.1.1
    """
    unused = at.bits_allocated - at.bits_stored
    if at.bits_allocated == 1 or not unused or _without_guests(values, at):
        return values.view(at.dtype)
    if not values.flags.writeable:
        values = values.copy()
    np.left_shift(values, at.bits_allocated - 1 - at.high_bit, out=values)
    signed: NDArray[Any] = values.view(at.dtype)
    np.right_shift(signed, unused, out=signed)
    return signed


def _without_guests(values: NDArray[Any], at: Layout) -> bool:
    """Whether BitsStored can hold all values as they are: a look costs a tenth of cutting."""
    if at.high_bit != at.bits_stored - 1 or not values.size:
        return False
    if not at.signed:
        return bool(values.max() < 1 << at.bits_stored)
    signed, end = values.view(at.dtype), 1 << (at.bits_stored - 1)
    return bool(signed.max() < end and signed.min() >= -end)


def _element(dataset: Dataset, keyword: str) -> DataElement:
    try:
        return dataset[keyword]
    except BAD_VALUE as error:
        raise IngestError(
            Reason.DECODER_FAILED, f"{keyword} cannot be read: {type(error).__name__}"
        ) from None


def _integer(
    dataset: Dataset, keyword: str, *, default: int | None = None, low: int = 0, high: int = 1 << 31
) -> int:
    """Read one whole number; absent or empty gives `default`.

    raises  IngestError `decoder_failed` when it is absent without a default, no number or outside
    """
    try:
        value = dataset.get(keyword)
        number = default if value is None or value == "" else int(value)
    except BAD_VALUE:
        raise IngestError(Reason.DECODER_FAILED, f"{keyword} is not a number") from None
    if number is None:
        raise IngestError(Reason.DECODER_FAILED, f"{keyword} is absent")
    if not low <= number <= high:
        raise IngestError(Reason.DECODER_FAILED, f"{keyword} is {number}")
    return number
