"""The same answer with the daemon up, down and starting; and what the research profile lets out."""

import json
import os
import re
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from daemons import COMMAND, Running, wait_for

import ingestd
from ingestd.errors import SqlError

QUESTIONS = (
    "SELECT Modality, SeriesDescription, instances, state FROM series ORDER BY ALL",
    (
        "SELECT SOPInstanceUID, PatientName, StudyDate, StudyTime, ImageType, PixelSpacing"
        " FROM instance ORDER BY ALL"
    ),
    (
        "SELECT INTERVAL 14 MONTH AS i, sum(1) AS s, 1.50::DECIMAL(9,2) AS d, 'nan'::DOUBLE AS n,"
        " [DATE '2026-01-02'] AS l, {'k': [1]} AS k, '\\x00'::BLOB AS b, NULL AS z, true AS t"
    ),
    "SELECT range AS n, md5(range::VARCHAR) AS x FROM range(5000)",
    "DESCRIBE instance",
)


def printed(state: Path, query: str, form: str) -> bytes:
    done = subprocess.run(
        [*COMMAND, "sql", query, "--state", str(state), "--format", form],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.fixture
def state(place: Path) -> Path:
    """The state folder of a scan of the demo's studies."""
    return place / "state"


def each_format(state: Path) -> dict[str, object]:
    """The answer to a question of many types, as each format says it."""
    said: dict[str, object] = {
        form: printed(state, QUESTIONS[2], form) for form in ("table", "list", "csv", "json")
    }
    arrow = printed(state, QUESTIONS[2], "arrow")
    parquet = printed(state, f"SELECT * EXCLUDE (i) FROM ({QUESTIONS[2]})", "parquet")
    said["arrow"] = repr(pa.ipc.open_stream(arrow).read_all().to_pylist())
    said["parquet"] = repr(pyarrow.parquet.read_table(pa.BufferReader(parquet)).to_pylist())
    return said


def answers(state: Path) -> list[object]:
    catalog = ingestd.open(state)
    found: list[object] = [catalog.answer(question) for question in QUESTIONS]
    return [*map(repr, map(plainly, found)), printed(state, QUESTIONS[0], "table")]


def plainly(answer: Any) -> tuple[list[str], list[str], list[list[object]]]:
    return list(answer.names), list(answer.types), [list(row) for row in answer.rows]


def test_the_same_answer_with_the_daemon_up_down_and_starting(state: Path) -> None:
    down, each_down = answers(state), each_format(state)
    starting: list[object] = []
    asking = threading.Thread(target=lambda: starting.extend(answers(state)))
    asking.start()
    daemon = Running(state.parent / "drop", state)
    try:
        up, each_up = answers(state), each_format(state)
        asking.join()
        lake = state.parent / "lake"
        command = [*COMMAND, "export", "--parquet", str(lake), "--state", str(state)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        with duckdb.connect() as db:
            rows = db.execute(f"SELECT count(*) FROM '{lake}/tag/**/*.parquet'").fetchall()
        assert rows == [(ingestd.open(state).rows("SELECT count(*) AS n FROM tag")[0]["n"],)]
    finally:
        assert daemon.stop() == 0
    assert up == down
    assert starting == down
    assert each_up == each_down


def test_under_the_research_profile_nothing_else_comes_out(state: Path) -> None:
    raw = ingestd.open(state).sql("SELECT PatientID, PatientName, SOPInstanceUID FROM instance")
    secrets = {value for row in raw.to_pylist() for value in row.values() if len(value or "") > 5}
    daemon = Running(
        state.parent / "drop", state, INGESTD_SQL__PROFILE="research", INGESTD_SQL__SNAPSHOT_S="1"
    )
    try:
        catalog = ingestd.open(state)
        up = printed(state, "FROM instance ORDER BY instance_id", "json")
        made = wait_for(lambda: (state / "snapshot.duckdb").exists() and state / "snapshot.duckdb")
        uid = catalog.sql("SELECT SOPInstanceUID FROM instance LIMIT 1").to_pylist()[0]
        shown = subprocess.run(
            [*COMMAND, "show", uid["SOPInstanceUID"], "--json", "--state", str(state)],
            capture_output=True,
            check=True,
        ).stdout
        status = subprocess.run(
            [*COMMAND, "status", "--json", "--state", str(state)], capture_output=True, check=True
        ).stdout
        with pytest.raises(SqlError, match="profile = research"):
            catalog.sql("SELECT PatientName FROM instance")
        with pytest.raises(SqlError, match="withheld"):
            catalog.thumbnail(uid["SOPInstanceUID"])
    finally:
        assert daemon.stop() == 0
    assert printed(state, "FROM instance ORDER BY instance_id", "json") == up
    assert json.loads(status)["catalog"]["instances"] == 124
    with duckdb.connect(str(made), read_only=True) as db:
        tables = [name for (name,) in db.execute("SHOW TABLES").fetchall()]
        copied = " ".join(str(db.execute(f"FROM {name}").fetchall()) for name in tables)
        assert db.execute("SELECT count(*) FROM instance").fetchall() == [(124,)]
    out = up.decode() + shown.decode() + copied
    words = set(re.split(r"[^\w.]+", out))  # A hash may hold any number by chance.
    told = [it for it in secrets if (it in words if it.isdigit() else it in out)]
    assert told == []
    modes = {
        name: stat.S_IMODE((state / name).stat().st_mode)
        for name in ("catalog.duckdb", "research.key", "thumbnails", "volumes")
    }
    assert modes == {
        "catalog.duckdb": 0o600,
        "research.key": 0o600,
        "thumbnails": 0o700,
        "volumes": 0o700,
    }
    assert b"DEMO-0" not in made.read_bytes()
    assert os.stat(made).st_mode & 0o777 == 0o440
