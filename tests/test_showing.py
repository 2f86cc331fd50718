"""What is remembered of headers is what a data set of pydicom says, for every file there is."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, uid
from pydicom.data import get_testdata_file

from ingestd import config, phantom, thumbnail
from ingestd.dicom import blocks, header, pixels, showing, windowing
from ingestd.dicom.memory import Memory
from ingestd.dicom.palette import Palette
from ingestd.dicom.showing import Showing, about, about_header
from ingestd.dicom.windowing import Lut, Rescale, Window
from ingestd.errors import IngestError

WHEEL = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent


def plain(how: Showing) -> dict[str, Any]:
    """What can be compared: tables compare by their entries."""

    def told(one: object) -> object:
        if isinstance(one, Lut):
            return one.first, one.bits, one.table.tolist()
        return (one.first, one.colours.tolist()) if isinstance(one, Palette) else one

    vois = [(source, told(voi)) for source, voi in how.vois]
    names = ("aspect", "inverted", "padding")
    told_too = {"modality": told(how.modality), "palette": told(how.palette), "vois": vois}
    return {name: getattr(how, name) for name in names} | told_too


def said(ask: Any) -> object:
    """What is said of the first and the middle frame, and the bytes; or why nothing is."""
    try:
        seen, stored = ask()
        frames = sorted({0, seen.at.frames // 2})
        at = seen.at
        if at.syntax == uid.ImplicitVRLittleEndian:  # Pixels lie the same in both.
            at = replace(at, syntax=str(uid.ExplicitVRLittleEndian))
        return at, [plain(seen.showing(frame)) for frame in frames], bytes(stored.content)
    except IngestError as error:
        return error.reason, error.detail


def by_header(found: header.Header) -> object:
    def ask() -> object:
        seen = about_header(found)
        return seen, pixels.stored_in(found, seen.dataset)

    return said(ask)


def by_pydicom(dataset: Dataset) -> object:
    def ask() -> object:
        seen = about(dataset)
        return seen, pixels.stored(dataset, seen.at)

    return said(ask)


def compared(contents: Any) -> int:
    """Compare all files that have pixels, one after the other, so that memory comes to bear."""
    memory, count = Memory(16_384), 0
    for name, content in contents:
        try:
            found = header.read(memoryview(content), memory, most_bytes=1 << 30)
        except IngestError:
            continue
        cut = any(problem.kind == "truncated" for problem in found.problems)
        if cut or not found.instance["has_pixels"]:  # Those are not shown.
            continue
        dataset = pydicom.dcmread(BytesIO(content), force=True)
        assert by_header(found) == by_pydicom(dataset), name
        count += 1
    return count


def test_the_header_of_a_phantom_says_the_same_as_its_data_set() -> None:
    assert compared((item.path, item.content) for item in phantom.items()) >= 100


@pytest.mark.long
def test_the_header_of_a_real_file_says_the_same_as_its_data_set(corpus: Path) -> None:
    files = (path for path in sorted(corpus.rglob("*")) if path.is_file())
    assert compared((path, path.read_bytes()) for path in files) >= 1000


def test_the_same_elements_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(16_384)
    content = (WHEEL / "CT_small.dcm").read_bytes()
    other = content.replace(b"1.3.6.1.4.1.5962.1.1.1.1.1.", b"1.3.6.1.4.1.5962.1.1.1.1.2.")
    assert other != content
    first, second = (
        about_header(header.read(memoryview(one), memory, most_bytes=1 << 30))
        for one in (content, other)
    )
    assert first is second
    monkeypatch.setattr(showing, "MOST_BYTES", 0)  # What is too long is not remembered.
    third = about_header(header.read(memoryview(content), memory, most_bytes=1 << 30))
    assert third is not first
    assert third.at == first.at


def test_a_file_that_was_read_gives_the_picture_of_its_data_set() -> None:
    memory, options, pictures = Memory(16_384), config.Thumbnail(format="png").picturing, 0
    for path in sorted(WHEEL.glob("*.dcm")):
        try:
            content = memoryview(path.read_bytes())
            found = header.read(content, memory, most_bytes=1 << 30)
        except IngestError:
            continue
        if found.instance["has_pixels"]:
            made = thumbnail.render_header(found, options)
            assert made == thumbnail.render(pydicom.dcmread(path, force=True), options), path.name
            pictures += isinstance(made, thumbnail.Picture)
    assert pictures >= 50


VALUES = st.sampled_from(["u1", "i1", "u2", "i2"])


@settings(deadline=None)
@given(
    kind=VALUES,
    down=st.integers(1, 5),
    across=st.integers(1, 5),
    slope=st.sampled_from([1.0, -1.0, 0.5, 2.25]),
    intercept=st.sampled_from([0.0, -1024.0, 0.5]),
    center=st.floats(-3000, 3000).map(lambda number: round(number, 1)),
    width=st.floats(2, 70_000).map(lambda number: round(number, 1)),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT"]),
    seed=st.integers(0, 1 << 16),
)
def test_the_grey_of_a_block_is_the_mean_of_its_greys(
    *,
    kind: str,
    down: int,
    across: int,
    slope: float,
    intercept: float,
    center: float,
    width: float,
    function: str,
    seed: int,
) -> None:
    dtype, rng = np.dtype(kind), np.random.default_rng(seed)
    least, most = max(np.iinfo(dtype).min, -3000), min(np.iinfo(dtype).max, 5000)
    values = rng.integers(least, most, (8 * down, 6 * across), endpoint=True).astype(dtype)
    modality = Rescale(slope=slope, intercept=intercept)
    voi = Window(center=center, width=width, function=function)
    made = blocks.mean_grey(values, modality, voi, down=down, across=across)
    if made is None:
        return
    each = windowing.grey(values, modality, voi).reshape(8, down, 6, across).astype(float)
    assert np.abs(made - each.mean(axis=(1, 3))).max() <= 1


@pytest.mark.parametrize(
    ("shape", "voi"),
    [
        pytest.param((4, 4), Window(center=40, width=400, function="SIGMOID"), id="no line"),
        pytest.param((5, 4), Window(center=40, width=400), id="a row too many"),
        pytest.param((4, 4), Window(center=40, width=80.5), id="narrow, ends between values"),
        pytest.param((4, 4), Window(center=90_000, width=80), id="beyond all values"),
    ],
)
def test_where_the_mean_cannot_come_first(shape: tuple[int, int], voi: Window) -> None:
    values = np.zeros(shape, np.int16)
    assert blocks.mean_grey(values, Rescale(), voi, down=2, across=2) is None


def test_ct_windows_go_the_short_way() -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 64
    for center, width in ((40, 400), (-600, 1500), (40, 80), (300, 1500), (35, 81)):
        voi, modality = Window(center=center, width=width), Rescale(intercept=-1024)
        made = blocks.mean_grey(values, modality, voi, down=2, across=2)
        assert (made is not None) == (width != 81)


def test_pictures_for_jpeg_are_those_of_pillow() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (60, 90)).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(grey).save(out, "jpeg", quality=80)
    assert thumbnail._encoded(grey, config.Thumbnail(quality=80).picturing) == out.getvalue()
