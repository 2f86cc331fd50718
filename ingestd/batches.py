"""Edge: one batch of files becomes rows, inside a transaction of the catalog."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import duckdb
import pyarrow as pa

from ingestd import sql, tables
from ingestd.model import Patience, Written
from ingestd.tables import Batch

#: So many values at once are still looked up by index (DuckDB's index_scan_max_count).
LOOK_UP = 1000


class Step(NamedTuple):
    """One of the steps of writing a batch, and its name for those who measure."""

    name: str
    script: str


DECIDE = Step("decide", sql.DECIDE)
NEW = (Step("write", sql.WRITE_BATCH),)
KNOWN = (Step("make way", sql.MAKE_WAY), *NEW, Step("displaced", sql.DISPLACED))
REFUSED = Step("refused", sql.WRITE_REFUSED)
LISTED = Step("listed", sql.WRITE_LISTED)

RESTORED = "SELECT SeriesInstanceUID FROM restored"

#: Of these a media directory was read before, which may say otherwise now.
READ_ANEW = "SELECT 1 FROM prior WHERE reason = 'dicomdir' LIMIT 1"


def views(batch: Batch, patience: Patience, now: datetime) -> dict[str, pa.Table]:
    """Give what the steps see as tables."""
    setting = pa.table(
        {
            "at_utc": pa.array([now], pa.timestamp("us")),
            "attempts": pa.array([patience.attempts], pa.int32()),
            "first_s": [patience.first_s],
            "limit_s": [patience.limit_s],
        }
    )
    return {
        "incoming_file": batch.file,
        "incoming_instance": batch.instance,
        "incoming_attribute": batch.attribute,
        "incoming_element": batch.element,
        "incoming_problem": batch.problem,
        "incoming_listed": batch.listed,
        "setting": setting,
        "verdict": tables.VERDICTS,
    }


def write(db: duckdb.DuckDBPyConnection, batch: Batch) -> dict[int, str]:
    """Write a batch, whose `views` are there; give the outcome of each instance by its `seq`."""
    look_up(db, batch)
    db.execute(DECIDE.script)
    outcomes = dict(db.execute("SELECT seq, outcome FROM decided").fetchall())
    for step in steps(batch, outcomes):
        db.execute(step.script)
    return outcomes


def steps(batch: Batch, outcomes: dict[int, str]) -> Sequence[Step]:
    """Say what there is to do: of what is not known nothing else has to change."""
    found = NEW if set(outcomes.values()) <= {"new"} and not meets_known(batch) else KNOWN
    is_clean = batch.file["reason"].null_count == batch.file.num_rows
    return found if is_clean else (*found, REFUSED)


def meets_known(batch: Batch) -> bool:
    """Whether the ledger may have rows of its paths, or of what its directories list."""
    return True in batch.file["known"].to_pylist() or batch.listed.num_rows > 0


def relist(db: duckdb.DuckDBPyConnection, batch: Batch) -> frozenset[str]:
    """Write what media directories list; give the series of which they say something new."""
    if not meets_known(batch):
        return frozenset()
    if not batch.listed.num_rows and not db.execute(READ_ANEW).fetchall():
        return frozenset()
    db.execute(LISTED.script)
    return frozenset(uid for (uid,) in db.execute("FROM relisted").fetchall())


def restored(db: duckdb.DuckDBPyConnection, outcomes: dict[int, str]) -> frozenset[str]:
    """Give the series of which something is back, that were stacked without it."""
    if set(outcomes.values()) <= {"new"}:
        return frozenset()
    return frozenset(uid for (uid,) in db.execute(RESTORED).fetchall())


KNOWN_INSTANCES = "SELECT SOPInstanceUID, instance_id, revision, root, path, digest FROM instance"


def look_up(db: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    """Make the temporary tables `known`, of instances, and `met`, of attributes.

    By index: a join would read all that the catalog has.
    """
    uids = batch.instance["SOPInstanceUID"].to_pylist()
    _gather(db, "known", KNOWN_INSTANCES, "SOPInstanceUID", uids)
    paths = list(dict.fromkeys(batch.attribute["path"].to_pylist()))
    _gather(db, "met", "FROM attribute", "path", paths)


def _gather(
    db: duckdb.DuckDBPyConnection, name: str, rows: str, column: str, values: Sequence[str]
) -> None:
    db.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {rows} LIMIT 0")
    for at in range(0, len(values), LOOK_UP):
        some = values[at : at + LOOK_UP]
        db.execute(f"INSERT INTO {name} {rows} WHERE {column} IN $1", [some])


def account(
    db: duckdb.DuckDBPyConnection, batch: Batch, thumbnails: int, reopened: frozenset[str]
) -> Written:
    """Say what a batch came to, that was written just now."""
    states = db.execute("SELECT state, reason, count(*) FROM outcome GROUP BY ALL").fetchall()
    series = db.execute("SELECT SeriesInstanceUID, count(*) FROM fresh GROUP BY ALL").fetchall()
    by_state, by_reason = Counter[str](), Counter[str]()
    for state, reason, count in states:
        by_state[state] += count
        if state == "refused":
            by_reason[reason] += count
    return Written(
        states=by_state,
        reasons=by_reason,
        series=reopened | {uid for uid, _ in series},
        instances=sum(count for _, count in series),
        thumbnails=thumbnails,
        problems=batch.problem.num_rows,
    )
