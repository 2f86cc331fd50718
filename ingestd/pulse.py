"""Pure. Which parts of the program still move.

Each part beats whenever it goes round, at work and at rest. Who looks counts the looks without a
beat: no clock is read, so a machine that was suspended, or a program that was stopped and goes
on, is not taken for one that hangs.
"""

from collections.abc import Callable
from dataclasses import dataclass

#: How long a part may take to go round. The writer waits for its turn in DuckDB, where a
#: checkpoint of a large catalog may take minutes; no worker may take longer than its deadline,
#: and its keeper looks twice a second.
PATIENCE_S = {"writer": 600.0}
USUAL_S = 120.0


@dataclass(slots=True)
class _Part:
    limit_s: float
    has_moved: bool = True
    silent_s: float = 0.0

    def beat(self) -> None:
        self.has_moved = True


class Pulse:
    """The parts that must never stand still."""

    def __init__(self) -> None:
        self._parts: dict[str, _Part] = {}

    def part(self, name: str) -> Callable[[], None]:
        """Take a part in; it calls what this gives, more often than its patience is long."""
        part = _Part(PATIENCE_S.get(name, USUAL_S))
        self._parts = {**self._parts, name: part}  # Whoever looks just now has the old one.
        return part.beat

    def end(self, name: str) -> None:
        """A part has ended, and should have."""
        self._parts = {known: part for known, part in self._parts.items() if known != name}

    def look(self, after_s: float) -> dict[str, float]:
        """Name the parts that stood still for too long, and for how long.

        after_s  how long ago the look before this one was
        """
        for part in self._parts.values():
            part.silent_s = 0.0 if part.has_moved else part.silent_s + after_s
            part.has_moved = False
        return {
            name: part.silent_s
            for name, part in self._parts.items()
            if part.silent_s >= part.limit_s
        }
