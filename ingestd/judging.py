"""Edge: series that fell quiet get their rows: volumes, what does not agree, a judgement.

Several series at once, in one transaction: what is asked of the catalog costs as much for one.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from ingestd import agreement, completeness, tables
from ingestd.catalog import Catalog
from ingestd.completeness import Judgement
from ingestd.model import SeriesJob

#: What is judged: every image of a series. The names are those of completeness.Image.
IMAGES = f"""
    SELECT SeriesInstanceUID, {", ".join(completeness.IMAGE_COLUMNS)}
    FROM instance WHERE SeriesInstanceUID IN $1
"""
STACKS = f"""
    SELECT SeriesInstanceUID, {", ".join(completeness.STACK_COLUMNS)}
    FROM volume WHERE SeriesInstanceUID IN $1
"""

#: Unless it was re-opened meanwhile.
JUDGE = """
    UPDATE series_state
    SET state = $2, evidence = $3, expected = $4, found = $5, missing = $6
    WHERE SeriesInstanceUID = $1 AND revision = $7 AND state = 'quiet'
    RETURNING SeriesInstanceUID
"""


EVENT = "INSERT INTO event (at_utc, kind, SeriesInstanceUID, detail) VALUES ($1, $2, $3, $4)"


class Closing(NamedTuple):
    """What came of a series, but for its judgement."""

    job: SeriesJob
    volumes: pa.Table | None = None  #: as tables.VOLUME; None: those that there are stay
    slices: pa.Table = tables.VOLUME_SLICE.empty_table()


class Closed(NamedTuple):
    """What was written of some series."""

    judged: list[tuple[str, Judgement]]
    replaced: list[str]  #: paths of volumes that have no row any more


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
    return {path for (path,) in old}


def _judge(db: Any, jobs: Sequence[SeriesJob], now: datetime) -> list[tuple[str, Judgement]]:
    """Judge series; leave out those that got something meanwhile."""
    uids = [job.SeriesInstanceUID for job in jobs]
    images, stacks = defaultdict(list), defaultdict(list)
    for uid, *row in db.execute(IMAGES, [uids]).fetchall():
        images[uid].append(completeness.Image(*row))
    for uid, *row in db.execute(STACKS, [uids]).fetchall():
        stacks[uid].append(completeness.StackRow(*row))
    judged = []
    for job in jobs:
        uid = job.SeriesInstanceUID
        found = completeness.judge(images[uid], stacks[uid])
        values = [uid, found.state, found.evidence, found.expected, found.found]
        if db.execute(JUDGE, [*values, list(found.missing), job.revision]).fetchall():
            db.execute(EVENT, [now, f"series_{found.state}", uid, found.evidence])
            judged.append((uid, found))
    return judged
