"""What lies in a drop folder besides files, clocks that are set, floods, and machines' limits."""

import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from daemons import COMMAND, FAST, Running, wait_for
from pydicom.data import get_testdata_file

import ingestd
from ingestd.errors import StateError

CT_FOLDER = Path(str(get_testdata_file("98892001/CT5N/2062", download=False))).parent
CT_FILES = sorted(CT_FOLDER.iterdir())
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def strange(drop: Path) -> dict[str, tuple[str, str | None]]:
    """Fill a folder with all that a file system allows; give state and reason of each path."""
    expected: dict[str, tuple[str, str | None]] = {}

    def expect(name: str, state: str, reason: str | None = None) -> Path:
        expected[name] = (state, reason)
        return drop / name

    shutil.copy(CT_FILES[0], expect("image", "cataloged"))
    expect("empty", "refused", "not_dicom").touch()
    os.mkfifo(expect("fifo", "refused", "not_a_file"))
    os.mknod(expect("device", "refused", "not_a_file"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(expect("socket", "refused", "not_a_file")))
    expect("loop", "refused", "not_a_file").symlink_to("loop")
    expect("nowhere", "refused", "not_a_file").symlink_to("nothing")
    expect("out", "refused", "outside_root").symlink_to(CT_FILES[1])
    expect("inside", "cataloged").symlink_to("image")
    (drop / "up").symlink_to(".")
    shutil.copy(CT_FILES[1], drop / os.fsdecode(b"\xff\xe4.dcm"))
    expect("//xff//xe4.dcm", "cataloged")
    shutil.copy(CT_FILES[2], expect("line\nbreak", "cataloged"))
    os.utime(shutil.copy(CT_FILES[3], expect("tomorrow", "cataloged")), (4e9, 4e9))
    os.utime(shutil.copy(CT_FILES[4], expect("long ago", "cataloged")), (-1e9, -1e9))
    return expected | deep(drop)


def deep(drop: Path) -> dict[str, tuple[str, str | None]]:
    """Make a path as long as the kernel takes, and folders below it that nobody can name."""
    part = "d" * 200
    room = 4000 - len(os.fsencode(drop)) - 1
    names = [part] * (room // 201)
    names.append("f" * (room - 201 * len(names)))
    handle = os.open(drop, os.O_RDONLY)
    for name in names[:-1]:
        os.mkdir(name, dir_fd=handle)
        handle, above = os.open(name, os.O_RDONLY, dir_fd=handle), handle
        os.close(above)
    with open(os.open(names[-1], os.O_WRONLY | os.O_CREAT, dir_fd=handle), "w") as out:
        out.write("the last that can be named")
    last = "l" * (len(names[-1]) + 50)
    os.mkdir(last, dir_fd=handle)
    inner = os.open(last, os.O_RDONLY, dir_fd=handle)
    os.mkdir(part, dir_fd=inner)
    os.close(inner)
    os.close(handle)
    folder = "/".join([*names[:-1], last, part])
    return {"/".join(names): ("refused", "not_dicom"), folder: ("refused", "path_too_long")}


@pytest.mark.parametrize(
    "when", [pytest.param("before the start", marks=pytest.mark.long), "while it runs"]
)
def test_each_strange_thing_in_a_folder_has_its_outcome(
    start: Callable[[], Running], tmp_path: Path, when: str
) -> None:
    if os.geteuid():
        pytest.skip("only root may make a device")
    early = strange(tmp_path / "drop") if when == "before the start" else None
    daemon = start()
    expected = early or strange(daemon.drop)
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == len(expected))
    rows = daemon.rows("SELECT path, state, reason FROM file")
    found = {
        # Two paths lead to one instance; either of them may come first.
        row["path"]: (row["state"].replace("duplicate", "cataloged"), row["reason"])
        for row in rows
    }
    assert found == expected
    wait_for(lambda: daemon.root(daemon.drop)["swept_files"])
    assert daemon.health(daemon.drop) == "healthy"
    assert "Traceback" not in daemon.log.read_text()


@pytest.mark.long
def test_a_root_that_is_a_link_is_watched_where_it_leads_once_it_leads_somewhere(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    real, drop = tmp_path / "real", tmp_path / "drop"
    drop.symlink_to(real)
    daemon = Running(drop, tmp_path / "state", INGESTD_SWEEP__FULL_SWEEP_S="1")
    request.addfinalizer(daemon.kill)
    wait_for(lambda: daemon.health(drop) == "unreachable")
    real.mkdir()
    wait_for(lambda: daemon.health(drop) == "healthy")
    times = {"1969": -1, "1970": 0, "2106": 2**32 + 1, "2500": 16_725_225_600}
    for (name, at), file in zip(times.items(), CT_FILES, strict=False):
        os.utime(shutil.copy(file, real / name), (at, at))
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == len(times))
    (real / "1970").rename(real / "a")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file WHERE state = 'gone'") == 1)
    (real / "a").rename(real / "A")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file WHERE state = 'gone'") == 2)
    found = daemon.rows("SELECT path FROM instance ORDER BY path")
    assert [row["path"] for row in found] == ["1969", "2106", "2500", "A"]
    assert daemon.health(drop) == "healthy"
    assert "Traceback" not in daemon.log.read_text()


def test_a_new_file_does_not_wait_for_all_that_came_before_it(
    start: Callable[[], Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_CATALOG__BATCH_ROWS", "100")
    daemon = start()
    backlog = 3000
    (tmp_path / "many").mkdir()
    shutil.copy(CT_FILES[0], tmp_path / "many" / "0")
    for number in range(1, backlog):
        (tmp_path / "many" / str(number)).hardlink_to(tmp_path / "many" / "0")
    (tmp_path / "many").rename(daemon.drop / "many")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file"))
    shutil.copy(CT_FILES[1], daemon.drop / "urgent")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file WHERE path = 'urgent'"))
    # In the order of arrival it would be the last of all, however slow the machine is.
    before_it = daemon.one(
        "SELECT count(*) FROM file"
        " WHERE state_utc < (SELECT state_utc FROM file WHERE path = 'urgent')"
    )
    assert before_it < backlog - 500


def a_thousand_deep(folder: Path) -> str:
    """Make folders in folders, and a file at the end; give its path below the first of them."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=handle)
        handle, above = os.open("d", os.O_RDONLY, dir_fd=handle), handle
        os.close(above)
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=handle))
    os.close(handle)
    return "d/" * 1200 + "file"


@pytest.mark.long
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_folders_a_thousand_deep_hide_no_file(
    request: pytest.FixtureRequest, tmp_path: Path, when: str
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    request.addfinalizer(partial(subprocess.run, ["rm", "-rf", drop], check=True))
    deepest = a_thousand_deep(drop) if when == "before the start" else ""
    daemon = Running(drop, tmp_path / "state", INGESTD_SWEEP__HOT_S="2")
    request.addfinalizer(daemon.kill)
    wait_for(lambda: daemon.root(drop)["sweep_s"])
    deepest = deepest or a_thousand_deep(drop)
    wait_for(lambda: daemon.rows("SELECT path FROM file") == [{"path": deepest}])
    (drop / "new").touch()
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == 2)
    assert daemon.health(drop) == "healthy"


@pytest.mark.long
def test_an_overflow_of_the_kernels_queue_costs_no_file(start: Callable[[], Running]) -> None:
    daemon = start()
    events = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    files = events // 3 + 500  # Each of them makes three: created, modified, closed.
    daemon.process.send_signal(signal.SIGSTOP)
    for number in range(files):
        (daemon.drop / f"{number}").write_text("no DICOM")
    folder = daemon.drop / "folder"
    folder.mkdir()
    daemon.process.send_signal(signal.SIGCONT)
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == files)
    wait_for(lambda: "overflowed" in daemon.log.read_text())
    shutil.copy(CT_FILES[0], folder / "later")
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == 1)


def test_when_the_kernel_has_no_watches_left_the_root_is_polled_and_says_so(
    tmp_path: Path,
) -> None:
    drop, state = tmp_path / "drop", tmp_path / "state"
    for number in range(30):
        (drop / str(number)).mkdir(parents=True)
    limited = 'echo 12 > /proc/sys/user/max_inotify_watches && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", limited, "-"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs user namespaces")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *COMMAND, "run", "--root", str(drop), "--state", str(state)],
            env=os.environ | FAST | {"INGESTD_SWEEP__HOT_S": "0.5"},
            stderr=log,
        )

    def status() -> dict[str, object] | None:
        try:
            found = ingestd.open(state).status()
        except StateError:
            return None
        return found and found["roots"][0]

    try:
        wait_for(lambda: (status() or {}).get("swept_files") is not None)
        wait_for(lambda: "sysctl -w fs.inotify.max_user_watches" in str(status()))
        for number in range(30):
            (drop / str(number) / "file").write_text("no DICOM")
        wait_for(lambda: ingestd.open(state).sql("FROM file").num_rows == 30)
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.long
def test_the_clock_may_be_set_back_and_forth(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if FAKETIME is None:
        pytest.skip("needs Debian's libfaketime")
    drop, clock = tmp_path / "drop", tmp_path / "clock"
    drop.mkdir()
    clock.write_text("+0")
    daemon = Running(
        drop,
        tmp_path / "state",
        LD_PRELOAD=str(FAKETIME),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
        INGESTD_RETRY__FIRST_S="0.5",
    )
    request.addfinalizer(daemon.kill)
    for number, now in enumerate(("-400d", "+400d", "+0")):
        clock.write_text(now)
        shutil.copy(CT_FILES[number], drop)
        wait_for(partial(daemon.one, f"FROM (SELECT count(*) > {number} FROM instance)"))
        wait_for(
            lambda: daemon.one(
                "SELECT count(*) FROM series_state WHERE state NOT IN ('receiving', 'quiet')"
            )
        )
    days = daemon.rows("SELECT date_diff('day', now()::TIMESTAMP, ingested_utc) AS d FROM instance")
    assert sorted(round(row["d"] / 400) for row in days) == [-1, 0, 1]
    assert daemon.stop() == 0
