"""Edge: the one owner of the catalog: opens, migrates, writes batches, answers.

DuckDB lets one process write. Within it, one connection writes under one lock, and every reader
has a cursor of its own that sees whole transactions only.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from ingestd import alone, batches, derived, engine, research, sql
from ingestd.aside import copy_aside
from ingestd.errors import BrokenStateError, IngestError, Reason, StateError
from ingestd.files import CATALOG_NAME
from ingestd.log import get_logger
from ingestd.model import Past, Patience, Sighting, Written
from ingestd.owner import take_state
from ingestd.profile import Profile, enter
from ingestd.tables import Batch

log = get_logger()

EVENT = "INSERT INTO event (at_utc, kind, root, SeriesInstanceUID, detail) VALUES (?, ?, ?, ?, ?)"

CHECKPOINT_S = 10.0  #: how long a checkpoint waits for questions, and the writer with it


def utc_now() -> datetime:
    """Say what the catalog's TIMESTAMP columns want: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


class Catalog:
    """The catalog of one state folder; this process owns it until `close`."""

    def __init__(
        self,
        state: Path,
        *,
        memory_bytes: int,
        patience: Patience,
        profile: Profile | None = None,
    ) -> None:
        self.state = state
        self._writing = threading.RLock()
        self._opening = threading.Lock()  # no cursor is made while the file is opened anew
        self.patience = patience
        self._memory_bytes = memory_bytes
        self._readers: set[duckdb.DuckDBPyConnection] = set()
        self.damaged: IngestError | None = None  #: what was found, as soon as somebody met it
        self._astray: list[tuple[str, str]] = []  # published thumbnails without their rows
        self.generation = 0  #: goes up when the file was opened anew, and cursors with it
        self._lock = take_state(state)
        try:
            alone.forget(state)
            self._research_key = None if profile is None else enter(state, profile)
            self._db = self._open()
            self._prepare()
        except BaseException:
            self._lock.close()
            raise

    @property
    def profile(self) -> Profile:
        """Say how much other people's questions may see."""
        return "full" if self._research_key is None else "research"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write everything down and let the state folder go."""
        with self._writing:
            try:
                engine.shut(self._db, self._readers)
            except StateError as error:  # What was committed is in the file all the same.
                log.warning("catalog_left_open", why=str(error))
            self._lock.close()

    def reopen(self) -> None:
        """Open the file anew: after a full disk DuckDB declares the whole database invalid.

        raises  IngestError when it cannot be closed or opened just now; it is closed then
        """
        with self._writing, self._opening:
            try:
                engine.shut(self._db, self._readers)
                self._db = self._open()
                self._lock_engine()
            except (StateError, duckdb.Error) as error:
                raise self._halting(error) from error
            self.generation += 1

    def hide(self) -> None:
        """Go over to the research profile: from here on each new question is under it.

        raises  OSError; StateError; IngestError
        """
        key = enter(self.state, "research")
        assert key is not None, "the research profile has a key"
        with self.transaction() as db:
            research.install(db, key)
        self._research_key = key

    def suspect(self, error: Exception) -> None:
        """Remember that the file is damaged, when an error says so; nobody writes to it then."""
        if self.damaged is None and engine.is_damage(error):
            self.damaged = engine.halting(error)
            log.error("catalog_damaged", detail=self.damaged.detail)

    def _halting(self, error: duckdb.Error | StateError) -> IngestError:
        self.suspect(error)
        return engine.halting(error)

    def _open(self) -> duckdb.DuckDBPyConnection:
        return engine.start(self.state, memory_bytes=self._memory_bytes)

    def _prepare(self) -> None:
        """Make the catalog what this program works with.

        raises  StateError when it is newer, or cannot be read or written
        """
        try:
            self._migrate()
        except (duckdb.Error, IngestError) as error:
            self._db.close()
            raise engine.unusable(self.state / CATALOG_NAME, error) from error

    def _migrate(self) -> None:
        """Bring the catalog up to this program, after a copy; refuse one that is newer."""
        steps = sql.migrations()
        applied = engine.applied(self._db)
        if applied > len(steps):
            raise BrokenStateError(
                f"{self.state / CATALOG_NAME}: the catalog is at migration {applied}, this program"
                f" knows {len(steps)}. Install the newer ingestd that made it, or put back the copy"
                " that it made before it migrated; deploy/README.md says how."
            )
        if 0 < applied < len(steps):
            self._copy_aside(applied)
        for number, (name, script) in enumerate(steps[applied:], start=applied + 1):
            with self.transaction() as db:
                db.execute(script)
                db.execute("INSERT INTO migration VALUES (?, ?, ?)", [number, name, utc_now()])
        with self.transaction() as db:
            db.execute(sql.VIEWS)
        self._lock_engine()

    def _lock_engine(self) -> None:
        """Let nobody change the engine's settings from here on."""
        if self._research_key is not None:
            research.install(self._db, self._research_key)
        self._db.execute("SET lock_configuration = true")

    def _copy_aside(self, applied: int) -> None:
        """Keep the catalog as it was, for whoever must go back to the older program."""
        self._db.execute("CHECKPOINT")
        self._db.close()
        copy = copy_aside(self.state / CATALOG_NAME, applied)
        log.info("catalog_copied", at_migration=applied, copy=str(copy))
        self._db = self._open()

    @contextmanager
    def transaction(self, **views: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction of the one writer, which sees `views` as tables.

        raises  IngestError disk_full or catalog_broken ..., with everything rolled back
        """
        if self.damaged is not None:
            raise self.damaged
        with self._writing:
            db = self._db
            try:
                engine.leave_transaction(db)
                for name, table in views.items():
                    db.register(name, table)
                db.execute("BEGIN TRANSACTION")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    engine.rollback(db)
                    raise
            except duckdb.Error as error:
                raise self._halting(error) from error
            finally:
                for name in views:
                    engine.unregister(db, name)

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Answer a question of our own; safe from any thread."""
        with self.cursor() as cursor:
            try:
                return cursor.execute(question, list(values)).fetchall()
            except duckdb.Error as error:
                raise self._halting(error) from error

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of the caller's own, closed at the end.

        raises  IngestError catalog_broken while the file is being opened anew
        """
        try:
            with self._opening:
                cursor = self._db.cursor()
            self._readers.add(cursor)
            try:
                yield cursor
            finally:
                cursor.close()
                self._readers.discard(cursor)
        except duckdb.Error as error:
            raise self._halting(error) from error

    def write(self, batch: Batch, *, now: datetime | None = None) -> Written:
        """Write one batch: all of it with all it says, or nothing.

        The same batch again changes nothing. Thumbnails that workers put beside their final
        place are moved there just before the commit, and only for the file that won the UID;
        after a crash in between the batch comes again and does the same.
        """
        moved: list[tuple[str, str]] = []
        now = now or utc_now()
        views = batches.views(batch, self.patience, now)
        with self._taking_back(moved), self.transaction(**views) as db:
            outcomes = batches.write(db, batch)
            thumbnails = derived.publish_thumbnails(self.state, batch.instance, outcomes)
            moved += thumbnails.moved
            for statement in derived.LOST if thumbnails.lost else ():
                db.execute(statement, [thumbnails.lost, now])
            reopened = batches.relist(db, batch) | batches.restored(db, outcomes)
            return batches.account(db, batch, thumbnails.published, reopened)

    @contextmanager
    def _taking_back(self, moved: Sequence[tuple[str, str]]) -> Iterator[None]:
        """Let published thumbnails wait again when their rows were not committed.

        raises  OSError, before anything is done, when those of the last time still cannot
        """
        derived.take_back(self._astray)
        try:
            yield
        except BaseException:
            self._astray += moved
            with suppress(OSError):  # A disk in trouble, of which we are just telling.
                derived.take_back(self._astray)
            raise

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file.

        DuckDB refuses while a question that began before the last commits is still answered: it
        is waited for, and nobody writes meanwhile, or the next one would be in the way.

        raises  IngestError, also when such a question takes longer than CHECKPOINT_S
        """
        if self.damaged is not None:
            raise self.damaged
        until_s = time.monotonic() + CHECKPOINT_S
        with self._writing:
            while True:
                try:
                    self._db.execute("CHECKPOINT")
                except duckdb.TransactionException as error:
                    if time.monotonic() > until_s:
                        words = "a question that takes long is in the way; try again"
                        raise IngestError(Reason.CATALOG_BROKEN, words) from error
                    time.sleep(0.02)
                except duckdb.Error as error:
                    raise self._halting(error) from error
                else:
                    return

    def still(self) -> AbstractContextManager[object]:
        """Let nobody write meanwhile."""
        return self._writing

    def tell(
        self, kind: str, *, root: str | None = None, series: str | None = None, detail: str = ""
    ) -> None:
        """Note an event."""
        with self.transaction() as db:
            db.execute(EVENT, [utc_now(), kind, root, series, detail])

    def unknown(
        self, sightings: Sequence[Sighting], *, now: datetime | None = None
    ) -> list[tuple[Sighting, Past]]:
        """Tell which of these files the ledger does not know as they are now.

        return  those that are new, changed, were gone, or are due for another try, in the order
                given, each with what the ledger knew of it
        """
        if not sightings:
            return []
        seen = pa.table(
            {
                "nth": pa.array(range(len(sightings)), pa.int32()),
                "root": [look.root for look in sightings],
                "path": [look.path for look in sightings],
                "size_bytes": [look.size_bytes for look in sightings],
                "mtime_ns": [look.mtime_ns for look in sightings],
            }
        )
        with self.cursor() as cursor:
            cursor.register("seen", seen)
            rows = cursor.execute(sql.UNKNOWN, self.patience.due(now or utc_now())).fetchall()
            cursor.unregister("seen")
        return [(sightings[nth], Past(attempts, known)) for nth, attempts, known in rows]
