"""Edge: the catalog for other processes: asks the daemon when it runs, else opens the file.

import ingestd
with ingestd.open("/var/lib/ingestd") as catalog:
    table = catalog.sql("SELECT Modality, count(*) FROM instance GROUP BY ALL")
    volume = catalog.volume("1.2.3")
"""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa

from ingestd.errors import SqlError, StateError
from ingestd.files import CATALOG_NAME, SOCKET_NAME, default_state, short_path
from ingestd.owner import reading
from ingestd.sqlgate import LOCKED_DOWN, NotAllowed, check

if TYPE_CHECKING:
    from ingestd.volume import Volume

STARTING_S = 15.0  #: how long to wait for a daemon that owns the catalog but does not answer yet
ANSWER_S = 600.0  #: how long a query may take; the daemon has its own limit


def open(state: str | Path | None = None) -> "Client":  # noqa: A001 -- ingestd.open() is the name
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
        until_s = time.monotonic() + STARTING_S
        while True:
            answer = ask_daemon(self.state, "POST", "/sql", query.encode())
            if answer is not None:
                with pa.ipc.open_stream(answer) as stream:
                    return stream.read_all()
            with reading(self.state) as allowed:
                if allowed:
                    return ask_file(self.state / CATALOG_NAME, query)
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

    def volume(self, series: str, *, stack: int = 0) -> "Volume":
        """Load the volume of a series: voxels (slices, rows, columns), affine, spacing.

        raises  SqlError when the series has no such volume, with the reason why
        """
        rows = self.sql(
            "SELECT * FROM volume WHERE"
            f" SeriesInstanceUID = {quoted(series)} AND stack = {int(stack)}"
        ).to_pylist()
        if not rows:
            raise SqlError(f"no volume row for series {series}, stack {stack}")
        if rows[0]["path"] is None:
            raise SqlError(f"not a volume: {rows[0]['reason']}: {rows[0]['detail']}")
        from ingestd.volume import load  # noqa: PLC0415 -- nibabel takes its time

        return load(self.state, rows[0])


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the state folder's socket."""

    def __init__(self, state: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._state = state

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_path(self._state) as folder:
            self.sock.connect(f"{folder}/{SOCKET_NAME}")


def ask_daemon(state: Path, method: str, path: str, body: bytes | None = None) -> bytes | None:
    """Ask the daemon of a state folder; None when there is none.

    raises  SqlError with what it answers instead
    """
    connection = UnixConnection(state)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        content = response.read()
    except (FileNotFoundError, ConnectionError, http.client.RemoteDisconnected):
        return None  # None runs, or it is just going; then the file will answer.
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise SqlError(told(content))
    return content


def told(content: bytes) -> str:
    """Read the error of an answer."""
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError):
        return content.decode(errors="replace")


def ask_file(path: Path, query: str) -> pa.Table:
    """Answer from the file, while nobody owns it.

    raises  SqlError; StateError when the file cannot be opened
    """
    try:
        with duckdb.connect(str(path), read_only=True, config=LOCKED_DOWN) as db:
            check(db, query)
            return db.sql(query).to_arrow_table()
    except duckdb.IOException as error:
        raise StateError(f"{path}: DuckDB cannot open the catalog: {error}") from error
    except (duckdb.Error, NotAllowed) as error:
        raise SqlError(str(error)) from error


def quoted(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
