import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ingestd.notify import Notifier, Watchdog
from ingestd.pulse import Pulse


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The other end of NOTIFY_SOCKET."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(10)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield heard
    heard.close()


def test_each_word_of_the_protocol(systemd: socket.socket) -> None:
    notifier = Notifier()
    for say in (notifier.ready, notifier.moving, notifier.stopping, notifier.reloading):
        say()
    words = [systemd.recv(999).decode() for _ in range(4)]
    assert words[:3] == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
    assert words[3].startswith("RELOADING=1\nMONOTONIC_USEC=")


def test_a_status_is_one_line_and_said_once(systemd: socket.socket) -> None:
    notifier = Notifier()
    notifier.status("a\nREADY=1")
    notifier.status("a\nREADY=1")
    notifier.status("b")
    assert [systemd.recv(999) for _ in range(2)] == [b"STATUS=a READY=1", b"STATUS=b"]


def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"ingestd-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        Notifier().ready()
        assert heard.recv(99) == b"READY=1"


def test_no_systemd_and_one_that_went_away_are_no_trouble(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.close()
    Notifier().ready()
    monkeypatch.delenv("NOTIFY_SOCKET")
    Notifier().ready()


@pytest.mark.parametrize(
    ("pid", "expected"), [(None, 3.0), ("own", 3.0), ("1", 0.0)], ids=["any", "ours", "another's"]
)
def test_whose_watchdog_it_is(
    monkeypatch: pytest.MonkeyPatch, pid: str | None, expected: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert Notifier().watchdog_s == expected


def fed_until_silent(systemd: socket.socket) -> int:
    """Count the signs of life until there is none for a second."""
    systemd.settimeout(1.0)
    fed = 0
    with suppress(TimeoutError):
        while systemd.recv(99):
            fed += 1
    return fed


def test_the_watchdog_is_fed_until_a_part_stands_still(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    monkeypatch.setattr("ingestd.pulse.USUAL_S", 0.3)
    pulse = Pulse()
    watchdog = Watchdog(pulse, Notifier())
    pulse.part("sender")  # It never beats.
    watchdog.start()
    assert systemd.recv(99) == b"WATCHDOG=1"
    fed = fed_until_silent(systemd)
    assert 1 <= fed <= 40  # For 0.3 s, each 0.01 s or later.
    assert list(watchdog.stuck) == ["sender"]
    pulse.end("sender")
    systemd.settimeout(10)
    assert systemd.recv(99) == b"WATCHDOG=1"
    watchdog.stop()
