"""Rights that are missing, names that are taken: said with words, and nothing is lost.

Root may do everything, so here the daemon runs as somebody else.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import COMMAND, FAST, Running, scan, wait_for
from slices import CT_FOLDER

import ingestd

NOBODY = 65534
CT_SLICES = len(list(CT_FOLDER.iterdir()))
#: Looks again soon, and does not give up.
PATIENT = {
    "INGESTD_RETRY__FIRST_S": "0.3",
    "INGESTD_RETRY__LIMIT_S": "1",
    "INGESTD_RETRY__ATTEMPTS": "100",
    "INGESTD_SWEEP__HOT_S": "0.5",
    "INGESTD_SWEEP__FULL_SWEEP_S": "1",
}


def may_run() -> bool:
    """Whether another user can run what is tested: root's home is often closed to others."""
    command = [sys.executable, "-c", "import ingestd"]
    try:
        done = subprocess.run(
            command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False
        )
    except PermissionError:
        return False
    return done.returncode == 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, with a drop folder, and a state folder of nobody's."""
    if os.geteuid():
        pytest.skip("needs to become another user")
    if not may_run():
        pytest.skip("another user may not run the Python or read the code that is tested")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "drop").mkdir()
        (folder / "state").mkdir()
        os.chown(folder / "state", NOBODY, NOBODY)
        yield folder


@pytest.fixture
def started(place: Path) -> Iterator[Running]:
    """A daemon of nobody's."""
    daemon = Running(place / "drop", place / "state", user=NOBODY, **PATIENT)
    yield daemon
    if daemon.process.poll() is None:
        daemon.kill()


def ended(
    place: Path, *words: str, user: int | None = NOBODY, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    them = {"user": user, "group": user, "extra_groups": []} if user else {}
    return subprocess.run(
        [*COMMAND, *words, "--state", str(place / "state")],
        env=os.environ | FAST | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **them,  # type: ignore[call-overload]
    )


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """See that a command ended with words and nothing else."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("ingestd: ")] == []
    for one in words:
        assert one in done.stderr


@pytest.mark.parametrize("command", ["run", "scan"])
def test_a_state_folder_of_somebody_else_is_refused_with_words(place: Path, command: str) -> None:
    os.chown(place / "state", 0, 0)
    what = ["--root", str(place / "drop")] if command == "run" else [str(place / "drop")]
    done = ended(place, command, *what)
    refused(done, 1, str(place / "state"), "Permission denied", "the right to write there")
    assert list((place / "state").iterdir()) == []


def test_a_catalog_of_somebody_else_is_not_called_damaged(place: Path) -> None:
    """As after one `sudo ingestd scan` into the state folder of the service."""
    scan(CT_FOLDER, state=place / "state")
    for name in ("owner.lock", "readers.lock"):
        os.chown(place / "state" / name, NOBODY, NOBODY)
    os.chown(place / "state" / "tmp", NOBODY, NOBODY)
    before = (place / "state" / "catalog.duckdb").read_bytes()
    done = ended(place, "run", "--root", str(place / "drop"))
    refused(done, 1, "catalog.duckdb", "Permission denied", "the right to write there")
    assert "damaged" not in done.stderr
    assert (place / "state" / "catalog.duckdb").read_bytes() == before


def test_a_folder_of_pictures_that_cannot_be_written_halts_until_it_can(
    place: Path, started: Running
) -> None:
    (place / "state" / "thumbnails").mkdir(mode=0o755, exist_ok=True)
    os.chown(place / "state" / "thumbnails", 0, 0)
    shutil.copytree(CT_FOLDER, place / "drop" / "series")
    client = ingestd.open(place / "state")
    wait_for(lambda: client.status()["halted"] == "state_not_writable")
    assert "cannot be written: Permission denied" in started.log.read_text()
    os.chown(place / "state" / "thumbnails", NOBODY, NOBODY)
    wait_for(lambda: started.one("SELECT count(thumbnail_path) FROM instance") == CT_SLICES)
    wait_for(lambda: client.status()["halted"] is None)


def test_what_cannot_be_read_is_read_as_soon_as_it_can(place: Path, started: Running) -> None:
    drop = place / "drop"
    shutil.copytree(CT_FOLDER, drop / "series")
    shutil.copytree(CT_FOLDER, place / "outside" / "closed")
    (place / "outside" / "secret").write_text("no DICOM")
    for name in ("closed", "secret"):
        (place / "outside" / name).chmod(0)
        (place / "outside" / name).rename(drop / name)
    closed, secret = drop / "closed", drop / "secret"
    files = "SELECT count(*) FROM file WHERE path LIKE '{}/%'"
    reason = "SELECT reason FROM file WHERE path = 'secret'"
    wait_for(lambda: started.one(files.format("series")) == CT_SLICES)
    wait_for(lambda: started.rows(reason) == [{"reason": "not_readable"}])
    wait_for(lambda: started.health(drop) == "degraded")
    assert "cannot be listed" in started.root(drop)["why"]
    drop.chmod(0)
    wait_for(lambda: started.health(drop) == "unreachable")
    assert "Permission denied" in started.root(drop)["why"]

    for path, mode in ((drop, 0o755), (closed, 0o755), (secret, 0o644)):
        path.chmod(mode)
    wait_for(lambda: started.one(files.format("closed")) == CT_SLICES)
    wait_for(lambda: started.rows(reason) == [{"reason": "not_dicom"}])
    wait_for(lambda: started.health(drop) == "healthy")
    assert started.one("SELECT count(*) FROM file WHERE state = 'gone'") == 0
    assert started.stop() == 0


def test_a_port_that_is_taken_is_named_and_nothing_is_left_behind(place: Path) -> None:
    token = place / "token"
    token.write_text("0123456789abcdef")
    os.chown(token, NOBODY, NOBODY)
    token.chmod(0o600)
    taken = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    settings = {"INGESTD_SQL__LISTEN": address, "INGESTD_SQL__TOKEN_FILE": str(token)}
    done = ended(place, "run", "--root", str(place / "drop"), **settings)
    refused(done, 2, f"[sql] listen = '{address}': Address already in use")
    assert not (place / "state" / "ingestd.sock").exists()
    taken.close()
    daemon = Running(place / "drop", place / "state", user=NOBODY, **settings)
    assert daemon.stop() == 0


@pytest.mark.long
def test_of_daemons_that_start_at_once_on_one_state_folder_one_lives(place: Path) -> None:
    words = [*COMMAND, "run", "--root", str(place / "drop"), "--state", str(place / "state")]
    racing = [
        subprocess.Popen(words, env=os.environ | FAST, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        wait_for(lambda: sum(one.poll() is not None for one in racing) == 2)
        (winner,) = [one for one in racing if one.poll() is None]
        wait_for((place / "state" / "ingestd.sock").exists)
        wait_for(lambda: ingestd.open(place / "state").status()["pid"] == winner.pid)
        for loser in racing:
            if loser is not winner:
                assert loser.stderr is not None
                assert loser.returncode == 1
                assert "owns this state folder. Stop it first" in loser.stderr.read()
    finally:
        for one in racing:
            one.kill()
            one.communicate()


def test_what_a_killed_daemon_leaves_is_in_nobodys_way(place: Path, started: Running) -> None:
    shutil.copytree(CT_FOLDER, place / "drop" / "series")
    wait_for(lambda: started.one("SELECT count(*) FROM file") == CT_SLICES)
    started.kill()
    state = place / "state"
    assert (state / "ingestd.sock").is_socket()
    # The number of a process that lives, and is another one by now.
    (state / "owner.lock").write_text("1\n")
    done = ended(place, "sql", "SELECT count(*) AS n FROM file", "--format", "csv")
    assert done.stdout.split() == ["n", str(CT_SLICES)]
    again = Running(place / "drop", state, user=NOBODY)
    assert (state / "owner.lock").read_text() == f"{again.process.pid}\n"
    assert again.one("SELECT count(*) FROM file") == CT_SLICES
    assert again.stop() == 0


@pytest.mark.long
def test_a_path_too_long_for_a_socket_is_long_enough_for_ours(place: Path) -> None:
    state = place / ("x" * 120) / "state"
    state.mkdir(parents=True)
    os.chown(state, NOBODY, NOBODY)
    daemon = Running(place / "drop", state, user=NOBODY)
    status = subprocess.run(
        [*COMMAND, "status", "--state", str(state)], capture_output=True, text=True, check=True
    )
    assert f"running, pid {daemon.process.pid}" in status.stdout
    assert daemon.stop() == 0
    assert not (state / "ingestd.sock").exists()
