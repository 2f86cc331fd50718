"""Edge: where other processes knock: the Unix socket, and a port of this machine with a token.

However many come and however they behave, so many are let in and none may dawdle: a head must be
whole soon, what we send must be taken.
"""

import asyncio
import grp
import hmac
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import h11
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingestd import config
from ingestd.errors import ConfigError
from ingestd.files import SOCKET_NAME, short_path

CONNECTIONS = 64  #: so many at once at each door; the next is told so, and let go
HEAD_S = 10.0  #: from the first byte, or the last answer, to a whole request
TAKING_S = 30.0  #: a client that takes nothing of its answer for so long is let go
BACKLOG = 32  #: so many are let in at once, and may be three times in the moment before they go
CREDENTIAL = "ingestd-token"  #: systemd's name of it
TOKEN_CHARACTERS = 16  #: at least
OPEN_PATHS = ("/healthz", "/readyz")  #: say nothing that needs a token
PEER = struct.Struct("3i")  #: process, user and group, as the kernel tells them (unix(7))


class Bounded(H11Protocol):
    """One connection, with limits that uvicorn does not have."""

    _head: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Let it in, if there is room."""
        if len(self.connections) >= CONNECTIONS:
            transport.write(refusal(503, "busy", f"{CONNECTIONS} connections are open already"))
            transport.close()
            self.transport = transport
            return
        super().connection_made(transport)
        self.app_state = {**self.app_state, "uid": uid_of(transport.get_extra_info("socket"))}
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it was not let in."""
        if self in self.connections:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        for timer in (self._head, self._taking):
            if timer is not None:
                timer.cancel()
        if self in self.connections:
            super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for another request, not for ever."""
        super().on_response_complete()
        self._await_head()
        self._await_taking()

    def pause_writing(self) -> None:
        """Wait until the client takes some, not for ever."""
        super().pause_writing()
        self._await_taking()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as everything else: in JSON."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(refusal(400, "bad_request", msg))
        self.transport.close()
        self._await_taking()

    def _await_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
        self._head = self.loop.call_later(HEAD_S, self._head_late)

    def _head_late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _await_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
        self._taking = self.loop.call_later(TAKING_S, self._taking_late)

    def _taking_late(self) -> None:
        if self.flow.write_paused or (
            self.transport.is_closing() and self.transport.get_write_buffer_size()
        ):
            self.transport.abort()


def uid_of(connection: Any) -> int | None:
    """Say which user of this machine is at the other end; None when it is no Unix socket."""
    if connection.family != socket.AF_UNIX:
        return None
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
    return int(PEER.unpack(told)[1])


def refusal(status: int, error: str, detail: str) -> bytes:
    """Write a whole response for a connection that is closed after it."""
    body = json.dumps({"error": error, "detail": detail}).encode()
    head = (
        f"HTTP/1.1 {status} {'Bad Request' if status == 400 else 'Service Unavailable'}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


class Guarded:
    """Lets in who shows the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self.admit(token)

    def admit(self, token: str) -> None:
        """Let in who shows this one from now on."""
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say 401."""
        shown = dict(scope["headers"]).get(b"authorization", b"")
        if scope["path"] in OPEN_PATHS or hmac.compare_digest(shown, self._wanted):
            await self._app(scope, receive, send)
            return
        words = "show the token: Authorization: Bearer ..."
        await JSONResponse(
            {"error": "unauthorized", "detail": words},
            status_code=401,
            headers={"www-authenticate": "Bearer", "connection": "close"},
        )(scope, receive, send)


def server(app: ASGIApp) -> uvicorn.Server:
    """Make a web server for one door."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Bounded,
            ws="none",
            log_config=None,
            log_level="critical",  # What clients do wrong is theirs to know; we log our own faults.
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            backlog=BACKLOG,
        )
    )


def token_for(limits: config.Sql) -> str:
    """Read the token: from the file that is configured, else from systemd's credential.

    raises  ConfigError
    """
    path = limits.token_file
    if path is None and (folder := os.environ.get("CREDENTIALS_DIRECTORY")):
        path = Path(folder) / CREDENTIAL
    if path is None:
        raise ConfigError(
            f"[sql] listen = {limits.listen!r} needs a token: name its file in token_file, or give"
            f" systemd LoadCredential={CREDENTIAL}:FILE"
        )
    try:
        token = path.read_text(encoding="ascii").strip()
        others = path.stat().st_mode & 0o007
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not ASCII text"
        raise ConfigError(f"[sql] token_file: {path}: {why}") from error
    if others:
        raise ConfigError(f"[sql] token_file: {path}: everybody may read it; chmod o= {path}")
    if len(token) < TOKEN_CHARACTERS or not token.isprintable() or " " in token:
        words = f"a token is one word of at least {TOKEN_CHARACTERS} characters"
        raise ConfigError(f"[sql] token_file: {path}: {words}; openssl rand -hex 32 makes one")
    return token


def listen_unix(state: Path, group: str) -> socket.socket:
    """Listen on the state folder's socket, which only its owner and group may use.

    Whoever calls this owns the state folder, so a socket that is there is a dead one.

    raises  ConfigError when the group is unknown, or not ours to give
    """
    path = state / SOCKET_NAME
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listening.fileno(), 0o600)  # Until it has its group; Linux heeds it in bind.
        with short_path(state) as folder:
            listening.bind(f"{folder}/{SOCKET_NAME}")
        if group:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(0o660)
        listening.listen(BACKLOG)
    except (KeyError, PermissionError) as error:
        listening.close()
        why = "there is no such group" if isinstance(error, KeyError) else "we are not in it"
        raise ConfigError(f"[sql] group = {group!r}: {why}") from error
    return listening


def listen_tcp(address: str) -> socket.socket:
    """Listen on a port of this machine.

    raises  ConfigError when it is taken
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, int(port)))
    except OSError as error:
        listening.close()
        raise ConfigError(f"[sql] listen = {address!r}: {error.strerror}") from error
    listening.listen(BACKLOG)
    return listening
