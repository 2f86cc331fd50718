"""Edge: what the kernel said, and what is being read just now; safe from any thread."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from ingestd.watch import Hint


class Hints:
    """What the kernel said, each path once, and no more of it than a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[str, bool] = OrderedDict()  # path -> is it a folder
        self._lock = threading.Condition()
        self.lost = False  #: some did not fit, or the kernel lost some: sweep

    def put(self, hint: Hint) -> None:
        """Take a hint; called by the watcher's thread. What does not fit any more is the oldest."""
        with self._lock:
            is_folder = hint.is_folder or self._waiting.get(hint.path, False)
            self._waiting[hint.path] = is_folder
            if len(self._waiting) > self._limit:
                self._waiting.popitem(last=False)
                self.lost = True
            self._lock.notify()

    def lose(self) -> None:
        """Note that hints were lost before they came here."""
        with self._lock:
            self.lost = True
            self._lock.notify()

    def take(self, wait_s: float, limit: int) -> list[tuple[str, bool]]:
        """Give up to `limit` hints; wait up to `wait_s` when there is none."""
        with self._lock:
            if not self._waiting and not self.lost:
                self._lock.wait(wait_s)
            taken: list[tuple[str, bool]] = []
            while self._waiting and len(taken) < limit:
                # By turns the newest and the oldest: none waits for all others.
                taken.append(self._waiting.popitem(last=len(taken) % 2 == 0))
            return taken

    def wake(self) -> None:
        """End a wait early."""
        with self._lock:
            self._lock.notify()


class InFlight:
    """Files of one root that workers have; what is said of them meanwhile waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[str, float] = {}  # path -> when its last change was seen
        self._again: set[str] = set()

    def add(self, path: str, since_s: float) -> None:
        """A worker will read it; its last change was seen at `since_s`."""
        with self._lock:
            self._paths[path] = since_s

    def has(self, path: str) -> bool:
        """Whether a worker has it; then it is to be looked at again afterwards."""
        with self._lock:
            if path in self._paths:
                self._again.add(path)
                return True
        return False

    def __len__(self) -> int:
        return len(self._paths)

    def since_s(self, paths: Sequence[str]) -> list[float]:
        """Say of those of these that a worker has when their last change was seen."""
        with self._lock:
            return [self._paths[path] for path in paths if path in self._paths]

    def done(self, paths: Sequence[str]) -> list[str]:
        """These have an outcome; name those that are to be looked at again."""
        with self._lock:
            for path in paths:
                self._paths.pop(path, None)
            again = self._again.intersection(paths)
            self._again -= again
        return list(again)
