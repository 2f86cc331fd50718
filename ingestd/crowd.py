"""Pure. Files that were found while there was no room for them: some of each folder come in."""

from ingestd.model import Past, Sighting
from ingestd.turns import Turns


class Crowd:
    """Those of one root, and no more than a limit; the others stay in their folders."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: Turns[str, tuple[Sighting, Past]] = Turns()
        self._left_some = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, sighting: Sighting, past: Past) -> None:
        """Let a file wait; what does not fit leaves a folder of which much waits."""
        path = sighting.path
        self._waiting.put(path, path, (sighting, past), newness=sighting.changed_ns)
        if len(self._waiting) > self._limit:
            self._waiting.drop()
            self._left_some = True

    def take(self, room: int) -> tuple[list[tuple[Sighting, Past]], bool]:
        """Take as many as there is room for; say whether others were left to a sweep."""
        files = [self._waiting.take() for _ in range(min(len(self), max(0, room)))]
        left_some = bool(self._waiting.clear()) or self._left_some
        self._left_some = False
        return files, left_some
