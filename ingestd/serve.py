"""Edge: answers other processes: SQL, status, health, metrics.

POST /sql with the question as body answers in the first of these that Accept names: JSON, CSV, an
Arrow IPC stream. GET /status, /healthz, /readyz, /metrics. An error is JSON: {"error": a word,
"detail": what to do}, and of SQL also "position": a character of it, from 0, with line and column.
POST /do/NAME has something done, see doing.py: for the owner of the state folder and root only, as
it changes things, and tells of paths. POST /snapshot makes one of what is committed by now. Both on
the socket only, which belongs to the owner of the state folder and its group.
"""

import asyncio
import json
import os
import pwd
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ingestd import config, door
from ingestd.catalog import Catalog
from ingestd.desk import Desk
from ingestd.doing import Doing
from ingestd.errors import IngestError
from ingestd.files import SOCKET_NAME
from ingestd.log import get_logger
from ingestd.metrics import Metrics, Timed
from ingestd.spool import Refused, Spool, form_for

log = get_logger()

BODY_BYTES = 1 << 20  #: what is longer is refused
BODY_S = 10.0  #: how long it may take to come
SENDING_S = 600.0  #: and how long an answer may take to be taken
DETAIL_CHARACTERS = 4000  #: DuckDB's words may repeat what was asked
PIECE_BYTES = 1 << 18  #: an answer is sent in pieces of this size

#: What stands for each word in HTTP; 400 for the others
STATUS = {
    "not_allowed": 403,
    "not_acceptable": 406,
    "body_late": 408,
    "too_long": 413,
    "too_many_rows": 413,
    "too_many_bytes": 413,
    "too_much_memory": 413,
    "busy": 503,
    "stopping": 503,
    "deadline": 504,
}

Answers = Callable[[Request], Awaitable[Response]]


class Server:
    """The web server, in a thread of its own.

    ready         says why we are not, or nothing when we are
    growth_bytes  see Desk
    """

    def __init__(
        self,
        catalog: Catalog,
        status: Callable[[], dict[str, Any]],
        limits: config.Sql,
        *,
        state: Path,
        metrics: Metrics | None = None,
        doing: Doing | None = None,
        ready: Callable[[], str] = str,
        growth_bytes: int = 3 << 30,
        snapshot: Callable[[], Path] | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._status, self._ready = status, ready
        self._metrics, self._doing = metrics or Metrics(), doing or Doing({})
        self._path = state / SOCKET_NAME
        self.desk = Desk(catalog, limits, growth_bytes=growth_bytes)
        app = Timed(self._app(), self._metrics)
        self._doors = [(door.server(app), door.listen_unix(state, limits.group))]
        self._guarded: door.Guarded | None = None
        try:
            if limits.listen:
                self._guarded = door.Guarded(app, door.token_for(limits))
                self._doors.append((door.server(self._guarded), door.listen_tcp(limits.listen)))
        except BaseException:
            self._close()
            raise
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def _app(self) -> Starlette:
        told = {HTTPException: no_such_thing, Exception: fault_of_ours}
        return Starlette(
            routes=[
                Route("/sql", self._sql, methods=["POST"]),
                Route("/status", self._tell, methods=["GET"]),
                Route("/healthz", self._healthy, methods=["GET"]),
                Route("/readyz", self._readiness, methods=["GET"]),
                Route("/snapshot", self._publish, methods=["POST"]),
                Route("/metrics", self._measured, methods=["GET"]),
                Route("/do/{name}", self._do, methods=["POST"]),
            ],
            exception_handlers=told,  # type: ignore[arg-type] # Starlette's type is too narrow.
        )

    @property
    def port(self) -> int | None:
        """The port of 127.0.0.1, when there is one."""
        return int(self._doors[1][1].getsockname()[1]) if len(self._doors) > 1 else None

    def configure(self, limits: config.Sql) -> None:
        """Go by other limits from the next question on; doors stay where they are."""
        self.desk.configure(limits)

    def token(self, limits: config.Sql) -> str | None:
        """Read the token anew, where one is asked for.

        raises  ConfigError
        """
        return door.token_for(limits) if self._guarded is not None and limits.listen else None

    def admit(self, token: str | None) -> None:
        """Ask for another token from the next request on; None: for the same."""
        if self._guarded is not None and token is not None:
            self._guarded.admit(token)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; questions that are asked just now end soon, and say why."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.desk.stop)
        for server, _ in self._doors:
            server.should_exit = True
        self._thread.join(3.0)
        self._close()

    def _close(self) -> None:
        for _, listening in self._doors:
            listening.close()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:  # The next start takes it for what it is: a dead one.
            log.warning("socket_left", why=error.strerror)

    def _run(self) -> None:
        async def serve(server: uvicorn.Server, listening: Any) -> None:
            await server.serve(sockets=[listening])

        async def both() -> None:
            self._loop = asyncio.get_running_loop()
            await asyncio.gather(*(serve(*one) for one in self._doors))

        asyncio.run(both())

    async def _tell(self, _: Request) -> Response:
        told = await run_in_threadpool(self._status)
        return JSONResponse({**told, "sql": self.desk.status()})

    async def _healthy(self, _: Request) -> Response:
        return JSONResponse({"health": "up"})

    async def _readiness(self, _: Request) -> Response:
        why = await run_in_threadpool(self._ready)
        return JSONResponse({"ready": not why, "why": why}, 503 if why else 200)

    async def _publish(self, request: Request) -> Response:
        if request.state.uid is None or self._snapshot is None:
            words = "only on the socket of the state folder"
            return JSONResponse({"error": "not_allowed", "detail": words}, 403)
        try:
            made = await run_in_threadpool(self._snapshot)
        except IngestError as error:
            return JSONResponse({"error": error.reason, "detail": error.detail}, 503)
        return JSONResponse({"path": made.name})

    async def _measured(self, _: Request) -> Response:
        content, media = await run_in_threadpool(self._metrics.page)
        return Response(content, headers={"content-type": media})

    async def _do(self, request: Request) -> Response:
        asker = request.state.uid
        if asker is None:  # They came by the port.
            raise HTTPException(404)
        if asker not in (os.geteuid(), 0):
            words = f"only {user()}, who owns the state folder, and root may have things done"
            return JSONResponse({"error": "not_allowed", "detail": words}, 403)
        try:
            asked = json.loads(await body_of(request))
            lines = self._doing.lines(request.path_params["name"], dict(asked))
        except (ValueError, TypeError):
            return refusal(Refused("not_json", "the options are not JSON"), "")
        except Refused as refused:
            return refusal(refused, "")
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _sql(self, request: Request) -> Response:
        sql = ""
        try:
            form = form_for(request.headers.get("accept", ""))
            sql = await body_of(request)
            return Sent(self.desk, sql, form, request)
        except ClientDisconnect:
            return Response(status_code=400)  # Nobody is there to read it.
        except Refused as refused:
            return refusal(refused, sql)


class Sent(Response):
    """The answer to a question: computed, then sent piece by piece."""

    def __init__(self, desk: Desk, sql: str, form: Any, request: Request) -> None:
        self._desk, self._sql, self._form, self._request = desk, sql, form, request
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say why not."""
        gone = asyncio.create_task(left(self._request))
        try:
            async with self._desk.answer(self._sql, self._form, gone) as spool:
                await self._send(spool, send)
        except Refused as refused:
            if not gone.done():
                await refusal(refused, self._sql)(scope, receive, send)
        except IngestError as error:
            told = {"error": error.reason, "detail": error.detail}
            await JSONResponse(told, 503)(scope, receive, send)
        finally:
            gone.cancel()

    async def _send(self, spool: Spool, send: Send) -> None:
        headers = [
            (b"content-type", spool.media.encode()),
            (b"content-length", str(spool.bytes).encode()),
            (b"x-rows", str(spool.rows).encode()),
        ]
        async with asyncio.timeout(SENDING_S):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while piece := await run_in_threadpool(spool.file.read, PIECE_BYTES):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def user() -> str:
    """Name whom we run as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # A container may have users without names.
        return f"user {os.geteuid()}"


async def body_of(request: Request) -> str:
    """Read what was sent.

    raises  Refused when it is too long, too late, or no text
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_BYTES:
                    raise Refused("too_long", f"over {BODY_BYTES} bytes")
    except TimeoutError:
        raise Refused("body_late", f"it did not come within {BODY_S:g} s") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused("not_utf8", "it is not UTF-8") from None


async def left(request: Request) -> None:
    """Wait until the client goes."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refusal(refused: Refused, sql: str) -> Response:
    """Say why a question has no answer, and where in it."""
    told: dict[str, Any] = {"error": refused.error, "detail": refused.detail[:DETAIL_CHARACTERS]}
    if refused.position is not None:
        before = sql[: refused.position]
        told["position"] = refused.position
        told["line"] = before.count("\n") + 1
        told["column"] = len(before) - (before.rfind("\n") + 1) + 1
    status = STATUS.get(refused.error, 400)
    hurry = {"connection": "close"} if status in (408, 413) else {}
    hurry |= {"retry-after": "1"} if status == 503 else {}
    return JSONResponse(told, status, headers=hurry)


async def no_such_thing(_: Request, error: HTTPException) -> Response:
    """Say in JSON what HTTP has a number for."""
    word = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    words = "POST /sql; GET /status, /healthz, /readyz, /metrics"
    told = {"error": word, "detail": words}
    return JSONResponse(told, error.status_code, headers=error.headers)


async def fault_of_ours(_: Request, error: Exception) -> Response:
    """Log what should not have happened, without anybody's SQL."""
    if isinstance(error, TimeoutError):
        log.info("answer_not_taken", within_s=SENDING_S)
    else:
        log.error("answer_failed", error=type(error).__name__, exc_info=error)
    return JSONResponse({"error": "failed", "detail": "a fault of ours; see the log"}, 500)
