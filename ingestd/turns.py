"""Pure. What waits, each with a path, and which is next, so that a flood starves nobody.

A share is for the newest: one that came just now does not wait for a million before it. A share is
for the folders by turns, at each depth: one that came while a flood goes on does not wait for all
that came after it. The rest is for those that wait longest, so that none waits for ever.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import cycle, islice
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

DEPTH = 4  #: folders deeper than that take their turns together
SLACK = 1000  #: so many entries of what left may stay in the heap before it is made anew
GLANCE = 16  #: so many are compared to find a folder where much waits, and in it the oldest


class Turns(Generic[K, T]):
    """All that waits, each by a key of its own."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[K, tuple[str, tuple[int, int], T]] = OrderedDict()
        self._newest: list[tuple[int, int, K]] = []  # a heap; entries of what left are skipped
        self._folders = _Folder()
        self._puts = 0
        newest, turn, oldest = self._by_age, self._by_turn, self._by_wait
        self._next = cycle((newest, turn, oldest, oldest, newest, oldest, oldest, oldest))

    def __len__(self) -> int:
        return len(self._waiting)

    def get(self, key: K) -> T | None:
        """Say what waits by this key."""
        return self._waiting[key][2] if key in self._waiting else None

    def put(self, key: K, path: str, one: T, *, newness: int | None = None) -> None:
        """Let it wait; what waited by this key keeps its place, and is forgotten.

        newness  the larger, the newer; None: newer than all before
        """
        if key in self._waiting:
            path, age, _ = self._waiting[key]
            self._waiting[key] = path, age, one
            return
        self._puts += 1
        age = (self._puts if newness is None else newness, self._puts)
        self._waiting[key] = path, age, one
        self._folders.put(self._steps(key), self._steps)
        heapq.heappush(self._newest, (-age[0], -age[1], key))
        if len(self._newest) > 2 * len(self._waiting) + SLACK:
            self._newest = [(-age[0], -age[1], key) for key, (_, age, _) in self._waiting.items()]
            heapq.heapify(self._newest)

    def take(self) -> T:
        """Take what is next; there must be something."""
        return self.remove(next(self._next)())

    def drop(self) -> T:
        """Take the one that is missed least: an old one of a folder where much waits."""
        some: list[K] = self._folders.fattest()
        return self.remove(min(some, key=lambda key: self._waiting[key][1]))

    def clear(self) -> list[T]:
        """Take all, the oldest first."""
        return [self.remove(key) for key in list(self._waiting)]

    def remove(self, key: K) -> T:
        """Take the one with this key."""
        self._folders.remove(self._steps(key))
        _, _, one = self._waiting.pop(key)
        if not self._waiting:
            self._newest.clear()
        return one

    def _steps(self, key: K) -> list[Any]:
        return [*self._waiting[key][0].split("/", DEPTH)[:-1], "", key]

    def _by_age(self) -> K:
        while True:
            newness, put, key = heapq.heappop(self._newest)
            if key in self._waiting and self._waiting[key][1] == (-newness, -put):
                return key

    def _by_turn(self) -> K:
        key: K = self._folders.next()
        return key

    def _by_wait(self) -> K:
        return next(iter(self._waiting))


class _Folder:
    """A folder in which something waits: by name, what is in it, or the one key that waits there.

    Below the names of folders there is the empty one for the files themselves, and then the key.
    """

    __slots__ = ("inner", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.inner: OrderedDict[Any, Any] = OrderedDict()

    def put(self, steps: list[Any], others: Callable[[Any], list[Any]]) -> None:
        """Let the last of these steps, a key, wait where the others lead.

        others  gives the steps to a key
        """
        folder = self
        folder.waiting += 1
        for nth, step in enumerate(steps):
            if step not in folder.inner:
                folder.inner[step] = steps[-1]
                return
            inner = folder.inner[step]
            if not isinstance(inner, _Folder):  # So far one alone waited there.
                inner = _Folder()
                inner.waiting, key = 1, folder.inner[step]
                inner.inner[others(key)[nth + 1]] = key
                folder.inner[step] = inner
            folder = inner
            folder.waiting += 1

    def remove(self, steps: list[Any]) -> None:
        """Let a key go, and the folders that are empty without it."""
        folder = self
        folder.waiting -= 1
        for step in steps:
            inner = folder.inner[step]
            if not isinstance(inner, _Folder) or inner.waiting == 1:
                del folder.inner[step]
                return
            folder = inner
            folder.waiting -= 1

    def next(self) -> Any:
        """Name the key whose turn it is; its folders come last from now on."""
        one: Any = self
        while isinstance(one, _Folder):
            step, inner = next(iter(one.inner.items()))
            one.inner.move_to_end(step)
            one = inner
        return one

    def fattest(self) -> list[Any]:
        """Name some keys of a folder where much waits, those first that wait longest."""
        folder = self
        while True:
            inner = folder.inner.values()
            some = [*islice(inner, GLANCE), *islice(reversed(inner), GLANCE)]
            folders = [one for one in some if isinstance(one, _Folder)]
            if not folders:
                return some
            folder = max(folders, key=lambda one: one.waiting)
