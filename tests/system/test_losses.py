"""What is lost on the way is made up for: workers that are killed, folders that go."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from daemons import COMMAND, Running, oracle, scan, wait_for
from pydicom.data import get_testdata_file
from slices import CT_FOLDER, thick_series

import ingestd

CT_SLICES = len(list(CT_FOLDER.iterdir()))


def workers_of(pid: int) -> list[int]:
    """Name the processes of a scan that read files: children of its forkserver.

    pid  of the process in front of it
    """
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    servers = [server for child in children.get(pid, []) for server in children.get(child, [])]
    return [worker for server in servers for worker in children.get(server, [])]


@pytest.mark.long
def test_workers_killed_again_and_again_cost_no_file(
    study: Path, scanned: Path, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [*COMMAND, "scan", str(study), "--state", str(tmp_path / "state")],
            stdout=log,
            stderr=log,
        )
    killed = 0
    while running.poll() is None and killed < 12:
        for worker in workers_of(running.pid)[:1]:
            os.kill(worker, signal.SIGKILL)
            killed += 1
        time.sleep(0.15)
    assert running.wait(120) == 0, (tmp_path / "log").read_text()

    assert killed >= 3
    assert oracle(tmp_path / "state") == oracle(scanned)


@pytest.mark.long
def test_a_root_that_is_deleted_and_made_again_is_watched_again(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    shutil.copytree(CT_FOLDER, daemon.drop / "one")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == CT_SLICES)
    shutil.rmtree(daemon.drop)
    client = ingestd.open(daemon.state)
    wait_for(lambda: client.status()["roots"][0]["health"] == "unreachable")
    assert daemon.one("SELECT count(*) FROM file WHERE state = 'gone'") == 0
    shutil.copytree(CT_FOLDER, daemon.drop / "two")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file WHERE path LIKE 'two/%'") == CT_SLICES)
    assert client.status()["roots"][0]["health"] == "healthy"


def test_a_tree_that_is_moved_in_is_found_whole(
    start: Callable[[], Running], tmp_path: Path
) -> None:
    daemon = start()
    shutil.copytree(CT_FOLDER, tmp_path / "outside" / "deep" / "tree")
    (tmp_path / "outside" / "note").write_text("no DICOM")
    (tmp_path / "outside").rename(daemon.drop / "inside")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == CT_SLICES + 1)
    assert daemon.one("SELECT count(*) FROM file WHERE state = 'refused'") == 1


def renamed(file: Path, target: Path, patient: str) -> None:
    """Write a file as another patient's: other UIDs, other pixels."""
    dataset = pydicom.dcmread(file)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, f"{getattr(dataset, keyword)}.{len(patient)}")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = patient
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(target)


def test_one_patients_volume_is_never_made_of_another_ones_pixels(tmp_path: Path) -> None:
    drop, state = tmp_path / "drop", tmp_path / "state"
    drop.mkdir()
    *early, late = sorted(CT_FOLDER.iterdir())
    for number, file in enumerate(early):
        shutil.copy(file, drop / str(number))
    scan(drop, state=state)
    for number, file in enumerate(early):
        renamed(file, drop / str(number), "Bob")
    shutil.copy(late, drop / "late")
    scan(drop, state=state)
    uid = pydicom.dcmread(late).SeriesInstanceUID
    client = ingestd.open(state)
    rows = client.sql(f"SELECT reason FROM volume WHERE SeriesInstanceUID = '{uid}'").to_pylist()
    lost = client.sql("FROM problem WHERE kind = 'source_lost'").num_rows

    assert (rows, lost) == ([{"reason": "too_few_slices"}], len(early))


@pytest.mark.long
def test_a_series_whose_files_moved_is_stacked_from_where_they_are(tmp_path: Path) -> None:
    state = tmp_path / "state"
    *early, late = sorted(CT_FOLDER.iterdir())
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        for file in early:
            shutil.copy2(file, tmp_path / folder)
    scan(tmp_path / "first", state=state)
    (tmp_path / "first").rename(tmp_path / "away")
    shutil.copy(late, tmp_path / "second")
    summary = scan(tmp_path / "second", state=state)
    assert (summary["duplicate"], summary["volumes"]) == (len(early), 1)
    assert ingestd.open(state).sql("SELECT shape[1] AS n FROM volume").to_pylist() == [
        {"n": len(early) + 1}
    ]


@pytest.mark.long
def test_a_series_that_cannot_be_read_just_now_is_told_of_and_done_at_the_next_scan(
    tmp_path: Path,
) -> None:
    first, second, state = tmp_path / "first", tmp_path / "second", tmp_path / "state"
    late = max(CT_FOLDER.iterdir())
    shutil.copytree(CT_FOLDER, first)
    (first / late.name).unlink()
    scan(first, state=state)
    first.rename(tmp_path / "away")
    second.mkdir()
    shutil.copy(late, second)
    done = subprocess.run(
        [*COMMAND, "scan", str(second), "--state", str(state)],
        capture_output=True,
        text=True,
        check=False,
    )
    (tmp_path / "away").rename(first)
    after = scan(second, state=state)

    assert (done.returncode, "1 series have files that cannot be read" in done.stderr) == (1, True)
    assert (after["series"], after["volumes"], after["series_open"]) == (1, 1, 0)


@pytest.mark.parametrize(
    "who", ["the daemon, politely", pytest.param("a worker", marks=pytest.mark.long)]
)
def test_a_series_that_was_being_stacked_is_stacked_all_the_same(
    start: Callable[[], Running], who: str
) -> None:
    daemon = start()
    thick_series(daemon.drop / "series", slices=60)
    wait_for(lambda: daemon.one("SELECT count(*) FROM series_state WHERE state <> 'receiving'"))
    if who == "a worker":
        workers = workers_of(os.getpid())  # We are in front of the daemon.
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    else:
        assert daemon.stop() == 0
        assert daemon.one("SELECT count(*) FROM volume WHERE reason LIKE 'worker%'") == 0
        daemon = start()
    wait_for(lambda: daemon.one("SELECT count(*) FROM volume WHERE path IS NOT NULL"))
    assert daemon.rows("SELECT shape FROM volume") == [{"shape": [60, 512, 512]}]


@pytest.mark.long
def test_the_processes_that_make_workers_may_die_too(
    study: Path, scanned: Path, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [*COMMAND, "scan", str(study), "--state", str(tmp_path / "state")],
            stdout=log,
            stderr=log,
        )
    wait_for(lambda: workers_of(running.pid))
    server = int(Path(f"/proc/{workers_of(running.pid)[0]}/stat").read_text().split()[3])
    os.kill(server, signal.SIGKILL)
    assert running.wait(120) == 0, (tmp_path / "log").read_text()
    assert oracle(tmp_path / "state") == oracle(scanned)


@pytest.mark.long
def test_trouble_with_our_own_folder_is_no_fault_of_the_files(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    (daemon.state / "thumbnails").write_text("in the way")
    shutil.copytree(CT_FOLDER, daemon.drop / "series")
    (daemon.drop / "note").write_text("no DICOM")
    client = ingestd.open(daemon.state)
    wait_for(lambda: client.status()["halted"] == "state_not_writable")
    (daemon.state / "thumbnails").unlink()
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == CT_SLICES + 1)
    assert daemon.one("SELECT count(*) FROM file WHERE state = 'refused'") == 1


def test_the_log_says_at_debug_who_decoded_a_picture(
    start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_LOG__LEVEL", "debug")
    daemon = start()
    shutil.copy(str(get_testdata_file("JPEG2000.dcm", download=False)), daemon.drop)
    wait_for(lambda: "pictured" in daemon.log.read_text())
    line = next(line for line in daemon.log.read_text().splitlines() if "pictured" in line)
    assert 'decoder="openjpeg' in line
    assert 'syntax="1.2.840.10008.1.2.4.91"' in line
