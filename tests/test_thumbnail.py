import io
import os
import struct
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, uid
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut

from ingestd import config, tasks, thumbnail
from ingestd.dicom import pixels, windowing
from ingestd.dicom.palette import expanded, palette
from ingestd.errors import IngestError, Reason
from ingestd.files import staged
from ingestd.model import Arrival, Picturing
from ingestd.thumbnail import WINDOW_SOURCES, NoPicture, Picture, render

OPTIONS = config.Thumbnail(format="png").picturing
WEDGE = np.tile(np.arange(64, dtype=np.int16) * 16, (48, 1))  # From 0 on the left to 1008.


def wheel(name: str) -> Dataset:
    """One of the real files that pydicom brings."""
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom brings no {name}"
    return pydicom.dcmread(str(path))


def picture_of(values: NDArray[Any], **header: Any) -> Dataset:
    """A native image with these values; frames first when there are any."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    bits = 8 * values.dtype.itemsize
    plain = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": 1,
        "BitsAllocated": bits,
        "PixelRepresentation": int(values.dtype.kind == "i"),
    } | header
    frames = values[np.newaxis] if plain["NumberOfFrames"] == 1 else values
    plain.setdefault("BitsStored", plain["BitsAllocated"])
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    for keyword, value in plain.items():
        setattr(dataset, keyword, value)
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", values.tobytes())
    return dataset


def item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def shown(dataset: Dataset, options: Picturing = OPTIONS, **more: Any) -> tuple[NDArray[Any], str]:
    """Render and look."""
    made = render(dataset, options, **more)
    assert isinstance(made, Picture), made
    assert made.window_source in WINDOW_SOURCES
    return np.asarray(Image.open(io.BytesIO(made.content))), made.window_source


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param({"WindowCenter": 500, "WindowWidth": 400}, "window", id="a good window"),
        pytest.param({}, "percentile", id="no window"),
        pytest.param(
            {"WindowCenter": [-3000, 500], "WindowWidth": [10, 400]}, "window", id="the second"
        ),
        pytest.param(
            {"WindowCenter": -3000, "WindowWidth": 10}, "percentile", id="all would be white"
        ),
        pytest.param(
            {"WindowCenter": 30_000, "WindowWidth": 10}, "percentile", id="all would be black"
        ),
        pytest.param(
            {"WindowCenter": 500, "WindowWidth": 99_999}, "percentile", id="all would be grey"
        ),
        pytest.param({"WindowCenter": 500, "WindowWidth": 0}, "percentile", id="width of zero"),
        pytest.param({"WindowCenter": 500, "WindowWidth": ""}, "percentile", id="no width"),
        pytest.param(
            {"WindowCenter": 500, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"},
            "window",
            id="sigmoid",
        ),
        pytest.param({"PixelPaddingValue": 0, "RescaleSlope": 0}, "percentile", id="slope of zero"),
    ],
)
def test_the_first_step_that_shows_something_wins(header: dict[str, Any], expected: str) -> None:
    seen, source = shown(picture_of(WEDGE, **header))
    assert seen[0, 0] < 30
    assert seen[0, -1] > 225
    assert source == expected


def test_a_table_of_the_header_comes_before_its_window() -> None:
    table = item()
    table.add_new("LUTDescriptor", "SS", [1024, 0, 8])
    table.add_new("LUTData", "US", np.linspace(255, 0, 1024).astype(int).tolist())
    dataset = picture_of(WEDGE, VOILUTSequence=[table], WindowCenter=500, WindowWidth=400)
    seen, source = shown(dataset)
    assert (seen[0, 0], source) == (255, "voi_lut")


def test_the_modality_step_comes_before_the_window() -> None:
    dataset = picture_of(WEDGE, RescaleSlope=2, RescaleIntercept=-1000)
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 0, 4, "LINEAR_EXACT"
    seen, _ = shown(dataset)
    assert seen[0].tolist() == [0] * 32 + [255] * 32  # 31 * 16 * 2 - 1000 = -8; 32 gives 24.


def test_a_window_that_was_asked_for_is_used_even_when_it_shows_nothing() -> None:
    seen, source = shown(picture_of(WEDGE, WindowCenter=500, WindowWidth=900), window=(5000, 100))
    assert (seen.max(), source) == (0, "given")


@pytest.mark.parametrize(
    "header",
    [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}],
    ids=str,
)
def test_where_the_smallest_value_is_white_it_is_white(header: dict[str, str]) -> None:
    seen, _ = shown(picture_of(WEDGE, **header))
    assert (seen[0, 0], seen[0, -1]) == (255, 0)


def test_a_falling_line_turns_the_picture_round() -> None:
    seen, source = shown(picture_of(WEDGE, RescaleSlope=-1, RescaleIntercept=5))
    assert (seen[0, 0], seen[0, -1], source) == (255, 0, "percentile")


def test_padding_does_not_darken_the_picture() -> None:
    values = WEDGE + 2000
    values[:24] = -30_000
    dataset = picture_of(values)
    dataset.add_new("PixelPaddingValue", "SS", -30_000)
    seen, source = shown(dataset)
    assert source == "percentile"
    assert seen[-1, 0] < 10
    assert seen[-1, -1] > 245


def test_a_single_bright_spot_is_seen() -> None:
    values = np.zeros((400, 400), np.uint16)
    values[200, 200] = 50
    seen, source = shown(picture_of(values))
    assert (seen.max() > 50, source) == (True, "full_range")


@pytest.mark.parametrize(
    ("value", "expected"),
    [pytest.param(0, 0, id="black stays black"), pytest.param(65_535, 255, id="white is white")],
)
def test_a_flat_frame_is_flat_and_said_to_be(value: int, expected: int) -> None:
    seen, source = shown(picture_of(np.full((9, 9), value, np.uint16)))
    assert (set(seen.flat), source) == ({expected}, "flat")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floats_with_holes(dtype: str) -> None:
    values = (WEDGE * 1e-9).astype(dtype)
    values[0] = np.nan
    values[1] = np.inf
    dataset = picture_of(values)
    dataset.add_new({"f4": "FloatPixelData", "f8": "DoubleFloatPixelData"}[dtype], "OF", b"")
    dataset[{"f4": "FloatPixelData", "f8": "DoubleFloatPixelData"}[dtype]].value = values.tobytes()
    del dataset.PixelData
    seen, source = shown(dataset)
    assert source == "percentile"
    assert set(seen[0]) == {0}
    assert seen[-1, 0] < 10
    assert seen[-1, -1] > 245


@pytest.mark.parametrize("dtype", ["u1", "i1", "u4", "i4"])
def test_every_width_of_integer_shows_its_wedge(dtype: str) -> None:
    kind = np.iinfo(dtype)
    row = np.linspace(kind.min, kind.max, 64).astype(dtype)
    seen, _ = shown(picture_of(np.tile(row, (8, 1))))
    assert seen[0, 0] < 10
    assert seen[0, -1] > 245


@pytest.mark.parametrize(
    ("shape", "header", "expected"),
    [
        pytest.param((512, 512), {}, (256, 256), id="halved"),
        pytest.param((100, 60), {}, (60, 100), id="never enlarged"),
        pytest.param((1000, 30), {}, (8, 256), id="the longest edge counts"),
        pytest.param((3000, 1), {}, (1, 256), id="at least one pixel"),
        pytest.param((100, 100), {"PixelSpacing": [2, 1]}, (100, 200), id="tall pixels"),
        pytest.param((100, 100), {"PixelAspectRatio": [1, 2]}, (200, 100), id="wide pixels"),
        pytest.param((400, 400), {"ImagerPixelSpacing": [1, 2]}, (256, 128), id="wide and large"),
        pytest.param((100, 100), {"PixelSpacing": [1, 1000]}, (100, 100), id="a slip of units"),
        pytest.param((100, 100), {"PixelSpacing": [0, 1]}, (100, 100), id="no spacing at all"),
    ],
)
def test_size(shape: tuple[int, int], header: dict[str, Any], expected: tuple[int, int]) -> None:
    values = np.random.default_rng(1).integers(0, 999, shape, np.uint16)
    seen, _ = shown(picture_of(values, **header))
    assert (seen.shape[1], seen.shape[0]) == expected


@pytest.mark.parametrize(
    ("name", "suffix", "magic"),
    [("jpeg", "jpg", b"\xff\xd8"), ("png", "png", b"\x89PNG"), ("webp", "webp", b"RIFF")],
)
def test_format(name: Literal["jpeg", "png", "webp"], suffix: str, magic: bytes) -> None:
    made = render(picture_of(WEDGE), config.Thumbnail(format=name, edge_px=32).picturing)
    assert isinstance(made, Picture)
    assert made.suffix == suffix
    assert made.content.startswith(magic)
    assert Image.open(io.BytesIO(made.content)).size == (32, 24)


@pytest.mark.parametrize(
    ("dtype", "stored"), [("u1", 8), ("u2", 16), ("u2", 12), ("u4", 32)], ids=str
)
def test_colours_of_any_depth_are_true(dtype: str, stored: int) -> None:
    top = (1 << stored) - 1
    values = np.array([[[top, 0, 0], [0, top // 2, top]]], dtype)
    dataset = picture_of(
        values,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsStored=stored,
    )
    seen, source = shown(dataset)
    assert source == "color"
    assert np.abs(seen.astype(int) - [[[255, 0, 0], [0, 127, 255]]]).max() <= 1


def with_palette(values: NDArray[Any], red: bytes, bits: int, *, entries: int) -> Dataset:
    """An image whose palette has something in red only."""
    dataset = picture_of(values, PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [entries, 0, bits])
        content = red if name == "Red" else bytes(len(red))
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", content)
    return dataset


@pytest.mark.parametrize(
    ("red", "bits", "expected"),
    [
        pytest.param(bytes([0, 100, 255, 0]), 8, [0, 100, 255, 255], id="bytes with padding"),
        pytest.param(bytes([0, 0, 100, 0, 255, 0]), 8, [0, 100, 255, 255], id="bytes in words"),
        pytest.param(bytes([0, 0, 0, 100, 255, 255]), 16, [0, 100, 255, 255], id="words"),
        pytest.param(bytes([0, 0, 100, 0, 255, 0]), 16, [0, 100, 255, 255], id="in truth bytes"),
    ],
)
def test_a_palette_gives_colours(red: bytes, bits: int, expected: list[int]) -> None:
    indices = np.array([[0, 1, 2, 9]], np.uint8)
    seen, source = shown(with_palette(indices, red, bits, entries=3))
    assert (seen[0, :, 0].tolist(), seen[..., 1:].max(), source) == (expected, 0, "palette")


PALETTES = Path(pydicom.__file__).parent / "data" / "palettes"


@pytest.mark.parametrize("path", sorted(PALETTES.glob("*.dcm")), ids=lambda path: path.stem)
def test_the_well_known_palettes_are_those_of_pydicom(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    indices = np.arange(256, dtype=np.uint8)
    theirs = apply_color_lut(indices, palette=str(dataset.SOPInstanceUID))
    ours = palette(dataset, big_endian=False).look_up(indices)
    assert np.abs(ours.astype(int) - theirs[:, :3]).max() <= 1


def test_segments_are_expanded() -> None:
    discrete, linear, copy = [0, 2, 10, 20], [1, 4, 60], [2, 2, 0, 0]
    words = np.array(discrete + linear + copy, np.uint16)
    expected = [10, 20, 30, 40, 50, 60, 10, 20, 30, 40, 50, 60]
    assert expanded(words, 16).tolist() == expected


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([7, 1, 1], id="an unknown kind"),
        pytest.param([1, 4, 60], id="a line from nowhere"),
        pytest.param([0, 9, 1], id="fewer values than it says"),
        pytest.param([0, 1, 5, 2, 9, 6, 0], id="a copy of itself"),
        pytest.param([0, 1, 5] + [1, 65_535, 9] * 2, id="longer than any table"),
        pytest.param([0, 0, 0, 0, 0, 1, 5], id="a segment that says nothing"),
    ],
)
def test_segments_that_make_no_sense_cost_the_picture(words: list[int]) -> None:
    with pytest.raises(IngestError) as caught:
        expanded(np.array(words, np.uint16), 16)
    assert caught.value.reason is Reason.DECODER_FAILED


def test_a_palette_that_is_missing_costs_the_picture() -> None:
    made = render(picture_of(WEDGE, PhotometricInterpretation="PALETTE COLOR"), OPTIONS)
    assert isinstance(made, NoPicture)
    assert made.reason is Reason.DECODER_FAILED


FRAMES = np.stack([np.roll(WEDGE, index) for index in range(5)])


@pytest.mark.parametrize(
    ("empty", "asked", "expected"),
    [
        pytest.param([], None, 2, id="the middle one"),
        pytest.param([], 4, 4, id="the one that was asked for"),
        pytest.param([2], None, 1, id="the nearest when the middle shows nothing"),
        pytest.param([0, 1, 2, 3], None, 4, id="the only one that shows something"),
        pytest.param([2], 2, 2, id="one that shows nothing, when asked for"),
    ],
)
def test_which_frame_is_shown(empty: list[int], asked: int | None, expected: int) -> None:
    frames = FRAMES.copy()
    frames[empty] = 0
    dataset = picture_of(frames, NumberOfFrames=5, WindowCenter=500, WindowWidth=1000)
    alone, _ = shown(picture_of(frames[expected], WindowCenter=500, WindowWidth=1000))
    seen, _ = shown(dataset, frame=asked)
    assert (seen == alone).all()


def test_each_frame_has_its_own_window_and_rescale() -> None:
    groups = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=2)],
            PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=0)],
        )
        for center in (0, 1000, 2000)
    ]
    dataset = picture_of(
        np.stack([WEDGE] * 3),
        NumberOfFrames=3,
        SharedFunctionalGroupsSequence=[
            item(PixelMeasuresSequence=[item(PixelSpacing=[2, 1])]),
        ],
        PerFrameFunctionalGroupsSequence=groups,
    )
    seen, source = shown(dataset)
    assert source == "window"
    assert seen.shape == (96, 64)
    assert seen[0].tolist() == [0] * 32 + [255] * 32


def test_one_bit_is_black_and_white() -> None:
    dataset = wheel("liver_1frame.dcm")
    seen, source = shown(dataset, config.Thumbnail(format="png", edge_px=4096).picturing)
    assert source == "binary"
    assert (seen == pixels.frame(dataset) * 255).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CT_small.dcm", "percentile"),
        ("MR_small.dcm", "window"),
        ("examples_palette.dcm", "palette"),
        ("examples_ybr_color.dcm", "color"),
        ("rtdose.dcm", "percentile"),
        ("JPGExtended.dcm", "percentile"),
        ("liver_1frame.dcm", "binary"),
    ],
)
def test_real_files(name: str, expected: str) -> None:
    assert shown(wheel(name))[1] == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rtplan.dcm", Reason.NO_PIXELS),
        ("test-SR.dcm", Reason.NO_PIXELS),
        ("MR_truncated.dcm", Reason.DECODER_FAILED),
        ("JPEG2000-embedded-sequence-delimiter.dcm", Reason.DECODER_FAILED),
    ],
)
def test_why_there_is_no_picture(name: str, reason: Reason) -> None:
    made = render(wheel(name), OPTIONS)
    assert isinstance(made, NoPicture)
    assert made.reason is reason
    assert made.detail


def test_a_video_is_unsupported() -> None:
    dataset = picture_of(WEDGE)
    dataset.file_meta.TransferSyntaxUID = uid.MPEG4HP41
    dataset.PixelData = encapsulate([b"a film"])
    made = render(dataset, OPTIONS)
    assert isinstance(made, NoPicture)
    assert made.reason is Reason.UNSUPPORTED_SYNTAX


def test_our_own_mistakes_are_not_blamed_on_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(windowing, "grey", mistaken)
    with pytest.raises(ZeroDivisionError):
        render(picture_of(WEDGE), OPTIONS)


WORDS = st.sampled_from(
    ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing"]
)
RAW = st.one_of(
    st.sampled_from(["", "1\\2", "-0", "nan", "inf", "1e308", "-1e-320", "x", "1\\", "0\\0"]),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:.6g}"),
)


@settings(deadline=None)
@example(header={"RescaleSlope": "1e-29", "RescaleIntercept": "1"}, dtype="u1")
@given(header=st.dictionaries(WORDS, RAW), dtype=st.sampled_from(["u1", "i2", "u4"]))
def test_whatever_the_header_says_the_wedge_is_seen(header: dict[str, str], dtype: str) -> None:
    dataset = picture_of((WEDGE // 8).astype(dtype))
    for keyword, raw in header.items():
        dataset.add_new(keyword, "LO", raw.split("\\") if "\\" in raw else raw)
    seen, source = shown(dataset)
    assert source != "flat"
    assert int(seen.max()) - int(seen.min()) >= thumbnail.FLAT_GREYS


def test_a_palette_in_big_endian_gives_the_same_colours() -> None:
    corpus = os.environ.get("INGESTD_TEST_CORPUS")
    if not corpus:
        pytest.skip("INGESTD_TEST_CORPUS names no folder of real files")
    one, other = (
        shown(pydicom.dcmread(Path(corpus, "pydicom-data-pypi", name)))[0]
        for name in ("OBXXXX1A_expb.dcm", "OBXXXX1A.dcm")
    )
    assert (one == other).all()


#: Files of the corpus whose thumbnail is flat, and why.
FLAT = {
    "IMG0001.dcm": "every pixel is 0",
    "IMG0003.dcm": "every pixel is 0",
    "decimal_rescale.dcm": "every pixel was set to 0",
    "siemens_dwi_0.dcm": "every pixel was set to 0",
    "siemens_dwi_1000.dcm": "every pixel was set to 0",
}


def test_no_thumbnail_of_the_corpus_is_flat_unless_its_frame_is() -> None:
    corpus = os.environ.get("INGESTD_TEST_CORPUS")
    if not corpus:
        pytest.skip("INGESTD_TEST_CORPUS names no folder of real files")
    flat, pictures = set(), 0
    for path in sorted(Path(corpus).rglob("*")):
        if not path.is_file():
            continue
        try:
            dataset = pydicom.dcmread(path)
        except InvalidDicomError:
            continue
        made = render(dataset, OPTIONS)
        if isinstance(made, NoPicture):
            continue
        pictures += 1
        seen = np.asarray(Image.open(io.BytesIO(made.content)).convert("L"))
        if int(seen.max()) - int(seen.min()) < thumbnail.FLAT_GREYS:
            flat.add(path.name)
            values = pixels.frame(dataset, pixels.frame_count(dataset) // 2)
            assert int(values.max()) - int(values.min()) <= 1, path.name
    assert pictures >= 1000
    assert flat == set(FLAT)


def test_a_fault_of_ours_costs_the_picture_and_not_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(get_testdata_file("CT_small.dcm"))
    seen = path.stat()
    arrival = Arrival(
        seq=1,
        root=str(path.parent),
        path=path.name,
        size_bytes=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
    )

    def broken(*_: object, **__: object) -> None:
        raise ValueError("with something of the patient's in it")

    monkeypatch.setattr(pixels, "decoded", broken)
    batch = tasks.ingest([arrival], state=tmp_path, reading=tasks.Reading.of(config.Config()))
    assert batch.instance["thumbnail_path"].to_pylist() == [None]
    assert batch.file["reason"].to_pylist() == [None]
    (problem,) = batch.problem.to_pylist()
    assert problem["kind"] == "decoder_failed"
    assert problem["detail"] == "picturing it raised ValueError, a fault of ours"


def boxed(values: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", reversible=True))


def packed(frames: list[bytes], values: NDArray[Any], **header: Any) -> Dataset:
    """A JPEG 2000 image of these frames."""
    dataset = picture_of(values, **header)
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def test_tiles_that_are_not_in_a_codestream_are_not_shown_as_black() -> None:
    lying = bytearray(boxed(WEDGE.astype(np.uint16)))
    lying[8:16] = struct.pack(">2I", 512, 384)  # Xsiz, Ysiz: 64 times the tile that is there.
    large = np.zeros((384, 512), np.uint16)
    made = render(packed([bytes(lying)], large), OPTIONS)
    assert made == NoPicture(
        reason=Reason.DECODER_FAILED, detail="truncated: 1 of its 64 tiles are there"
    )


def test_a_broken_frame_in_the_middle_costs_that_frame() -> None:
    frames = np.stack([WEDGE + shift for shift in (0, 1, 2, 3, 4)]).astype(np.uint16)
    codes = [boxed(one) for one in frames]
    codes[2] = codes[2][:60]
    made = render(packed(codes, frames, NumberOfFrames=5), OPTIONS)
    assert isinstance(made, Picture)
    assert made.note is not None
    assert made.note.startswith("frame 1 is shown; openjpeg: ")
    asked = render(packed(codes, frames, NumberOfFrames=5), OPTIONS, frame=2)
    assert isinstance(asked, NoPicture)


def test_of_many_broken_frames_few_are_tried(caplog: pytest.LogCaptureFixture) -> None:
    frames = np.stack([WEDGE] * 20).astype(np.uint16)
    with caplog.at_level("DEBUG"):
        made = render(packed([boxed(WEDGE)[:60]] * 20, frames, NumberOfFrames=20), OPTIONS)
    first_ones = [r for r in caplog.records if getattr(r, "at", {}).get("decoder") == "openjpeg"]
    assert isinstance(made, NoPicture)
    assert len(first_ones) == 3


@pytest.mark.parametrize(
    ("kind", "most", "source"),
    [
        pytest.param("u2", 255, "full_range", id="8 of 16 bits"),
        pytest.param("u2", 4000, "full_range", id="12 of 16 bits"),
        pytest.param("u2", 60_000, "color", id="16 of 16 bits"),
        pytest.param("u4", 255, "full_range", id="8 of 32 bits"),
        pytest.param("f4", 1.0, "color", id="floats up to 1"),
        pytest.param("f4", 900.0, "full_range", id="floats beyond 1"),
        pytest.param("u1", 12, "color", id="a dark picture of 8 bits stays dark"),
    ],
)
def test_colours_of_fewer_bits_than_declared_are_seen(kind: str, most: float, source: str) -> None:
    red = np.tile(np.linspace(0, most, 64), (48, 1)).astype(kind)
    values = np.stack([red, red // 2, np.zeros_like(red)], axis=-1)
    dataset = picture_of(values[..., 0])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.PixelData = values.tobytes()
    if kind == "f4":
        del dataset.PixelData
        dataset.FloatPixelData = values.tobytes()
    seen, found = shown(dataset)
    assert found == source
    assert seen.max() == (12 if kind == "u1" else pytest.approx(255, abs=25))
    assert seen[..., 2].max() == 0


def test_a_palette_shorter_than_it_says_is_told_of() -> None:
    dataset = picture_of(np.tile(np.arange(64, dtype=np.uint8), (48, 1)))
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for name in ("Red", "Green", "Blue"):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        table = np.arange(0, 65_536, 1024, dtype=np.uint16).tobytes()
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", table)
    made = render(dataset, OPTIONS)
    assert isinstance(made, Picture)
    assert made.note == "the palette has 64 of the 256 entries that it declares"


def slide(organization: str, order: list[int]) -> Dataset:
    """A whole slide of 100 x 150 in six tiles of 64 x 64, each of a colour of its own."""
    tiles = [np.full((64, 64, 3), 40 * (at + 1), np.uint8) for at in order]
    dataset = picture_of(np.stack([tile[..., 0] for tile in tiles]), NumberOfFrames=len(tiles))
    dataset.SOPClassUID = uid.VLWholeSlideMicroscopyImageStorage
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.PixelData = np.stack(tiles).tobytes()
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = 100, 150
    dataset.DimensionOrganizationType = organization
    if organization == "TILED_SPARSE":
        dataset.PerFrameFunctionalGroupsSequence = [
            item(
                PlanePositionSlideSequence=[
                    item(
                        RowPositionInTotalImagePixelMatrix=at // 3 * 64 + 1,
                        ColumnPositionInTotalImagePixelMatrix=at % 3 * 64 + 1,
                    )
                ]
            )
            for at in order
        ]
    return dataset


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        pytest.param(slide("TILED_FULL", [0, 1, 2, 3, 4, 5]), [40, 80, 120, 160, 200, 240], id="1"),
        pytest.param(
            slide("TILED_SPARSE", [5, 0, 3, 1, 4]), [40, 80, 255, 160, 200, 240], id="2: one is not"
        ),
        pytest.param(
            slide("TILED_FULL", [0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0]),
            [40, 80, 120, 160, 200, 240],
            id="3: two focal planes",
        ),
    ],
)
def test_the_tiles_of_a_small_slide_are_put_together(dataset: Dataset, expected: list[int]) -> None:
    seen, source = shown(dataset)
    assert (seen.shape, source) == ((100, 150, 3), "color")
    assert seen[[10, 10, 10, 90, 90, 90], [10, 90, 140] * 2, 0].tolist() == expected


def test_a_large_level_of_a_slide_shows_a_tile() -> None:
    dataset = slide("TILED_FULL", [0, 1, 2, 3, 4, 5])
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 64 * 17
    seen, _ = shown(dataset)
    assert seen.shape == (64, 64, 3)


def test_a_tile_that_is_broken_stays_white_and_is_told_of() -> None:
    tiles = [np.full((64, 64), 40 * (at + 1), np.uint8) for at in range(6)]
    dataset = slide("TILED_FULL", [0, 1, 2, 3, 4, 5])
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    codes = [boxed(np.stack([tile] * 3, axis=-1)) for tile in tiles]
    codes[4] = codes[4][:60]
    dataset.PixelData = encapsulate(codes)
    dataset["PixelData"].is_undefined_length = True
    made = render(dataset, OPTIONS)
    assert isinstance(made, Picture)
    assert made.note is not None
    assert made.note.startswith("1 of its tiles stay white; openjpeg: ")
    seen = np.asarray(Image.open(io.BytesIO(made.content)))
    assert (seen[90, 90, 0], seen[10, 10, 0]) == (255, 40)


def test_a_picture_beside_its_place_is_whole_whatever_was_left_there(tmp_path: Path) -> None:
    final, content = f"{tmp_path}/study/series/1.2.jpg", bytes(range(256)) * 40
    waiting = Path(staged(final, "ab" * 32))
    tasks.put_beside(final, content, "ab" * 32)
    assert waiting.read_bytes() == content
    waiting.write_bytes(content[:100])  # As a worker leaves it that dies while it writes.
    tasks.put_beside(final, content, "ab" * 32)
    assert waiting.read_bytes() == content
    assert [path.name for path in waiting.parent.iterdir()] == [waiting.name]
