"""Edge: what has come to an outcome so far; safe from any thread."""

import threading
from collections import Counter

from ingestd.model import Written


class Tally:
    """What has come to an outcome so far; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.states: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.instances = self.thumbnails = self.problems = 0

    def add(self, written: Written) -> None:
        """Count a batch in."""
        with self._lock:
            self.states.update(written.states)
            self.reasons.update(written.reasons)
            self.instances += written.instances
            self.thumbnails += written.thumbnails
            self.problems += written.problems

    @property
    def files(self) -> int:
        """All files that have an outcome."""
        with self._lock:
            return sum(self.states.values())
