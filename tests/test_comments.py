"""What tables and columns mean stands in the catalog, as this program says it."""

from pathlib import Path

import duckdb
import pytest
from conftest import PATIENCE

from ingestd import comments, sql
from ingestd.catalog import Catalog
from ingestd.files import CATALOG_NAME

SILENT = """
    SELECT table_name, column_name FROM duckdb_columns()
    WHERE comment IS NULL AND NOT internal AND table_name IN (
        SELECT table_name FROM duckdb_tables() WHERE NOT internal UNION ALL SELECT 'tag')
"""
MEANING = "SELECT comment FROM duckdb_columns() WHERE (table_name, column_name) = ('file', 'root')"


def test_every_table_and_column_says_what_it_means(catalog: Catalog) -> None:
    assert catalog.rows(SILENT)
    comments.say(catalog)
    assert catalog.rows(SILENT) == []
    assert catalog.rows("SELECT table_name FROM duckdb_tables() WHERE comment IS NULL") == []


def test_after_a_scan_they_are_all_there(scanned: Path) -> None:
    with duckdb.connect(str(scanned / CATALOG_NAME), read_only=True) as db:
        assert db.execute(SILENT).fetchall() == []


def test_what_was_said_is_known_under_the_research_profile(tmp_path: Path) -> None:
    kept = Catalog(tmp_path, memory_bytes=1 << 29, patience=PATIENCE, profile="research")
    with kept as catalog:
        comments.say(catalog)
        said = dict(catalog.rows(comments.SAID))
    names = [found["name"] for found in comments.STATEMENT.finditer(sql.COMMENTS)]
    assert [name for name in names if said[name] is None] == []


def test_each_comment_is_one_that_is_understood() -> None:
    assert len(comments.STATEMENT.findall(sql.COMMENTS)) == sql.COMMENTS.count("COMMENT ON")


def test_a_newer_program_says_it_in_its_own_words(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    comments.say(catalog)
    newer = "COMMENT ON COLUMN file.root IS 'the folder''s path';\n"
    monkeypatch.setattr(sql, "COMMENTS", newer)
    comments.say(catalog)
    assert catalog.rows(MEANING) == [("the folder's path",)]
