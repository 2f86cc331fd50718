"""Edge: series that fell quiet get their rows: volumes, what does not agree, a judgement.

Several series at once, in one transaction: what is asked of the catalog costs as much for one. The
events that tell of it are in that transaction too: whoever follows them misses none.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa

from ingestd import agreement, evidence, sql, tables
from ingestd.catalog import EVENT, Catalog
from ingestd.completeness import Judgement
from ingestd.errors import IngestError
from ingestd.model import SeriesFile, SeriesJob
from ingestd.workers import WorkerLost

TELL_QUIET = """
    INSERT INTO event BY NAME
    SELECT $2 AS at_utc, 'series_quiet' AS kind, SeriesInstanceUID
    FROM series_state WHERE SeriesInstanceUID IN $1 AND state = 'receiving'
"""
QUIET = """
    UPDATE series_state SET state = 'quiet' WHERE SeriesInstanceUID IN $1
    RETURNING SeriesInstanceUID, revision
"""

#: Unless it was re-opened meanwhile. `found` is -1 when files went away after we looked: then it is
#: judged again.
JUDGE = """
    UPDATE series_state AS s
    SET state = j.state, evidence = j.evidence, expected = j.expected,
        found = if(s.found = -1, NULL, j.found), missing = j.missing
    FROM judged AS j
    WHERE s.SeriesInstanceUID = j.SeriesInstanceUID AND s.revision = j.revision
      AND s.state = 'quiet'
    RETURNING s.SeriesInstanceUID
"""

TELL = "INSERT INTO event BY NAME SELECT $1 AS at_utc, * FROM news"

JUDGED = pa.schema(
    {
        "SeriesInstanceUID": pa.string(),
        "revision": pa.int64(),
        "state": pa.string(),
        "evidence": pa.string(),
        "expected": pa.int64(),
        "found": pa.int64(),
        "missing": pa.list_(pa.string()),
    }
)

#: What was said of series that are judged once more though nothing came: it is not told twice.
SAID = """
    SELECT SeriesInstanceUID, evidence, found, missing FROM series_state
    WHERE SeriesInstanceUID IN $1 AND evidence IS NOT NULL
"""

#: Judged, and something has changed since that is no arrival: files are gone, or back.
DOUBTED = """
    SELECT SeriesInstanceUID, revision, state, evidence FROM series_state
    WHERE found IS NULL AND state IN ('complete', 'incomplete', 'unknown')
"""
DOUBTED_AT_ONCE = 128
JUDGE_AGAIN = """
    UPDATE series_state AS s
    SET state = j.state, evidence = j.evidence, expected = j.expected, found = j.found,
        missing = j.missing
    FROM judged AS j
    WHERE s.SeriesInstanceUID = j.SeriesInstanceUID AND s.revision = j.revision
      AND s.found IS NULL AND s.state IN ('complete', 'incomplete', 'unknown')
    RETURNING s.SeriesInstanceUID
"""

#: Nothing is waited for where files were taken away.
GIVE_UP = """
    UPDATE series_state SET given_up_utc = $1
    WHERE state = 'incomplete' AND last_arrival_utc < $2
      AND (given_up_utc IS NULL OR given_up_utc < last_arrival_utc)
      AND NOT starts_with(evidence, 'gone:')
    RETURNING SeriesInstanceUID, evidence
"""
FORGET = "DELETE FROM series_state WHERE SeriesInstanceUID = ? AND revision = ?"

BUILT = """
    INSERT INTO event BY NAME
    SELECT $1 AS at_utc, 'volume_built' AS kind, SeriesInstanceUID,
        format('{} of {} stacks, revision {}', count(path), count(*), max(revision)) AS detail
    FROM new_volume GROUP BY SeriesInstanceUID HAVING count(path) > 0
"""


class Closing(NamedTuple):
    """What came of a series, but for its judgement."""

    job: SeriesJob
    volumes: pa.Table | None = None  #: as tables.VOLUME; None: those that there are stay
    slices: pa.Table = tables.VOLUME_SLICE.empty_table()


class Closed(NamedTuple):
    """What was written of some series."""

    judged: list[tuple[str, Judgement]]
    replaced: list[str]  #: paths of volumes that have no row any more


def call_quiet(catalog: Catalog, series: Sequence[str], now: datetime) -> dict[str, int]:
    """Note that nothing came for a while; give the revision of each, but for those that left."""
    with catalog.transaction() as db:
        db.execute(TELL_QUIET, [series, now])
        return dict(db.execute(QUIET, [series]).fetchall())


def jobs(catalog: Catalog, revisions: Mapping[str, int]) -> list[SeriesJob]:
    """Say where the files of some series are; `revisions`: of each."""
    studies: dict[str, str] = {}
    files: dict[str, list[SeriesFile]] = {uid: [] for uid in revisions}
    rows = catalog.rows(sql.SERIES_FILES, list(revisions))
    for (series, study, uid), places in groupby(rows, itemgetter(0, 1, 2)):
        studies.setdefault(series, study)
        files[series].append(SeriesFile.of(uid, (place[3:] for place in places)))
    return [
        SeriesJob(
            StudyInstanceUID=studies.get(uid, ""),
            SeriesInstanceUID=uid,
            revision=revision,
            files=tuple(files[uid]),
        )
        for uid, revision in revisions.items()
    ]


def close(catalog: Catalog, closings: Sequence[Closing], now: datetime) -> Closed:
    """Write all that is known of some series, and judge them."""
    parts = [(one.volumes, one.slices) for one in closings if one.volumes is not None]
    volumes = pa.concat_tables([tables.VOLUME.empty_table(), *(some for some, _ in parts)])
    slices = pa.concat_tables([tables.VOLUME_SLICE.empty_table(), *(some for _, some in parts)])
    renewed = [one.job.SeriesInstanceUID for one in closings if one.volumes is not None]
    with catalog.transaction(new_volume=volumes, new_slice=slices) as db:
        old = _renew(db, renewed, now) if renewed else set()
        agreement.note(db, [one.job.SeriesInstanceUID for one in closings], now)
        judged = _judge(db, [one.job for one in closings], now)
    return Closed(judged, sorted(old - set(volumes["path"].to_pylist())))


def _renew(db: Any, series: Sequence[str], now: datetime) -> set[str]:
    """Put the rows of volumes in place of those before; give the paths of these."""
    old = db.execute(
        "SELECT path FROM volume WHERE SeriesInstanceUID IN $1 AND path IS NOT NULL", [series]
    ).fetchall()
    for table in ("volume", "volume_slice"):
        db.execute(f"DELETE FROM {table} WHERE SeriesInstanceUID IN $1", [series])
    db.execute("INSERT INTO volume BY NAME SELECT *, $1 AS built_utc FROM new_volume", [now])
    db.execute("INSERT INTO volume_slice BY NAME FROM new_slice")
    db.execute(BUILT, [now])
    return {path for (path,) in old}


def _judge(db: Any, jobs: Sequence[SeriesJob], now: datetime) -> list[tuple[str, Judgement]]:
    """Judge series; leave out those that got something meanwhile."""
    readable = {job.SeriesInstanceUID: len(job.files) for job in jobs}
    found = evidence.judge(db, list(readable), readable)
    before = {uid: words for uid, *words in db.execute(SAID, [list(readable)]).fetchall()}
    revisions = {job.SeriesInstanceUID: job.revision for job in jobs}
    judged = _write(db, JUDGE, revisions, found)
    news = [
        (uid, said)
        for uid, said in judged
        if before.get(uid) != [said.evidence, said.found, [*said.missing]]
    ]
    _tell(db, news, now)
    return judged


def judge_doubted(catalog: Catalog, now: datetime) -> list[tuple[str, Judgement]]:
    """Judge again what was judged before files went away, or came back.

    Some at a time: when a whole root is cleared, these are all its series.
    """
    doubted, judged = catalog.rows(DOUBTED), list[tuple[str, Judgement]]()
    for at in range(0, len(doubted), DOUBTED_AT_ONCE):
        with catalog.transaction() as db:
            judged += _judge_again(db, doubted[at : at + DOUBTED_AT_ONCE], now)
    return judged


def _judge_again(
    db: Any, doubted: Sequence[tuple[Any, ...]], now: datetime
) -> list[tuple[str, Judgement]]:
    found = evidence.judge(db, [uid for uid, *_ in doubted], {})
    before = {uid: (state, words) for uid, _, state, words in doubted}
    judged = _write(db, JUDGE_AGAIN, {uid: revision for uid, revision, *_ in doubted}, found)
    news = [(uid, said) for uid, said in judged if before[uid] != (said.state, said.evidence)]
    _tell(db, news, now)
    return judged


def give_up(catalog: Catalog, now: datetime, after_s: float) -> list[tuple[str, str]]:
    """Tell of series that have been incomplete for so long, once. They are not closed."""
    with catalog.transaction() as db:
        rows = db.execute(GIVE_UP, [now, now - timedelta(seconds=after_s)]).fetchall()
        for uid, words in rows:
            db.execute(EVENT, [now, "series_given_up", None, uid, words])
    return rows


def kind_of(said: Judgement) -> str:
    """Name the event of a judgement."""
    return "series_gone" if said.is_gone else f"series_{said.state}"


def _write(
    db: Any,
    statement: str,
    revisions: Mapping[str, int],
    found: Mapping[str, Judgement | None],
) -> list[tuple[str, Judgement]]:
    """Write judgements, and forget series of which nothing is known any more.

    return  those that were written: the others got something meanwhile
    """
    known = {uid: said for uid, said in found.items() if said is not None}
    for uid in found.keys() - known.keys():
        db.execute(FORGET, [uid, revisions[uid]])
    rows = [
        {
            "SeriesInstanceUID": uid,
            "revision": revisions[uid],
            "state": str(said.state),
            "evidence": said.evidence,
            "expected": said.expected,
            "found": said.found,
            "missing": said.missing,
        }
        for uid, said in known.items()
    ]
    db.register("judged", pa.Table.from_pylist(rows, schema=JUDGED))
    written = {uid for (uid,) in db.execute(statement).fetchall()}
    db.unregister("judged")
    return [(uid, said) for uid, said in known.items() if uid in written]


def _tell(db: Any, news: Sequence[tuple[str, Judgement]], now: datetime) -> None:
    """Note an event for each."""
    columns = {
        "kind": pa.array([kind_of(said) for _, said in news], pa.string()),
        "SeriesInstanceUID": pa.array([uid for uid, _ in news], pa.string()),
        "detail": pa.array([said.evidence for _, said in news], pa.string()),
    }
    db.register("news", pa.table(columns))
    db.execute(TELL, [now])
    db.unregister("news")


def no_volume(job: SeriesJob, error: WorkerLost | IngestError) -> pa.Table:
    """Make the row of a series that could not be stacked."""
    row = {
        "SeriesInstanceUID": job.SeriesInstanceUID,
        "stack": 0,
        "reason": str(error.reason),
        "detail": error.detail,
        "revision": job.revision,
    }
    return pa.Table.from_pylist([row], schema=tables.VOLUME)
