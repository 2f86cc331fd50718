"""The main job: real files are dropped, and SQL, thumbnails and volumes come of it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from daemons import COMMAND, FAST, Running, everything, scan, settled, wait_for
from PIL import Image
from pydicom.data import get_testdata_file

import ingestd
from ingestd.errors import SqlError, StateError

#: A real CT of five slices that comes with pydicom.
CT_FOLDER = Path(str(get_testdata_file("98892001/CT5N/2062", download=False))).parent


def ct_files() -> list[Path]:
    return sorted(CT_FOLDER.iterdir())


def pydicom_stack(files: list[Path]) -> np.ndarray:
    """Stack by position, rescaled: (slices, rows, columns)."""
    slices = [pydicom.dcmread(file) for file in files]
    normal = np.cross(slices[0].ImageOrientationPatient[:3], slices[0].ImageOrientationPatient[3:])
    slices.sort(key=lambda one: float(np.dot(one.ImagePositionPatient, normal)))
    return np.stack(
        [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices]
    )


def judged(daemon: Running) -> bool:
    return bool(
        daemon.one("SELECT count(*) FROM series_state WHERE state NOT IN ('receiving', 'quiet')")
    )


def test_a_real_ct_series_becomes_sql_thumbnails_and_one_equal_volume(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    for file in ct_files():
        shutil.copy(file, daemon.drop)
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == len(ct_files()))
    wait_for(lambda: judged(daemon))
    (series,) = daemon.rows("SELECT * FROM series")
    volume = ingestd.open(daemon.state).volume(series["SeriesInstanceUID"])
    thumbnails = daemon.rows("SELECT thumbnail_path FROM instance")
    pictures = [Image.open(daemon.state / row["thumbnail_path"]) for row in thumbnails]

    assert len(pictures) == len(ct_files())
    assert all(np.ptp(np.asarray(picture)) > 50 for picture in pictures)
    assert daemon.one("SELECT count(*) FROM volume WHERE path IS NOT NULL") == 1
    np.testing.assert_allclose(volume.array, pydicom_stack(ct_files()), rtol=0, atol=1e-4)
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log.read_text()


def test_a_config_with_one_root_and_nothing_else_works(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    shutil.copy(ct_files()[0], tmp_path / "drop")
    (tmp_path / "ingestd.toml").write_text(f'[[root]]\npath = "{tmp_path / "drop"}"\n')
    daemon = subprocess.Popen(
        [*COMMAND, "run", "--config", str(tmp_path / "ingestd.toml")],
        env=os.environ | {"INGESTD_STATE": str(tmp_path / "state")},
        stderr=subprocess.DEVNULL,
    )

    def cataloged() -> bool:
        try:
            return ingestd.open(tmp_path / "state").sql("FROM instance").num_rows == 1
        except (StateError, SqlError):  # It is just starting.
            return False

    wait_for(cataloged)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(10) == 0


@pytest.mark.long
def test_sql_from_another_process_answers_while_the_daemon_runs_and_after(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    shutil.copy(ct_files()[0], daemon.drop)
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == 1)
    command = [*COMMAND, "sql", "SELECT Modality FROM instance", "--state", str(daemon.state)]
    during = subprocess.run([*command, "--format", "csv"], capture_output=True, check=True)
    daemon.stop()
    after = subprocess.run([*command, "--format", "csv"], capture_output=True, check=True)
    assert (during.stdout, after.stdout) == (b"Modality\nCT\n",) * 2


def test_kill_9_in_the_middle_of_a_copy_leaves_what_an_undisturbed_run_leaves(
    start: Callable[[], Running], study: Path, scanned: Path
) -> None:
    daemon = start()
    files = sorted(file for file in study.rglob("*") if file.is_file())
    for number, file in enumerate(files):
        target = daemon.drop / file.relative_to(study)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
        if number == len(files) // 2:
            wait_for(partial(daemon.one, "SELECT count(*) FROM file"))
            daemon.kill()
            daemon = start()
    wait_for(lambda: settled(daemon))
    assert daemon.stop() == 0

    assert everything(daemon.state) == everything(scanned)
    assert leftovers(daemon.state) == []


def leftovers(state: Path) -> list[Path]:
    return list(state.rglob(".*.part"))


@pytest.mark.long
def test_a_late_slice_reopens_its_series_and_the_volume_is_built_again(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    *early, late = ct_files()
    for file in early:
        shutil.copy(file, daemon.drop)
    # While they are copied the series may fall quiet, and be judged, more than once.
    built = "SELECT shape[1] AS slices, revision FROM volume"
    wait_for(lambda: judged(daemon) and daemon.rows(built)[0]["slices"] == len(early))
    (before,), came_late = daemon.rows(built), daemon.one("SELECT count(*) FROM late_arrival")
    shutil.copy(late, daemon.drop)
    wait_for(lambda: daemon.rows(built) not in ([], [before]))

    after = {"slices": len(early) + 1, "revision": before["revision"] + 1}
    assert daemon.rows(built) == [after]
    assert daemon.one("SELECT count(*) FROM late_arrival") == came_late + 1


def test_a_file_replaced_in_place_takes_its_tags_and_thumbnail_along(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    dataset = pydicom.dcmread(ct_files()[0])
    dataset.SeriesDescription = "first"
    dataset.save_as(daemon.drop / "x.dcm")
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance"))
    (before,) = daemon.rows("SELECT thumbnail_path, instance_id FROM instance")
    picture = (daemon.state / before["thumbnail_path"]).read_bytes()
    dataset.SeriesDescription = "second"
    dataset.PixelData = dataset.PixelData[::-1]
    dataset.save_as(daemon.drop / "x.dcm")
    wait_for(lambda: daemon.one("SELECT max(revision) FROM instance") == 2)
    (after,) = daemon.rows("SELECT thumbnail_path, instance_id, SeriesDescription FROM instance")
    values = daemon.rows("SELECT value FROM tag WHERE keyword = 'SeriesDescription'")

    assert after == before | {"SeriesDescription": "second"}
    assert values == [{"value": "second"}]
    assert (daemon.state / after["thumbnail_path"]).read_bytes() != picture
    assert leftovers(daemon.state) == []


def test_a_second_daemon_on_one_state_folder_is_refused_with_words(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    second = subprocess.run(
        [*COMMAND, "run", "--root", str(daemon.drop), "--state", str(daemon.state)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"process {daemon.process.pid} owns this state folder" in second.stderr


def test_a_file_that_grows_slowly_is_read_once_and_whole(start: Callable[[], Running]) -> None:
    daemon = start()
    content = ct_files()[0].read_bytes()
    steps = 12
    with (daemon.drop / "slow.dcm").open("wb", buffering=0) as out:
        for step in range(steps):  # Pauses of a third of the quiet time: never settled meanwhile.
            out.write(content[step * len(content) // steps : (step + 1) * len(content) // steps])
            time.sleep(0.1)
            assert daemon.one("SELECT count(*) FROM file") == 0
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == 1)
    assert daemon.rows("SELECT state, size_bytes, attempts FROM file") == [
        {"state": "cataloged", "size_bytes": len(content), "attempts": 0}
    ]


def test_a_root_that_is_not_there_is_unreachable_and_comes_alive(
    start: Callable[[], Running], tmp_path: Path
) -> None:
    (tmp_path / "drop").rmdir()
    daemon = start()
    client = ingestd.open(daemon.state)
    wait_for(lambda: client.status()["roots"][0]["health"] == "unreachable")
    daemon.drop.mkdir()
    shutil.copy(ct_files()[0], daemon.drop)
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == 1)
    assert client.status()["roots"][0]["health"] == "healthy"
    kinds = daemon.rows("SELECT kind FROM event WHERE kind LIKE 'root%' ORDER BY event_id")
    assert [row["kind"] for row in kinds] == ["root_unreachable", "root_healthy"]


def test_scan_of_a_folder_twice_does_no_work_and_says_so(tmp_path: Path) -> None:
    first = scan(CT_FOLDER, state=tmp_path / "state")
    second = scan(CT_FOLDER, state=tmp_path / "state")
    assert (first["files"], first["cataloged"], first["volumes"]) == (len(ct_files()),) * 2 + (1,)
    assert (second["files"], second["unchanged"]) == (len(ct_files()),) * 2
    assert sum(second[key] for key in ("cataloged", "instances", "volumes", "thumbnails")) == 0


def test_ctrl_c_ends_a_daemon_within_ten_seconds_and_nothing_is_lost(
    start: Callable[[], Running], study: Path
) -> None:
    daemon = start()
    shutil.copytree(study, daemon.drop / "study")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file"))
    daemon.process.send_signal(2)
    assert daemon.process.wait(10) == 0
    done = scan(daemon.drop, state=daemon.state)
    files = sum(1 for path in study.rglob("*") if path.is_file())
    assert done["files"] == files
    assert ingestd.open(daemon.state).sql("FROM file").num_rows == files


@pytest.mark.parametrize("command", [["scan", "drop"], ["sql", "SELECT 1"], ["status"]])
def test_a_state_folder_that_cannot_be_used_is_one_line_and_no_traceback(
    command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "drop").mkdir()
    done = subprocess.run(
        [*COMMAND, *command, "--state", str(tmp_path / "file" / "state")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | FAST,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ingestd: ")
    assert "Traceback" not in done.stderr


def test_scan_of_the_whole_corpus_gives_each_file_one_row(corpus: Path, tmp_path: Path) -> None:
    summary = scan(corpus, state=tmp_path / "state")
    files = {
        str(path.relative_to(corpus))
        for path in corpus.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    client = ingestd.open(tmp_path / "state")
    rows = client.sql("SELECT path FROM file").to_pylist()

    assert sorted(row["path"] for row in rows) == sorted(files)
    assert summary["files"] == len(files)
    assert client.sql("FROM file WHERE reason LIKE 'worker_%'").num_rows == 0
