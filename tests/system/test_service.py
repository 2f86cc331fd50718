"""What systemd sees of the daemon, and what a reload does to it."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from daemons import Running, wait_for

import ingestd
from ingestd import checkup
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

    def __init__(self, folder: Path, heard: socket.socket, text: str) -> None:
        self.config = folder / "ingestd.toml"
        self.config.write_text(text)
        self._heard = heard
        self.daemon = Running(
            folder / "drop",
            folder / "state",
            config=self.config,
            NOTIFY_SOCKET=str(folder / "notify"),
            WATCHDOG_USEC="3000000",
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
