"""Pictures on demand: the window that was asked for, the series in its order."""

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from daemons import COMMAND, Running, scan
from PIL import Image
from pydicom.data import get_testdata_file

import ingestd
from ingestd import config, pictures, sheet, thumbnail
from ingestd.client import Client
from ingestd.errors import ConfigError, IngestError, Reason, SqlError

#: A real CT of five slices that comes with pydicom.
CT_FOLDER = Path(str(get_testdata_file("98892001/CT5N/2062", download=False))).parent
CHEST = "SeriesDescription = 'Chest lung 5.0'"
DUAL = "SeriesDescription = 'PD T2 axial dual echo'"
DOPPLER = "SeriesDescription LIKE '%Doppler'"


@pytest.fixture
def client(scanned: Path) -> Client:
    return ingestd.open(scanned)


def first(client: Client, where: str, column: str = "SOPInstanceUID") -> Any:
    query = f"SELECT {column} AS it FROM instance WHERE {where} ORDER BY InstanceNumber"
    return client.sql(query).to_pylist()[0]["it"]


def file_of(client: Client, uid: str) -> Path:
    (row,) = client.sql(
        f"SELECT root, path FROM instance WHERE SOPInstanceUID = '{uid}'"
    ).to_pylist()
    return Path(row["root"], row["path"])


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param("lung", (-600.0, 1500.0), id="lung"),
        pytest.param("bone", (480.0, 2500.0), id="bone"),
        pytest.param("soft", (40.0, 400.0), id="soft tissue"),
        pytest.param("brain", (40.0, 80.0), id="brain"),
        pytest.param("-550.5/1200", (-550.5, 1200.0), id="by numbers"),
        pytest.param(None, None, id="what the header says"),
    ],
)
def test_an_image_is_shown_in_the_window_that_was_asked_for(
    client: Client, window: str | None, expected: tuple[float, float] | None
) -> None:
    uid, options = first(client, CHEST), config.Thumbnail(format="png", edge_px=200).picturing
    made = pictures.instance(client, uid, options, window=window)
    dataset = pydicom.dcmread(file_of(client, uid))
    assert made == thumbnail.render(dataset, options, window=expected)
    assert made.window_source == ("given" if window else "window")


@pytest.mark.parametrize(
    "text", ["lungs", "40", "40/", "40/0", "40/-3", "nan/4", "4/inf", "/", "0/1e-310", "1e29/4"]
)
def test_a_window_that_means_nothing_is_refused_with_words(text: str) -> None:
    with pytest.raises(ConfigError, match="give lung, bone, soft, brain, or CENTER/WIDTH"):
        pictures.as_window(text)


def test_what_was_asked_for_amiss_is_said(client: Client) -> None:
    options = config.Thumbnail().picturing
    with pytest.raises(ConfigError, match="is for CT, this is MR"):
        pictures.instance(client, first(client, DUAL), options, window="lung")
    with pytest.raises(ConfigError, match="--frame 1: it has 1"):
        pictures.instance(client, first(client, CHEST), options, frame=1)
    with pytest.raises(SqlError, match=r"no instance 1\.2\.3 with pixels"):
        pictures.instance(client, "1.2.3", options)
    with pytest.raises(SqlError, match=r"no series 1\.2\.3 with pixels"):
        pictures.series(client, "1.2.3", most=4, edge_px=64, window=None)
    with pytest.raises(ConfigError, match=r"must end in one of \.jpg"):
        pictures.options_for(Path("x.tif"), 64)
    with pytest.raises(ConfigError, match="there is no folder nowhere"):
        pictures.options_for(Path("nowhere/x.jpg"), 64)
    with pytest.raises(ConfigError, match="40/400 is for grey images, and this one has colours"):
        pictures.instance(client, first(client, DOPPLER), options, window="40/400")
    doppler = first(client, DOPPLER, "SeriesInstanceUID")
    with pytest.raises(ConfigError, match="40/400 is for grey images, and these have colours"):
        pictures.series(client, doppler, most=4, edge_px=64, window="40/400")


def test_a_sheet_has_the_slices_in_their_order_stack_by_stack(client: Client) -> None:
    uid = first(client, DUAL, "SeriesInstanceUID")
    images = pictures._images(client, f"i.SeriesInstanceUID = '{uid}'")
    expected = client.sql(
        f"SELECT SOPInstanceUID AS it FROM volume_slice WHERE SeriesInstanceUID = '{uid}'"
        " ORDER BY stack, slice"
    ).to_pylist()
    assert [image.file.SOPInstanceUID for image in images] == [row["it"] for row in expected]
    assert len(images) == 40


def test_frames_are_chosen_without_listing_all_that_a_header_promises() -> None:
    assert pictures.thinned(range(2**31 - 1), 3) == [0, 2**30 - 1, 2**31 - 2]


@pytest.mark.parametrize(
    ("where", "most", "expected"),
    [
        pytest.param(CHEST, 64, 28, id="all slices"),
        pytest.param(CHEST, 10, 10, id="some of them"),
        pytest.param(CHEST, 1, 1, id="one"),
        pytest.param(DOPPLER, 5, 5, id="frames of a film"),
    ],
)
def test_a_sheet_is_a_grid_of_pictures(
    client: Client, where: str, most: int, expected: int
) -> None:
    uid = first(client, where, "SeriesInstanceUID")
    images = pictures._images(client, f"i.SeriesInstanceUID = '{uid}'")
    shots = pictures.spread(images, most)
    assert len(shots) == expected
    assert len(set(shots)) == expected
    content = pictures.series(client, uid, most=most, edge_px=64, window=None)
    seen = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(int)
    across = int(np.ceil(np.sqrt(expected)))
    wide, high = 64 + sheet.GAP_PX, 64 + sheet.GAP_PX + sheet.TEXT_PX
    assert seen.shape[1] == across * wide + sheet.GAP_PX
    for index in range(expected):
        left, top = sheet.GAP_PX + index % across * wide, sheet.GAP_PX + index // across * high
        assert np.ptp(seen[top : top + 64, left : left + 64]) > 100


def test_an_image_that_cannot_be_read_leaves_its_place_and_says_why(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    shutil.copytree(CT_FOLDER, drop)
    scan(drop, state=tmp_path / "state")
    client = ingestd.open(tmp_path / "state")
    series = first(client, "has_pixels", "SeriesInstanceUID")
    whole = pictures.series(client, series, most=4, edge_px=64, window=None)
    changed_file = file_of(client, first(client, "has_pixels"))
    os.utime(changed_file)
    with pytest.raises(IngestError, match=str(changed_file)) as caught:
        pictures.instance(client, first(client, "has_pixels"), config.Thumbnail().picturing)
    content = pictures.series(client, series, most=4, edge_px=64, window=None)
    before, after = (
        np.asarray(Image.open(io.BytesIO(one)).convert("L")).astype(int) for one in (whole, content)
    )
    wide, high = 64 + sheet.GAP_PX, 64 + sheet.GAP_PX + sheet.TEXT_PX
    rows, columns = np.nonzero(np.abs(before - after) > 32)
    changed = set(zip((rows - sheet.GAP_PX) // high, (columns - sheet.GAP_PX) // wide, strict=True))
    assert caught.value.reason is Reason.STILL_CHANGING
    assert before.shape == after.shape
    assert len(changed) == 1


@pytest.fixture
def daemon(scanned: Path, tmp_path: Path) -> Iterator[Path]:
    """The state folder of one that runs."""
    (tmp_path / "drop").mkdir()
    state = shutil.copytree(scanned, tmp_path / "state")
    running = Running(tmp_path / "drop", state)
    yield state
    running.kill()


def run(*words: str, state: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *words, "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands_write_files_while_the_daemon_runs(daemon: Path, tmp_path: Path) -> None:
    state, client = daemon, ingestd.open(daemon)
    uid, series = (first(client, CHEST, f"{one}InstanceUID") for one in ("SOP", "Series"))
    one, sheet_of_all = tmp_path / "one.png", tmp_path / "all.jpg"
    codes = [
        run("thumbnail", uid, "--window", "lung", "--edge", "100", "-o", str(one), state=state),
        run("contact-sheet", series, "-o", str(sheet_of_all), state=state),
        run("contact-sheet", series, "-o", str(tmp_path / "all.png"), state=state),
        run("thumbnail", uid, "--window", "lungs", "-o", str(one), state=state),
        run("thumbnail", "1.2.3", "-o", str(one), state=state),
    ]
    assert [done.returncode for done in codes] == [0, 0, 2, 2, 1]
    assert {path.name for path in tmp_path.glob(".*.part")} == set()
    with Image.open(one) as small, Image.open(sheet_of_all) as large:
        assert (small.size, large.format) == ((100, 100), "JPEG")
