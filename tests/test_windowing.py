import os
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

from ingestd.dicom import grey, pixels, windowing
from ingestd.dicom.windowing import Lut, Rescale, Window
from ingestd.errors import IngestError


def lut(*entries: int, first: int = 0, bits: int = 8) -> Lut:
    return Lut(first=first, table=np.array(entries, np.uint16), bits=bits)


@pytest.mark.parametrize(
    ("value", "center", "width", "expected"),
    [
        # PS3.3 C.11.2.1.2.1 works these two examples out for an output of 0 to 255.
        pytest.param(0, 2048, 4096, 0, id="the first value of the standard's first example"),
        pytest.param(4095, 2048, 4096, 255, id="the last value of the standard's first example"),
        pytest.param(2048, 2048, 1, 255, id="width 1 is a threshold: above"),
        pytest.param(2047, 2048, 1, 0, id="width 1 is a threshold: below"),
        pytest.param(0, 0, 100, 129, id="the center is half a unit right of the middle"),
        pytest.param(-1, 0, 100, 126, id="one below the center is half a unit left of it"),
        pytest.param(9999, 0, 100, 255, id="far above is white"),
        pytest.param(-9999, 0, 100, 0, id="far below is black"),
    ],
)
def test_linear(value: float, center: float, width: float, expected: int) -> None:
    assert windowing.window_linear(np.array([value]), center, width)[0] == expected


@pytest.mark.parametrize(
    ("value", "center", "width", "expected"),
    [
        pytest.param(0.0, 0.5, 1.0, 0, id="the left end is black"),
        pytest.param(1.0, 0.5, 1.0, 255, id="the right end is white"),
        pytest.param(0.25, 0.5, 1.0, 64, id="a quarter of the way"),
        pytest.param(3e-9, 2e-9, 4e-9, 191, id="widths far below 1 work"),
    ],
)
def test_linear_exact(value: float, center: float, width: float, expected: int) -> None:
    assert windowing.window_linear_exact(np.array([value]), center, width)[0] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(0, 128, id="the center is mid-grey"),
        pytest.param(25, 186, id="a quarter width above: 255 / (1 + 1/e)"),
        pytest.param(-25, 69, id="a quarter width below"),
        pytest.param(1e300, 255, id="far above does not overflow"),
        pytest.param(-1e300, 0, id="far below does not overflow"),
    ],
)
def test_sigmoid(value: float, expected: int) -> None:
    assert windowing.window_sigmoid(np.array([value]), 0, 100)[0] == expected


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(Window(center=0, width=1), True, id="linear from 1 on"),
        pytest.param(Window(center=0, width=0.99), False, id="linear below 1 is undefined"),
        pytest.param(Window(center=0, width=0.5, function="LINEAR_EXACT"), True, id="exact"),
        pytest.param(Window(center=0, width=0, function="LINEAR_EXACT"), False, id="exact, 0"),
        pytest.param(Window(center=0, width=-3, function="SIGMOID"), False, id="sigmoid, negative"),
        pytest.param(Window(center=0, width=3, function="PARABOLA"), False, id="no such function"),
    ],
)
def test_a_window_is_defined_when_the_standard_says_what_it_does(
    window: Window, expected: bool
) -> None:
    assert window.defined is expected
    if not expected:
        with pytest.raises(ValueError, match=r"Width|Function"):
            windowing.voi_grey(np.zeros(3), window)


def test_a_table_holds_its_ends() -> None:
    values = np.array([-5, 9, 10, 11, 12, 99])
    expected = [7, 7, 7, 8, 9, 9]
    assert windowing.look_up(values, lut(7, 8, 9, first=10)).tolist() == expected


def test_a_voi_table_is_white_at_the_most_its_bits_can_say() -> None:
    shades = windowing.voi_grey(np.array([0, 1, 2]), lut(0, 2048, 4095, bits=12))
    assert shades.tolist() == [0, 128, 255]


def test_not_a_number_is_black() -> None:
    values = np.array([np.nan, -np.inf, 0.5, np.inf], np.float32)
    window = Window(center=0.5, width=1, function="LINEAR_EXACT")
    assert windowing.grey(values, Rescale(), window).tolist() == [0, 0, 128, 255]


STORED = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"])
FINITE = st.floats(-1e4, 1e4)


@given(
    dtype=STORED,
    seed=st.integers(0, 99),
    slope=st.floats(-50, 50).filter(lambda slope: abs(slope) > 1e-3),
    intercept=FINITE,
    window=st.builds(
        Window,
        center=FINITE,
        width=st.floats(1, 1e5),
        function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    ),
)
def test_the_shortest_way_gives_the_grey_of_the_long_way(
    dtype: str, seed: int, slope: float, intercept: float, window: Window
) -> None:
    kind = np.iinfo(dtype)
    few = np.random.default_rng(seed).integers(kind.min, kind.max, 500, np.dtype(dtype), True)
    rescale = Rescale(slope=slope, intercept=intercept)

    long_way = windowing.voi_grey(windowing.modality_values(few, rescale), window)
    shortest = windowing.grey(few, rescale, window)

    assert np.abs(long_way.astype(int) - shortest).max() <= 1


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_a_table_of_all_values_gives_what_the_function_gives(dtype: str) -> None:
    kind = np.iinfo(dtype)
    values = np.linspace(kind.min, kind.max, 1 << 17).astype(dtype).reshape(256, -1)
    calls = []

    def function(stored: NDArray[Any]) -> NDArray[np.uint8]:
        calls.append(stored.size)
        return windowing.window_sigmoid(stored, 3, 40)

    shades = windowing.through_table(values, function)

    assert calls == [1 << (8 * np.dtype(dtype).itemsize)]
    assert (shades == windowing.window_sigmoid(values, 3, 40)).all()


def test_percentiles_leave_the_outliers_out() -> None:
    values = np.arange(1000, dtype=np.int16)
    values[-1] = 32_000
    found = windowing.percentile_window(values, Rescale(slope=2))
    assert found is not None
    assert (found.center - found.width / 2, found.center + found.width / 2) == (10, 1988)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full(9, 7, np.int16), id="one value"),
        pytest.param(np.full(9, np.nan, np.float32), id="not a number"),
        pytest.param(np.zeros(0, np.uint8), id="no values"),
    ],
)
def test_without_a_range_there_is_no_window(values: NDArray[Any]) -> None:
    assert windowing.percentile_window(values, Rescale()) is None
    assert windowing.full_range(values, Rescale()) is None


def test_the_range_of_a_falling_table_is_that_of_its_entries() -> None:
    found = windowing.full_range(np.array([0, 1, 2]), lut(5, 9, 1))
    assert found is not None
    assert (found.center, found.width) == (5, 8)


@pytest.mark.parametrize(
    ("dtype", "bits", "value", "expected"),
    [
        pytest.param("u2", 12, 4095, 255, id="the top of 12 bits"),
        pytest.param("i2", 12, -2048, 0, id="the bottom of 12 signed bits"),
        pytest.param("u1", 8, 0, 0, id="nothing is black"),
    ],
)
def test_the_possible_range_is_that_of_bits_stored(
    dtype: str, bits: int, value: int, expected: int
) -> None:
    window = windowing.possible_range(np.dtype(dtype), bits)
    assert windowing.grey(np.array([value], dtype), Rescale(), window)[0] == expected


def header(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def test_every_window_is_offered_and_those_that_mean_nothing_are_not() -> None:
    dataset = header(WindowCenter=[40, 50, 60], WindowWidth=[400, 0, 80])
    expected = [("window", 40, 400), ("window", 60, 80)]
    found = list(grey.vois(dataset, 0))
    assert [(source, voi.center, voi.width) for source, voi in found] == expected  # type: ignore[union-attr]


@pytest.mark.parametrize("raw", ["abc", "", "1e999", "nan"])
def test_a_window_that_is_no_number_is_no_window(raw: str) -> None:
    dataset = Dataset()
    dataset.add_new("WindowCenter", "LO", raw)
    dataset.add_new("WindowWidth", "LO", "100")
    assert list(grey.vois(dataset, 0)) == []


def test_the_groups_of_a_frame_come_before_the_shared_ones_and_the_header() -> None:
    def group(center: float) -> Dataset:
        return header(FrameVOILUTSequence=[header(WindowCenter=center, WindowWidth=10)])

    dataset = header(
        WindowCenter=3,
        WindowWidth=10,
        SharedFunctionalGroupsSequence=[group(2)],
        PerFrameFunctionalGroupsSequence=[group(0), group(1)],
    )
    centers = [voi.center for _, voi in grey.vois(dataset, 1)]  # type: ignore[union-attr]
    assert centers == [1, 2, 3]


def test_rescale_of_the_frame_wins() -> None:
    shared = header(PixelValueTransformationSequence=[header(RescaleSlope=2, RescaleIntercept=-5)])
    dataset = header(RescaleSlope=7, SharedFunctionalGroupsSequence=[shared])
    assert grey.modality(dataset, 0) == Rescale(slope=2, intercept=-5)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        pytest.param(header(), Rescale(), id="nothing said"),
        pytest.param(header(RescaleSlope=0, RescaleIntercept=1), Rescale(), id="a slope of zero"),
        pytest.param(header(DoseGridScaling="0.001"), Rescale(slope=0.001), id="dose"),
    ],
)
def test_modality(dataset: Dataset, expected: Rescale) -> None:
    assert grey.modality(dataset, 0) == expected


def table_item(data: bytes | list[int], vr: str, descriptor: list[int]) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", vr, data)
    return item


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param(table_item([1, 2, 3], "US", [3, 0, 8]), [1, 2, 3], id="words as US"),
        pytest.param(table_item(b"\1\0\2\0\3\0", "OW", [3, 0, 8]), [1, 2, 3], id="words as OW"),
        pytest.param(table_item(b"\1\2\3\0", "OW", [3, 0, 8]), [1, 2, 3], id="bytes as OW"),
        pytest.param(table_item([0x0201, 0x0003], "US", [3, 0, 8]), [1, 2, 3], id="bytes as US"),
        pytest.param(table_item([1, 2], "US", [9, 0, 8]), [1, 2], id="shorter than it says"),
    ],
)
def test_a_table_is_read_however_it_was_written(item: Dataset, expected: list[int]) -> None:
    ((source, found),) = grey.vois(header(VOILUTSequence=[item]), 0)
    assert isinstance(found, Lut)
    assert (source, found.table.tolist()) == ("voi_lut", expected)


def test_padding_is_no_picture() -> None:
    values = np.array([-2000, -1999, 0, 5], np.int16)
    dataset = header(PixelRepresentation=1)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    assert grey.without_padding(values, grey.padding(dataset)).tolist() == [-1999, 0, 5]
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1999)
    assert grey.without_padding(values, grey.padding(dataset)).tolist() == [0, 5]


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [
        ("MONOCHROME1", "", True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ],
)
def test_inverted(photometric: str, shape: str, expected: bool) -> None:
    assert grey.inverted(header(PresentationLUTShape=shape), photometric) is expected


def same_as_pydicom(path: Path) -> int:
    """Compare each VOI step of a file with pydicom's; give how many there were."""
    try:
        dataset = pydicom.dcmread(path)
        values = pixels.frame(dataset)
    except (InvalidDicomError, IngestError):
        return 0
    # pydicom does not look into functional groups; there is nothing to compare with.
    if values.ndim != 2 or "PerFrameFunctionalGroupsSequence" in dataset:
        return 0
    steps = list(grey.vois(dataset, 0))
    if not steps:
        return 0
    theirs_modality = apply_modality_lut(values, dataset)
    modality = grey.modality(dataset, 0)
    np.testing.assert_allclose(windowing.modality_values(values, modality), theirs_modality)
    for at, (source, voi) in enumerate(steps):
        ours = windowing.grey(values, modality, voi)
        if isinstance(voi, Lut):
            theirs = apply_voi(theirs_modality, dataset, at) / ((1 << voi.bits) - 1) * 255
        else:
            windows = [one for one, _ in steps[: at + 1]].count("window")
            shown = apply_windowing(theirs_modality, dataset, windows - 1)
            low, high = windowed_range(dataset)
            theirs = (shown - low) / (high - low) * 255
        assert np.abs(ours - theirs).max() <= 1, (source, voi)
    return len(steps)


def windowed_range(dataset: Dataset) -> tuple[float, float]:
    """The range that pydicom's apply_windowing maps to: asked of it with all-black, all-white."""
    ends = np.array([-1e12, 1e12])
    low, high = apply_windowing(ends, dataset, 0)
    return float(low), float(high)


PYDICOM_FILES = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent


def test_grey_is_that_of_pydicom_for_its_own_files() -> None:
    counts = [same_as_pydicom(path) for path in sorted(PYDICOM_FILES.glob("*.dcm"))]
    assert sum(counts) >= 10


@pytest.mark.long
def test_grey_is_that_of_pydicom_for_the_corpus() -> None:
    corpus = os.environ.get("INGESTD_TEST_CORPUS")
    if not corpus:
        pytest.skip("INGESTD_TEST_CORPUS names no folder of real files")
    files = [path for path in sorted(Path(corpus).rglob("*")) if path.is_file()]
    assert sum(same_as_pydicom(path) for path in files) >= 500
