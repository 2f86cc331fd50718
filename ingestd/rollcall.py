"""Edge: who keeps count of files that are not there any more, over whole sweeps of one root.

A file is gone only after two sweeps of a healthy root did not see it. When a great part of the
root is missed at once, nobody believes it for a while: an event says so loudly, the root is
degraded, and whoever knows better has the time to mend it.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import pyarrow as pa

from ingestd.catalog import Catalog, utc_now
from ingestd.log import get_logger

log = get_logger()

SWEEPS = 2  #: so many sweeps in a row without it
BRAKE_FILES = 10  #: a root may always lose so many at once

PART_FILES = 300_000  #: so many files are compared at once, or memory grows with their number

#: Of what the ledger holds of a root, what this sweep did not see and might have seen: one part of
#: all, by their hashes.
ABSENT = """
    INSERT INTO absent_now
    SELECT f.path, coalesce(a.sweeps, 0) + 1 AS sweeps, coalesce(a.since_s, $5) AS since_s
    FROM file AS f
    LEFT JOIN absent AS a ON a.path = f.path
    WHERE f.root = $1 AND f.state <> 'gone' AND hash(f.path) % $3 = $4
      AND NOT EXISTS (
        SELECT 1 FROM present AS p WHERE p.hash % $3 = $4 AND p.hash = hash(f.path))
      AND NOT EXISTS (
        SELECT 1 FROM unnest($2::VARCHAR[]) AS u (folder)
        WHERE f.path = u.folder OR starts_with(f.path, u.folder || '/'))
"""

ABSENT_COLUMNS = "path VARCHAR, sweeps INTEGER, since_s DOUBLE"
GONE = "SELECT path FROM absent WHERE sweeps >= ? AND since_s <= ?"

#: Gone; and an instance whose own file is gone lives on in a copy, if there is one.
MARK_GONE = """
    UPDATE file SET state = 'gone', reason = NULL, detail = NULL, not_before_utc = NULL,
        state_utc = $2
    WHERE root = $1 AND path IN (SELECT path FROM gone)
"""
MOVE_TO_COPY = """
    UPDATE instance SET root = copy.root, path = copy.path
    FROM (
        SELECT i.instance_id, arg_min(f.root, f.first_seen_utc) AS root,
            arg_min(f.path, f.first_seen_utc) AS path
        FROM instance AS i
        JOIN gone AS g ON i.path = g.path
        JOIN file AS f ON f.SOPInstanceUID = i.SOPInstanceUID AND f.digest = i.digest
        WHERE i.root = $1 AND f.state = 'duplicate'
        GROUP BY i.instance_id
    ) AS copy
    WHERE instance.instance_id = copy.instance_id
"""
COPY_IS_SOURCE = """
    UPDATE file SET state = 'cataloged'
    FROM instance AS i
    WHERE file.state = 'duplicate' AND i.root = file.root AND i.path = file.path
      AND i.SOPInstanceUID = file.SOPInstanceUID
"""

#: Series that lost a file are judged again: `found` NULL asks for it, -1 while they are not judged.
DOUBT = """
    UPDATE series_state SET found = if(state IN ('receiving', 'quiet'), -1, NULL)
    FROM (
        SELECT DISTINCT i.SeriesInstanceUID
        FROM instance AS i JOIN gone AS g ON i.path = g.path
        WHERE i.root = $1
    ) AS lost
    WHERE series_state.SeriesInstanceUID = lost.SeriesInstanceUID
"""

#: A conflict whose rival is gone, and has no copy, is read again: now it is the instance.
RIVAL_IS_GONE = """
    UPDATE file SET state = 'retry', reason = 'still_changing', attempts = 0,
        detail = 'the file that brought this UID first is gone', not_before_utc = $1
    FROM instance AS i
    JOIN file AS own ON own.root = i.root AND own.path = i.path
    WHERE file.state = 'conflict' AND i.SOPInstanceUID = file.SOPInstanceUID
      AND own.state = 'gone' AND $1 IS NOT NULL
"""


class RollCall:
    """The count for one root; its memory is in temporary tables of the catalog."""

    def __init__(
        self, catalog: Catalog, root: str, *, brake_percent: float, brake_s: float
    ) -> None:
        self.missed = ""  #: in words: how much of the root is missed, and not believed gone yet
        self._catalog, self._root = catalog, root
        self._brake_percent, self._brake_s = brake_percent, brake_s
        self._closing = ExitStack()
        self._generation = -1

    def begin(self) -> None:
        """Start a sweep: nobody has been seen yet."""
        if self._generation != self._catalog.generation:
            self._open()
        self._db.execute("TRUNCATE present")

    def _open(self) -> None:
        """Make the temporary tables; those of a catalog that was opened anew are gone."""
        self._closing.close()
        self._generation = self._catalog.generation
        self._db = self._closing.enter_context(self._catalog.cursor())
        self._db.execute("CREATE OR REPLACE TEMP TABLE present (hash UBIGINT)")
        self._db.execute(f"CREATE OR REPLACE TEMP TABLE absent ({ABSENT_COLUMNS})")

    def forget(self) -> None:
        """Count anew: the root is, or may be, another one than before."""
        self.missed = ""
        if self._generation == self._catalog.generation:
            self._db.execute("TRUNCATE absent")

    def note(self, paths: Sequence[str]) -> None:
        """These are there."""
        if paths:
            self._db.register("noted", pa.table({"path": list(paths)}))
            self._db.execute("INSERT INTO present SELECT hash(path) FROM noted")
            self._db.unregister("noted")

    def end(self, unlisted: Sequence[str], now_s: float) -> None:
        """Settle who is gone; folders that could not be listed say nothing of their files.

        now_s  our monotonic clock
        """
        self._db.execute(f"CREATE OR REPLACE TEMP TABLE absent_now ({ABSENT_COLUMNS})")
        parts = 1 + self._known() // PART_FILES
        for part in range(parts):
            self._db.execute(ABSENT, [self._root, list(unlisted), parts, part, now_s])
        self._db.execute("DROP TABLE absent")
        self._db.execute("ALTER TABLE absent_now RENAME TO absent")
        gone = self._gone(now_s)
        if gone:
            self._mark(gone)

    def _gone(self, now_s: float) -> list[str]:
        """Name who is gone by now, after the brake.

        What one sweep did not see counts for the brake already: files that leave one after the
        other are many at once too.
        """
        absent = int(self._db.execute("SELECT count(*) FROM absent").fetchall()[0][0])
        known = self._known()
        braked = absent > max(BRAKE_FILES, known * self._brake_percent / 100)
        since_s = now_s - self._brake_s if braked else now_s
        gone = self._db.execute(GONE, [SWEEPS, since_s]).fetchall()
        if braked:
            if not self.missed:
                words = f"{absent} of {known} files are not there: gone after {self._brake_s:g} s"
                self._tell("gone_brake", words)
            if gone:
                self._tell("gone_believed", f"{len(gone)} of {known} files stayed away: gone")
        left = absent - len(gone)
        self.missed = f"{left} of {known} files are not there" if braked and left else ""
        return [path for (path,) in gone]

    def _known(self) -> int:
        """How many files of the root the ledger holds that are not gone."""
        query = "SELECT count(*) FROM file WHERE root = ? AND state <> 'gone'"
        return int(self._catalog.rows(query, self._root)[0][0])

    def _mark(self, gone: Sequence[str]) -> None:
        mark_gone(self._catalog, self._root, gone)
        self._db.execute("DELETE FROM absent WHERE path IN (SELECT unnest($1))", [list(gone)])
        log.info("gone", root=self._root, files=len(gone))

    def _tell(self, kind: str, detail: str) -> None:
        log.warning(kind, root=self._root, detail=detail)
        self._catalog.tell(kind, root=self._root, detail=detail)

    def close(self) -> None:
        """Let the temporary tables go."""
        self._closing.close()


def mark_gone(catalog: Catalog, root: str, gone: Sequence[str]) -> None:
    """Write that files of a root are gone; what they were the source of lives on in copies."""
    with catalog.transaction(gone=pa.table({"path": list(gone)})) as db:
        db.execute(MARK_GONE, [root, utc_now()])
        db.execute(MOVE_TO_COPY, [root])
        db.execute(COPY_IS_SOURCE)
        db.execute(DOUBT, [root])
        db.execute(RIVAL_IS_GONE, [utc_now()])
