"""Asks a server over HTTP, as curl would."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any, NamedTuple

from ingestd.files import SOCKET_NAME


class Reply(NamedTuple):
    """What a server said."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> str:
        return str(self.json()["error"])


class Knocker:
    """Knocks at the socket of a state folder, or at a port of this machine."""

    def __init__(self, state: Path, port: int | None = None, **headers: str) -> None:
        self._path, self._port, self._headers = str(state / SOCKET_NAME), port, headers

    def connect(self) -> socket.socket:
        if self._port is not None:
            return socket.create_connection(("127.0.0.1", self._port), 60)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)  # Without a limit of time the kernel waits for room.
        connection.settimeout(60)
        return connection

    def __call__(self, method: str, path: str, body: bytes | None = None, **more: str) -> Reply:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        try:
            connection.request(method, path, body, self._headers | more)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, headers, response.read())
        finally:
            connection.close()

    def ask(self, sql: str, accept: str = "application/json") -> Reply:
        return self("POST", "/sql", sql.encode(), Accept=accept)

    def status(self) -> Any:
        return self("GET", "/status").json()
