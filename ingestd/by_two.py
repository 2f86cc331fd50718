"""Edge: work that waits for the kernel, done by this thread and one more.

The kernel copies bytes, and finds room for them, while Python does something else: two threads
fill an array in little more than half the time.
"""

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")

LOOK_S = 0.1  #: how often the other thread is asked where it is


def each(
    work: Sequence[T], do: Callable[[T], None], beat: Callable[[T], None], *, alone: bool = False
) -> None:
    """Do all of it; neither thread is left behind.

    beat    is told what is in hand: here, and then there, so that what hangs is named in the end
    alone   without a second thread
    raises  what `do` raises; of several the one that came up here
    """
    half = len(work) if alone else (len(work) + 1) // 2
    other = _Other(work[half:], do)
    try:
        if half < len(work):
            other.start()
    except RuntimeError:  # No room for a thread: it takes longer, and is the same.
        half = len(work)
    try:
        for one in work[:half]:
            beat(one)
            do(one)
    except BaseException:
        other.enough = True
        raise
    finally:
        other.wait(beat)
    if other.error is not None:
        raise other.error


class _Other(Thread, Generic[T]):
    """The second thread."""

    def __init__(self, work: Sequence[T], do: Callable[[T], None]) -> None:
        super().__init__(name="by-two", daemon=True)
        self.enough = False  #: nothing more is wanted
        self.error: BaseException | None = None
        self._work, self._do = work, do
        self._at = 0

    def run(self) -> None:
        """Do the work until it is done, fails, or is enough."""
        for at, one in enumerate(self._work):
            if self.enough:
                return
            self._at = at
            try:
                self._do(one)
            except BaseException as error:  # noqa: BLE001 -- it is raised again where it is seen
                self.error = error
                return

    def wait(self, beat: Callable[[T], None]) -> None:
        """Wait for it; beat for what it has in hand."""
        told = -1
        while self.is_alive():
            if self._at != told:
                told = self._at
                beat(self._work[told])
            self.join(LOOK_S)
