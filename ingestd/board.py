"""Edge: what a process says it is at, in memory that it shares with the one who watches it.

To say so by a message would wake the other one for each file.
"""

import ctypes
import os
import time
from multiprocessing.context import ForkServerContext
from typing import NamedTuple

BEATS, AT, COMPUTING = range(3)
NOTHING = -1

LOOK_S = 0.5  #: how often whoever watches looks whether the process gets on
IDLE = 0.1  #: a process that used less of one CPU than this was waiting


class Look(NamedTuple):
    """One look at a board."""

    beats: int  #: how often it said anything
    at: int | None  #: index of the item in hand; None when it has taken none up
    computing: bool  #: it waits for no disk and no share


class Board:
    """Three numbers; one process writes them, another one reads them."""

    def __init__(self, context: ForkServerContext) -> None:
        self._cells = context.RawArray(ctypes.c_int64, [0, NOTHING, 0])

    def clear(self) -> None:
        """Nothing is in hand."""
        self._cells[:] = [0, NOTHING, 0]

    def beat(self, at: int, *, computing: bool = False) -> None:
        """Say which item is in hand; the count goes up last, when all is written."""
        self._cells[AT], self._cells[COMPUTING] = at, computing
        self._cells[BEATS] += 1

    def look(self) -> Look:
        """See what was said last."""
        beats, at, computing = self._cells[:]
        return Look(beats, None if at == NOTHING else at, bool(computing))


class Silence(NamedTuple):
    """That a process got nowhere for too long."""

    at: int | None  #: as Look
    waiting: bool  #: it used hardly any CPU: it waits for a disk or a share


class Vigil:
    """Follows one call of a process: the deadline counts from its last beat."""

    def __init__(self, board: Board, pid: int | None, deadline_s: float) -> None:
        board.clear()
        self._board, self._pid, self._deadline_s = board, pid, deadline_s
        self._seen = board.look()
        self._used_s: float | None = None  # Of the CPU, when the last beat was seen.
        self._due_s = time.monotonic() + deadline_s

    @property
    def wait_s(self) -> float:
        """How long to wait before the next look."""
        return max(0.0, min(self._due_s - time.monotonic(), LOOK_S))

    def look(self) -> Silence | None:
        """See whether the process gets on; None while it does, or has time left."""
        before, self._seen = self._seen, self._board.look()
        if self._seen != before or self._used_s is None:
            self._used_s = cpu_s(self._pid)
        if self._seen != before:
            self._due_s = time.monotonic() + self._deadline_s
        if time.monotonic() < self._due_s:
            return None
        at, computing = self._seen.at, self._seen.computing
        idle = cpu_s(self._pid) - self._used_s < IDLE * self._deadline_s
        return Silence(at, idle and at is not None and not computing)


def cpu_s(pid: int | None) -> float:
    """How much CPU a process has used; nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
