"""Wiring. Mends what an audit found, each kind in its own way; any step may be the last.

Nothing is read or stacked here: the ledger says that a file is due, or the catalog that a series
is quiet, and whoever does that anyway does it. So a crash leaves a wish that is still known.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from ingestd import retries, sql
from ingestd.catalog import Catalog
from ingestd.differences import Difference, Mend, split
from ingestd.hands import Hands
from ingestd.rollcall import BRAKE_FILES, mark_gone
from ingestd.source import folder_of

#: Of derived files that are to go, those that a row names by now.
NAMED = """
    SELECT thumbnail_path FROM instance WHERE thumbnail_path IN (SELECT path FROM going)
    UNION ALL
    SELECT path FROM volume WHERE path IN (SELECT path FROM going)
"""

FOLLOW = """
    INSERT INTO series_state BY NAME
    SELECT SeriesInstanceUID, 'quiet' AS state, min(ingested_utc) AS first_arrival_utc,
        max(ingested_utc) AS last_arrival_utc, 1 AS revision
    FROM instance
    WHERE SeriesInstanceUID IN (SELECT uid FROM again)
    GROUP BY SeriesInstanceUID
    ON CONFLICT (SeriesInstanceUID) DO NOTHING
"""
JUDGE_AGAIN = """
    UPDATE series_state SET state = 'quiet'
    WHERE state <> 'receiving' AND SeriesInstanceUID IN (SELECT uid FROM again)
"""
SERIES_OF = "SELECT DISTINCT SeriesInstanceUID FROM instance WHERE SOPInstanceUID IN (FROM again)"

#: Elements of no instance, and what is said of series without one; asked once more as they go.
NO_ELEMENTS = """
    DELETE FROM element WHERE instance_id IN (SELECT uid::BIGINT FROM again)
      AND instance_id NOT IN (SELECT instance_id FROM instance)
"""
NO_SERIES = """
    DELETE FROM {table} WHERE SeriesInstanceUID IN (SELECT uid FROM again)
      AND SeriesInstanceUID NOT IN (SELECT SeriesInstanceUID FROM instance)
      AND SeriesInstanceUID NOT IN (SELECT SeriesInstanceUID FROM listed)
"""


class Mender:
    """Mends differences; what it cannot mend stays, and is found again."""

    def __init__(self, hands: Hands, *, grace_s: float, brake_percent: float) -> None:
        self._hands, self._grace_s, self._brake_percent = hands, grace_s, brake_percent
        self._catalog: Catalog = hands.works.catalog
        self._state: Path = hands.works.state
        self._gone: dict[str, int] = {}
        self._ways: dict[Mend, Callable[[Sequence[Difference]], None]] = {
            Mend.READ: self._read,
            Mend.READ_ANEW: lambda some: self._read(some, anew=True),
            Mend.GONE: self._call_gone,
            Mend.REDO: self._redo,
            Mend.PICTURE: self._picture,
            Mend.FORGET: self._forget,
            Mend.DELETE: self._delete,
            Mend.VIEWS: self._make_views,
            Mend.NOT: lambda _: None,
        }

    def mend(self, some: Sequence[Difference]) -> None:
        """Mend what can be mended, or begin to.

        raises  IngestError when the catalog halts
        """
        for way, differences in split(some).items():
            self._ways[way](differences)

    def _read(self, some: Sequence[Difference], *, anew: bool = False) -> None:
        """Have files read: those of folders that somebody looks after."""
        for root, paths in by_root(some).items():
            if self._hands.is_watched(root):
                retries.read_again(self._catalog, [(root, path) for path in paths], anew=anew)
                with suppress(OSError):  # It cannot be reached; they stay due.
                    self._hands.look(root, paths)

    def _call_gone(self, some: Sequence[Difference]) -> None:
        """Call files gone, unless they are a great part of their root: the sweeps decide then."""
        for root, paths in by_root(some).items():
            ((known,),) = self._catalog.rows(
                "SELECT count(*) FROM file WHERE root = ? AND state <> 'gone'", root
            )
            before = self._gone.get(root, 0)
            most = max(BRAKE_FILES, (known + before) * self._brake_percent / 100)
            if before + len(paths) <= most:
                self._gone[root] = before + len(paths)
                mark_gone(self._catalog, root, paths)

    def _redo(self, some: Sequence[Difference]) -> None:
        self._again([one.uid or "" for one in some])

    def _again(self, series: Sequence[str]) -> None:
        """Have series stacked and judged."""
        if not series:
            return
        with self._catalog.transaction(again=pa.table({"uid": list(series)})) as db:
            db.execute(FOLLOW)
            db.execute(JUDGE_AGAIN)
        self._hands.redo(series)

    def _picture(self, some: Sequence[Difference]) -> None:
        """Have thumbnails made again, by those who made them."""
        level = self._hands.works.settings.thumbnail.level
        if level == "instance":
            self._read(some)
        elif level == "series":
            uids = pa.table({"uid": [one.uid for one in some]})
            with self._catalog.cursor() as cursor:
                cursor.register("again", uids)
                self._again([uid for (uid,) in cursor.execute(SERIES_OF).fetchall()])

    def _forget(self, some: Sequence[Difference]) -> None:
        ids = [one.detail for one in some if one.kind == "tags_without_instance"]
        uids = [one.uid for one in some if one.kind == "state_without_instances"]
        if ids:
            with self._catalog.transaction(again=pa.table({"uid": ids})) as db:
                db.execute(NO_ELEMENTS)
        if uids:
            with self._catalog.transaction(again=pa.table({"uid": uids})) as db:
                for table in ("series_state", "volume", "volume_slice"):
                    db.execute(NO_SERIES.format(table=table))

    def _delete(self, some: Sequence[Difference]) -> None:
        """Delete derived files that no row names, still, and that are old, still."""
        paths = [one.path or "" for one in some]
        with self._catalog.cursor() as cursor:
            cursor.register("going", pa.table({"path": paths}))
            named = {path for (path,) in cursor.execute(NAMED).fetchall()}
        for path in paths:
            if path not in named:
                with suppress(OSError):  # Somebody was faster, or it stays and is found again.
                    delete(self._state, path, older_s=self._grace_s)

    def _make_views(self, _: Sequence[Difference]) -> None:
        with self._catalog.transaction() as db:
            db.execute(sql.VIEWS)


def by_root(some: Sequence[Difference]) -> dict[str, list[str]]:
    """Give the paths of each root."""
    paths: dict[str, list[str]] = {}
    for one in some:
        paths.setdefault(one.root or "", []).append(one.path or "")
    return paths


def delete(state: Path, path: str, *, older_s: float) -> None:
    """Delete a file of the state folder, and the folders that this leaves empty; follow no link.

    raises  OSError as the file system gives it
    """
    with folder_of(str(state), path) as (folder, name):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if time.time() - max(status.st_mtime, status.st_ctime) < older_s:
            return
        os.unlink(name, dir_fd=folder)
    above = Path(path).parent
    with suppress(OSError):  # It is not empty.
        while len(above.parts) > 1:
            with folder_of(str(state), str(above)) as (folder, name):
                os.rmdir(name, dir_fd=folder)
            above = above.parent
