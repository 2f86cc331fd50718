"""What the pages promise is so."""

import re
import runpy
from pathlib import Path
from typing import get_args

import pytest

import ingestd
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


def test_the_page_of_columns_is_what_the_catalog_says_of_itself() -> None:
    page = runpy.run_path(str(DOCS / "columns.py"))["page"]()
    assert (DOCS / "columns.md").read_text() == page, (
        "run: python docs/columns.py > docs/columns.md"
    )


def test_the_page_of_hooks_has_each_kind_of_event_and_no_other() -> None:
    page = (DOCS / "hooks.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    assert {kind for row in rows for kind in re.findall(r"`(\w+)`", row)} == {*get_args(Kind)}


def test_each_decision_has_a_number_a_title_and_a_date() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        assert page.name.startswith(f"{number:04d}-")
        assert re.match(rf"# {number:04d} \w.*\n\n\d{{4}}-\d\d-\d\d, accepted\n", page.read_text())
