"""Edge: questions to the daemon, over HTTP on the socket of its state folder.

By hand: `http.client` takes longer to import than a small question takes to answer.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from ingestd.errors import SqlError, StateError
from ingestd.files import SOCKET_NAME, short_path

ANSWER_S = 600.0  #: how long a query may take; the daemon has its own limit
LINE_BYTES = 65_536  #: no line of a head is longer


class Reply(NamedTuple):
    """What the daemon said."""

    media_type: str
    content: bytes


def ask_daemon(
    state: Path, method: str, path: str, body: bytes | None = None, *, accept: str = "*/*"
) -> Reply | None:
    """Ask the daemon of a state folder; None when there is none.

    raises  SqlError with what it answers instead; StateError when it may not be asked, or hangs
    """
    try:
        with connected(state) as stream:
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            head += f"Accept: {accept}\r\nContent-Length: {len(body or b'')}\r\n\r\n"
            stream.write(head.encode() + (body or b""))
            stream.flush()
            status, reply = read_reply(stream)
    except (FileNotFoundError, ConnectionError):
        return None  # None runs, or it is just going; then the file will answer.
    except PermissionError as error:
        words = "this user may not ask the daemon; its group may, see [sql] in the config"
        raise StateError(f"{state / SOCKET_NAME}: {words}") from error
    except TimeoutError as error:
        words = f"the daemon has not answered for {ANSWER_S:g} s; see `systemctl status ingestd`"
        raise StateError(f"{state}: {words}") from error
    if status != 200:
        raise SqlError(told(reply.content))
    return reply


@contextmanager
def connected(state: Path) -> Iterator[BufferedIOBase]:
    """Connect to the socket of a state folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_S)
        with short_path(state) as folder:
            connection.connect(f"{folder}/{SOCKET_NAME}")
        with connection.makefile("rwb") as stream:
            yield stream


def read_reply(stream: BufferedIOBase) -> tuple[int, Reply]:
    """Read status and content of a reply.

    raises  ConnectionError when it ends early
    """
    status = int(line(stream).split(b" ")[1])
    head: dict[bytes, bytes] = {}
    while field := line(stream):
        name, _, value = field.partition(b":")
        head[name.strip().lower()] = value.strip()
    if head.get(b"transfer-encoding", b"").lower() == b"chunked":
        content = b"".join(chunks(stream))
    else:
        content = exactly(stream, int(head[b"content-length"]))
    return status, Reply(head.get(b"content-type", b"").decode("ascii", "replace"), content)


def chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    """Read what came in chunks (RFC 9112, 7.1)."""
    while size := int(line(stream).split(b";")[0], 16):
        yield exactly(stream, size)
        line(stream)
    while line(stream):
        pass


def line(stream: BufferedIOBase) -> bytes:
    """Read one line, without its end.

    raises  ConnectionError when there is none
    """
    found = stream.readline(LINE_BYTES)
    if not found.endswith(b"\n"):
        raise ConnectionAbortedError("the daemon's reply ends early")
    return found.rstrip(b"\r\n")


def exactly(stream: BufferedIOBase, size: int) -> bytes:
    """Read so many bytes.

    raises  ConnectionError when there are fewer
    """
    content = stream.read(size)
    if len(content) != size:
        raise ConnectionAbortedError("the daemon's reply ends early")
    return content


def told(content: bytes) -> str:
    """Read the error of an answer."""
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")
