"""A catalog that its disk has damaged: refused with words, never written to, and restored."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from daemons import COMMAND, FAST, Running, everything, scan, wait_for
from disks import HEADER_BYTES, block_at, blocks_of, damage

import ingestd
from ingestd.errors import SqlError

CATALOG = "catalog.duckdb"


def head(catalog: Path) -> None:
    damage(catalog, 0, HEADER_BYTES)


def cut(catalog: Path) -> None:
    os.truncate(catalog, catalog.stat().st_size // 2)


def emptied(catalog: Path) -> None:
    os.truncate(catalog, 0)


def block(table: str) -> Callable[[Path], None]:
    """Damage the rows of a table."""

    def harm(catalog: Path) -> None:
        for number in blocks_of(catalog, table):
            damage(catalog, block_at(number))

    return harm


def ended(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *words],
        env=os.environ | FAST,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


class Saved(NamedTuple):
    """A state folder whose catalog is in a backup, too."""

    state: Path
    backup: Path

    @property
    def catalog(self) -> Path:
        return self.state / CATALOG

    def restore(self) -> None:
        done = ended("restore", str(self.backup), "--state", str(self.state))
        assert done.returncode == 0, done.stderr


@pytest.fixture
def saved(scanned: Path, tmp_path: Path) -> Saved:
    state = tmp_path / "state"
    shutil.copytree(scanned, state)
    done = ended("backup", str(tmp_path / "backups"), "--state", str(state), "--json")
    return Saved(state, Path(json.loads(done.stdout)["path"]))


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(cut, id="cut short"),
        pytest.param(head, id="without its head", marks=pytest.mark.long),
        pytest.param(emptied, id="emptied", marks=pytest.mark.long),
    ],
)
def test_a_damaged_catalog_is_refused_with_words_and_restored(
    saved: Saved, study: Path, scanned: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    harm(saved.catalog)
    before = saved.catalog.read_bytes()
    for words in (
        ("run", "--root", str(study)),
        ("scan", str(study)),
        ("backup", str(tmp_path / "backups")),
        ("sql", "SELECT 1"),
    ):
        done = ended(*words, "--state", str(saved.state))
        assert (done.returncode, done.stdout) == (1, "")
        assert words[0] == "backup" or str(saved.catalog) in done.stderr
        assert words[0] == "sql" or "`ingestd restore`" in done.stderr
        assert saved.catalog.read_bytes() == before
    saved.restore()
    assert everything(saved.state) == everything(scanned)


@pytest.mark.long
def test_damage_that_is_met_later_ends_all_writing_until_a_backup_is_restored(
    saved: Saved, study: Path, tmp_path: Path
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    block("element")(saved.catalog)
    daemon = Running(study, saved.state, drop)
    try:
        client = ingestd.open(saved.state)
        with pytest.raises(SqlError, match="Corrupt database file"):
            client.sql("SELECT max(value) FROM tag")
        assert client.status()["halted"] == "catalog_broken"
        (drop / "note").write_text("no DICOM")
        wait_for(lambda: 'halted reason="catalog_broken"' in daemon.log.read_text())
        assert daemon.one("SELECT count(*) FROM file") == 127
        done = ended("backup", str(tmp_path / "backups"), "--state", str(saved.state))
        assert (done.returncode, "Corrupt database file" in done.stderr) == (1, True)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log.read_text()
        done = ended("backup", str(tmp_path / "backups"), "--state", str(saved.state))
        assert (done.returncode, "table element of the catalog is damaged" in done.stderr) == (
            1,
            True,
        )
        saved.restore()
        daemon = Running(study, saved.state, drop)
        wait_for(lambda: daemon.one("SELECT count(*) FROM file") == 128)
        assert daemon.stop() == 0
    finally:
        daemon.kill()
    scan(study, drop, state=tmp_path / "undisturbed")
    assert everything(saved.state) == everything(tmp_path / "undisturbed")
