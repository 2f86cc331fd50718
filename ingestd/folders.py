"""Wiring. New folders of a root: each is listed soon, and a large one holds up no other."""

from collections import deque
from collections.abc import Callable, Iterator

from ingestd.reach import Reach, beat
from ingestd.sweep import SHARE_GONE, Ignored, Seen, left, sweep
from ingestd.sweeps import STRETCH
from ingestd.turns import Turns

LIMIT = 10_000  #: so many may wait to be listed; others are left to a sweep
LARGE = 8  #: and so many that take more than a stretch are listed at once


class Folders:
    """The folders of one root that somebody said are new.

    Their files may have come before the kernel watched them, so nobody tells of these.

    found  given what a stretch saw
    lost   called when some are left to a sweep
    """

    def __init__(
        self,
        root: str,
        *,
        ignored: Ignored,
        reach: Reach,
        found: Callable[[Seen], object],
        lost: Callable[[], None],
    ) -> None:
        self._root, self._ignored, self._reach = root, ignored, reach
        self._found, self._lost = found, lost
        self._waiting: Turns[str, str] = Turns()
        self._large: deque[Iterator[Seen]] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._large)

    def put(self, path: str) -> None:
        """List this one soon."""
        self._waiting.put(path, path, path)
        if len(self._waiting) > LIMIT:
            self._waiting.drop()
            self._lost()

    def drop(self) -> None:
        """List none of them: a sweep will."""
        self._waiting.clear()
        self._large.clear()

    def advance(self, room: Callable[[], int]) -> None:
        """List a stretch or two, as far as there is room.

        raises  OSError when it is the share that is the trouble
        """
        seen = 0
        while self._waiting and seen < STRETCH and room() > 0:
            path = self._waiting.take()
            listing = sweep(self._root, self._ignored, below=path, stretch=STRETCH, beat=beat)
            seen += 1 + self._go_on(listing)  # An empty folder is some work too.
        if self._large and room() > STRETCH:
            self._go_on(self._large.popleft())
        elif self._large:
            self._large.clear()
            self._lost()  # More than fits now: the sweep, which waits for room.

    def _go_on(self, listing: Iterator[Seen]) -> int:
        """List a stretch of a folder, and say how much that was."""
        try:
            seen: Seen | None = self._reach.call(lambda: next(listing, None))
        except OSError as error:
            # If it left and comes back, so does a hint; else the sweep says what is wrong.
            if error.errno in SHARE_GONE:
                raise
            if not left(error):
                self._lost()
            return 0
        if seen is None:
            return 0
        self._found(seen)
        if seen.more:
            self._large.append(listing)
            if len(self._large) > LARGE:
                self._large.popleft()
                self._lost()
        return len(seen)
