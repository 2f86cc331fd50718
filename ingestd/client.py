"""Edge: the catalog for other processes: asks the daemon when it runs, else opens the file.

import ingestd
with ingestd.open("/var/lib/ingestd") as catalog:
    table = catalog.sql("SELECT Modality, count(*) FROM instance GROUP BY ALL")
    volume = catalog.volume("1.2.3")
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ingestd.errors import SqlError, StateError
from ingestd.files import CATALOG_NAME, SOCKET_NAME, default_state
from ingestd.owner import reading

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from ingestd.volume import Volume

T = TypeVar("T")

STARTING_S = 15.0  #: how long to wait for a daemon that owns the catalog but does not answer yet


def open(state: str | Path | None = None) -> Client:  # noqa: A001 -- ingestd.open() is the name
    """Open the catalog of a state folder, for reading."""
    return Client(Path(state) if state is not None else default_state())


class Client:
    """Reads one catalog; each question sees the newest state."""

    def __init__(self, state: Path) -> None:
        self.state = state
        if not (state / CATALOG_NAME).exists():
            raise StateError(
                f"{state}: there is no catalog here. Run `ingestd scan FOLDER` or `ingestd run`"
                " first, or name the right folder with --state or INGESTD_STATE."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def sql(self, query: str) -> pa.Table:
        """Answer one question.

        raises  SqlError with DuckDB's words; StateError when nobody answers
        """
        return self._answer(query, read_stream, lambda found: found.to_arrow_table())

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Answer a question of our own with few rows; without a daemon it is quick.

        raises  as `sql`
        """
        return self._answer(
            query,
            lambda answer: read_stream(answer).to_pylist(),
            lambda found: [dict(zip(found.columns, one, strict=True)) for one in found.fetchall()],
            gated=False,
        )

    def _answer(
        self,
        query: str,
        from_daemon: Callable[[bytes], T],
        from_file: Callable[[duckdb.DuckDBPyRelation], T],
        *,
        gated: bool = True,
    ) -> T:
        until_s = time.monotonic() + STARTING_S
        while True:
            answer = ask_daemon(self.state, "POST", "/sql", query.encode())
            if answer is not None:
                return from_daemon(answer)
            with reading(self.state) as allowed:
                if allowed:
                    return ask_file(self.state / CATALOG_NAME, query, from_file, gated=gated)
            if time.monotonic() > until_s:
                raise StateError(
                    f"{self.state}: a process owns the catalog and does not answer; it may be a"
                    " scan. Ask again when it has ended."
                )
            time.sleep(0.2)

    def status(self) -> dict[str, Any] | None:
        """Say how the daemon is; None when none runs."""
        answer = ask_daemon(self.state, "GET", "/status")
        return None if answer is None else json.loads(answer)

    def volume(self, series: str, *, stack: int = 0) -> Volume:
        """Load the volume of a series: voxels (slices, rows, columns), affine, spacing.

        raises  SqlError when the series has no such volume, with the reason why
        """
        from ingestd.volume import load  # noqa: PLC0415 -- numpy takes its time

        asked = (
            "SELECT * FROM volume WHERE"
            f" SeriesInstanceUID = {quoted(series)} AND stack = {int(stack)}"
        )
        for tries_left in (2, 1, 0):
            rows = self.sql(asked).to_pylist()
            if not rows:
                raise SqlError(f"no volume row for series {series}, stack {stack}")
            if rows[0]["path"] is None:
                raise SqlError(f"not a volume: {rows[0]['reason']}: {rows[0]['detail']}")
            try:
                return load(self.state, rows[0])
            except FileNotFoundError:  # It was built anew since we asked.
                if not tries_left:
                    raise
        raise AssertionError("unreachable")


def ask_daemon(state: Path, method: str, path: str, body: bytes | None = None) -> bytes | None:
    """Ask the daemon of a state folder; None when there is none.

    raises  SqlError with what it answers instead
    """
    if not (state / SOCKET_NAME).exists():
        return None
    from ingestd import asking  # noqa: PLC0415 -- HTTP takes its time, too

    return asking.ask_daemon(state, method, path, body)


def read_stream(answer: bytes) -> pa.Table:
    """Read an Arrow IPC stream."""
    import pyarrow as pa  # noqa: PLC0415 -- not every question needs it

    with pa.ipc.open_stream(answer) as stream:
        return stream.read_all()


def ask_file(
    path: Path, query: str, convert: Callable[[duckdb.DuckDBPyRelation], T], *, gated: bool
) -> T:
    """Answer from the file, while nobody owns it.

    raises  SqlError; StateError when the file cannot be opened
    """
    import duckdb  # noqa: PLC0415 -- who asks the daemon does without it

    from ingestd.sqlgate import LOCKED_DOWN, NotAllowed, check  # noqa: PLC0415

    try:
        with duckdb.connect(str(path), read_only=True, config=LOCKED_DOWN) as db:
            if gated:  # Takes as long as a small question.
                check(db, query)
            return convert(db.sql(query))
    except duckdb.IOException as error:
        raise StateError(f"{path}: DuckDB cannot open the catalog: {error}") from error
    except (duckdb.Error, NotAllowed) as error:
        raise SqlError(str(error)) from error


def quoted(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
