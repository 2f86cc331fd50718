import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, uid
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, get_frame
from pydicom.pixels.utils import pixel_array

from ingestd.dicom import decoders, pixels
from ingestd.dicom.codestream import codestream
from ingestd.dicom.layout import Layout
from ingestd.errors import IngestError, Reason

RNG = np.random.default_rng(7)
RAMP = np.arange(6 * 5).reshape(6, 5)
HTJ2K_LOSSLESS, JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.110"
DEFLATED_FRAME, JPEG_PROGRESSIVE = "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.55"


def wheel(name: str) -> Dataset:
    """One of the real files that pydicom brings."""
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom brings no {name}"
    return pydicom.dcmread(str(path))


def image(
    content: bytes, shape: tuple[int, ...], syntax: str = uid.ExplicitVRLittleEndian, **more: Any
) -> Dataset:
    """A data set with the least that an image needs."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = shape[2] if len(shape) > 2 else 1
    header: dict[str, Any] = {"BitsAllocated": 8, "PixelRepresentation": 0} | more
    header.setdefault("BitsStored", header["BitsAllocated"])
    header.setdefault("HighBit", header["BitsStored"] - 1)
    header.setdefault("PhotometricInterpretation", "RGB" if len(shape) > 2 else "MONOCHROME2")
    header.setdefault("VR", "OB" if header["BitsAllocated"] <= 8 else "OW")
    vr = header.pop("VR")
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    dataset.add_new("PixelData", vr, content)
    return dataset


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_native_integers_come_back(dtype: str, order: Literal["little", "big"]) -> None:
    kind = np.iinfo(dtype)
    values = np.linspace(kind.min, kind.max, 30).astype(dtype).reshape(6, 5)
    dataset = image(
        values.astype(np.dtype(dtype).newbyteorder(order)).tobytes(),
        values.shape,
        uid.ExplicitVRBigEndian if order == "big" else uid.ExplicitVRLittleEndian,
        BitsAllocated=8 * np.dtype(dtype).itemsize,
        PixelRepresentation=int(dtype[0] == "i"),
    )
    found = pixels.frame(dataset)
    assert found.dtype == np.dtype(dtype)
    assert (found == values).all()


def test_the_private_syntax_of_ge_has_big_endian_pixels_in_a_little_endian_file() -> None:
    values = np.arange(30, dtype=np.uint16).reshape(6, 5) * 1000
    dataset = image(
        values.astype(">u2").tobytes(), values.shape, "1.2.840.113619.5.2", BitsAllocated=16
    )
    assert (pixels.frame(dataset) == values).all()


@pytest.mark.parametrize(
    ("keyword", "vr", "dtype"),
    [("FloatPixelData", "OF", "f4"), ("DoubleFloatPixelData", "OD", "f8")],
)
def test_native_floats_come_back(keyword: str, vr: str, dtype: str) -> None:
    values = RNG.normal(size=(2, 6, 5)).astype(dtype)
    dataset = image(b"", (6, 5), BitsAllocated=32, NumberOfFrames=2)
    del dataset.PixelData, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit
    dataset.add_new(keyword, vr, values.tobytes())
    assert (pixels.frame(dataset, 1) == values[1]).all()


@pytest.mark.parametrize(
    ("raw", "stored", "high", "signed", "expected"),
    [
        pytest.param(0xF123, 12, 11, 0, 0x123, id="an overlay above the value is dropped"),
        pytest.param(0x1234, 12, 15, 0, 0x123, id="an overlay below the value is dropped"),
        pytest.param(0x0FFF, 12, 11, 1, -1, id="the sign of 12 bits is extended"),
        pytest.param(0x77FF, 12, 11, 1, 2047, id="an overlay does not become a sign"),
        pytest.param(0x0123, 12, 3, 0, 0x123, id="a HighBit that cannot be is not believed"),
        pytest.param(0x0101, 1, 0, 0, 1, id="one bit in sixteen"),
    ],
)
def test_only_the_stored_bits_count(
    raw: int, stored: int, high: int, signed: int, expected: int
) -> None:
    dataset = image(
        struct.pack("<H", raw),
        (1, 1),
        BitsAllocated=16,
        BitsStored=stored,
        HighBit=high,
        PixelRepresentation=signed,
    )
    assert pixels.frame(dataset)[0, 0] == expected


def test_bits_of_a_frame_may_begin_inside_a_byte() -> None:
    bits = RNG.integers(0, 2, (3, 5, 3), dtype=np.uint8)
    content = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    dataset = image(content, (5, 3), BitsAllocated=1, NumberOfFrames=3)
    for index in range(3):
        assert (pixels.frame(dataset, index) == bits[index]).all()


def test_bytes_swapped_in_pairs_are_swapped_back() -> None:
    values = np.arange(15, dtype=np.uint8)
    swapped = np.append(values, 0).astype(np.uint8).view("u2").byteswap().tobytes()
    dataset = image(swapped, (3, 5), uid.ExplicitVRBigEndian, VR="OW")
    assert (pixels.frame(dataset).reshape(-1) == values).all()


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_by_plane_and_by_pixel(planar: int) -> None:
    values = RNG.integers(0, 255, (2, 4, 6, 3), dtype=np.uint8)
    stored = np.moveaxis(values, -1, 1) if planar else values
    dataset = image(stored.tobytes(), (4, 6, 3), PlanarConfiguration=planar, NumberOfFrames=2)
    assert (pixels.frame(dataset, 1) == values[1]).all()


RED, GREY = (255, 0, 0), (128, 128, 128)


@pytest.mark.parametrize(
    ("photometric", "content", "expected"),
    [
        pytest.param("YBR_FULL", bytes([76, 85, 255] * 2), [(254, 0, 0)] * 2, id="full"),
        pytest.param(
            "YBR_FULL_422", bytes([76, 128, 85, 255]), [(254, 0, 0), (255, 52, 51)], id="subsampled"
        ),
        pytest.param("YBR_FULL_422", bytes([128, 128, 128] * 2), [GREY] * 2, id="not subsampled"),
        pytest.param(
            "YBR_PARTIAL_422", bytes([16, 235, 128, 128]), [(0,) * 3, (255,) * 3], id="video range"
        ),
    ],
)
def test_ybr_becomes_rgb(photometric: str, content: bytes, expected: list[tuple[int, ...]]) -> None:
    dataset = image(content, (1, 2, 3), PhotometricInterpretation=photometric)
    assert np.abs(pixels.frame(dataset)[0].astype(int) - expected).max() <= 1


def test_pixels_that_share_a_colour_and_are_no_pairs_cost_the_picture() -> None:
    dataset = image(bytes(18), (3, 3, 3), PhotometricInterpretation="YBR_FULL_422")
    with pytest.raises(IngestError, match="no pairs"):
        pixels.frame(dataset)


def test_palette_colours_stay_indices() -> None:
    dataset = wheel("examples_palette.dcm")
    assert pixels.frame(dataset).shape == (dataset.Rows, dataset.Columns)


#: Compressed files and the uncompressed ones they were made from, and how many greys they may
#: differ in the mean: 0 where lossless. Where colours were subsampled single pixels are far off.
TWINS = [
    ("MR_small_RLE.dcm", "MR_small.dcm", 0),
    ("MR_small_jp2klossless.dcm", "MR_small.dcm", 0),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm", 0),
    ("MR_small_bigendian.dcm", "MR_small.dcm", 0),
    ("MR_small_implicit.dcm", "MR_small.dcm", 0),
    ("rtdose_rle.dcm", "rtdose.dcm", 0),
    ("rtdose_expb.dcm", "rtdose.dcm", 0),
    ("liver_expb_1frame.dcm", "liver_1frame.dcm", 0),
    ("SC_rgb_rle.dcm", "SC_rgb_jpeg_gdcm.dcm", 0),
    ("SC_rgb_gdcm_KY.dcm", "SC_rgb_rle.dcm", 0),
    ("SC_rgb_jls_lossy_sample.dcm", "SC_rgb_rle.dcm", 1),
    ("SC_rgb_jls_lossy_line.dcm", "SC_rgb_rle.dcm", 1),
    ("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_rle.dcm", 1),
    ("SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_rle.dcm", 3),
    ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_rle.dcm", 1),
    ("SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_rle.dcm", 3),
    ("SC_ybr_full_422_uncompressed.dcm", "SC_rgb_rle.dcm", 1),
]


@pytest.mark.parametrize(("name", "twin", "bound"), TWINS, ids=str)
def test_a_file_and_its_twin_hold_the_same_picture(name: str, twin: str, bound: int) -> None:
    one, other = wheel(name), wheel(twin)
    for index in range(pixels.frame_count(one)):
        left, right = pixels.frame(one, index), pixels.frame(other, index)
        assert left.shape == right.shape
        assert np.abs(left.astype(np.int64) - right).mean() <= bound


#: One real file for each syntax of which pydicom brings some.
REAL = {
    uid.JPEGBaseline8Bit: ["SC_rgb_dcmtk_+eb+cy+s2.dcm", "examples_ybr_color.dcm"],
    uid.JPEGExtended12Bit: ["JPEG-lossy.dcm", "JPGExtended.dcm"],
    uid.JPEGLosslessSV1: ["SC_rgb_jpeg_gdcm.dcm"],
    uid.JPEGLSLossless: ["MR_small_jpeg_ls_lossless.dcm"],
    uid.JPEGLSNearLossless: ["JPEGLSNearLossless_16.dcm", "SC_rgb_jls_lossy_line.dcm"],
    uid.JPEG2000Lossless: ["J2K_pixelrep_mismatch.dcm", "examples_jpeg2k.dcm"],
    uid.JPEG2000: ["693_J2KI.dcm", "JPEG2000.dcm"],
    uid.RLELossless: ["SC_rgb_rle_16bit_2frame.dcm", "rtdose_rle.dcm"],
}


@pytest.mark.parametrize(("syntax", "names"), REAL.items(), ids=str)
def test_each_decoder_of_a_syntax_gives_the_same_values(
    syntax: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        dataset = wheel(name)
        best = pixels.decode(dataset)
        assert best.decoder == next(iter(decoders.DECODERS[syntax]))
        for label, decoder in decoders.DECODERS[syntax].items():
            monkeypatch.setitem(decoders.DECODERS, syntax, {label: decoder})
            try:
                other = pixels.decode(dataset)
            except IngestError as error:
                assert "JPEG Extended" in error.detail  # noqa: PT017 - Only 12 bits are too many.
                continue
            finally:
                monkeypatch.undo()
            assert other.decoder == label
            assert np.abs(best.values.astype(np.int64) - other.values).max() <= 1, (name, label)


def test_a_decoder_that_fails_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(content: bytes, at: Layout) -> NDArray[Any]:
        raise OSError(f"cannot read {len(content)} bytes of {at.size}")

    def wrong_shape(_: bytes, at: Layout) -> NDArray[Any]:
        return np.zeros((at.columns, 1), np.uint8)

    chain = decoders.DECODERS[uid.RLELossless]
    monkeypatch.setitem(
        decoders.DECODERS,
        uid.RLELossless,
        {"broken": broken, "wrong": wrong_shape, "pydicom": chain["pydicom"]},
    )
    found = pixels.decode(wheel("MR_small_RLE.dcm"))
    assert found.decoder == "pydicom"
    assert (found.values == pixels.frame(wheel("MR_small.dcm"))).all()


@pytest.mark.parametrize(
    ("name", "place"),
    [("JPEG2000.dcm", 42), ("JPEGLSNearLossless_16.dcm", 6)],
    ids=["bit depth of jpeg 2000", "precision of jpeg-ls"],
)
def test_one_wrong_byte_that_kills_gdcm_does_not_kill_us(name: str, place: int) -> None:
    dataset = wheel(name)
    frame = bytearray(get_frame(dataset.PixelData, 0, number_of_frames=1))
    frame[place] = 255
    dataset.PixelData = encapsulate([bytes(frame)])
    with pytest.raises(IngestError) as caught:
        pixels.frame(dataset)
    assert caught.value.reason is Reason.DECODER_FAILED
    assert "gdcm: OSError: it died of SIGABRT" in caught.value.detail


def test_segments_that_lead_out_of_an_rle_frame_are_not_followed() -> None:
    header = struct.pack("<16L", 2, 64, 1 << 30, *[0] * 13)
    dataset = image(
        encapsulate([header + b"\x7f\0" * 9]), (8, 8), uid.RLELossless, BitsAllocated=16
    )
    with pytest.raises(IngestError, match="segments at"):
        pixels.frame(dataset)


def test_the_log_says_at_debug_who_decoded(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "ingestd.dicom.pixels"):
        pixels.frame(wheel("MR_small_RLE.dcm"))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("DEBUG", "decoded")
    assert vars(record)["at"] == {"decoder": "imagecodecs", "syntax": uid.RLELossless}


def test_when_all_decoders_fail_each_says_why() -> None:
    dataset = image(encapsulate([b"\xff\xd8 no picture"]), (4, 4), uid.JPEGBaseline8Bit, VR="OB")
    with pytest.raises(IngestError) as caught:
        pixels.frame(dataset)
    assert caught.value.reason is Reason.DECODER_FAILED
    assert [part.split(":")[0] for part in caught.value.detail.split("; ")] == list(
        decoders.DECODERS[uid.JPEGBaseline8Bit]
    )


def jpeg_progressive(values: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, "JPEG", quality=95, progressive=True)
    return out.getvalue()


def deflated(values: NDArray[Any]) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(values.tobytes()) + packer.flush()


SMOOTH = (np.add.outer(np.arange(64), np.arange(48)) * 2).astype(np.uint8)
DEEP = SMOOTH.astype(np.uint16) * 16


@pytest.mark.parametrize(
    ("syntax", "encoded", "values", "bound"),
    [
        (HTJ2K_LOSSLESS, imagecodecs.htj2k_encode(DEEP, level=0), DEEP, 0),
        (JPEG_XL_LOSSLESS, imagecodecs.jpegxl_encode(DEEP, lossless=True), DEEP, 0),
        (DEFLATED_FRAME, deflated(DEEP), DEEP, 0),
        ("1.2.840.10008.1.2.1.98", DEEP.tobytes(), DEEP, 0),
        (JPEG_PROGRESSIVE, jpeg_progressive(SMOOTH), SMOOTH, 4),
        (uid.JPEGLossless, imagecodecs.jpeg8_encode(DEEP, lossless=True, predictor=4), DEEP, 0),
        (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(SMOOTH, level=95), SMOOTH, 4),
    ],
    ids=["htj2k", "jpeg xl", "deflated frame", "stored", "progressive", "lossless 57", "baseline"],
)
def test_syntaxes_of_which_there_is_no_real_file(
    syntax: str, encoded: bytes, values: NDArray[Any], bound: int
) -> None:
    bits = 8 * values.dtype.itemsize
    dataset = image(
        encapsulate([encoded, encoded]), values.shape, syntax, BitsAllocated=bits, VR="OB"
    )
    dataset.NumberOfFrames = 2
    found = pixels.frame(dataset, 1)
    assert found.dtype == values.dtype
    assert np.abs(found.astype(int) - values).max() <= bound


def test_one_bit_deflated() -> None:
    bits = RNG.integers(0, 2, (7, 5), dtype=np.uint8)
    content = deflated(np.packbits(bits.reshape(-1), bitorder="little"))
    dataset = image(encapsulate([content]), (7, 5), DEFLATED_FRAME, BitsAllocated=1)
    assert (pixels.frame(dataset) == bits).all()


@pytest.mark.parametrize("extended", [False, True], ids=["basic table", "extended table"])
def test_only_the_frame_that_was_asked_for_is_decoded(
    extended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [deflated(np.full((4, 4), value, np.uint8)) for value in range(5)]
    content, *tables = encapsulate_extended(frames) if extended else (encapsulate(frames),)
    dataset = image(content, (4, 4), DEFLATED_FRAME, NumberOfFrames=5)
    if tables:
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = tables
    seen: list[bytes] = []

    def counting(content: bytes, at: Layout) -> NDArray[Any]:
        seen.append(content.rstrip(b"\0"))
        return chain["zlib"](content, at)

    chain = decoders.DECODERS[DEFLATED_FRAME]
    monkeypatch.setitem(decoders.DECODERS, DEFLATED_FRAME, {"counting": counting})
    assert (pixels.frame(dataset, 3) == 3).all()
    assert seen == [frames[3].rstrip(b"\0")]


def test_native_pixels_under_a_compressed_label_are_read() -> None:
    values = RAMP.astype(np.uint8)
    dataset = image(values.tobytes(), values.shape, uid.JPEG2000Lossless)
    assert (pixels.frame(dataset) == values).all()


def test_compressed_pixels_of_an_unknown_kind_are_not_taken_for_native() -> None:
    dataset = wheel("JPEG2000.dcm")
    del dataset.file_meta.TransferSyntaxUID
    with pytest.raises(IngestError) as caught:
        pixels.frame(dataset)
    assert caught.value.reason is Reason.UNSUPPORTED_SYNTAX


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "examples_ybr_color.dcm"])
def test_colours_of_jpeg_are_those_of_pydicom(name: str) -> None:
    dataset = wheel(name)
    theirs = pixel_array(dataset, index=0)
    assert np.abs(pixels.frame(dataset).astype(int) - theirs).max() <= 2


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        pytest.param({"PixelData": None}, Reason.NO_PIXELS, "no pixel data", id="no element"),
        pytest.param({"PixelData": b""}, Reason.NO_PIXELS, "empty", id="an empty element"),
        pytest.param({"PixelData": b"12"}, Reason.DECODER_FAILED, "truncated", id="too short"),
        pytest.param({"NumberOfFrames": 9}, Reason.DECODER_FAILED, "truncated", id="few frames"),
        pytest.param({"Rows": None}, Reason.DECODER_FAILED, "Rows is absent", id="no rows"),
        pytest.param({"Rows": 0}, Reason.DECODER_FAILED, "Rows is 0", id="zero rows"),
        pytest.param({"BitsAllocated": 12}, Reason.DECODER_FAILED, "12", id="odd bits"),
        pytest.param({"BitsStored": 13}, Reason.DECODER_FAILED, "13 of 8", id="more than fit"),
        pytest.param({"SamplesPerPixel": 9}, Reason.DECODER_FAILED, "9", id="nine samples"),
        pytest.param({"NumberOfFrames": -2}, Reason.DECODER_FAILED, "-2", id="negative frames"),
    ],
)
def test_what_cannot_be_a_picture_is_said_so(
    change: dict[str, Any], reason: Reason, words: str
) -> None:
    dataset = image(RAMP.astype(np.uint8).tobytes(), RAMP.shape)
    for keyword, value in change.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    with pytest.raises(IngestError, match=words) as caught:
        pixels.frame(dataset, pixels.frame_count(dataset) - 1 if "-2" not in words else 0)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.107", "1.2.3.4", "nonsense"]
)
def test_a_syntax_without_a_decoder_is_unsupported(syntax: str) -> None:
    dataset = image(encapsulate([b"1234"]), (64, 64), syntax)
    with pytest.raises(IngestError) as caught:
        pixels.frame(dataset)
    assert caught.value.reason is Reason.UNSUPPORTED_SYNTAX


BOMB = imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, *decoders.DECODERS])
@pytest.mark.parametrize("content", [b"0123456789", b"\xff\xd8\xff\xc0 \0\x0b", BOMB])
def test_a_header_that_asks_for_gigabytes_gets_none(syntax: str, content: bytes) -> None:
    data = content if syntax == uid.ExplicitVRLittleEndian else encapsulate([content])
    dataset = image(data, (65_535, 65_535), syntax, BitsAllocated=16, NumberOfFrames=2**31 - 1)
    tracemalloc.start()
    try:
        with pytest.raises(IngestError) as caught:
            pixels.frame(dataset)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.reason is Reason.DECODER_FAILED
    assert peak < 1 << 20


def test_a_frame_larger_than_its_header_says_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header = struct.pack(">4sHBHHB3s", b"\xff\xd8\xff\xc0", 11, 8, 65_535, 65_535, 1, b"\1\x11\0")
    dataset = image(encapsulate([header]), (4, 4), uid.JPEGBaseline8Bit)
    monkeypatch.setitem(decoders.DECODERS, uid.JPEGBaseline8Bit, {})
    with pytest.raises(IngestError, match="65535 x 65535"):
        pixels.frame(dataset)


@pytest.mark.parametrize(
    "shape", [(64, 48), (8, 8), (512, 512), (300, 400), (1, 700), (9000, 3), (160, 90)], ids=str
)
@pytest.mark.parametrize(
    "encode",
    [imagecodecs.jpegxl_encode, imagecodecs.jpeg2k_encode, imagecodecs.jpegls_encode],
    ids=["jpeg xl", "jpeg 2000", "jpeg-ls"],
)
def test_a_frame_says_its_own_size(
    shape: tuple[int, int], encode: Callable[[NDArray[Any]], bytes]
) -> None:
    found = codestream(encode(np.zeros(shape, np.uint8)))
    assert found is not None
    assert (found.rows, found.columns) == shape


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_are_the_answer_is_an_array_or_a_reason(data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(
            [
                "MR_small_RLE.dcm",
                "MR_small_jp2klossless.dcm",
                "SC_rgb_jpeg_dcmtk.dcm",
                "MR_small_jpeg_ls_lossless.dcm",
            ]
        )
    )
    raw = bytearray(Path(str(get_testdata_file(name, download=False))).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(len(raw) * 3 // 4, len(raw) - 1))] = data.draw(
            st.integers(0, 255)
        )
    dataset = pydicom.dcmread(io.BytesIO(bytes(raw)), force=True)
    try:
        found = pixels.frame(dataset)
    except IngestError as error:
        assert error.reason.verdict == "degrade"  # noqa: PT017
    else:
        assert found.shape[:2] == (dataset.Rows, dataset.Columns)


@given(
    numbers=st.fixed_dictionaries(
        {},
        optional={
            word: st.sampled_from([0, 1, 2, 3, 7, 8, 12, 16, 32, 64, 255, 65_535])
            for word in (
                "Rows",
                "Columns",
                "SamplesPerPixel",
                "BitsAllocated",
                "BitsStored",
                "HighBit",
                "PixelRepresentation",
                "PlanarConfiguration",
                "NumberOfFrames",
            )
        },
    ),
    photometric=st.sampled_from(["MONOCHROME2", "RGB", "YBR_FULL_422", "YBR_FULL", "?", ""]),
    index=st.integers(-1, 3),
)
def test_whatever_the_header_says_the_answer_is_an_array_or_a_reason(
    numbers: dict[str, int], photometric: str, index: int
) -> None:
    dataset = image(bytes(range(90)), (6, 5, 3), PhotometricInterpretation=photometric)
    for keyword, value in numbers.items():
        setattr(dataset, keyword, value)
    try:
        found = pixels.frame(dataset, index)
    except IngestError as error:
        assert error.reason in {Reason.DECODER_FAILED, Reason.NO_PIXELS}  # noqa: PT017
    else:
        assert found.shape[:2] == (dataset.Rows, dataset.Columns)


#: Files of the corpus with no picture in them, and why.
NOT_DECODED = {
    "MR_truncated.dcm": "its pixel data is 62 bytes short",
    "meta_missing_tsyntax.dcm": "it has pixel data and no Rows, no Columns, nothing else",
    "nested_priv_SQ.dcm": "it has pixel data and no Rows, no Columns, nothing else",
    "badVR.dcm": "its NumberOfFrames is '1A'",
    "JPEG2000-embedded-sequence-delimiter.dcm": "a delimiter is written over its frame header",
    "generated_encapsulated_defined_bot_1_to_1.dcm": "its fragments are placeholders",
    "generated_encapsulated_defined_bot_2_to_1.dcm": "its fragments are placeholders",
    "generated_encapsulated_defined_bot_2_to_2.dcm": "its fragments are placeholders",
    "generated_encapsulated_empty_bot_1_to_1.dcm": "its fragments are placeholders",
    "generated_encapsulated_empty_bot_2_to_1.dcm": "its fragments are placeholders",
}


def test_every_frame_of_the_corpus_is_decoded_but_for_those_with_a_cause() -> None:
    corpus = os.environ.get("INGESTD_TEST_CORPUS")
    if not corpus:
        pytest.skip("INGESTD_TEST_CORPUS names no folder of real files")
    failed, decoded = set(), 0
    for path in sorted(Path(corpus).rglob("*")):
        if not path.is_file():
            continue
        try:
            dataset = pydicom.dcmread(path)
            pixels.frame(dataset, pixels.frame_count(dataset) // 2)
            decoded += 1
        except pydicom.errors.InvalidDicomError:
            continue
        except IngestError as error:
            if error.reason is not Reason.NO_PIXELS:
                failed.add(path.name)
    assert decoded >= 1000
    assert failed == set(NOT_DECODED)


#: Files of the corpus made from one picture: lossless ones and their uncompressed twins.
CORPUS_TWINS = [
    *((f"dcm_qa_ts/In/{number}.dcm", "dcm_qa_ts/In/1.dcm") for number in range(2, 10)),
    *(
        (f"pydicom-data-pypi/{one}.dcm", f"pydicom-data-pypi/{twin}.dcm")
        for one, twin in [
            ("693_J2KR", "693_UNCR"),
            ("emri_small_RLE", "emri_small"),
            ("emri_small_jpeg_2k_lossless", "emri_small"),
            ("emri_small_jpeg_ls_lossless", "emri_small"),
            ("emri_small_big_endian", "emri_small"),
            ("OBXXXX1A_rle", "OBXXXX1A"),
            ("OBXXXX1A_expb", "OBXXXX1A"),
            ("SC_rgb_expb_32bit", "SC_rgb_32bit"),
            ("liver_expb", "liver"),
            ("SC_rgb_gdcm2k_uncompressed", "SC_rgb"),
            ("color-pl", "color-px"),
        ]
    ),
    ("pydicom-wheel/test_files/693_J2KI.dcm", "pydicom-data-pypi/693_UNCI.dcm"),
    ("pydicom-wheel/test_files/JPEG2000.dcm", "pydicom-data-pypi/JPEG2000_UNC.dcm"),
]


@pytest.mark.parametrize(("name", "twin"), CORPUS_TWINS, ids=lambda name: Path(name).stem)
def test_twins_of_the_corpus_are_equal(name: str, twin: str) -> None:
    corpus = os.environ.get("INGESTD_TEST_CORPUS")
    if not corpus:
        pytest.skip("INGESTD_TEST_CORPUS names no folder of real files")
    one, other = (pydicom.dcmread(Path(corpus, path)) for path in (name, twin))
    for index in range(pixels.frame_count(one)):
        assert (pixels.frame(one, index) == pixels.frame(other, index)).all()


def test_a_layout_says_how_many_bits_a_frame_takes() -> None:
    values: dict[str, Any] = {
        "keyword": "PixelData",
        "syntax": uid.ExplicitVRLittleEndian,
        "rows": 2,
        "columns": 4,
        "samples": 3,
        "frames": 1,
        "bits_allocated": 8,
        "bits_stored": 8,
        "high_bit": 7,
        "signed": False,
        "planar": False,
        "swapped": False,
    }
    assert Layout(photometric="YBR_FULL_422", **values).frame_bits == 16 * 8
    assert Layout(photometric="YBR_FULL", **values).frame_bits == 24 * 8
