"""Edge: has the daemon do something, over HTTP on the socket of its state folder; see doing.py."""

import http.client
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ingestd.asking import told
from ingestd.errors import ConfigError, SqlError, StateError
from ingestd.files import SOCKET_NAME, short_path

SILENT_S = 120.0  #: a line comes each second; a daemon that says nothing for so long hangs


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the state folder's socket."""

    def __init__(self, state: Path) -> None:
        super().__init__("localhost", timeout=SILENT_S)
        self._state = state

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_path(self._state) as folder:
            self.sock.connect(f"{folder}/{SOCKET_NAME}")


def ask_to_do(
    state: Path, name: str, asked: Mapping[str, Any], tell: Callable[[str, int, int | None], None]
) -> dict[str, Any] | None:
    """Have the daemon do something; None when there is none.

    tell    hears how far it is
    raises  SqlError with what it answers instead; ConfigError when it cannot be asked for so;
            StateError when it may not be asked
    """
    if not (state / SOCKET_NAME).exists():
        return None
    connection = UnixConnection(state)
    try:
        connection.request("POST", f"/do/{name}", json.dumps(asked).encode())
        response = connection.getresponse()
    except (FileNotFoundError, ConnectionError):
        connection.close()
        return None  # None runs; then whoever asks does it.
    except PermissionError as error:
        words = "this user may not ask the daemon; its owner and its group may"
        raise StateError(f"{state / SOCKET_NAME}: {words}") from error
    try:
        if response.status != 200:
            raise SqlError(told(response.read()))
        for line in response:
            said = json.loads(line)
            if "result" in said:
                return dict(said["result"])
            if "error" in said:
                kind = ConfigError if said["error"] == "usage" else SqlError
                raise kind(said["detail"])
            tell(said["doing"], said["done"], said["of"])
    except (ConnectionError, http.client.HTTPException, TimeoutError) as error:
        raise SqlError("the daemon ended before it was done; ask once more") from error
    finally:
        connection.close()
    raise SqlError("the daemon ended before it was done; ask once more")
