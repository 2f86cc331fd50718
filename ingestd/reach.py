"""Edge: calls into a share, made by a thread that can be left behind.

A call into a dead share may not return for minutes, or ever, and nothing can end it. So a root's
looks are made by a thread of their own. One that got nowhere for `deadline_s` is abandoned: it
ends by itself when the kernel lets it go, and another one makes the next try.
"""

import errno
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

HANGING = 4  #: so many abandoned threads a root may have; until one returns no more are made
GLANCE_S = 0.25  #: how often a wait looks whether we stop

_mine = threading.local()


def beat(at: str = "") -> None:
    """Say, in the midst of a long call, that it gets somewhere, and where it goes next."""
    hand: _Hand | None = getattr(_mine, "hand", None)
    if hand is not None:
        hand.at, hand.alive_s = at, time.monotonic()


class _Call:
    """One piece of work and what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self.over = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def make(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 -- it belongs to whoever asked
            self.error = error
        self.over.set()


class _Hand(threading.Thread):
    """A thread that makes one call after another."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self.alive_s = 0.0
        self.at: str | None = None

    def run(self) -> None:
        """Work until told to end."""
        _mine.hand = self
        while (call := self.calls.get()) is not None:
            call.make()
            # While we wait it would keep what it worked with, such as a folder that is open half
            # listed: a share that went away meanwhile could not be unmounted.
            del call


class Reach:
    """Makes calls into one root, one at a time, for one thread."""

    def __init__(self, name: str, *, deadline_s: float) -> None:
        self._name, self._deadline_s = name, deadline_s
        self._hand: _Hand | None = None
        self._abandoned: list[_Hand] = []
        self._closed = threading.Event()

    @property
    def hanging(self) -> int:
        """How many abandoned calls have not returned yet."""
        self._abandoned = [hand for hand in self._abandoned if hand.is_alive()]
        return len(self._abandoned)

    def call(self, work: Callable[[], T]) -> T:
        """Have `work` done, and give what it gives or raise what it raises.

        raises  TimeoutError (ETIMEDOUT) when it got nowhere for `deadline_s`, or so many earlier
                calls hang that no other is tried; its `filename` is where the call had been last,
                when it said so
        """
        hand = self._hand or self._hire()
        call = _Call(work)
        hand.at, hand.alive_s = None, time.monotonic()
        hand.calls.put(call)
        while not call.over.wait(min(GLANCE_S, self._deadline_s)):
            silent_s = time.monotonic() - hand.alive_s
            if self._closed.is_set() or silent_s >= self._deadline_s:
                self._abandon(hand)
                words = f"it hangs: no answer in {silent_s:.0f} s"
                raise TimeoutError(errno.ETIMEDOUT, words, hand.at)
        if call.error is not None:
            raise call.error
        result: T = call.result
        return result

    def _hire(self) -> _Hand:
        if self.hanging >= HANGING:
            raise TimeoutError(errno.ETIMEDOUT, f"it hangs: {HANGING} calls have not returned yet")
        self._hand = _Hand(f"reach {self._name}")
        self._hand.start()
        return self._hand

    def _abandon(self, hand: _Hand) -> None:
        hand.calls.put(None)
        self._abandoned.append(hand)
        self._hand = None

    def close(self) -> None:
        """Let the thread end; a call under way is given up soon."""
        self._closed.set()
        if (hand := self._hand) is not None:
            hand.calls.put(None)
