"""Pure. Has the sender finished? A file has settled when it stayed the same for long enough."""

import heapq

from ingestd.model import Sighting


class Settling:
    """The files of one root that were seen and are watched until they stay the same.

    Bounded by `limit`: whoever feeds it asks `room` first and waits; what does not fit stays in
    the folder, which is the queue.
    """

    def __init__(self, *, quiet_s: float, limit: int) -> None:
        self.quiet_s, self.limit = quiet_s, limit
        self._first: dict[str, Sighting] = {}  # the oldest look that shows what the newest shows
        self._due: list[tuple[float, str]] = []  # a heap; stale entries are skipped

    def __len__(self) -> int:
        return len(self._first)

    @property
    def room(self) -> int:
        """How many more files fit."""
        return max(0, self.limit - len(self._first))

    def since_s(self, path: str) -> float | None:
        """When a file was first seen as it is now; None when it is not watched."""
        known = self._first.get(path)
        return None if known is None else known.seen_s

    def saw(self, sighting: Sighting) -> bool:
        """Take a look into account; True when it shows a file that has settled.

        A settled file is forgotten here: it is somebody else's from now on.
        """
        known = self._first.get(sighting.path)
        if known is None or not known.same_content(sighting):
            self._first[sighting.path] = sighting
            heapq.heappush(self._due, (sighting.seen_s + self.quiet_s, sighting.path))
            return False
        if sighting.seen_s - known.seen_s >= self.quiet_s:
            del self._first[sighting.path]
            return True
        return False

    def due(self, now_s: float, limit: int) -> list[str]:
        """Name up to `limit` files that must be looked at again now."""
        paths: list[str] = []
        while self._due and self._due[0][0] <= now_s and len(paths) < limit:
            due_s, path = heapq.heappop(self._due)
            first = self._first.get(path)
            if first is not None and first.seen_s + self.quiet_s <= due_s:
                paths.append(path)
        return paths

    def next_due_s(self) -> float | None:
        """When the next file must be looked at; None when nothing waits."""
        return self._due[0][0] if self._due else None

    def begin_anew(self, quiet_s: float) -> None:
        """Forget all files: nobody looked at them for a while, or other rules hold now."""
        self.quiet_s = quiet_s
        self._first.clear()
        self._due.clear()

    def forget(self, path: str) -> None:
        """Drop a file that is not there any more."""
        self._first.pop(path, None)
