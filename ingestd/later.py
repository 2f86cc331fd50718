"""Pure. What could not be done just now, and when it is tried again: later and later."""

from collections.abc import Iterable
from dataclasses import dataclass

HELD_S = 600.0  #: reads that hang count together when they come within this time


@dataclass(slots=True)
class _Wait:
    tries: int = 0
    due_s: float = 0.0


class Later:
    """The files of one root that stay where they are for now, and whether the root rests."""

    def __init__(self, *, first_s: float, limit_s: float) -> None:
        self._first_s, self._limit_s = first_s, limit_s
        self._files: dict[str, _Wait] = {}
        self._rest = _Wait()

    def __len__(self) -> int:
        return len(self._files)

    def leave(self, path: str, now_s: float) -> int:
        """Put a file off; say how often that was done."""
        wait = self._files.setdefault(path, _Wait())
        self._put_off(wait, now_s)
        return wait.tries

    def rest(self, now_s: float) -> None:
        """Put everything off."""
        self._files.clear()
        self._put_off(self._rest, now_s)

    def rests(self, now_s: float) -> bool:
        """Whether nothing is to be tried now."""
        return now_s < self._rest.due_s

    def not_yet(self, now_s: float) -> list[str]:
        """Name the files whose next try has not come."""
        return [path for path, wait in self._files.items() if wait.due_s > now_s]

    def went_through(self, began_s: float) -> None:
        """Forget what was due and was not put off again: it is done, or another file by now."""
        self._rest = _Wait()
        self._files = {path: wait for path, wait in self._files.items() if wait.due_s > began_s}

    def next_s(self, now_s: float, at_most_s: float) -> float:
        """How long until something is due."""
        waits: Iterable[_Wait] = (self._rest, *self._files.values())
        due = (wait.due_s - now_s for wait in waits if wait.tries)
        return max(0.0, min(at_most_s, *due, at_most_s))

    def _put_off(self, wait: _Wait, now_s: float) -> None:
        wait.tries += 1
        pause_s = self._first_s * 2.0 ** min(wait.tries - 1, 40)
        wait.due_s = now_s + min(self._limit_s, pause_s)


class Held:
    """How often reads of a root's files hang: each time it is left alone for longer."""

    def __init__(self, *, limit_s: float) -> None:
        self.why = ""  #: why they do, until somebody takes it up
        self._limit_s = limit_s
        self._times, self._last_s = 0, 0.0

    def take(self, now_s: float) -> tuple[str, float]:
        """Take it up: give the reason, and for how long to stay away."""
        self._times = self._times + 1 if now_s - self._last_s < HELD_S else 1
        self._last_s, why, self.why = now_s, self.why, ""
        return why, min(self._limit_s, 2.0**self._times)
