"""Pure. What waits, each with a path, and which is next, so that a flood starves nobody.

A share is for the newest: one that came just now does not wait for a million before it. A share is
for the folders by turns, at each depth: one that came while a flood goes on does not wait for all
that came after it. The rest is for those that wait longest, so that none waits for ever.
"""

import heapq
from collections import OrderedDict
from collections.abc import Hashable
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
        self._folders.put(path, key)
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
        path, _, one = self._waiting.pop(key)
        self._folders.remove(path, key)
        if not self._waiting:
            self._newest.clear()
        return one

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
    """A folder in which something waits: its own files under the empty name, which hold keys."""

    __slots__ = ("inner", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.inner: OrderedDict[Any, _Folder | None] = OrderedDict()

    def put(self, path: str, key: Hashable) -> None:
        """Let a key wait in the folder of a path."""
        folder = self
        folder.waiting += 1
        for name in _names(path):
            inner = folder.inner.get(name)
            if inner is None:
                inner = folder.inner[name] = _Folder()
            folder = inner
            folder.waiting += 1
        folder.inner[key] = None

    def remove(self, path: str, key: Hashable) -> None:
        """Let a key go, and the folders that are empty without it."""
        folder = self
        folder.waiting -= 1
        for name in _names(path):
            inner = folder.inner[name]
            assert inner is not None, "a key is where a folder should be"
            inner.waiting -= 1
            if not inner.waiting:
                del folder.inner[name]
                return
            folder = inner
        del folder.inner[key]

    def next(self) -> Any:
        """Name the key whose turn it is; its folders come last from now on."""
        folder = self
        while True:
            name, inner = next(iter(folder.inner.items()))
            if inner is None:
                return name
            folder.inner.move_to_end(name)
            folder = inner

    def fattest(self) -> list[Any]:
        """Name some keys of a folder where much waits, those first that wait longest."""
        folder = self
        while None not in (some := list(islice(reversed(folder.inner.values()), GLANCE))):
            folder = max((one for one in some if one), key=lambda one: one.waiting)
        return list(islice(folder.inner, GLANCE))


def _names(path: str) -> list[str]:
    """Name the folders of a path that take turns, and at last the files in it."""
    return [*path.split("/", DEPTH)[:-1], ""]
