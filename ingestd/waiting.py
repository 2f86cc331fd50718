"""Pure. The files that wait for a worker: a line for each root, and the roots take turns.

Of each chunk a share is for the newest files, so that one that came just now does not wait until
a million others are done; the rest is for those that have waited longest, so that none of them
waits for ever.
"""

import heapq
from collections import Counter, OrderedDict

from ingestd.model import Arrival

SLACK = 1000  #: so many entries of files that left may stay in the heap before it is made anew


class Line:
    """The files of one root, in the order in which they came."""

    def __init__(self, newest_share: float) -> None:
        self._share = newest_share
        self._files: OrderedDict[int, Arrival] = OrderedDict()
        self._newest: list[tuple[int, int]] = []  # a heap; entries of files that left are skipped

    def __len__(self) -> int:
        return len(self._files)

    def put(self, arrival: Arrival) -> None:
        """Let a file wait."""
        self._files[arrival.seq] = arrival
        if not self._share:
            return
        heapq.heappush(self._newest, (-arrival.changed_ns, -arrival.seq))
        if len(self._newest) > 2 * len(self._files) + SLACK:
            self._newest = [(-one.changed_ns, -one.seq) for one in self._files.values()]
            heapq.heapify(self._newest)

    def take(self, files: int, size_bytes: int) -> list[Arrival]:
        """Take up to so many files, and no more once they have so many bytes; at least one."""
        chunk: list[Arrival] = []
        while self._files and len(chunk) < files and size_bytes > 0:
            newest = len(chunk) < files * self._share and len(self._files) > files - len(chunk)
            arrival = self._take_newest() if newest else self._files.popitem(last=False)[1]
            chunk.append(arrival)
            size_bytes -= arrival.size_bytes
        if not self._files:
            self._newest.clear()
        return sorted(chunk, key=lambda arrival: arrival.seq)

    def _take_newest(self) -> Arrival:
        while True:
            seq = -heapq.heappop(self._newest)[1]
            if seq in self._files:
                return self._files.pop(seq)

    def empty(self) -> list[Arrival]:
        """Give up all of them."""
        files = list(self._files.values())
        self._files.clear()
        self._newest.clear()
        return files


class Waiting:
    """All files that wait. A root whose files hang gets one worker, and one file at a time."""

    def __init__(self, *, newest_share: float = 0.0) -> None:
        self._share = newest_share
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._under_way: Counter[str] = Counter()
        self.suspects: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, arrival: Arrival) -> None:
        """Let a file wait."""
        if arrival.root not in self._lines:
            self._lines[arrival.root] = Line(self._share)
        self._lines[arrival.root].put(arrival)

    def take(self, files: int, size_bytes: int) -> list[Arrival]:
        """Take a chunk of one root; nothing when no root may give one."""
        for root in list(self._lines):
            self._lines.move_to_end(root)
            suspect = root in self.suspects
            if not self._lines[root] or (suspect and self._under_way[root]):
                continue
            self.begin(root)
            return self._lines[root].take(1 if suspect else files, size_bytes)
        return []

    def begin(self, root: str) -> None:
        """A chunk of a root is under way."""
        self._under_way[root] += 1

    def end(self, root: str) -> None:
        """And came back."""
        self._under_way[root] -= 1

    def hold(self, root: str) -> list[Arrival]:
        """A file of this root hangs: give up all that wait there, and be careful from now on."""
        self.suspects.add(root)
        return self._lines[root].empty() if root in self._lines else []


def parts(chunk: list[Arrival], at: int | None) -> list[list[Arrival]]:
    """Cut a lost chunk: around the file in hand when it is known, else in half."""
    if at is None:
        middle = len(chunk) // 2
        return [chunk[:middle], chunk[middle:]]
    return [part for part in (chunk[:at], chunk[at : at + 1], chunk[at + 1 :]) if part]
