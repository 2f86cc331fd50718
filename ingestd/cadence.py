"""Pure. When to list what: hot folders often, all of a root within a limit."""

from collections import OrderedDict
from collections.abc import Iterator

HOT_FOR_S = 900.0  #: so long after its last change a folder is listed often
HOT_FOLDERS = 500  #: no more folders than these are hot at once

#: A root whose changes nobody tells is listed whole for at most a tenth of the time; it is more
#: only where `full_sweep_s` asks for it, and never more than half.
RARELY, HALF = 10.0, 1.0
SELDOM = 4.0  #: hot folders, while there is no room: that is the time of those that make some


def next_sweep_s(
    began_s: float,
    ended_s: float,
    *,
    polled: bool,
    hot_s: float,
    full_sweep_s: float,
    chance: float,
) -> float:
    """Say when a root is to be listed whole again.

    polled  nobody tells of changes in it
    chance  from 0 to 1, anew each time: it keeps many roots out of step
    """
    took_s = ended_s - began_s
    limit_s = began_s + full_sweep_s * (0.75 + 0.25 * chance)
    wish_s = ended_s + max(hot_s, RARELY * took_s) * (0.75 + 0.5 * chance)
    return max(min(wish_s, limit_s) if polled else limit_s, ended_s + HALF * took_s)


def next_part_s(began_s: float, ended_s: float, hot_s: float, *, rest: float = HALF) -> float:
    """Say when hot folders are to be listed again: half of the time, or more, is for the others."""
    return max(began_s + hot_s, ended_s + rest * (ended_s - began_s))


class Hot:
    """The folders of a root that changed lately, and those above them: new ones appear there."""

    def __init__(self, *, limit: int = HOT_FOLDERS) -> None:
        self._limit = limit
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def note(self, folder: str, now_s: float) -> None:
        """Something new was found in a folder."""
        for one in (folder, *above(folder)):
            self._until_s[one] = now_s + HOT_FOR_S
            self._until_s.move_to_end(one)
        while len(self._until_s) > self._limit:
            self._until_s.popitem(last=False)

    def folders(self, now_s: float) -> list[str]:
        """Name those that are hot, the one that changed last first; the root always is."""
        while self._until_s and next(iter(self._until_s.values())) <= now_s:
            self._until_s.popitem(last=False)
        hot = list(reversed(self._until_s))
        return hot if "" in self._until_s else ["", *hot]


def above(folder: str) -> Iterator[str]:
    """Name the folders above one, up to the root, which is empty text."""
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder
