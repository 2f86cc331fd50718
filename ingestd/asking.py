"""Edge: questions to the daemon, over HTTP on the socket of its state folder."""

import http.client
import json
import socket
from pathlib import Path

from ingestd.errors import SqlError
from ingestd.files import SOCKET_NAME, short_path

ANSWER_S = 600.0  #: how long a query may take; the daemon has its own limit


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
