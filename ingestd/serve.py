"""Edge: answers other processes on a Unix socket in the state folder.

POST /sql with the query as body gives an Arrow IPC stream, or an `answer` when that is accepted
first; GET /status gives JSON. An error is
JSON too: {"error": ..., "detail": ...}. POST /do/NAME has something done, see doing.py; on the
socket only, which belongs to the owner of the state folder and its group.
"""

import io
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ingestd import answer, config, sqlgate
from ingestd.catalog import Catalog
from ingestd.doing import Doing
from ingestd.errors import IngestError
from ingestd.files import SOCKET_NAME, short_path
from ingestd.log import get_logger
from ingestd.metrics import Metrics, Timed

log = get_logger()

ARROW = "application/vnd.apache.arrow.stream"
QUERIES = 4  #: so many at once; the others wait
SQL_BYTES = 1 << 20  #: a longer query is refused
BATCH_ROWS = 8192


class Refused(Exception):
    """A query that gets no answer: a word, and what to do."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail


class Server:
    """The web server, in a thread of its own."""

    def __init__(
        self,
        catalog: Catalog,
        status: Callable[[], dict[str, Any]],
        limits: config.Sql,
        *,
        state: Path,
        metrics: Metrics | None = None,
        doing: Doing | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._catalog, self._status, self._limits = catalog, status, limits
        self._doing = doing or Doing({})
        self._places = threading.BoundedSemaphore(QUERIES)
        self._socket = listen(state)
        app = Starlette(
            routes=[
                Route("/sql", self._sql, methods=["POST"]),
                Route("/status", self._tell, methods=["GET"]),
                Route("/metrics", self._measured, methods=["GET"]),
                Route("/do/{name}", self._do, methods=["POST"]),
            ]
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                Timed(app, self._metrics),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="server", daemon=True
        )
        self._path = state / SOCKET_NAME

    def configure(self, limits: config.Sql) -> None:
        """Go by other limits from the next query on."""
        self._limits = limits

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.should_exit = True
        self._thread.join(3.0)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    async def _tell(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._status))

    async def _measured(self, _: Request) -> Response:
        content, media = await run_in_threadpool(self._metrics.page)
        return Response(content, headers={"content-type": media})

    async def _do(self, request: Request) -> Response:
        if request.client is not None:  # A Unix socket has no address of whoever asks.
            words = "only on the socket of the state folder"
            return JSONResponse({"error": "not_allowed", "detail": words}, 403)
        try:
            asked = json.loads(await request.body())
            lines = self._doing.lines(request.path_params["name"], dict(asked))
        except (ValueError, TypeError):
            return JSONResponse({"error": "not_json", "detail": "the options are not JSON"}, 400)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _sql(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > SQL_BYTES:
            return JSONResponse({"error": "too_long", "detail": "over 1 MiB of SQL"}, 413)
        try:
            sql = body.decode()
            accept = request.headers.get("accept", "*/*")
            content, media_type = await run_in_threadpool(self._answer, sql, accept)
        except UnicodeDecodeError:
            return JSONResponse({"error": "not_utf8", "detail": "the SQL is not UTF-8"}, 400)
        except IngestError as error:
            return JSONResponse({"error": error.reason, "detail": error.detail}, 503)
        except Refused as refused:
            return JSONResponse({"error": refused.error, "detail": refused.detail}, 400)
        return Response(content, media_type=media_type)

    def _answer(self, sql: str, accept: str) -> tuple[bytes, str]:
        """Run one query within its limits; give what it found, and in what form."""
        with self._places, self._catalog.cursor() as cursor:
            late = threading.Event()

            def stop() -> None:
                late.set()
                cursor.interrupt()

            timer = threading.Timer(self._limits.deadline_s, stop)
            timer.start()
            try:
                return ask(cursor, sql, self._limits, accept)
            except Refused as error:
                if not late.is_set():
                    raise
                detail = f"stopped after {self._limits.deadline_s:g} s; ask for less"
                raise Refused("deadline", detail) from error
            finally:
                timer.cancel()


def ask(
    db: duckdb.DuckDBPyConnection, sql: str, limits: config.Sql, accept: str = ARROW
) -> tuple[bytes, str]:
    """Answer one question, read-only, within limits, in a form that is accepted.

    raises  Refused, also when someone interrupts `db`
    """
    try:
        sqlgate.check(db, sql)
        db.execute("BEGIN TRANSACTION READ ONLY")
        found = db.sql(sql)
        if accept.startswith(answer.MEDIA_TYPE):
            return for_people(found, limits)
        reader = found.to_arrow_reader(BATCH_ROWS)
        return encoded(reader.schema, reader, limits), ARROW
    except sqlgate.NotAllowed as error:
        raise Refused("not_allowed", str(error)) from error
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        # What fails in mid-stream comes as an error of Arrow's. Its words may quote values: they
        # are for whoever asked, and for no log.
        raise Refused("sql_error", str(error)) from error


def for_people(found: duckdb.DuckDBPyRelation, limits: config.Sql) -> tuple[bytes, str]:
    """Give an answer of `answer.Answer`: as itself when it is short, else as an IPC stream."""
    kinds = [str(kind) for kind in found.types]
    wanted = answer.projection(found.columns, kinds)
    reader = (found if wanted is None else found.project(wanted)).to_arrow_reader(BATCH_ROWS)
    first = list(islice(reader, 2))
    if sum(batch.num_rows for batch in first) <= min(answer.SHORT_ROWS, limits.rows):
        columns = [
            column.to_pylist() for column in pa.Table.from_batches(first, reader.schema).columns
        ]
        content = answer.encoded(
            answer.Answer(found.columns, kinds, list(zip(*columns, strict=True)))
        )
        if len(content) <= limits.bytes:
            return content, answer.MEDIA_TYPE
    schema = reader.schema.with_metadata({"types": json.dumps(kinds)})
    return encoded(schema, chain(first, reader), limits), ARROW


def encoded(schema: pa.Schema, batches: Iterable[pa.RecordBatch], limits: config.Sql) -> bytes:
    """Write batches as an IPC stream; what is more than the limits is refused, not cut."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, schema) as stream:
        written = 0
        for batch in batches:
            written += batch.num_rows
            if written > limits.rows:
                words = f"more than {limits.rows} rows; add LIMIT or aggregate"
                raise Refused("too_many_rows", words)
            stream.write_batch(batch)
            if out.tell() > limits.bytes:
                words = f"more than {limits.bytes} bytes; ask for fewer columns or rows"
                raise Refused("too_many_bytes", words)
    return out.getvalue()


def listen(state: Path) -> socket.socket:
    """Listen on the state folder's socket, which only its owner and group may use.

    Whoever calls this owns the state folder, so a socket that is there is a dead one.
    """
    (state / SOCKET_NAME).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        with short_path(state) as folder:
            listening.bind(f"{folder}/{SOCKET_NAME}")
    finally:
        os.umask(before)
    listening.listen(64)
    return listening
