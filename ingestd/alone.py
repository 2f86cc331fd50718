"""Edge: a question asked of the catalog's file while nobody owns it: same gate, same limits.

It runs in a thread of its own, since DuckDB has steps that heed no interrupt; who asks is told at
the deadline all the same, and Ctrl-C ends the wait.
"""

import atexit
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from ingestd import bounds, profile
from ingestd.answer import Answer, projection
from ingestd.bounds import TOO_MUCH_MEMORY, Bounds
from ingestd.errors import SqlError, StateError
from ingestd.sqlgate import LOCKED_DOWN, NotAllowed, check

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Convert = Callable[[duckdb.DuckDBPyRelation, Bounds], T]

SPILL_SHARE = 8  #: one part in so many of what is free
SPILLED = "ask-"  #: begins the name of a folder in `tmp`, for what does not fit into memory
BATCH_ROWS = 2048
GLANCE_S = 0.2  #: how often it is looked whether somebody wants the wait to end
GRACE_S = 2.0  #: how long a question may take to heed an interrupt

#: One question at a time in a process: connections to one file share what the profile attaches.
ONE = threading.Lock()


def ask_file(
    path: Path, query: str, convert: Convert[T], *, gated: bool, own_process: bool = False
) -> T:
    """Answer from the file.

    gated        whether it is somebody else's question
    own_process  whether all memory of this process may be limited: nothing else runs in it
    raises       SqlError; StateError when the file cannot be opened
    """
    limits = bounds.read(path.parent)
    if own_process:
        from ingestd.headroom import Headroom  # noqa: PLC0415 -- others do without ctypes

        Headroom(limits.growth_bytes).begin()
    return Alone(path, query, gated=gated).answer(convert, limits)


class Alone:
    """One question of one process."""

    def __init__(self, path: Path, query: str, *, gated: bool) -> None:
        self._path, self._query, self._gated = path, query, gated
        self._db: duckdb.DuckDBPyConnection | None = None
        self._key: bytes | None = None
        self._given_up = False

    def answer(self, convert: Convert[T], limits: Bounds) -> T:
        """Find the answer; at the deadline say so.

        raises  SqlError; StateError
        """
        found: list[T] = []
        wrong: list[BaseException] = []
        over = threading.Event()

        def run() -> None:
            try:
                with ONE:
                    if not self._given_up:
                        found.append(self._found(convert, limits))
            except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
                wrong.append(self._told(error))
            self._db = None
            over.set()

        threading.Thread(target=run, name="question", daemon=True).start()
        until_s = time.monotonic() + limits.deadline_s
        try:
            # In glances: a Ctrl-C that comes just as a wait begins is heeded when it ends.
            while not over.wait(GLANCE_S) and time.monotonic() < until_s:
                pass
        finally:
            in_time = over.is_set()
            self._stop(over)
        if not in_time:
            raise SqlError(limits.late)
        if wrong:
            raise wrong.pop()
        return found.pop()

    def _stop(self, over: threading.Event) -> None:
        """Have it end, unless it has. An interrupt can fall between two steps and be lost."""
        self._given_up = True
        until_s = time.monotonic() + GRACE_S
        while not over.wait(0.1) and time.monotonic() < until_s:
            with suppress(duckdb.Error):  # It has just closed.
                if (db := self._db) is not None:
                    db.interrupt()

    def _found(self, convert: Convert[T], limits: Bounds) -> T:
        state, query = self._path.parent, self._query
        self._key = profile.key(state) if profile.read(state) == "research" else None
        settings = config(state, limits)
        with duckdb.connect(str(self._path), read_only=True, config=settings) as db:
            self._db = db
            db.execute("SET enable_progress_bar = false")  # It would be drawn into the answer.
            db.execute("SET lock_configuration = true")
            if self._gated:  # Takes as long as a small question.
                query = check(db, query)
            if self._key is not None:
                from ingestd import research  # noqa: PLC0415 -- few need it

                research.install(db, self._key)
                research.enter(db, query)
            return convert(db.sql(query), limits)

    def _told(self, error: BaseException) -> BaseException:
        """Say what went wrong, as the daemon would.

        Without the frames that hold DuckDB's objects: as long as one is alive the file is open,
        and people keep errors.
        """
        words = str(error)
        if isinstance(error, MemoryError) or "Out of Memory" in words:
            return SqlError(TOO_MUCH_MEMORY)
        if isinstance(error, duckdb.IOException):
            return StateError(f"{self._path}: DuckDB cannot open the catalog: {words}")
        if isinstance(error, (duckdb.Error, NotAllowed, SqlError, OSError)):
            hint = profile.WITHHELD if self._key and "not found" in words else ""
            return SqlError(words + hint)
        return error


def config(state: Path, limits: Bounds) -> dict[str, str | bool | int | float | list[str]]:
    """Say what DuckDB may do and take; one process may open a file with one config only."""
    folder = room(state)
    return {
        **LOCKED_DOWN,
        "memory_limit": f"{limits.engine_bytes}B",
        "temp_directory": str(folder),
        "max_temp_directory_size": f"{spill_bytes(folder)}B",
    }


@cache
def room(state: Path) -> Path:
    """Name a folder for what does not fit into memory; DuckDB makes it, and takes it away.

    What is spilled is of the catalog: it goes where those who may not read that cannot, either.
    """
    if os.access(state / "tmp", os.W_OK):
        return state / "tmp" / f"{SPILLED}{os.getpid()}"
    from tempfile import mkdtemp  # noqa: PLC0415 -- takes its time

    made = Path(mkdtemp(prefix="ingestd-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made / "spilled"


@cache
def spill_bytes(folder: Path) -> int:
    """Say how much may go there."""
    return shutil.disk_usage(folder.parent).free // SPILL_SHARE


def forget(state: Path) -> None:
    """Delete what those left who were killed; whoever calls this owns the state folder."""
    for left in (state / "tmp").glob(f"{SPILLED}*"):
        shutil.rmtree(left, ignore_errors=True)


def as_table(found: duckdb.DuckDBPyRelation, limits: Bounds) -> "pa.Table":
    """Give an Arrow table.

    raises  SqlError when it is too large
    """
    import pyarrow as pa  # noqa: PLC0415 -- not every question needs it

    reader = found.to_arrow_reader(BATCH_ROWS)
    batches, rows, size_bytes = [], 0, 0
    for batch in reader:
        rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        see(limits.see_rows(rows) or limits.see_bytes(size_bytes))
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def as_answer(found: duckdb.DuckDBPyRelation, limits: Bounds) -> Answer:
    """Give names, types and plain values, in the same words as the daemon's.

    raises  SqlError when it is too large
    """
    kinds = [str(kind) for kind in found.types]
    wanted = projection(found.columns, kinds)
    plain = found if wanted is None else found.project(wanted)
    rows = plain.limit(limits.rows + 1).fetchall()
    see(limits.see_rows(len(rows)))
    see(limits.see_bytes(sum(map(size_of, rows))))
    return Answer(found.columns, kinds, rows)


def as_rows(found: duckdb.DuckDBPyRelation, limits: Bounds) -> list[dict[str, Any]]:
    """Give Python's own values, by name.

    raises  SqlError when they are too many
    """
    rows = found.limit(limits.rows + 1).fetchall()
    see(limits.see_rows(len(rows)))
    return [dict(zip(found.columns, row, strict=True)) for row in rows]


SHAPES: dict[str, Convert[Any]] = {"table": as_table, "answer": as_answer, "rows": as_rows}


def size_of(values: tuple[Any, ...]) -> int:
    """Say about how many bytes values take: a text its length, all else eight."""
    return sum(
        len(value) if isinstance(value, str) else 8 * (len(value) if isinstance(value, list) else 1)
        for value in values
    )


def see(words: str) -> None:
    """Refuse when there are words why."""
    if words:
        raise SqlError(words)
