"""What systemd sees of the daemon, and what a reload does to it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import PATIENCE
from daemons import COMMAND, FAST, Running, wait_for
from disks import MIB, disk
from shares import Share
from threadstop import Named, Stopped

import ingestd
from ingestd import checkup, ending, sql
from ingestd.catalog import Catalog, utc_now
from ingestd.errors import SqlError
from ingestd.report import status_text


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """What the daemon says to systemd."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(str(tmp_path / "notify"))
    end.settimeout(60)
    yield end
    end.close()


class Service:
    """A daemon with a config file, and systemd's end of its socket."""

    def __init__(self, folder: Path, heard: socket.socket, text: str, **settings: str) -> None:
        self.config = folder / "ingestd.toml"
        self.config.write_text(text)
        self._heard = heard
        self.daemon = Running(
            folder / "drop",
            folder / "state",
            config=self.config,
            NOTIFY_SOCKET=str(folder / "notify"),
            WATCHDOG_USEC="3000000",
            **settings,
        )

    def await_word(self, word: str) -> str:
        """Wait until this is said."""
        while not (said := self._heard.recv(4096).decode()).startswith(word):
            pass
        return said

    def forget(self) -> None:
        """Throw away what was said so far."""
        self._heard.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._heard.recv(4096)

    def reload(self, text: str) -> None:
        """Give it another config, and wait until it has looked at it."""
        self.config.write_text(text)
        self.daemon.process.send_signal(signal.SIGHUP)
        self.await_word("RELOADING=1")
        self.await_word("READY=1")

    def status(self, key: str | None = None) -> Any:
        """Its status, or one key of it."""
        status = ingestd.open(self.daemon.state).status()
        assert status is not None
        return status if key is None else status[key]


def root(path: Path) -> str:
    return f'[[root]]\npath = "{path}"\n'


@pytest.fixture
def service(tmp_path: Path, heard: socket.socket) -> Iterator[Service]:
    for name in ("drop", "other"):
        (tmp_path / name).mkdir()
    service = Service(tmp_path, heard, root(tmp_path / "drop"))
    yield service
    if service.daemon.process.poll() is None:
        service.daemon.kill()


def test_it_says_ready_status_alive_reloading_stopping(service: Service) -> None:
    assert service.await_word("READY=1")
    assert service.await_word("STATUS=1 of 1 roots healthy")
    assert service.await_word("WATCHDOG=1")
    assert checkup.service(service.daemon.state).state == "good"
    service.daemon.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in service.await_word("RELOADING=1")
    assert service.await_word("READY=1")
    service.daemon.process.send_signal(signal.SIGTERM)
    assert service.await_word("STOPPING=1")
    assert service.daemon.process.wait(20) == 0


def test_roots_and_workers_change_while_files_come_and_none_is_lost(
    service: Service, tmp_path: Path, study: Path
) -> None:
    drop, other = tmp_path / "drop", tmp_path / "other"
    service.await_word("READY=1")
    shutil.copytree(study / "ct-abdomen", drop / "one")
    shutil.copytree(study / "real", other / "two")
    for turn in range(4):  # Each time something else is under way.
        roots = root(other) if turn % 2 else root(drop) + root(other)
        service.reload(f"{roots}[workers]\nprocesses = {1 + turn % 3}\nchunk_files = {1 + turn}\n")
        shutil.copytree(study / "real", drop / f"more{turn}")
    service.reload(root(drop) + root(other) + "[settle]\nquiet_s = 0.2\n")
    files = sum(path.is_file() for top in (drop, other) for path in top.rglob("*"))
    wait_for(lambda: service.daemon.one("SELECT count(*) FROM file") == files)
    wait_for(lambda: service.status("waiting") == 0)
    assert service.daemon.one("SELECT count(*) FROM file WHERE state IN ('gone', 'retry')") == 0
    assert service.daemon.one("SELECT count(*) FROM event WHERE kind = 'root_unreachable'") == 0
    assert service.daemon.stop() == 0


def test_a_bad_config_is_refused_with_words_and_the_old_one_holds(
    service: Service, tmp_path: Path
) -> None:
    good = service.config.read_text()
    service.reload(root(tmp_path / "other") + "[workers]\nproceses = 1\n")
    assert "did you mean processes?" in str(service.status("config_refused"))
    words = "config     refused, the old one holds: "
    assert words in status_text({"daemon": service.status(), "catalog": None, "error": ""})
    assert service.daemon.health(tmp_path / "drop") == "healthy"
    assert "<3>reload_refused" in service.daemon.log.read_text()
    missing = tmp_path / "missing"
    service.reload(good + f'[hooks]\nurl = "http://localhost"\ntoken_file = "{missing}"\n')
    assert str(missing) in str(service.status("config_refused"))
    service.reload(good)
    assert service.status("config_refused") == ""
    service.reload(good + "[catalog]\nmemory_bytes = 1000000000\n")
    assert service.status("restart_wanted") == ["catalog.memory_bytes"]


def test_limits_and_snapshots_of_a_new_config_hold_at_once_and_without_the_daemon(
    service: Service, tmp_path: Path
) -> None:
    good = service.config.read_text()
    service.daemon.rows("FROM range(11)")
    service.reload(good + "[sql]\nrows = 10\nsnapshot_s = 0.2\n")
    wait_for((tmp_path / "state" / "snapshot.duckdb").exists)
    with pytest.raises(SqlError, match="more than 10 rows"):
        service.daemon.rows("FROM range(11)")
    assert service.daemon.stop() == 0
    with pytest.raises(SqlError, match="more than 10 rows"):
        service.daemon.rows("FROM range(11)")


def test_a_new_config_hides_at_once_who_a_patient_is_and_shows_it_after_a_restart_only(
    service: Service, tmp_path: Path, study: Path
) -> None:
    state, good = tmp_path / "state", service.config.read_text()
    shutil.copytree(study / "ct-abdomen", tmp_path / "drop" / "one")
    wait_for(lambda: service.daemon.one("SELECT count(PatientName) FROM instance"))
    service.reload(good + "[sql]\nsnapshot_s = 0.2\n")
    snapshot = state / "snapshot.duckdb"
    wait_for(lambda: snapshot.exists() and "PatientName" in columns(snapshot))

    service.reload(good + '[sql]\nprofile = "research"\nsnapshot_s = 0.2\n')

    with pytest.raises(SqlError, match="profile = research"):
        service.daemon.rows("SELECT PatientName FROM instance")
    assert service.daemon.one("SELECT count(PatientID) FROM instance") > 0
    shutil.copytree(study / "real", tmp_path / "drop" / "two")  # The log of the catalog, too.
    wait_for(lambda: service.daemon.one("SELECT count(DISTINCT Modality) FROM instance") > 1)
    wait_for(snapshot.exists)
    assert "PatientName" not in columns(snapshot)
    for name in ("catalog.duckdb", "catalog.duckdb.wal", "thumbnails", "volumes", "tmp"):
        assert not (state / name).exists() or not (state / name).stat().st_mode & 0o077, name

    service.reload(good)
    assert service.status("restart_wanted") == ["sql.profile"]
    with pytest.raises(SqlError, match="profile = research"):
        service.daemon.rows("SELECT PatientName FROM instance")
    assert service.daemon.stop() == 0
    with pytest.raises(SqlError, match="profile = research"):
        service.daemon.rows("SELECT PatientName FROM instance")


def columns(snapshot: Path) -> set[str]:
    """Name the columns of a snapshot; none when another takes its place just now."""
    with suppress(duckdb.IOException), duckdb.connect(str(snapshot), read_only=True) as db:
        question = "SELECT DISTINCT column_name FROM duckdb_columns() WHERE NOT internal"
        return {name for (name,) in db.execute(question).fetchall()}
    return set()


LOOP = '[[root]]\npath = "{place}/other"\nquarantine = "{place}/loop/x"\n'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[[root]]\npath = '/a'\n[[", id="no TOML"),
        pytest.param("a = " + "[" * 5000, id="a tower of brackets"),
        pytest.param("", id="nothing: no root"),
        pytest.param(root(Path("{place}/state/in")), id="a root in the state folder"),
        pytest.param('[[root]]\npath = "/a\\u0000"\n', id="a NUL in a path"),
        pytest.param(f"{root(Path('{place}/other'))}[sql]\nrows = {10**40}\n", id="a number"),
    ],
)
def test_whatever_the_config_has_become_the_daemon_goes_on(
    service: Service, tmp_path: Path, text: str
) -> None:
    service.reload(text.replace("{place}", str(tmp_path)))
    assert service.status("config_refused")
    service.reload(root(tmp_path / "other"))
    assert service.status("config_refused") == ""
    assert service.daemon.health(tmp_path / "other") == "healthy"


def test_a_quarantine_behind_a_loop_of_links_is_no_end_of_the_daemon(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    service.reload(LOOP.format(place=tmp_path))
    assert service.status("halted") is None


def answer(port: int, token: str) -> int:
    """Ask for the metrics with a token; give the HTTP status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_token_that_was_changed_is_the_only_one_after_a_reload(
    tmp_path: Path, heard: socket.socket
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "drop").mkdir()
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("first-of-all-tokens")
    asked = f'[sql]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{token}"\n'
    service = Service(tmp_path, heard, config := root(tmp_path / "drop") + asked)
    try:
        assert answer(port, "first-of-all-tokens") == 200
        token.write_text("second-of-all-tokens")
        service.reload(config)
        assert [answer(port, f"{nth}-of-all-tokens") for nth in ("first", "second")] == [401, 200]
        token.write_text("short")
        service.reload(config)
        assert "a token is one word of at least" in service.status("config_refused")
        assert answer(port, "second-of-all-tokens") == 200
        assert "of-all-tokens" not in service.daemon.log.read_text()
    finally:
        service.daemon.kill()


def begun(tmp_path: Path, state: Path, *, journal: bool = False) -> subprocess.Popen[str]:
    """Start a daemon as systemd does, which may end by itself."""
    (tmp_path / "drop").mkdir(exist_ok=True)
    said = (tmp_path / "said").open("w+")
    there = os.fstat(said.fileno())
    stream = {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"} if journal else {}
    with said:
        return subprocess.Popen(
            [*COMMAND, "run", "--root", str(tmp_path / "drop"), "--state", str(state)],
            env=os.environ | FAST | {"NOTIFY_SOCKET": str(tmp_path / "notify")} | stream,
            stderr=said,
            text=True,
        )


def cut(state: Path) -> None:
    os.truncate(state / "catalog.duckdb", 20_000)


def of_a_newer_program(state: Path) -> None:
    with (
        Catalog(state, memory_bytes=1 << 28, patience=PATIENCE) as made,
        made.transaction() as db,
    ):
        later = len(sql.migrations()) + 1
        db.execute("INSERT INTO migration VALUES (?, 'later', ?)", [later, utc_now()])


@pytest.mark.parametrize("harm", [cut, of_a_newer_program])
@pytest.mark.usefixtures("heard")
def test_systemd_is_told_when_only_a_person_can_mend_it(
    tmp_path: Path, scanned: Path, harm: Any
) -> None:
    state = tmp_path / "state"
    shutil.copytree(scanned, state)
    harm(state)
    assert begun(tmp_path, state, journal=True).wait(60) == ending.BROKEN
    lines = (tmp_path / "said").read_text().splitlines()
    assert f"<3>ingestd: {state}/catalog.duckdb" in lines[0]
    assert [line for line in lines if not line.startswith("<3>")] == []


def test_without_room_for_a_start_it_says_so_and_stays_a_while_with_nothing_in_hand(
    tmp_path: Path, heard: socket.socket
) -> None:
    with disk("tmpfs", tmp_path, 16 * MIB) as small:
        small.fill(0)
        state = small.place / "state"
        service = begun(tmp_path, state)
        try:
            while b"HALTED" not in (said := heard.recv(4096)):
                pass
            assert b"No space left on device" in said
            service.send_signal(signal.SIGHUP)
            small.make_room()
            other = Running(tmp_path / "drop", state)  # Nobody owns the folder meanwhile.
            assert other.stop() == 0
            assert service.poll() is None
        finally:
            service.terminate()
        assert service.wait(60) == -signal.SIGTERM


def test_a_share_that_hangs_holds_no_more_than_the_process(
    share: Share, tmp_path: Path, heard: socket.socket
) -> None:
    (share.inside / "one").write_text("no DICOM")
    (tmp_path / "drop").mkdir()
    config = root(tmp_path / "drop") + root(share.mountpoint)
    service = Service(tmp_path, heard, config + "[sweep]\nhot_s = 0.5\ndeadline_s = 1\n")
    wait_for(lambda: service.daemon.health(share.mountpoint) == "healthy")
    share.fails("getattr * hang", "readdir * hang")
    wait_for(lambda: service.daemon.health(share.mountpoint) == "unreachable")
    service.daemon.process.terminate()
    service.await_word("STOPPING=1")
    wait_for(lambda: "stopped files=" in service.daemon.log.read_text())
    next_one = Running(tmp_path / "drop", service.daemon.state)  # The catalog is free.
    assert next_one.stop() == 0
    share.fails()
    assert service.daemon.process.wait(60) == 0


def test_the_doctor_says_of_an_archive_that_hangs_that_it_does(
    share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "STORE_S", 0.5)
    share.fails("getattr * hang")
    (found,) = checkup.look_at_store(share.mountpoint, 0)
    assert (found.state, "it hangs" in found.detail) == ("bad", True)


def test_the_container_is_healthy_as_long_as_its_daemon_answers(service: Service) -> None:
    file = Path(__file__).parents[2] / "deploy" / "Containerfile"
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", file.read_text(), re.MULTILINE)
    command = [sys.executable, *json.loads(check)[1:]]
    environment = os.environ | {"INGESTD_STATE": str(service.daemon.state)}
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    service.daemon.kill()
    assert subprocess.run(command, env=environment, check=False).returncode == 1


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", ["sender", "keeper-0"])
def test_one_thread_that_stands_still_ends_the_signs_of_life_and_is_named(
    tmp_path: Path, heard: socket.socket, part: str
) -> None:
    (tmp_path / "drop").mkdir()
    named = Named(tmp_path)
    service = Service(tmp_path, heard, root(tmp_path / "drop"), **named.settings)
    try:
        service.await_word("WATCHDOG=1")
        with Stopped(named.number(part)):
            service.await_word(f"STATUS=STUCK: {part}")
            assert service.status("stuck") == [part]
            service.forget()
            heard.settimeout(4)
            with pytest.raises(TimeoutError):
                service.await_word("WATCHDOG=1")
        heard.settimeout(60)
        assert service.await_word("WATCHDOG=1")
        assert service.status("stuck") == []
    finally:
        service.daemon.kill()


def test_a_daemon_that_is_stopped_gives_no_sign_of_life_and_goes_on_afterwards(
    service: Service,
) -> None:
    service.await_word("WATCHDOG=1")
    os.kill(service.daemon.process.pid, signal.SIGSTOP)
    service.forget()
    service._heard.settimeout(4)
    with pytest.raises(TimeoutError):
        service._heard.recv(4096)
    os.kill(service.daemon.process.pid, signal.SIGCONT)
    service._heard.settimeout(60)
    assert service.await_word("WATCHDOG=1")
    assert service.status("stuck") == []
