import contextlib
import mmap
import resource
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from daemons import wait_for
from knocking import Knocker
from test_catalog import NOW, batch, file

from ingestd import config, desk, sqlgate
from ingestd.catalog import Catalog
from ingestd.serve import Server

ENDLESS = (
    "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range % 7 = b.range % 5"
)
DEAF = "SELECT 'heeds nobody'"


@dataclass
class Asked:
    """A server, and somebody at its door."""

    server: Server
    knock: Knocker

    def count(self, what: str) -> int:
        return int(self.server.desk.status().get(what, 0))


@pytest.fixture
def asked(catalog: Catalog, request: pytest.FixtureRequest) -> Iterator[Asked]:
    catalog.write(batch(file("a")), now=NOW)
    limits = config.Sql(deadline_s=getattr(request, "param", 60.0))
    server = Server(catalog, dict, limits, state=catalog.state, growth_bytes=200_000_000)
    server.start()
    yield Asked(server, Knocker(catalog.state))
    server.stop()


def answers(asked: Asked) -> bool:
    """Whether a small question is answered."""
    return asked.knock.ask("SELECT count(*) AS n FROM file").json() == [{"n": 1}]


def test_a_question_ends_when_who_asked_has_gone(asked: Asked) -> None:
    with asked.knock.connect() as connection:
        head = f"POST /sql HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ENDLESS)}\r\n\r\n"
        connection.sendall((head + ENDLESS).encode())
        wait_for(lambda: asked.count("running") == 1)
    wait_for(lambda: asked.count("running") == 0)
    wait_for(lambda: asked.count("gone") == 1)
    assert answers(asked)


def test_who_waits_for_a_place_may_go_too(asked: Asked) -> None:
    held: list[socket.socket] = []
    for _ in range(desk.QUERIES + 2):
        connection = asked.knock.connect()
        head = f"POST /sql HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ENDLESS)}\r\n\r\n"
        connection.sendall((head + ENDLESS).encode())
        held.append(connection)
    wait_for(lambda: (asked.count("running"), asked.count("waiting")) == (desk.QUERIES, 2))
    for connection in held:
        connection.close()
    wait_for(lambda: (asked.count("running"), asked.count("waiting")) == (0, 0))
    assert answers(asked)


def test_when_too_many_wait_the_next_is_told_so(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "WAITING", 0)
    reply = asked.knock.ask("SELECT 1")
    assert (reply.status, reply.error, reply.headers["retry-after"]) == (503, "busy", "1")


def test_a_question_that_takes_too_much_memory_is_stopped(asked: Asked) -> None:
    reply = asked.knock.ask("SELECT len(list(range)) FROM range(10000000000)")
    assert (reply.status, reply.error) == (413, "too_much_memory")
    assert answers(asked)


def test_what_is_asked_meanwhile_moves_no_bound_of_memory(asked: Asked) -> None:
    with asked.knock.connect() as connection:
        head = f"POST /sql HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ENDLESS)}\r\n\r\n"
        connection.sendall((head + ENDLESS).encode())
        wait_for(lambda: asked.count("running") == 1)
        bound, _ = resource.getrlimit(resource.RLIMIT_DATA)
        with mmap.mmap(-1, 300_000_000, mmap.MAP_PRIVATE):  # As if it were about to fill it.
            assert answers(asked)
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == bound != resource.RLIM_INFINITY
    wait_for(lambda: resource.getrlimit(resource.RLIMIT_DATA) == (resource.RLIM_INFINITY,) * 2)


def test_a_question_without_room_for_its_thread_takes_no_place(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        errors = {asked.knock.ask("SELECT 1").error for _ in range(desk.QUERIES + 1)}
    assert errors == {"too_much_memory"}
    assert asked.count("running") == 0
    assert answers(asked)


@pytest.mark.parametrize("asked", [0.3], indirect=True)
def test_a_question_that_heeds_nobody_keeps_no_place(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, over = sqlgate.check, threading.Event()

    def check(db: Any, sql: str, names: sqlgate.Known) -> str:
        assert sql != DEAF or over.wait(60)  # No interrupt of DuckDB ends this.
        return real(db, sql, names)

    monkeypatch.setattr(desk, "GRACE_S", 0.1)
    monkeypatch.setattr(desk, "STUCK", 2)
    monkeypatch.setattr(sqlgate, "check", check)
    with ThreadPoolExecutor(2) as many:
        errors = [reply.error for reply in many.map(asked.knock.ask, [DEAF] * 2)]
    assert errors == ["deadline"] * 2
    assert asked.count("stuck") == 2
    assert asked.knock("GET", "/healthz").status == 200
    over.set()
    wait_for(lambda: asked.count("stuck") == 0)
    wait_for(lambda: answers(asked))


def test_what_is_asked_at_the_end_is_told_so(catalog: Catalog) -> None:
    server = Server(catalog, dict, config.Sql(), state=catalog.state)
    server.start()
    knock = Knocker(catalog.state)
    told: list[str] = []

    def ask() -> None:
        with contextlib.suppress(OSError):
            told.append(knock.ask(ENDLESS).error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: server.desk.status()["running"] == 1)
    server.stop()
    asking.join(30)
    assert told in (["stopping"], [])
    wait_for(lambda: "question" not in {thread.name for thread in threading.enumerate()})


def test_the_catalog_is_opened_anew_while_somebody_asks(asked: Asked, catalog: Catalog) -> None:
    with asked.knock.connect() as connection:
        head = f"POST /sql HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ENDLESS)}\r\n\r\n"
        connection.sendall((head + ENDLESS).encode())
        wait_for(lambda: asked.count("running") == 1)
        catalog.reopen()
        wait_for(lambda: asked.count("running") == 0)
    assert answers(asked)
