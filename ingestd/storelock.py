"""Edge: who gives names in a store right now: one program, and in it one thread for each name."""

import errno
import fcntl
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from ingestd.errors import IngestError, Reason

NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


class StoreLock:
    """Shared by all threads of this program that write to one store.

    A copy that turned out to be of yesterday's bytes is taken away again. So nobody else may
    meanwhile have found it there, called it safe, and unlinked another file for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, str] = {}
        self._handle: int | None = None

    def take(self, marker: Path) -> None:
        """Keep other programs out, for as long as this one lives.

        raises  OSError; IngestError state_not_writable when another one has it
        """
        with self._lock:
            if self._handle is not None:
                return
            handle = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(handle)
                words = f"another ingestd writes to {marker.parent}: give each its own"
                raise IngestError(Reason.STATE_NOT_WRITABLE, words) from error
            except OSError as error:
                if error.errno not in NO_LOCKS:  # A share without locks: the config must do.
                    os.close(handle)
                    raise
            self._handle = handle

    def close(self) -> None:
        """Let other programs in."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def claim(self, path: str, owner: str) -> bool:
        """Take a name for oneself; False when another thread has it in hand."""
        with self._lock:
            return self._claims.setdefault(path, owner) == owner

    def release(self, paths: Iterable[str], owner: str) -> None:
        """Let names go."""
        with self._lock:
            for path in paths:
                if self._claims.get(path) == owner:
                    del self._claims[path]
