"""One root, watched for real, with workers that go at the pace of the test."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from ingestd import config, folders, lobby, scout, sweeps
from ingestd.catalog import Catalog, utc_now
from ingestd.errors import IngestError, Reason
from ingestd.hints import Hint
from ingestd.meters import Meters
from ingestd.model import Arrival, Past, Sighting
from ingestd.rollcall import RollCall
from ingestd.rootcheck import Health
from ingestd.scout import Scout
from ingestd.waiting import Waiting
from ingestd.watch import KernelWatch

FLOOD = 1500  # files
PER_FOLDER = 50
ROOM = 300  # of the scout
PACE = 30  # files come to their outcome at once

READ = """
    INSERT INTO file (root, path, size_bytes, mtime_ns, state, attempts, first_seen_utc, state_utc)
    SELECT *, 'cataloged', 0, $1, $1 FROM outcomes
"""


def wait_for(what: Callable[[], object]) -> None:
    until_s = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until_s, "not within a minute"
        time.sleep(0.005)


class Desk:
    """Reads what a scout offers, so many files at a time, and only when it is told to."""

    def __init__(
        self, catalog: Catalog, root: Path, watch: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.read: list[str] = []
        self._catalog, self._waiting = catalog, Waiting(fair=True)
        self._lock, self._seq = threading.Lock(), 0
        self._kernel = KernelWatch(lambda: None)
        settings = config.Config(
            root=[config.Root(path=root, watch=watch, quiet_s=0.05)],  # type: ignore[arg-type]
            sweep=config.Sweep(hot_s=0.1, full_sweep_s=3600),
        )
        self.scout = Scout(
            settings.root[0],
            settings,
            ledger=catalog,
            roll=RollCall(catalog, str(root), brake_percent=20, brake_s=3600),
            kernel=self._kernel,
            offer=self._offer,
            refuse=lambda faults: pytest.fail(f"refused {faults}"),
            health=Health(str(root), lambda *_: None),
            meters=Meters(),
        )
        self.rounds = self.glances = 0
        self.heard: set[str] = set()
        self._spy(monkeypatch)
        self.scout.start()
        wait_for(lambda: self.scout.sweeps.took_s)

    def _spy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count how often the scout looked for more, and what the kernel told it."""
        sweeps, hints = self.scout.sweeps, self.scout._hints
        advance, put = sweeps.advance, hints.put

        def counted(room: int, still_same: Callable[[], bool]) -> str | None:
            before = sweeps.is_listing_part
            ended = advance(room, still_same)
            self.rounds += 1
            self.glances += before and not sweeps.is_listing_part
            return ended

        def noted(hint: Hint) -> None:
            put(hint)
            self.heard.add(hint.path)

        monkeypatch.setattr(sweeps, "advance", counted)
        monkeypatch.setattr(hints, "put", noted)

    def _offer(self, sighting: Sighting, past: Past) -> bool:
        with self._lock:
            self._seq += 1
            self._waiting.put(Arrival.of(sighting, past, seq=self._seq))
        return True

    def go_on(self, *, look: bool) -> None:
        """Read a chunk; have the scout look for more meanwhile, however slow the machine is."""
        rounds, glances = self.rounds, self.glances
        self._read()
        if look:
            wait_for(lambda: self.rounds > rounds + 1)
            wait_for(lambda: not self.scout.means.polled or self.glances > glances)

    def _read(self) -> None:
        with self._lock:
            chunk = self._waiting.take(PACE, 1 << 30)
        if not chunk:
            time.sleep(0.01)
            return
        columns = ("root", "path", "size_bytes", "mtime_ns")
        rows = pa.table({name: [getattr(one, name) for one in chunk] for name in columns})
        with self._catalog.transaction(outcomes=rows) as db:
            db.execute(READ, [utc_now()])
        self.read += [one.path for one in chunk]
        self.scout.done([one.path for one in chunk])

    def stop(self) -> None:
        self.scout.stop()
        self.scout.join(5)
        self._kernel.stop()


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything has less room, so that a flood is small."""
    monkeypatch.setattr(lobby, "FILES", ROOM)
    monkeypatch.setattr(lobby, "SPARE", ROOM // 4)
    monkeypatch.setattr(scout, "HINTS", FLOOD // 2)
    for module in (scout, sweeps):
        monkeypatch.setattr(module, "STRETCH", ROOM // 10)
    monkeypatch.setattr(folders, "STRETCH", ROOM // 10)
    monkeypatch.setattr(sweeps, "SELDOM", 0.5)
    monkeypatch.setattr(sweeps, "RARELY", 0.5)


@pytest.fixture
def desk(
    request: pytest.FixtureRequest,
    catalog: Catalog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    make_small(monkeypatch)
    (tmp_path / "root" / "old").mkdir(parents=True)
    made = Desk(catalog, tmp_path / "root", request.param, monkeypatch)
    yield made
    made.stop()


def flood(outside: Path, root: Path) -> None:
    """Make many files elsewhere, and bring them at once."""
    for number in range(FLOOD):
        folder = outside / str(number // PER_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).touch()
    outside.rename(root / "flood")


long = pytest.mark.long


@pytest.mark.parametrize(
    ("desk", "folder"),
    [
        pytest.param("events", "alone", id="in a folder of its own"),
        pytest.param("events", "old", marks=long, id="in a folder that is known"),
        pytest.param("events", "flood/7", marks=long, id="in a folder of the flood"),
        pytest.param("poll", "alone", id="polled, in a folder of its own"),
        pytest.param("poll", "old", marks=long, id="polled, in a folder that is known"),
        pytest.param("poll", "flood/7", marks=long, id="polled, in a folder of the flood"),
    ],
    indirect=["desk"],
)
def test_a_single_file_is_read_soon_at_any_moment_of_a_flood(
    desk: Desk, tmp_path: Path, folder: str
) -> None:
    root, is_polled = tmp_path / "root", desk.scout.means.polled
    flood(tmp_path / "outside", root)
    wait_for(lambda: is_polled or "flood" in desk.heard)
    moments = [0, 1, ROOM, FLOOD // 2]  # how many files were read by then
    dropped: dict[str, int] = {}
    waited: dict[str, int] = {}
    while moments or len(waited) < len(dropped):
        if moments and len(desk.read) >= moments[0]:
            path = root / folder / f"urgent-{moments.pop(0)}"
            path.parent.mkdir(exist_ok=True)
            path.write_text("urgent")
            name = str(path.relative_to(root))
            dropped[name] = len(desk.read)
            wait_for(lambda name=name: is_polled or name in desk.heard)
        desk.go_on(look=len(waited) < len(dropped))
        for name in dropped.keys() & set(desk.read[-PACE:]):
            waited[name] = len(desk.read) - dropped[name]
    assert max(waited.values()) <= FLOOD // 4


@pytest.mark.parametrize("desk", ["events"], indirect=True)
@pytest.mark.parametrize(
    "error", [IngestError(Reason.DISK_FULL, "no room"), ValueError("a fault of ours")]
)
def test_a_hint_that_comes_to_nothing_is_made_up_for_soon(
    desk: Desk,
    catalog: Catalog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    fails = [error]
    unknown = catalog.unknown

    def failing(looks: Sequence[Sighting]) -> list[tuple[Sighting, Past]]:
        if looks and fails:
            raise fails.pop()
        return unknown(looks)

    monkeypatch.setattr(catalog, "unknown", failing)
    (tmp_path / "root" / "old" / "file").touch()
    wait_for(lambda: not fails)
    while not desk.read:
        desk.go_on(look=True)
    assert desk.read == ["old/file"]
