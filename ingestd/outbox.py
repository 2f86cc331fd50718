"""Edge: the table `event` as an outbox: who is still to be told of what, kept in the catalog.

For each hook there is a cursor: it was told of every event up to there. Events beyond it that are
done, because they went ahead of one that is still tried, have a row of their own until it passes.
"""

import json
import math
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ingestd import hookconfig
from ingestd.catalog import EVENT, Catalog, utc_now
from ingestd.lacking import without_files

BATCH = 50  #: events that are read at once

#: Events that somebody is still to be told of must stay. A condition on `event`.
UNDELIVERED = (
    "event_id > coalesce((SELECT min(c.event_id) FROM hook_cursor AS c), 9223372036854775807)"
)

#: A hook that is new is told of what comes, not of all that was.
BEGIN = """
    INSERT INTO hook_cursor
    SELECT $1, coalesce((SELECT max(event_id) FROM event), 0)
    WHERE $1 NOT IN (SELECT hook FROM hook_cursor)
"""
DISMISS = tuple(
    f"DELETE FROM {table} WHERE hook NOT IN (SELECT unnest($1::VARCHAR[]))"
    for table in ("hook_cursor", "hook_told")
)

OPEN = """
    FROM event AS e JOIN hook_cursor AS c ON c.hook = $1
    WHERE e.event_id > c.event_id AND e.kind IN (SELECT unnest($2::VARCHAR[]))
      AND NOT EXISTS (FROM hook_told AS t WHERE t.hook = $1 AND t.event_id = e.event_id)
"""
PENDING = f"""
    SELECT e.event_id, e.at_utc, e.kind, e.root, e.SeriesInstanceUID, e.detail {OPEN}
      AND coalesce(e.SeriesInstanceUID, e.root, '') NOT IN (SELECT unnest($3::VARCHAR[]))
    ORDER BY e.event_id LIMIT {BATCH}
"""
TOLD = "INSERT INTO hook_told VALUES (?, ?, ?, ?, ?)"
PASS = f"""
    UPDATE hook_cursor SET event_id = greatest(event_id, coalesce(
        (SELECT min(e.event_id) - 1 {OPEN}), (SELECT max(event_id) FROM event), 0))
    WHERE hook = $1
"""
PASSED = """
    DELETE FROM hook_told USING hook_cursor AS c
    WHERE hook_told.hook = $1 AND c.hook = $1 AND hook_told.event_id <= c.event_id
"""

SERIES = """
    SELECT s.state, s.evidence, s.expected, s.found, s.missing, s.revision,
        (SELECT any_value(StudyInstanceUID) FROM instance
            WHERE SeriesInstanceUID = s.SeriesInstanceUID),
        (SELECT any_value(Modality) FROM instance WHERE SeriesInstanceUID = s.SeriesInstanceUID),
        (SELECT list(DISTINCT root ORDER BY root) FROM instance
            WHERE SeriesInstanceUID = s.SeriesInstanceUID),
        (SELECT list(path ORDER BY stack) FROM volume
            WHERE SeriesInstanceUID = s.SeriesInstanceUID AND path IS NOT NULL)
    FROM series_state AS s WHERE s.SeriesInstanceUID = ?
"""
SERIES_NAMES = (
    *("state", "evidence", "expected", "found", "missing", "revision"),
    *("StudyInstanceUID", "Modality", "roots", "volumes"),
)

#: The files that one event is about: they were written in its transaction.
REFUSED = """
    SELECT path FROM file
    WHERE root = ? AND state = 'refused' AND reason = ? AND state_utc = ? ORDER BY path
"""


class Event(NamedTuple):
    """A row of `event`."""

    event_id: int
    at_utc: datetime
    kind: str
    root: str | None
    SeriesInstanceUID: str | None
    detail: str | None

    @property
    def key(self) -> str:
        """What it is about: events of one key are told in their order."""
        return self.SeriesInstanceUID or self.root or ""


class Outbox:
    """What one hook is still to be told."""

    def __init__(self, catalog: Catalog, hook: str, options: hookconfig.Hooks) -> None:
        self.hook = hook
        self._catalog, self._options = catalog, options
        with catalog.transaction() as db:
            db.execute(BEGIN, [hook])

    def pending(self, blocked: Collection[str]) -> list[Event]:
        """Give the next events, in their order, but for those of keys that have to wait."""
        rows = self._catalog.rows(PENDING, self.hook, list(self._options.on), list(blocked))
        return [Event(*row) for row in rows]

    def done(self, event: Event, attempts: int, *, given_up: str = "") -> None:
        """Note that it was told, or why it never will be."""
        state, now = "given_up" if given_up else "told", utc_now()
        with self._catalog.transaction() as db:
            db.execute(TOLD, [self.hook, event.event_id, state, attempts, now])
            db.execute(PASS, [self.hook, list(self._options.on)])
            db.execute(PASSED, [self.hook])
            if given_up:
                words = f"{self.hook}: event {event.event_id}, {event.kind}: {given_up}"
                db.execute(
                    EVENT, [now, "hook_given_up", event.root, event.SeriesInstanceUID, words]
                )

    def go_on(self) -> None:
        """Pass what nobody asks for, so that it may be forgotten."""
        with self._catalog.transaction() as db:
            db.execute(PASS, [self.hook, list(self._options.on)])

    def letter(self, event: Event) -> bytes:
        """Write what a hook is told: no patient data, but for what the config names."""
        told: dict[str, Any] = {
            "event": event.event_id,
            "at_utc": f"{event.at_utc.isoformat()}Z",
            "kind": event.kind,
            "root": event.root,
            "detail": event.detail,
        }
        if event.SeriesInstanceUID is not None:
            told["SeriesInstanceUID"] = event.SeriesInstanceUID
            told["series"] = self._series(event.SeriesInstanceUID)
        if event.kind == "file_refused" and "path" in self._options.fields:
            reason = (event.detail or "").split(":", 1)[0]
            rows = self._catalog.rows(REFUSED, event.root, reason, event.at_utc)
            told["paths"] = [path for (path,) in rows]
        return json.dumps(told, default=str, ensure_ascii=False).encode() + b"\n"

    def _series(self, uid: str) -> dict[str, Any] | None:
        """Say how a series is now, which may be later than the event."""
        rows = self._catalog.rows(SERIES, uid)
        if not rows:
            return None
        found = dict(zip(SERIES_NAMES, rows[0], strict=True))
        keywords = [name for name in self._options.fields if name != "path"]
        if "path" not in self._options.fields:
            found["missing"] = [without_files(name) for name in found["missing"] or ()]
        if keywords:
            columns = ", ".join(f"any_value({name})" for name in keywords)
            query = f"SELECT {columns} FROM instance WHERE SeriesInstanceUID = ?"
            values = self._catalog.rows(query, uid)[0]
            found |= dict(zip(keywords, map(finite, values), strict=True))
        return found


def finite(value: object) -> object:
    """Put null for what JSON cannot hold: a number that is none, or has no end."""
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dismiss(catalog: Catalog, hooks: Sequence[str]) -> None:
    """Forget hooks that the config does not name any more; nobody waits for their events."""
    with catalog.transaction() as db:
        for statement in DISMISS:
            db.execute(statement, [list(hooks)])
