from pathlib import Path

import pytest
from conftest import PATIENCE

from ingestd import checkup, doctor, sql
from ingestd.catalog import Catalog, utc_now
from ingestd.config import Config, Root
from ingestd.finding import Finding


@pytest.mark.parametrize(
    ("ahead_s", "state", "words"),
    [
        pytest.param(0.2, "good", "goes with ours", id="as good as the same"),
        pytest.param(90.0, "warning", "90 s ahead of ours", id="ahead"),
        pytest.param(-7200.0, "warning", "7200 s behind ours", id="an hour or two behind"),
    ],
)
def test_clocks(ahead_s: float, state: str, words: str) -> None:
    found = checkup.compared("clock of /share", ahead_s)
    assert (found.state, words in found.detail, bool(found.advice)) == (
        state,
        True,
        state != "good",
    )


@pytest.mark.parametrize(
    ("least_bytes", "state"), [(0, "good"), (10**18, "bad")], ids=["enough", "too little"]
)
def test_room(tmp_path: Path, least_bytes: int, state: str) -> None:
    assert checkup.room(tmp_path, least_bytes).state == state


def test_a_folder_of_ours_has_our_clock_and_one_that_cannot_be_written_has_none(
    tmp_path: Path,
) -> None:
    assert checkup.clock(tmp_path, "").state == "good"
    found = checkup.clock(tmp_path / "missing", "make it")
    assert (found.state, found.advice) == ("bad", "make it")
    assert list(tmp_path.iterdir()) == []


def test_a_root_is_written_to_only_where_its_files_are_to_leave(tmp_path: Path) -> None:
    for take, clocks in (("index", 0), ("move", 1)):
        root = Root(path=tmp_path, take=take)
        assert len(list(doctor.emptied(root))) == clocks
    assert list(doctor.ahead(Root(path=tmp_path))) == []


def test_all_codecs_are_here() -> None:
    assert checkup.codecs().state == "good"


def at_migration(state: Path, number: int) -> Finding:
    with Catalog(state, memory_bytes=1 << 28, patience=PATIENCE) as made, made.transaction() as db:
        db.execute("DELETE FROM migration WHERE number > ?", [number])
        if number > len(sql.migrations()):
            db.execute("INSERT INTO migration VALUES (?, 'later', ?)", [number, utc_now()])
    return checkup.catalog(state)


@pytest.mark.parametrize(
    ("more", "state"), [(0, "good"), (-1, "warning"), (1, "bad")], ids=["same", "older", "newer"]
)
def test_a_catalog_says_its_format_and_its_migration(tmp_path: Path, more: int, state: str) -> None:
    known = len(sql.migrations())
    found = at_migration(tmp_path / "state", known + more)
    assert (found.state, f"migration {known + more} of {known}" in found.detail) == (state, True)
    assert "the file has format" in found.detail


def test_no_catalog_is_good_and_something_else_in_its_place_is_bad(tmp_path: Path) -> None:
    assert checkup.catalog(tmp_path).state == "good"
    (tmp_path / "catalog.duckdb").write_text("x" * 100)
    assert checkup.catalog(tmp_path).state == "bad"


def test_without_a_daemon_it_says_how_to_start_one(tmp_path: Path) -> None:
    found = checkup.service(tmp_path)
    assert (found.state, "systemctl start" in found.advice) == ("warning", True)


def test_every_finding_is_good_or_says_what_to_do(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    found = doctor.diagnose(Config(root=(Root(path=drop),)), tmp_path / "state")
    assert [one for one in found if one.state != "good" and not one.advice] == []
    assert {"codecs", "catalog", "service", str(drop)} <= {one.what for one in found}
