"""Edge: what the daemon can be asked to do, as a stream of lines of JSON.

`{"doing": ..., "done": ..., "of": ...}` comes now and then, also as a sign of life; the last
line is `{"result": ...}`, or `{"error": ..., "detail": ...}`. Whoever asked and left stops it.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ingestd.errors import ConfigError, IngestError, StateError
from ingestd.log import get_logger

log = get_logger()

LIFE_S = 1.0  #: a line comes at least so often

Tell = Callable[[str, int, int | None], None]
Stopping = Callable[[], bool]

#: Something that can be asked for: its options come as a mapping.
Deed = Callable[[Mapping[str, Any], Tell, Stopping], dict[str, Any]]


class Doing:
    """Does one thing of each kind at a time, for whoever asks."""

    def __init__(self, deeds: Mapping[str, Deed]) -> None:
        self._deeds = deeds
        self._under_way: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def stop(self) -> None:
        """End what is under way."""
        self._stop.set()

    def lines(self, name: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
        """Do it, and tell of it line by line."""
        with self._lock:
            known, taken = name in self._deeds, name in self._under_way
            if known and not taken:
                self._under_way.add(name)
        if not known or taken:
            words = f"{name} is under way already" if taken else f"{name}: nobody can do that"
            yield line({"error": "busy" if taken else "unknown", "detail": words})
            return
        work = _Work(name)
        thread = threading.Thread(
            target=self._do, args=(work, asked), name=f"doing {name}", daemon=True
        )
        thread.start()
        try:
            while not work.over.wait(LIFE_S):
                yield line(work.at)
            yield line(work.answer)
        finally:
            work.left.set()

    def _do(self, work: "_Work", asked: Mapping[str, Any]) -> None:
        def stopping() -> bool:
            return work.left.is_set() or self._stop.is_set()

        deed = self._deeds[work.name]
        work.answer = outcome(work.name, lambda: deed(asked, work.tell, stopping))
        with self._lock:
            self._under_way.discard(work.name)
        work.over.set()


class _Work:
    """One thing under way, between the thread that does it and the one that tells of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at: dict[str, Any] = {"doing": name, "done": 0, "of": None}
        self.answer: dict[str, Any] = {}
        self.left, self.over = threading.Event(), threading.Event()

    def tell(self, doing: str, done: int, of: int | None) -> None:
        """Say how far it is."""
        self.at = {"doing": doing, "done": done, "of": of}


def outcome(name: str, deed: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do something, and say what came of it, in words a person can act on."""
    try:
        return {"result": deed()}
    except IngestError as error:
        return {"error": str(error.reason), "detail": error.detail}
    except ConfigError as error:
        return {"error": "usage", "detail": str(error)}
    except StateError as error:
        return {"error": "state", "detail": str(error)}
    except OSError as error:
        return {"error": "os_error", "detail": f"{error.filename or name}: {error.strerror}"}
    except Exception as error:
        log.exception("deed_failed", deed=name)
        return {
            "error": "failed",
            "detail": f"{type(error).__name__}, a fault of ours; see the log",
        }


def line(said: Mapping[str, Any]) -> bytes:
    """Write one line."""
    return json.dumps(said, default=str).encode() + b"\n"
