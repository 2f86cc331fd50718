"""What the pages promise is so."""

import re
import runpy
from pathlib import Path
from typing import get_args

import duckdb
import pytest

import ingestd
from ingestd import config, export, snapshot
from ingestd.hookconfig import Kind

DOCS = Path(__file__).parents[1] / "docs"
QUERIES = re.findall(
    r"^## (?P<title>.*?)\n.*?```sql\n(?P<sql>.*?)```",
    (DOCS / "queries.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
#: Questions to which a folder without faults has no answer.
MAY_BE_EMPTY = (
    "Which series lack something",
    "One UID with different bytes",
    "What is not there any more",
)


@pytest.mark.parametrize(("title", "sql"), QUERIES, ids=[title for title, _ in QUERIES])
def test_each_worked_query_runs_and_answers(scanned: Path, title: str, sql: str) -> None:
    rows = ingestd.open(scanned).sql(sql).num_rows
    assert rows > 0 or title.startswith(MAY_BE_EMPTY)


SQL_PAGE = (DOCS / "sql.md").read_text()
PLACE = "/var/lib/ingestd"
RELIABILITY = (DOCS / "reliability.md").read_text()


def blocks(language: str) -> list[str]:
    """The pieces of code of docs/sql.md in a language."""
    return re.findall(rf"```{language}\n(.*?)```", SQL_PAGE, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=["client", "duckdb", "pandas"])
def test_each_recipe_in_python_runs(
    scanned: Path, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "pandas" in code or ".df()" in code:
        pytest.importorskip("pandas", reason="pandas is not installed")
    snapshot.publish(scanned)
    catalog = ingestd.open(scanned)
    for name, question in (
        ("1.2.840.113619.2.55.3.604688119.7", "SELECT SOPInstanceUID AS uid FROM instance"),
        ("1.2.840.113619.2.55.3.604688119", "SELECT SeriesInstanceUID AS uid FROM volume"),
    ):
        wanted = "thumbnail_path" if "SOP" in question else "path"
        found = catalog.sql(f"{question} WHERE {wanted} IS NOT NULL LIMIT 1").to_pylist()
        code = code.replace(f'"{name}"', repr(found[0]["uid"]))
    exec(code.replace(PLACE, str(scanned)), {})  # noqa: S102 -- the page's own code
    assert "Error" not in capsys.readouterr().out


def test_each_question_of_the_page_runs_where_it_says(scanned: Path, tmp_path: Path) -> None:
    snapshot.publish(scanned)
    export.export(ingestd.open(scanned), tmp_path / "lake", "parquet")
    panel, lake = blocks("sql")
    with duckdb.connect(str(scanned / "snapshot.duckdb"), read_only=True) as db:
        assert db.execute(panel).fetchall()
        (command,) = re.findall(r'duckdb -readonly \S+ "(.*)"', SQL_PAGE)
        assert db.execute(command).description
    with duckdb.connect() as db:
        found = db.execute(lake.replace("/data/lake/ingestd", str(tmp_path / "lake"))).fetchall()
    assert sum(count for _, _, count in found) == 124


def test_the_page_names_every_format_and_what_the_profile_withholds() -> None:
    assert set(re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", SQL_PAGE, re.MULTILINE)) == {
        ("table", ""),
        ("list", ""),
        ("csv", ""),
        ("json", ""),
        ("parquet", "arrow"),
    }
    assert config.Sql().snapshot_s == 600
    for column in ("detail", "raw", "evidence", "missing", "split_by", "thumbnail_path"):
        assert f"`{column}`" in SQL_PAGE


def test_the_page_of_columns_is_what_the_catalog_says_of_itself() -> None:
    page = runpy.run_path(str(DOCS / "columns.py"))["page"]()
    assert (DOCS / "columns.md").read_text() == page, (
        "run: python docs/columns.py > docs/columns.md"
    )


def test_the_page_of_hooks_has_each_kind_of_event_and_no_other() -> None:
    page = (DOCS / "hooks.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    assert {kind for row in rows for kind in re.findall(r"`(\w+)`", row)} == {*get_args(Kind)}


def test_every_test_that_the_page_of_reliability_names_is_there() -> None:
    named = set(re.findall(r"`(?:tests/)?(?:system/)?(test_\w+\.py)`", RELIABILITY))
    there = {path.name for path in Path(__file__).parent.rglob("test_*.py")}
    assert len(named) > 10
    assert named - there == set()


def test_each_decision_has_a_number_a_title_and_a_date() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        assert page.name.startswith(f"{number:04d}-")
        assert re.match(rf"# {number:04d} \w.*\n\n\d{{4}}-\d\d-\d\d, accepted\n", page.read_text())
