"""Edge: a question asked of the catalog's file while nobody owns it: same gate, same limits.

It runs in a thread of its own, since DuckDB has steps that heed no interrupt; who asks is told at
the deadline all the same, and Ctrl-C ends the wait.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
GRACE_S = 2.0  #: how long a question may take to heed an interrupt


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

        Headroom(limits.growth_bytes).begin(first=True)
    with room(path.parent) as folder:
        question = Alone(path, query, gated=gated)
        try:
            return question.answer(convert, limits, folder)
        except duckdb.IOException as error:
            raise StateError(f"{path}: DuckDB cannot open the catalog: {error}") from error
        except (duckdb.Error, NotAllowed, MemoryError, OSError) as error:
            raise SqlError(question.told(error)) from error


class Alone:
    """One question of one process."""

    def __init__(self, path: Path, query: str, *, gated: bool) -> None:
        self._path, self._query, self._gated = path, query, gated
        self._db: duckdb.DuckDBPyConnection | None = None
        self._key: bytes | None = None

    def answer(self, convert: Convert[T], limits: Bounds, folder: Path) -> T:
        """Find the answer; at the deadline say so.

        raises  SqlError at the deadline; whatever goes wrong
        """
        found: list[T] = []
        wrong: list[BaseException] = []
        over = threading.Event()

        def run() -> None:
            try:
                found.append(self._found(convert, limits, folder))
            except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
                wrong.append(error)
            over.set()

        threading.Thread(target=run, name="question", daemon=True).start()
        try:
            in_time = over.wait(limits.deadline_s)
        finally:
            self._stop(over)
        if not in_time:
            raise SqlError(limits.late)
        for error in wrong:
            raise error
        return found[0]

    def _stop(self, over: threading.Event) -> None:
        """Have it end, unless it has. An interrupt can fall between two steps and be lost."""
        until_s = time.monotonic() + GRACE_S
        while not over.wait(0.1) and time.monotonic() < until_s:
            with suppress(duckdb.Error):  # It has just closed.
                if self._db is not None:
                    self._db.interrupt()

    def _found(self, convert: Convert[T], limits: Bounds, folder: Path) -> T:
        state, query = self._path.parent, self._query
        self._key = profile.key(state) if profile.read(state) == "research" else None
        with duckdb.connect(str(self._path), read_only=True, config=config(limits, folder)) as db:
            self._db = db
            if self._gated:  # Takes as long as a small question.
                query = check(db, query)
            if self._key is not None:
                from ingestd import research  # noqa: PLC0415 -- few need it

                research.install(db, self._key)
                research.enter(db, query)
            db.execute("SET lock_configuration = true")
            return convert(db.sql(query), limits)

    def told(self, error: BaseException) -> str:
        """Say what went wrong, as the daemon would."""
        if isinstance(error, MemoryError) or "Out of Memory" in str(error):
            return TOO_MUCH_MEMORY
        return str(error) + (profile.WITHHELD if self._key and "not found" in str(error) else "")


def config(limits: Bounds, folder: Path) -> dict[str, str | bool | int | float | list[str]]:
    """Say what DuckDB may do and take."""
    spill_bytes = shutil.disk_usage(folder.parent).free // SPILL_SHARE
    return {
        **LOCKED_DOWN,
        "memory_limit": f"{limits.engine_bytes}B",
        "temp_directory": str(folder),
        "max_temp_directory_size": f"{spill_bytes}B",
    }


@contextmanager
def room(state: Path) -> Iterator[Path]:
    """Name a folder for what does not fit into memory; DuckDB makes it when it is needed.

    What is spilled is of the catalog: it goes where those who may not read that cannot, either.
    """
    made = None
    if os.access(state / "tmp", os.W_OK):
        folder = state / "tmp" / f"{SPILLED}{os.getpid()}-{threading.get_ident()}"
    else:
        from tempfile import mkdtemp  # noqa: PLC0415 -- takes its time

        made = Path(mkdtemp(prefix="ingestd-"))
        folder = made / "spilled"
    try:
        yield folder
    finally:
        shutil.rmtree(made or folder, ignore_errors=True)


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
