"""The audit finds what was injected, and mends what it says it can."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import copied
from daemons import COMMAND, Running, everything, oracle, scan, wait_for

import ingestd

OLD_S = 10 * 86_400


def audit(state: Path, *words: str, code: int | None = None, **settings: str) -> dict[str, Any]:
    """Run `ingestd audit --json`."""
    done = subprocess.run(
        [*COMMAND, "audit", "--state", str(state), "--json", *words],
        env=os.environ | {"INGESTD_SETTLE__QUIET_S": "0.3"} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode in ((0, 1) if code is None else (code,)), done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def old(path: Path) -> Path:
    """Make a file as old as what nobody works on any more; ctime cannot be set, so tests wait."""
    os.utime(path, (time.time() - OLD_S, time.time() - OLD_S))
    return path


class Injured:
    """A state folder in which many things are wrong, one of each kind, and what they are."""

    def __init__(self, drop: Path, state: Path) -> None:
        self.drop, self.state = drop, state
        self.expected: set[tuple[str, str]] = set()
        self.not_mended: set[tuple[str, str]] = set()
        self.db = duckdb.connect(str(state / "catalog.duckdb"))
        rows = self.db.execute(
            "SELECT path, SOPInstanceUID, instance_id, thumbnail_path, SeriesInstanceUID"
            " FROM instance AS i WHERE thumbnail_path IS NOT NULL AND SeriesInstanceUID IN"
            " (SELECT SeriesInstanceUID FROM volume WHERE path IS NOT NULL)"
            " AND (SELECT count(*) FROM file AS f WHERE f.digest = i.digest) = 1"
            " ORDER BY SeriesInstanceUID, SOPInstanceUID"
        ).fetchall()
        self.rows = iter(rows)
        self.volumes = self.db.execute(
            "SELECT SeriesInstanceUID, min(path) FROM volume WHERE path IS NOT NULL"
            " GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        self.root = str(drop)

    def injure(self) -> None:
        self._files()
        self._rows()
        self._derived()
        self.db.close()

    def _files(self) -> None:
        path, *_ = next(self.rows)
        self.db.execute("DELETE FROM file WHERE path = ?", [path])
        self.expected |= {("file_without_row", path), ("instance_without_file", path)}
        path, *_ = next(self.rows)
        with (self.drop / path).open("ab") as file:
            file.write(b"\0\0")
        os.utime(self.drop / path, (1_700_000_001, 1_700_000_001))
        self.expected.add(("file_changed", path))
        path, *_ = next(self.rows)
        (self.drop / path).unlink()
        self.expected.add(("row_without_file", path))
        path, *_ = next(self.rows)
        before = (self.drop / path).stat()
        content = bytearray((self.drop / path).read_bytes())
        content[-1] ^= 1
        (self.drop / path).write_bytes(content)
        os.utime(self.drop / path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.expected.add(("digest_wrong", path))
        self.not_mended.add(("digest_wrong", path))
        (self.drop / "new.txt").write_text("came while nobody looked")
        os.utime(self.drop / "new.txt", (1_700_000_001, 1_700_000_001))
        self.expected.add(("file_without_row", "new.txt"))

    def _rows(self) -> None:
        path, _, number, *_ = next(self.rows)
        self.db.execute("DELETE FROM element WHERE instance_id = ?", [number])
        self.expected |= {("instance_without_tags", path), ("rows_differ", path)}
        path, _, number, *_ = next(self.rows)
        self.db.execute(
            "UPDATE element SET value = 'Doe' WHERE instance_id = ? AND attribute_id ="
            " (SELECT attribute_id FROM attribute WHERE path = '00100010')",
            [number],
        )
        self.expected.add(("rows_differ", path))
        path, _, number, *_ = next(self.rows)
        self.db.execute(
            "UPDATE element SET attribute_id = 2000000000 WHERE instance_id = ? AND attribute_id ="
            " (SELECT attribute_id FROM attribute WHERE path = '00100010')",
            [number],
        )
        self.expected |= {("elements_of_no_attribute", path), ("rows_differ", path)}
        path, uid, *_ = next(self.rows)
        self.db.execute("UPDATE instance SET PatientID = 'x' WHERE SOPInstanceUID = ?", [uid])
        self.expected.add(("rows_differ", path))
        path, _, number, thumbnail, _ = next(self.rows)
        self.expected.add(("thumbnail_orphan", thumbnail))
        self.db.execute("DELETE FROM instance WHERE instance_id = ?", [number])
        self.expected |= {("file_without_instance", path), ("tags_without_instance", str(number))}
        self.expected.add(("slice_of_no_instance", self.series_of(path)))
        path, uid, *_ = next(self.rows)
        self.db.execute("UPDATE file SET digest = 'ff' WHERE path = ?", [path])
        self.expected |= {("file_without_instance", path), ("digest_wrong", path)}
        path, *_ = next(self.rows)
        self.db.execute("UPDATE file SET state = 'conflict' WHERE path = ?", [path])
        self.expected |= {("conflict_without_rival", path), ("instance_of_another_file", path)}
        self.db.execute(
            "INSERT INTO series_state (SeriesInstanceUID, state, first_arrival_utc,"
            " last_arrival_utc, revision) VALUES ('9.9.9', 'complete', now()::TIMESTAMP,"
            " now()::TIMESTAMP, 1)"
        )
        self.expected.add(("state_without_instances", "9.9.9"))
        series = self.volumes[-1][0]
        self.db.execute("DELETE FROM series_state WHERE SeriesInstanceUID = ?", [series])
        self.expected.add(("series_without_state", series))

    def _derived(self) -> None:
        path, _, _, thumbnail, _ = next(self.rows)
        (self.state / thumbnail).unlink()
        self.expected.add(("thumbnail_missing", path))
        path, _, _, thumbnail, _ = next(self.rows)
        (self.state / thumbnail).write_bytes(b"")
        self.expected.add(("thumbnail_missing", path))
        orphan = old(self._beside(thumbnail, "1.2.3.4.jpg"))
        self.expected.add(("thumbnail_orphan", str(orphan.relative_to(self.state))))
        part = old(self._beside(thumbnail, f".1.2.3.5.jpg.{'a' * 16}.part"))
        self.expected.add(("part_left", str(part.relative_to(self.state))))
        (missing, lost), (damaged, broken), *_ = self.volumes
        (self.state / lost).unlink()
        self.expected.add(("volume_missing", missing))
        content = bytearray((self.state / broken).read_bytes())
        content[len(content) // 2] ^= 1
        (self.state / broken).write_bytes(content)
        self.expected.add(("volume_damaged", damaged))
        orphan = old(self._beside(lost, f"1.2.3_0.{'b' * 16}.nii.gz"))
        self.expected.add(("volume_orphan", str(orphan.relative_to(self.state))))
        stranger = old(self._beside(lost, "notes.txt"))
        self.expected.add(("stranger", str(stranger.relative_to(self.state))))
        self.not_mended.add(("stranger", str(stranger.relative_to(self.state))))

    def _beside(self, path: str, name: str) -> Path:
        place = (self.state / path).parent / name
        place.write_bytes(b"x")
        return place

    def series_of(self, path: str) -> str:
        ((series,),) = self.db.execute(
            "SELECT DISTINCT SeriesInstanceUID FROM volume_slice WHERE SOPInstanceUID ="
            " (SELECT SOPInstanceUID FROM file WHERE path = ?)",
            [path],
        ).fetchall()
        return str(series)


def named(said: dict[str, Any], **which: object) -> set[tuple[str, str]]:
    """Give what an audit found: kind, and what it is about."""
    by_series = ("slice_of_no_instance", "volume_missing", "volume_damaged")
    return {
        (
            one["kind"],
            one["uid"] if one["kind"] in by_series else one["path"] or one["uid"] or one["detail"],
        )
        for one in said["differences"]
        if which.items() <= one.items()
    }


def injured_in(place: Path) -> Injured:
    made = Injured(place / "drop", place / "state")
    made.injure()
    return made


@pytest.fixture
def injured(place: Path) -> Injured:
    return injured_in(place)


#: What is no older than this is let be; files that a test makes are, so it must be short here.
GRACE = {"INGESTD_DERIVED__ORPHAN_GRACE_S": "0.001"}


@pytest.mark.long
def test_an_audit_of_what_was_left_alone_finds_nothing_and_changes_nothing(place: Path) -> None:
    state = place / "state"
    before = oracle(state)
    said = audit(state, code=0, **GRACE)
    assert (said["found"], said["unproven"], said["compared"]["files read"]) == ({}, [], 125)
    assert oracle(state) == before


def test_an_audit_finds_what_was_injected_and_mends_what_it_says_it_can(injured: Injured) -> None:
    state = injured.state
    found = audit(state, code=1, **GRACE)
    assert named(found) == injured.expected
    assert all(one["mended"] is None for one in found["differences"])
    mended = audit(state, "--repair", code=1, **GRACE)
    left = audit(state, code=1, **GRACE)
    assert named(left) == injured.not_mended
    assert named(mended, mended=False) == injured.not_mended


#: Repairs until so many transactions are committed, or one is about to be; then it is gone.
KILLED = """
import os, signal, sys
from contextlib import contextmanager
from ingestd.catalog import Catalog
from ingestd.care import app

number, state = int(sys.argv[1]), sys.argv[2]
left, transaction = number, Catalog.transaction

@contextmanager
def counted(self, **views):
    global left
    left -= 1
    with transaction(self, **views) as db:
        yield db
        if left == 0 and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Catalog.transaction = counted
app(["audit", "--repair", "--state", state, "--json"])
"""


def came_to(state: Path) -> dict[str, list[str]]:
    """Give all of a catalog but how often an image was read, which a kill may change."""
    return {
        table: sorted(re.sub(r"'revision': \d+, ", "", row) for row in rows)
        for table, rows in everything(state).items()
    }


@pytest.fixture
def twin(study: Path, scanned: Path, tmp_path: Path) -> Injured:
    """The same folder and state with the same injuries, elsewhere."""
    return injured_in(copied(study, scanned, tmp_path / "twin"))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_repair_that_is_killed_again_and_again_comes_to_the_same(
    injured: Injured, twin: Injured
) -> None:
    audit(twin.state, "--repair", code=1, **GRACE)
    number, kills = 2, 0
    while True:
        one = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(number), str(injured.state)],
            env=os.environ | {"INGESTD_SETTLE__QUIET_S": "0.3"} | GRACE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if one.wait(170) >= 0:
            break
        number, kills = number + max(1, number // 3), kills + 1
    assert kills > 4
    audit(injured.state, "--repair", code=1, **GRACE)
    assert named(audit(injured.state, code=1, **GRACE)) == injured.not_mended
    for one in (injured, twin):  # The next start judges what was left quiet.
        scan(one.drop, state=one.state)
    assert came_to(injured.state) == came_to(twin.state)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_daemon_that_is_killed_while_it_repairs_comes_to_the_same(
    injured: Injured, twin: Injured
) -> None:
    audit(twin.state, "--repair", code=1, **GRACE)
    for wait_s in (0.5, 1.0, 2.0, 4.0):
        daemon = Running(injured.drop, injured.state, **GRACE)
        asked = subprocess.Popen(
            [*COMMAND, "audit", "--repair", "--state", str(injured.state), "--json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with suppress(subprocess.TimeoutExpired):
            asked.wait(wait_s)
        daemon.kill()
        asked.kill()
        asked.wait()
    daemon = Running(injured.drop, injured.state, **GRACE)
    audit(injured.state, "--repair", code=1)
    wait_for(lambda: not ingestd.open(injured.state).status()["open_series"])
    assert daemon.stop() == 0
    assert named(audit(injured.state, code=1, **GRACE)) == injured.not_mended
    assert came_to(injured.state) == came_to(twin.state)
