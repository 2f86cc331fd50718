"""Without a daemon a question meets the same gate and the same limits."""

import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attacks import BOMBS, statements
from conftest import PATIENCE
from daemons import COMMAND, wait_for
from test_catalog import NOW, batch, file

from ingestd import alone, bounds, config, profile
from ingestd.bounds import Bounds
from ingestd.catalog import Catalog
from ingestd.client import Client
from ingestd.errors import SqlError, StateError
from ingestd.serve import Server

TIGHT = Bounds(
    rows=1000, bytes=100_000, deadline_s=60.0, engine_bytes=1 << 28, growth_bytes=1 << 29
)
FOR_EVER = "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 3"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that nobody owns, with limits that a daemon left."""
    folder = tmp_path_factory.mktemp("alone") / "state"
    with Catalog(folder, memory_bytes=1 << 28, patience=PATIENCE) as catalog:
        catalog.write(batch(file("a"), file("b", "2.2")), now=NOW)
    bounds.keep(folder, TIGHT)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server with the same limits, of another state folder."""
    folder = tmp_path_factory.mktemp("served") / "state"
    limits = config.Sql(rows=TIGHT.rows, bytes=TIGHT.bytes, deadline_s=TIGHT.deadline_s)
    with Catalog(folder, memory_bytes=TIGHT.engine_bytes, patience=PATIENCE) as catalog:
        catalog.write(batch(file("a")), now=NOW)
        server = Server(catalog, dict, limits, state=folder, growth_bytes=TIGHT.growth_bytes)
        server.start()
        yield Client(folder)
        server.stop()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param("FROM range(1001)", "more than 1000 rows; add LIMIT", id="rows"),
        pytest.param(
            "SELECT string_agg('xxxxxxxxxx', '') FROM range(20000)", "100000 bytes", id="bytes"
        ),
        pytest.param("DELETE FROM file", "only questions", id="a write"),
        pytest.param("SELECT nothing FROM file", "nothing", id="a name"),
    ],
)
def test_the_same_is_refused_in_the_same_words_with_a_daemon_and_without(
    state: Path, served: Client, query: str, says: str
) -> None:
    alone_ = Client(state)
    for ask in (alone_.answer, alone_.sql, served.answer):
        with pytest.raises(SqlError, match=says):
            ask(query)


def test_every_attack_is_refused_without_a_daemon(state: Path) -> None:
    client = Client(state)
    answered = []
    for name, sql in list(statements().items())[::5]:
        try:
            client.sql(sql)
        except SqlError:
            continue
        answered.append(name)
    assert answered == []
    assert client.sql("SELECT count(*) AS n FROM file").to_pylist() == [{"n": 2}]


def command(state: Path, query: str, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "sql", query, "--state", str(state), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def hasty(state: Path) -> Iterator[None]:
    """Little time."""
    bounds.keep(state, TIGHT._replace(deadline_s=1.0))
    yield
    bounds.keep(state, TIGHT)


@pytest.mark.usefixtures("hasty")
def test_a_question_is_stopped_at_the_deadline(state: Path) -> None:
    for ask in (Client(state).answer, Client(state).sql):
        with pytest.raises(SqlError, match="stopped after 1 s; ask for less"):
            ask(FOR_EVER)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("bomb", ["texts of each row", "a long list", "a sorted list"])
def test_a_bomb_takes_no_more_than_the_process_may(state: Path, bomb: str) -> None:
    with command(state, BOMBS[bomb]) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert any(words in said for words in ("stopped after", "more memory", "not answered here"))
    assert list((state / "tmp").glob(f"{alone.SPILLED}*")) == []


def test_ctrl_c_ends_a_question(state: Path) -> None:
    with command(state, FOR_EVER) as process:
        wait_for(lambda: has_open(process.pid, state))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=50)
    assert (process.returncode, said) == (130, "ingestd: interrupted\n")


def has_open(pid: int, state: Path) -> bool:
    """Whether a process has the catalog of a state folder open."""
    handles = Path(f"/proc/{pid}/fd")
    links = []
    for handle in os.listdir(handles):
        try:
            links.append(os.readlink(handles / handle))
        except FileNotFoundError:
            continue
    return str(state / "catalog.duckdb") in links


@pytest.fixture
def spilling(state: Path) -> Iterator[None]:
    """Little memory."""
    bounds.keep(state, TIGHT._replace(engine_bytes=1 << 26))
    yield
    bounds.keep(state, TIGHT)


@pytest.mark.usefixtures("spilling")
def test_what_does_not_fit_into_memory_goes_to_the_state_folder_and_is_gone_afterwards(
    state: Path,
) -> None:
    names: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            names.update(path.name for path in (state / "tmp").glob("ask-*/*"))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        found = Client(state).sql(
            "SELECT count(*) AS n FROM (FROM range(9000000) ORDER BY hash(range) LIMIT 8000000)"
        )
    finally:
        over.set()
        looking.join()
    assert found.to_pylist() == [{"n": 8_000_000}]
    assert names, "nothing was spilled: this shows nothing"
    assert list((state / "tmp").iterdir()) == []


def test_where_the_state_folder_cannot_be_written_a_private_folder_is_made(tmp_path: Path) -> None:
    folder = alone.room(tmp_path)
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert not folder.is_relative_to(tmp_path)


@pytest.mark.parametrize("hidden", [False, True])
def test_questions_of_several_threads_are_all_answered(
    state: Path, tmp_path: Path, *, hidden: bool
) -> None:
    if hidden:
        shutil.copytree(state, tmp_path / "state")
        state = tmp_path / "state"
        profile.enter(state, "research")
    client = Client(state)
    with ThreadPoolExecutor(4) as many:
        answers = many.map(client.sql, [f"SELECT count(*) + {n} AS n FROM file" for n in range(8)])
    assert [answer.to_pylist() for answer in answers] == [[{"n": 2 + n}] for n in range(8)]


def test_what_a_killed_question_left_is_deleted_by_the_next_owner(tmp_path: Path) -> None:
    left = tmp_path / "tmp" / "ask-1-1"
    left.mkdir(parents=True)
    (left / "duckdb_temp_storage").write_bytes(b"x")
    with Catalog(tmp_path, memory_bytes=1 << 28, patience=PATIENCE):
        assert not left.exists()


def test_an_error_that_is_kept_keeps_no_file_open(state: Path) -> None:
    with pytest.raises(SqlError) as kept:
        Client(state).sql("SELECT error('x') FROM file")
    assert kept.value
    assert not has_open(os.getpid(), state)


class Stubborn:
    """A question that heeds no interrupt."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def __call__(self, *_: Any) -> str:
        self.end.wait(60)
        return "late"


@pytest.mark.usefixtures("hasty")
def test_who_asks_is_told_at_the_deadline_whatever_the_question_does(state: Path) -> None:
    stubborn, began_s = Stubborn(), time.monotonic()
    with pytest.raises(SqlError, match="stopped after 1 s"):
        alone.ask_file(state / "catalog.duckdb", "SELECT 1", stubborn, gated=True)
    assert time.monotonic() - began_s < 50
    stubborn.end.set()
    wait_for(lambda: not has_open(os.getpid(), state))


def test_limits_that_cannot_be_read_are_said(tmp_path: Path, state: Path) -> None:
    (tmp_path / "catalog.duckdb").write_bytes((state / "catalog.duckdb").read_bytes())
    (tmp_path / bounds.NAME).write_text("{")
    with pytest.raises(StateError, match=r"sql\.limits: cannot be read"):
        Client(tmp_path).sql("SELECT 1")
