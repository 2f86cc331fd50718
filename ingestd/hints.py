"""Edge: what the kernel said, and what is being read just now; safe from any thread."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ingestd.model import Sighting
from ingestd.turns import Turns

GATHER_S = 0.05  #: hints wait so long for others: a file that grows gives thousands a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Look at this path below the root; a folder wants to be listed."""

    path: str
    is_folder: bool


class Hints:
    """What the kernel said, each path once, and no more of it than a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: Turns[str, Hint] = Turns()
        self._lock = threading.Condition()
        self.lost = False  #: some did not fit, or the kernel lost some: sweep

    def put(self, hint: Hint) -> None:
        """Take a hint; called by the watcher's thread. What does not fit leaves a full folder."""
        with self._lock:
            known = self._waiting.get(hint.path)
            if known is None or hint.is_folder:
                self._waiting.put(hint.path, hint.path, hint)
            if len(self._waiting) > self._limit:
                self._waiting.drop()
                self.lost = True
            self._lock.notify()

    def lose(self) -> None:
        """Note that hints were lost before they came here."""
        with self._lock:
            self.lost = True
            self._lock.notify()

    def take(self, wait_s: float, limit: int) -> list[Hint]:
        """Give up to `limit` hints; wait up to `wait_s` for one, and a little for others."""
        with self._lock:
            if not self._waiting and not self.lost:
                self._lock.wait(wait_s)
            few = 0 < len(self._waiting) < limit
        if wait_s and few:
            time.sleep(GATHER_S)
        with self._lock:
            return [self._waiting.take() for _ in range(min(limit, len(self._waiting)))]

    def wake(self) -> None:
        """End a wait early."""
        with self._lock:
            self._lock.notify()


class InFlight:
    """Files of one root that workers have; what is said of them meanwhile waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, tuple[float, Sighting]] = {}  # when its last change was seen; how
        self._again: set[str] = set()

    def add(self, sighting: Sighting, since_s: float) -> None:
        """A worker will read it as it is; its last change was seen at `since_s`."""
        with self._lock:
            self._files[sighting.path] = since_s, sighting

    def has(self, look: Sighting) -> bool:
        """Whether a worker has it. When it changed it is to be looked at again afterwards."""
        with self._lock:
            if (file := self._files.get(look.path)) is None:
                return False
            if not file[1].same_content(look):
                self._again.add(look.path)
            return True

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def since_s(self, paths: Sequence[str]) -> list[float]:
        """Say of those of these that a worker has when their last change was seen."""
        with self._lock:
            return [self._files[path][0] for path in paths if path in self._files]

    def done(self, paths: Sequence[str]) -> list[str]:
        """These have an outcome; name those that are to be looked at again."""
        with self._lock:
            for path in paths:
                self._files.pop(path, None)
            again = self._again.intersection(paths)
            self._again -= again
        return list(again)
