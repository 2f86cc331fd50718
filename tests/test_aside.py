from pathlib import Path

import duckdb
import pytest
from conftest import PATIENCE

from ingestd import aside, sql
from ingestd.catalog import Catalog
from ingestd.errors import StateError
from ingestd.files import CATALOG_NAME

NOTE = "SELECT kind, detail FROM event"


def opened(state: Path) -> Catalog:
    return Catalog(state, memory_bytes=1 << 28, patience=PATIENCE)


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder as a program left it that knew but the first migration."""
    first = sql.migrations()[:1]
    with monkeypatch.context() as then:
        then.setattr(sql, "migrations", lambda: first)
        then.setattr(sql, "VIEWS", "SELECT 1")
        with opened(tmp_path / "state") as catalog:
            catalog.tell("older", detail="kept")
    return tmp_path / "state"


def test_an_older_catalog_is_copied_before_it_is_migrated(older: Path) -> None:
    with opened(older) as catalog:
        assert catalog.rows(NOTE) == [("older", "kept")]
        applied = catalog.rows("SELECT max(number) FROM migration")
    copy = older / f"{CATALOG_NAME}.migration-0001"
    with duckdb.connect(str(copy), read_only=True) as db:
        assert db.execute("SELECT max(number) FROM migration").fetchall() == [(1,)]
        assert db.execute(NOTE).fetchall() == [("older", "kept")]
    assert applied == [(len(sql.migrations()),)]


def test_a_catalog_that_is_up_to_date_or_new_is_not_copied(tmp_path: Path) -> None:
    for _ in range(2):
        opened(tmp_path / "state").close()
    assert list((tmp_path / "state").glob("*migration*")) == []


def test_without_room_for_the_copy_nothing_is_changed(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (older / CATALOG_NAME).read_bytes()
    with monkeypatch.context() as then:
        then.setattr(aside, "fsync_folder", raising_no_space)
        with pytest.raises(StateError, match="No space left on device; it needs"):
            opened(older)
    assert (older / CATALOG_NAME).read_bytes() == before
    opened(older).close()


def raising_no_space(_: Path) -> None:
    raise OSError(28, "No space left on device")


def test_after_going_back_to_the_copy_the_older_program_has_its_catalog(older: Path) -> None:
    before = (older / CATALOG_NAME).read_bytes()
    opened(older).close()
    (older / f"{CATALOG_NAME}.migration-0001").replace(older / CATALOG_NAME)
    assert (older / CATALOG_NAME).read_bytes() == before
