"""Shares that fail, hang, vanish and come back: nothing is believed gone, nobody else waits."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from daemons import COMMAND, Running, wait_for
from pydicom.data import get_testdata_file
from shares import Share

import ingestd

CT_FOLDER = Path(str(get_testdata_file("98892001/CT5N/2062", download=False))).parent
CT_FILES = sorted(CT_FOLDER.iterdir())
NOT_GONE = "SELECT count(*) FROM file WHERE state = 'gone'"

#: Everything that takes seconds takes tenths of them.
QUICK = {
    "INGESTD_SETTLE__QUIET_POLLED_S": "0.3",
    "INGESTD_SWEEP__HOT_S": "0.3",
    "INGESTD_SWEEP__FULL_SWEEP_S": "1",
    "INGESTD_SWEEP__DEADLINE_S": "1",
    "INGESTD_WORKERS__DEADLINE_S": "1.5",
    "INGESTD_RETRY__FIRST_S": "0.2",
}


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a daemon on a local folder `drop` and whatever is asked for besides."""
    started: list[Running] = []
    (tmp_path / "drop").mkdir()

    def start(*more: Path, **settings: str) -> Running:
        found = Running(tmp_path / "drop", tmp_path / "state", *more, **QUICK | settings)
        started.append(found)
        return found

    yield start
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()


def cataloged(daemon: Running, name: str) -> bool:
    return bool(daemon.one(f"SELECT count(*) FROM file WHERE path = '{name}' AND digest NOT NULL"))


def others_go_on(daemon: Running, name: str) -> None:
    """See that a file in the other root becomes a row while the share is in trouble."""
    shutil.copy(CT_FILES[0], daemon.drop / name)
    wait_for(lambda: cataloged(daemon, name))
    assert daemon.health(daemon.drop) == "healthy"


TROUBLES = [
    pytest.param("read", "EIO", "degraded", id="EIO read"),
    *(
        pytest.param(operation, error, health, marks=pytest.mark.long, id=f"{error} {operation}")
        for operation, error, health in (
            ("readdir", "EHOSTDOWN", "unreachable"),
            ("readdir", "EIO", "unreachable"),
            ("readdir", "ESTALE", "unreachable"),
            ("getattr", "ENOTCONN", "unreachable"),
            ("open", "ESTALE", "degraded"),
            ("open", "EIO", "degraded"),
            ("open", "EHOSTDOWN", "degraded"),
            ("read", "ESTALE", "degraded"),
            ("read", "EHOSTDOWN", "degraded"),
        )
    ),
    pytest.param("readdir", "hang", "unreachable", id="listing hangs"),
    pytest.param("read", "hang", "unreachable", marks=pytest.mark.long, id="reading hangs"),
    pytest.param("open", "hang", "unreachable", marks=pytest.mark.long, id="open hangs"),
    pytest.param("getattr", "hang", "unreachable", marks=pytest.mark.long, id="stat hangs"),
]


@pytest.mark.parametrize(("operation", "what", "health"), TROUBLES)
def test_a_share_in_trouble_loses_nothing_and_holds_up_nobody(
    begin: Callable[..., Running], share: Share, operation: str, what: str, health: str
) -> None:
    shutil.copy(CT_FILES[1], share.inside / "before")
    daemon = begin(share.mountpoint)
    wait_for(lambda: cataloged(daemon, "before"))
    share.fails(f"{operation} * {what}")
    shutil.copy(CT_FILES[2], share.inside / "during")
    wait_for(lambda: daemon.health(share.mountpoint) == health)
    others_go_on(daemon, "other")
    assert not cataloged(daemon, "during")
    assert daemon.one(NOT_GONE) == 0
    share.fails()
    wait_for(lambda: cataloged(daemon, "during"))
    wait_for(lambda: daemon.health(share.mountpoint) == "healthy")
    assert daemon.one(NOT_GONE) == 0
    kinds = [row["kind"] for row in daemon.rows("SELECT kind FROM event ORDER BY at_utc")]
    assert f"root_{health}" in kinds
    assert [kind for kind in kinds if kind.startswith("root_")][-1] == "root_healthy"


@pytest.mark.long
def test_one_folder_that_cannot_be_listed_degrades_its_root_and_the_rest_goes_on(
    begin: Callable[..., Running], share: Share
) -> None:
    (share.inside / "bad").mkdir()
    shutil.copy(CT_FILES[1], share.inside / "bad" / "inside")
    daemon = begin(share.mountpoint)
    wait_for(lambda: cataloged(daemon, "bad/inside"))
    share.fails("readdir /bad EIO")
    wait_for(lambda: daemon.health(share.mountpoint) == "degraded")
    shutil.copy(CT_FILES[2], share.inside / "new")
    wait_for(lambda: cataloged(daemon, "new"))
    assert daemon.root(share.mountpoint)["why"] == "1 folders or files cannot be listed"
    assert daemon.one(NOT_GONE) == 0


@pytest.mark.long
def test_a_share_that_hangs_does_not_keep_the_daemon_from_starting(
    begin: Callable[..., Running], share: Share
) -> None:
    shutil.copy(CT_FILES[1], share.inside / "before")
    share.fails("getattr * hang")
    daemon = begin(share.mountpoint)
    others_go_on(daemon, "other")
    wait_for(lambda: daemon.health(share.mountpoint) == "unreachable")
    share.fails()
    wait_for(lambda: cataloged(daemon, "before"))


def test_a_share_that_is_unmounted_is_not_a_deletion_not_even_over_a_restart(
    begin: Callable[..., Running], share: Share
) -> None:
    for number in (1, 2, 3):
        shutil.copy(CT_FILES[number], share.inside / str(number))
    daemon = begin(share.mountpoint)
    wait_for(lambda: all(cataloged(daemon, str(number)) for number in (1, 2, 3)))
    share.unmount()
    wait_for(lambda: daemon.health(share.mountpoint) == "unreachable")
    assert "is not mounted" in daemon.root(share.mountpoint)["why"]
    daemon.stop()
    daemon = begin(share.mountpoint)
    wait_for(lambda: daemon.health(share.mountpoint) == "unreachable")
    others_go_on(daemon, "other")
    assert "is not mounted" in daemon.root(share.mountpoint)["why"]
    shutil.copy(CT_FILES[4], share.inside / "4")
    share.mount()
    wait_for(lambda: cataloged(daemon, "4"))
    assert daemon.health(share.mountpoint) == "healthy"
    assert daemon.one(NOT_GONE) == 0


def tmpfs(place: Path, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(place)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")


@pytest.fixture
def unmounted(tmp_path: Path) -> Iterator[None]:
    """Unmount what a test leaves mounted."""
    yield
    with open("/proc/self/mountinfo") as mounts:
        places = [line.split(" ")[4] for line in mounts]
    for place in reversed(places):
        if place.startswith(f"{tmp_path}/"):
            subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.long
@pytest.mark.usefixtures("unmounted")
def test_a_disk_mounted_below_a_root_may_go_and_its_files_are_not_gone(
    begin: Callable[..., Running], tmp_path: Path
) -> None:
    place, kept = tmp_path / "drop" / "disk", tmp_path / "kept"
    daemon = begin()
    place.mkdir()
    kept.mkdir()
    shutil.copy(CT_FILES[1], kept / "file")
    tmpfs(tmp_path / "kept")
    shutil.copy(CT_FILES[1], kept / "file")
    subprocess.run(["mount", "--bind", kept, place], check=True)
    wait_for(lambda: cataloged(daemon, "disk/file"))
    subprocess.run(["umount", place], check=True)
    wait_for(lambda: daemon.health(daemon.drop) == "degraded")
    assert daemon.root(daemon.drop)["why"] == f"tmpfs at {place} is not mounted"
    daemon.stop()
    daemon = begin()
    wait_for(lambda: daemon.health(daemon.drop) == "degraded")
    shutil.copy(CT_FILES[2], daemon.drop / "new")
    wait_for(lambda: cataloged(daemon, "new"))
    wait_for(lambda: daemon.root(daemon.drop)["swept_files"] == 1)
    assert daemon.one(NOT_GONE) == 0
    subprocess.run(["mount", "--bind", kept, place], check=True)
    wait_for(lambda: daemon.health(daemon.drop) == "healthy")
    wait_for(lambda: daemon.root(daemon.drop)["swept_files"] == 2)
    assert daemon.one(NOT_GONE) == 0


@pytest.mark.long
@pytest.mark.usefixtures("unmounted")
def test_a_disk_mounted_over_a_root_is_swept_from_scratch(begin: Callable[..., Running]) -> None:
    daemon = begin(INGESTD_SWEEP__FULL_SWEEP_S="300")
    shutil.copy(CT_FILES[1], daemon.drop / "under")
    wait_for(lambda: cataloged(daemon, "under"))
    tmpfs(daemon.drop)
    shutil.copy(CT_FILES[2], daemon.drop / "over")
    wait_for(lambda: cataloged(daemon, "over"))
    assert (daemon.health(daemon.drop), daemon.one(NOT_GONE)) == ("healthy", 0)
    subprocess.run(["umount", "-l", daemon.drop], check=True)
    wait_for(lambda: daemon.health(daemon.drop) == "unreachable")
    assert daemon.one(NOT_GONE) == 0


@pytest.mark.usefixtures("unmounted")
def test_a_root_that_is_read_only_is_read(begin: Callable[..., Running], tmp_path: Path) -> None:
    tmpfs(tmp_path / "drop")
    shutil.copy(CT_FILES[1], tmp_path / "drop" / "file")
    subprocess.run(["mount", "-o", "remount,ro", tmp_path / "drop"], check=True)
    daemon = begin()
    wait_for(lambda: cataloged(daemon, "file"))
    assert daemon.health(daemon.drop) == "healthy"


@pytest.mark.long
def test_without_its_sentinel_a_root_is_unreachable_also_after_a_restart(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    drop, state = tmp_path / "drop", tmp_path / "state"
    drop.mkdir()
    (drop / "here").touch()
    shutil.copy(CT_FILES[1], drop / "file")
    (tmp_path / "config.toml").write_text(f'[[root]]\npath = "{drop}"\nsentinel = "here"\n')
    settings = QUICK | {"INGESTD_CONFIG": str(tmp_path / "config.toml")}
    other = tmp_path / "other"
    other.mkdir()
    daemon = Running(other, state, **settings)
    request.addfinalizer(daemon.kill)
    wait_for(lambda: cataloged(daemon, "file"))
    (drop / "here").unlink()
    (drop / "file").unlink()
    wait_for(lambda: daemon.health(drop) == "unreachable")
    daemon.stop()
    daemon = Running(other, state, **settings)
    request.addfinalizer(daemon.kill)
    wait_for(lambda: daemon.health(drop) == "unreachable")
    assert daemon.root(drop)["why"] == "the sentinel here is not there"
    assert daemon.one(NOT_GONE) == 0
    (drop / "here").touch()
    wait_for(lambda: daemon.one(NOT_GONE) == 1)
    assert ingestd.open(state).sql("FROM event WHERE kind = 'root_unreachable'").num_rows == 2


def test_a_polled_root_that_loses_much_at_once_is_degraded_and_nothing_of_it_is_gone(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    drop, away = tmp_path / "drop", tmp_path / "away"
    drop.mkdir()
    away.mkdir()
    for number in range(30):
        (drop / str(number)).write_text("no DICOM")
    config = tmp_path / "config.toml"
    config.write_text(f'[[root]]\npath = "{drop}"\nwatch = "poll"\n')
    settings = QUICK | {"INGESTD_LOG__LEVEL": "debug"}
    daemon = Running(drop, tmp_path / "state", config=config, **settings)
    request.addfinalizer(daemon.kill)

    def sweeps() -> int:
        return daemon.log.read_text().count("swept")

    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == 30)
    wait_for(lambda: daemon.root(drop)["swept_files"] == 30)
    for number in range(20):
        (drop / str(number)).rename(away / str(number))
    wait_for(lambda: daemon.health(drop) == "degraded")
    assert daemon.root(drop)["why"] == "20 of 30 files are not there"
    before = sweeps()
    wait_for(lambda: sweeps() > before + 6)
    for number in range(20):
        (away / str(number)).rename(drop / str(number))
    wait_for(lambda: daemon.health(drop) == "healthy")
    assert daemon.one(NOT_GONE) == 0
    assert daemon.one("SELECT count(*) FROM event WHERE kind = 'gone_brake'") == 1


@dataclass
class Scanned:
    """What a scan came to that was not to wait for a share."""

    exit_code: int
    files: dict[str, str]  #: path below its root -> state
    words: str


def scan_in_time(*folders: Path, state: Path) -> Scanned:
    done = subprocess.run(
        [*COMMAND, "scan", *map(str, folders), "--state", str(state)],
        env=os.environ | QUICK,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    rows = ingestd.open(state).sql("SELECT path, state FROM file").to_pylist()
    return Scanned(done.returncode, {row["path"]: row["state"] for row in rows}, done.stderr)


def test_a_scan_goes_around_a_folder_that_hangs_and_names_it(share: Share, tmp_path: Path) -> None:
    for place in ("a", "bad", "z", "z/deeper"):
        (share.inside / place).mkdir()
        shutil.copy(CT_FILES[0], share.inside / place / "file")
    share.fails("readdir /bad hang")
    found = scan_in_time(share.mountpoint, state=tmp_path / "state")
    assert found.files.keys() == {"a/file", "z/file", "z/deeper/file"}
    assert "cataloged" in found.files.values()
    assert f"{share.mountpoint}/bad: could not be listed: it hangs" in found.words
    assert found.exit_code == 1


@pytest.mark.long
@pytest.mark.parametrize("operation", ["getattr", "readdir", "open", "read"])
def test_a_scan_of_a_share_that_hangs_ends_and_the_other_folders_are_cataloged(
    share: Share, tmp_path: Path, operation: str
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    shutil.copy(CT_FILES[0], drop / "other")
    for number in range(200):
        (share.inside / str(number)).hardlink_to(shutil.copy(CT_FILES[1], tmp_path / str(number)))
    share.fails(f"{operation} * hang")
    found = scan_in_time(share.mountpoint, drop, state=tmp_path / "state")
    assert found.files.pop("other") == "cataloged"
    assert set(found.files.values()) <= {"retry"}
    assert f"{share.mountpoint}: " in found.words
    assert "hangs" in found.words
    assert found.exit_code == 1
    share.fails()
    found = scan_in_time(share.mountpoint, drop, state=tmp_path / "state")
    assert (found.exit_code, len(found.files)) == (0, 201)
    assert set(found.files.values()) == {"cataloged", "duplicate"}


@pytest.mark.long
def test_a_scan_that_only_has_series_left_ends_though_their_share_hangs(
    begin: Callable[..., Running], share: Share, tmp_path: Path
) -> None:
    one = pydicom.dcmread(CT_FILES[0])
    for number in range(24):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        one.SeriesInstanceUID = f"1.3.{number // 3}"
        one.ImagePositionPatient = [0, 0, number]
        one.save_as(share.inside / str(number))
    daemon = begin(share.mountpoint, INGESTD_SERIES__QUIET_S="3600")
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == 24)
    daemon.stop()
    share.fails("read * hang")
    found = scan_in_time(share.mountpoint, state=tmp_path / "state")
    assert "8 series have files that cannot be read just now" in found.words
    assert found.exit_code == 1
    share.fails()
    assert scan_in_time(share.mountpoint, state=tmp_path / "state").exit_code == 0
