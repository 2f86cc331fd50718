"""One picture for a series: of its middle slice, and none for the others."""

import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pydicom
import pytest
from daemons import Running, scan, wait_for
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

import ingestd
from ingestd import config, judging, tables
from ingestd.catalog import Catalog
from ingestd.covers import Covers
from ingestd.errors import Reason
from ingestd.model import Patience
from ingestd.tasks import Cover
from ingestd.workers import Pool, WorkerLost

CT_FOLDER = Path(str(get_testdata_file("98892001/CT5N/2062", download=False))).parent

WITH = """
    SELECT SOPInstanceUID, thumbnail_path, window_source FROM instance
    WHERE thumbnail_path IS NOT NULL ORDER BY SOPInstanceUID
"""
POSITIONS = """
    SELECT SOPInstanceUID FROM instance ORDER BY ImagePositionPatient[3]
"""


@pytest.fixture(autouse=True)
def one_for_each_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTD_THUMBNAIL__LEVEL", "series")


def files_of(state: Path) -> list[str]:
    """What lies in the folder of thumbnails, hidden things too."""
    below = (path for path in (state / "thumbnails").rglob("*") if path.is_file())
    return sorted(str(path.relative_to(state)) for path in below)


def test_each_series_has_one_picture(study: Path, tmp_path: Path) -> None:
    summary = scan(study, state=tmp_path / "state")
    client = ingestd.open(tmp_path / "state")
    rows = client.sql(WITH).to_pylist()
    wanted = client.sql(
        "SELECT count(DISTINCT SeriesInstanceUID) AS n FROM instance WHERE has_pixels"
    ).to_pylist()
    assert len(rows) == wanted[0]["n"] == summary["thumbnails"]
    assert sorted(row["thumbnail_path"] for row in rows) == files_of(tmp_path / "state")
    for row in rows:
        with Image.open(tmp_path / "state" / row["thumbnail_path"]) as image:
            image.load()
            assert max(image.size) <= 256


@pytest.mark.long
def test_a_late_slice_makes_another_one_the_middle(start: Callable[[], Running]) -> None:
    daemon = start()
    by_place = sorted(CT_FOLDER.iterdir(), key=lambda file: pydicom.dcmread(file).SliceLocation)
    for file in by_place[:3]:
        shutil.copy(file, daemon.drop)
    wait_for(lambda: len(daemon.rows(WITH)) == 1)
    places = [row["SOPInstanceUID"] for row in daemon.rows(POSITIONS)]
    (before,) = daemon.rows(WITH)
    for file in by_place[3:]:
        shutil.copy(file, daemon.drop)
    wait_for(lambda: len(daemon.rows(WITH)) == 1 and daemon.rows(WITH) != [before])
    after = daemon.rows(WITH)
    now = [row["SOPInstanceUID"] for row in daemon.rows(POSITIONS)]
    assert before["SOPInstanceUID"] == places[1]
    assert [row["SOPInstanceUID"] for row in after] == [now[2]]
    wait_for(lambda: files_of(daemon.state) == [after[0]["thumbnail_path"]])


def test_an_image_that_cannot_be_shown_is_told_of_and_its_neighbour_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_VOLUME__ENABLED", "false")
    drop, state = tmp_path / "drop", tmp_path / "state"
    drop.mkdir()
    in_order = sorted(CT_FOLDER.iterdir(), key=lambda file: pydicom.dcmread(file).InstanceNumber)
    for number, file in enumerate(in_order):
        dataset = pydicom.dcmread(file)
        if number == 2:
            dataset.BitsAllocated = 12
        dataset.save_as(drop / str(number))
    scan(drop, state=state)
    client = ingestd.open(state)
    (row,) = client.sql(WITH).to_pylist()
    broken = pydicom.dcmread(in_order[2]).SOPInstanceUID
    problems = client.sql(
        f"SELECT kind FROM problem WHERE SOPInstanceUID = '{broken}' AND keyword = 'PixelData'"
    ).to_pylist()
    assert row["SOPInstanceUID"] in {pydicom.dcmread(in_order[at]).SOPInstanceUID for at in (1, 3)}
    assert {"kind": "decoder_failed"} in problems


def test_of_a_whole_slide_pyramid_the_smallest_level_is_shown(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    series, study = generate_uid(), generate_uid()
    dataset = pydicom.dcmread(str(get_testdata_file("examples_rgb_color.dcm", download=False)))
    whole = dataset.PixelData
    smallest = ""
    for number, (frames, flavour) in enumerate(
        [(9, "VOLUME"), (2, "VOLUME"), (4, "VOLUME"), (1, "LABEL")], start=1
    ):
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series, study
        dataset.InstanceNumber, dataset.NumberOfFrames = number, frames
        dataset.ImageType = ["ORIGINAL", "PRIMARY", flavour, "NONE"]
        dataset.PixelData = whole * frames
        dataset.save_as(drop / str(number))
        smallest = dataset.SOPInstanceUID if frames == 2 else smallest
    scan(drop, state=tmp_path / "state")
    rows = ingestd.open(tmp_path / "state").sql(WITH).to_pylist()
    assert [row["SOPInstanceUID"] for row in rows] == [smallest]


class Unlucky:
    """A pool whose worker dies over the first image of the first call, and lives ever after."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def submit(self, fn: Callable[..., Cover], files: Any, **how: Any) -> "Future[Cover]":
        future: Future[Cover] = Future()
        self.calls.append(len(files))
        if len(self.calls) == 1:
            future.set_exception(WorkerLost(Reason.WORKER_CRASHED, "it ended with -11", 0))
        else:
            future.set_result(fn(files, **how))
        return future


def test_an_image_that_kills_its_worker_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_THUMBNAIL__LEVEL", "off")
    state, options, pool = tmp_path / "state", config.Thumbnail(level="series"), Unlucky()
    scan(CT_FOLDER, state=state)
    ended: list[object] = []
    patience = Patience(attempts=1, first_s=1.0, limit_s=1.0)
    with Catalog(state, memory_bytes=1 << 28, patience=patience) as catalog:
        ((uid,),) = catalog.rows("SELECT DISTINCT SeriesInstanceUID FROM instance")
        (job,) = judging.jobs(catalog, {uid: 1})
        covers = Covers(catalog, cast("Pool", pool), options, state=state)
        covers.make(job, tables.VOLUME_SLICE.empty_table(), ended.append)
        shown = catalog.rows(WITH)
        lost = catalog.rows("SELECT SOPInstanceUID FROM problem WHERE kind = 'worker_crashed'")
    assert (pool.calls, ended, covers.made) == ([5, 4], [None], 1)
    assert len(shown) == len(lost) == 1
    assert shown[0][0] != lost[0][0]
    assert files_of(state) == [shown[0][1]]
