"""Many things at once, for long: the catalog is that of an undisturbed scan, and nothing grows."""

import json
import os
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from blake3 import blake3
from daemons import COMMAND, Running, scan, wait_for
from mischief import Mischief
from shares import Share
from sql import Client
from tree import Tree

import ingestd

#: How long the long one lasts; INGESTD_TEST_SOAK_S says otherwise.
SOAK_S = float(os.environ.get("INGESTD_TEST_SOAK_S", "1800"))
#: A look every so often.
LOOK_S = 3.0

#: Shares are slow to be believed; here everything takes a fraction of the time.
QUICK = {
    "INGESTD_SETTLE__QUIET_POLLED_S": "0.5",
    "INGESTD_SWEEP__HOT_S": "1",
    "INGESTD_SWEEP__FULL_SWEEP_S": "4",
    "INGESTD_SWEEP__DEADLINE_S": "2",
    "INGESTD_SWEEP__GONE_BRAKE_S": "6",
    "INGESTD_WORKERS__DEADLINE_S": "10",
    "INGESTD_RETRY__FIRST_S": "0.3",
    "INGESTD_RETRY__LIMIT_S": "3",
    "INGESTD_SQL__SNAPSHOT_S": "20",
    "INGESTD_DERIVED__CHECK_S": "60",
}
SHORT = QUICK | {
    "INGESTD_SWEEP__HOT_S": "0.3",
    "INGESTD_SWEEP__FULL_SWEEP_S": "1",
    "INGESTD_SWEEP__DEADLINE_S": "1",
    "INGESTD_SWEEP__GONE_BRAKE_S": "1.5",
    "INGESTD_SQL__SNAPSHOT_S": "2",
}
FAULTS = (
    "readdir * ESTALE",
    "readdir * EIO",
    "readdir * hang",
    "getattr * ENOTCONN",
    "getattr * ESTALE",
    "open * ESTALE",
    "open * hang",
    "read * EIO",
    "read * hang",
)

#: What may be more in the last third than in the middle third.
GROWTH = {"all_mib": 48, "files": 10, "threads": 6, "count": 10}

#: Instances that are in some file still.
LIVE = """
    WITH live AS (
        SELECT DISTINCT instance_id FROM instance AS i
        JOIN file AS f ON f.SOPInstanceUID = i.SOPInstanceUID AND f.digest = i.digest
        WHERE f.state <> 'gone'
    )
"""
#: Series that never lost an instance: of others a volume may be there that was made before.
WHOLE = """
    SELECT SeriesInstanceUID FROM instance AS i
    LEFT JOIN live ON live.instance_id = i.instance_id
    GROUP BY ALL HAVING count(*) = count(live.instance_id)
"""
SAME = {
    "file": "SELECT root, path, size_bytes, mtime_ns, reason, detail, digest, SOPInstanceUID,"
    " if(state = 'duplicate', 'cataloged', state) AS state FROM file WHERE state <> 'gone'",
    "instance": "SELECT * EXCLUDE (instance_id, root, path, revision, ingested_utc) FROM instance"
    " WHERE instance_id IN (FROM live)",
    "tag": "SELECT SOPInstanceUID, t.* EXCLUDE (instance_id) FROM tag AS t"
    " JOIN instance USING (instance_id) WHERE instance_id IN (FROM live)",
    "where": "SELECT i.SOPInstanceUID, count(*) AS n FROM instance AS i"
    " JOIN file AS f USING (root, path) WHERE f.state <> 'gone' AND f.digest = i.digest"
    " GROUP BY ALL",
    "found": "SELECT SeriesInstanceUID, found FROM series_state WHERE SeriesInstanceUID IN"
    " (SELECT SeriesInstanceUID FROM instance WHERE instance_id IN (FROM live))",
}
OF_WHOLE = {
    "volume": "SELECT * EXCLUDE (built_utc, revision) FROM volume",
    "volume_slice": "FROM volume_slice",
    # What is missing is named with its neighbours, of which any copy may be the one that is named.
    "series_state": "SELECT SeriesInstanceUID, state, evidence, expected, found, len(missing) AS n"
    " FROM series_state",
}


def compared(disturbed: Path, undisturbed: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Give what one of two catalogs of the same folders says and the other does not."""
    rows = ingestd.open(disturbed).sql(LIVE + WHOLE).to_pylist()
    series = ", ".join(f"'{row['SeriesInstanceUID']}'" for row in rows)
    some = {
        name: f"{query} WHERE SeriesInstanceUID IN ({series})" for name, query in OF_WHOLE.items()
    }
    questions = {name: LIVE + query for name, query in SAME.items()} | some
    one, other = said(disturbed, questions), said(undisturbed, questions)
    return {
        name: (sorted(one[name] - other[name]), sorted(other[name] - one[name]))
        for name in one
        if one[name] != other[name]
    }


def said(state: Path, questions: dict[str, str]) -> dict[str, Counter[str]]:
    """Ask a catalog, and look at the pictures that it names."""
    client = ingestd.open(state)
    tables = {name: client.sql(question).to_pylist() for name, question in questions.items()}
    pictures = [state / row["thumbnail_path"] for row in tables["instance"]]
    return {name: Counter(map(repr, rows)) for name, rows in tables.items()} | {
        "pictures": Counter(
            f"{one.name} {blake3(one.read_bytes()).hexdigest()}" for one in pictures
        )
    }


class Flaps(threading.Thread):
    """Has a share fail for a while, again and again."""

    def __init__(self, share: Share, seed: int, enough: threading.Event, pause_s: float) -> None:
        super().__init__()
        self.count = 0
        self._share, self._enough, self._pause_s = share, enough, pause_s
        self._rng = random.Random(seed)  # noqa: S311 - to be the same each time is the point

    def run(self) -> None:
        while not self._enough.wait(self._rng.uniform(0, 2 * self._pause_s)):
            self.count += 1
            if self._rng.random() < 0.2:
                self._share.unmount()
                self._enough.wait(self._rng.uniform(0, self._pause_s))
                self._share.mount()
            else:
                self._share.fails(self._rng.choice(FAULTS))
                self._enough.wait(self._rng.uniform(0, self._pause_s))
                self._share.fails()


def left_over(state: Path, temporary: Path) -> int:
    """Count unfinished and temporary files."""
    parts = sum(1 for _ in state.rglob(".*.part"))
    return parts + sum(1 for _ in temporary.iterdir())


def done(daemon: Running, where: dict[Path, str], mischief: Mischief) -> bool:
    """Whether the ledger holds what lies there and nothing else, and each series was judged."""
    rows = daemon.rows(
        "SELECT root, path, size_bytes, not_before_utc FROM file WHERE state <> 'gone'"
    )
    there = {
        (where[place], str(path.relative_to(place))): len(held.content())
        for path, held in mischief.files.items()
        for place in where
        if path.is_relative_to(place)
    }
    known = {(row["root"], row["path"]): row["size_bytes"] for row in rows}
    waiting = [row for row in rows if row["not_before_utc"]]
    status = ingestd.open(daemon.state).status()
    quiet = daemon.one("SELECT count(*) FROM series_state WHERE found IS NULL OR found = -1") == 0
    return known == there and not waiting and quiet and not status["open_series"]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files; its path is short enough for a socket."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture
def begin(
    tmp_path: Path, temporary: Path, share: Share
) -> Iterator[Callable[[dict[str, str]], Running]]:
    """Start a daemon on a local folder and on the share; end it if it was not ended."""
    (tmp_path / "drop").mkdir()
    started: list[Running] = []

    def start(settings: dict[str, str]) -> Running:
        settings |= {"TMPDIR": str(temporary)}
        started.append(Running(tmp_path / "drop", tmp_path / "state", share.mountpoint, **settings))
        return started[-1]

    yield start
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()


def audited(state: Path) -> dict[str, object]:
    """Have the folders, the ledger, the tables, the derived files and the bytes compared."""
    command = [*COMMAND, "audit", "--state", str(state), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    return {"found": said["found"], "unproven": said["unproven"]}


class Length(NamedTuple):
    """How long, and how much at a time."""

    soak_s: float
    pause_s: float  #: between two deeds
    flap_s: float  #: between two troubles of the share, and how long one lasts, at the mean
    most: int  #: files that are there at a time
    settings: dict[str, str]


@pytest.mark.parametrize(
    "length",
    [
        pytest.param(Length(3.0, 0.03, 0.6, 80, SHORT), id="short", marks=pytest.mark.long),
        pytest.param(
            Length(SOAK_S, 0.25, 6.0, 1500, QUICK),
            id="long",
            marks=[pytest.mark.long, pytest.mark.timeout(SOAK_S + 600)],
        ),
    ],
)
def test_after_a_long_disturbance_the_catalog_is_that_of_an_undisturbed_scan(
    begin: Callable[[dict[str, str]], Running],
    temporary: Path,
    share: Share,
    tmp_path: Path,
    length: Length,
) -> None:
    daemon = begin(length.settings)
    enough = threading.Event()
    mischief = Mischief([daemon.drop, share.inside], seed=1, most=length.most)
    flaps = Flaps(share, 2, enough, length.flap_s)
    askers = [Client(daemon.state, at, 0.3, enough) for at in range(2)]
    until_s = time.monotonic() + length.soak_s
    pid = daemon.process.pid
    with Tree(pid, LOOK_S, lambda: left_over(daemon.state, temporary)) as tree:
        for thread in (flaps, *askers):
            thread.start()
        while time.monotonic() < until_s:
            mischief.step()
            time.sleep(length.pause_s)
        enough.set()
        for thread in (flaps, *askers):
            thread.join()
    told(tree, mischief, flaps, askers)
    mischief.agree()
    where = {daemon.drop: str(daemon.drop), share.inside: str(share.mountpoint)}
    wait_for(lambda: done(daemon, where, mischief), within_s=150)
    print("in the end", tree.look())  # noqa: T201

    audit = audited(daemon.state)
    assert daemon.stop() == 0
    scan(daemon.drop, share.mountpoint, state=tmp_path / "undisturbed")
    assert compared(daemon.state, tmp_path / "undisturbed") == {}
    assert audit == {"found": {}, "unproven": []}
    assert "Traceback" not in daemon.log.read_text()
    assert sum(sum(one.errors.values()) for one in askers) == 0
    assert sum(one.back for one in askers) == 0
    if length.soak_s >= 300:
        nothing_grew(tree)


def nothing_grew(tree: Tree) -> None:
    """Compare the middle third of the time with the last one."""
    _, middle, last = tree.thirds()
    for name, more in GROWTH.items():
        before, after = (median(getattr(look, name) for look in part) for part in (middle, last))
        assert after <= before + more, f"{name}: {before:g}, then {after:g}"


def told(tree: Tree, mischief: Mischief, flaps: Flaps, askers: list[Client]) -> None:
    """Print what was done and what it took; pytest -rP shows it."""
    print(f"files written {mischief.written}, there {len(mischief.files)}: {mischief.done}")  # noqa: T201
    print(f"flaps {flaps.count}, answers {sum(len(one.took_s) for one in askers)}")  # noqa: T201
    for look in tree.looks[:: max(1, len(tree.looks) // 12)]:
        print(look)  # noqa: T201
    for name in GROWTH:
        parts = [part for part in tree.thirds() if part]
        thirds = [f"{median(getattr(look, name) for look in part):g}" for part in parts]
        print(f"{name}, median of each third: {', '.join(thirds)}")  # noqa: T201
