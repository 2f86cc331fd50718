import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from attacks import BOMBS, statements
from daemons import Running, wait_for
from knocking import Knocker, Reply
from pydicom.data import get_testdata_file
from test_catalog import NOW, batch, file

from ingestd import config
from ingestd.catalog import Catalog
from ingestd.errors import SqlError
from ingestd.headroom import OWN_BYTES
from ingestd.serve import Server


@pytest.fixture
def knocker(catalog: Catalog) -> Iterator[Knocker]:
    """Somebody who asks, while files are written."""
    catalog.write(batch(file("first")), now=NOW)
    limits = config.Sql(rows=1000, bytes=1_000_000, deadline_s=5.0)
    server = Server(catalog, lambda: {"pid": 1}, limits, state=catalog.state)
    server.start()
    yield Knocker(catalog.state)
    server.stop()


def test_every_attack_is_refused_and_a_writer_beside_it_loses_nothing(
    knocker: Knocker, catalog: Catalog
) -> None:
    written, enough = 0, threading.Event()

    def write() -> None:
        nonlocal written
        while not enough.is_set():
            catalog.write(batch(file(f"f{written}", f"2.{written}")), now=NOW)
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    attacks = statements()
    assert len(attacks) >= 150
    try:
        with ThreadPoolExecutor(8) as many:
            answers = dict(zip(attacks, many.map(knocker.ask, attacks.values()), strict=True))
    finally:
        enough.set()
        writer.join()

    assert {name: reply for name, reply in answers.items() if reply.status == 200} == {}
    assert {reply.error for reply in answers.values()} <= {"not_allowed", "sql_error"}
    assert written > 0
    assert catalog.rows("SELECT count(*) FROM file WHERE state = 'cataloged'") == [(written + 1,)]
    assert catalog.rows("SELECT max(instance_id), count(*) FROM instance")[0][1] == written + 1
    assert knocker.ask("SELECT count(*) AS n FROM file").json() == [{"n": written + 1}]


def held_bytes(pid: int, what: str) -> int:
    """Read how much memory a process has, or has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


class Feeder(threading.Thread):
    """Drops file after file, until it is told to end."""

    def __init__(self, drop: Path) -> None:
        super().__init__()
        self._drop, self._enough = drop, threading.Event()
        self.files = 0

    def run(self) -> None:
        image = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        while not self._enough.wait(0.05):
            self.files += 1
            image.SOPInstanceUID = f"1.2.3.{self.files}"
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.save_as(self._drop / f"{self.files}.dcm")

    def end(self) -> None:
        self._enough.set()
        self.join()


def cataloged(daemon: Running) -> int | None:
    """Count files; None when even that took longer than the second that questions have here."""
    with suppress(SqlError):
        return daemon.one("SELECT count(*) FROM file WHERE state = 'cataloged'")
    return None


def instances(daemon: Running) -> int | None:
    """Count instances; None as above."""
    with suppress(SqlError):
        return daemon.one("SELECT count(*) FROM instance")
    return None


def bombed(tmp_path: Path, bombs: Mapping[str, str]) -> dict[str, Reply]:
    """Throw bombs at a daemon that ingests all the while; see that it takes no harm."""
    drop = tmp_path / "drop"
    drop.mkdir()
    daemon = Running(drop, tmp_path / "state", **SMALL)
    at_start = held_bytes(daemon.process.pid, "VmRSS")
    knocker, feeder = Knocker(daemon.state), Feeder(drop)
    feeder.start()
    try:
        with ThreadPoolExecutor(3) as many:
            answers = dict(zip(bombs, many.map(knocker.ask, bombs.values()), strict=True))
    finally:
        feeder.end()
    wait_for(lambda: knocker.status()["sql"]["stuck"] == 0, within_s=150)
    wait_for(lambda: cataloged(daemon) == feeder.files)
    peak = held_bytes(daemon.process.pid, "VmHWM")
    assert daemon.stop() == 0
    wait_for(lambda: instances(daemon) == feeder.files)  # The limits hold without it, too.
    assert peak - at_start < MOST_GROWTH_BYTES, f"{peak - at_start:,} bytes"
    return answers


SMALL = {
    "INGESTD_SQL__DEADLINE_S": "1",
    "INGESTD_SQL__ROWS": "100000",
    "INGESTD_SQL__BYTES": "10000000",
    "INGESTD_SQL__MEMORY_BYTES": str(1 << 28),
    "INGESTD_CATALOG__MEMORY_BYTES": str(1 << 28),
}
MOST_GROWTH_BYTES = (1 << 29) + OWN_BYTES

STOPPED = {
    "not_allowed",
    "sql_error",
    "deadline",
    "too_much_memory",
    "too_many_rows",
    "too_many_bytes",
    "too_long",
}
#: Questions that are only long-winded, or ask a catalog that is small yet, may get an answer.
HARMLESS = {"many alternatives", "a product of the catalog"}

A_FEW = (
    "lists within lists",
    "a wide format",
    "doubled",
    "a long list",
    "a product",
    "for ever",
    "one value of many bytes",
    "ten times, ten times",
)


def unanswered(answers: Mapping[str, Reply]) -> bool:
    """Whether nobody got an answer to what is no question."""
    answered = {name for name, reply in answers.items() if reply.status == 200} - HARMLESS
    errors = {reply.error for reply in answers.values() if reply.status != 200}
    return answered == set() and errors <= STOPPED


def test_what_a_question_took_is_given_back_with_its_addresses(tmp_path: Path) -> None:
    (drop := tmp_path / "drop").mkdir()
    daemon = Running(drop, tmp_path / "state", **SMALL)
    before = held_bytes(daemon.process.pid, "VmData")
    Knocker(daemon.state).ask("SELECT len(range(50000000))")
    wait_for(lambda: Knocker(daemon.state).status()["sql"]["stuck"] == 0)
    assert held_bytes(daemon.process.pid, "VmData") - before < 1 << 28
    assert daemon.stop() == 0


def test_a_few_bombs_are_stopped_and_no_file_is_lost(tmp_path: Path) -> None:
    answers = bombed(tmp_path, {name: BOMBS[name] for name in A_FEW})
    assert unanswered(answers), answers


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_bomb_is_stopped_and_no_file_is_lost(tmp_path: Path) -> None:
    answers = bombed(tmp_path, BOMBS)
    assert unanswered(answers), answers
