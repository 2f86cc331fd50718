"""Pure. The files that wait for a worker: a line for each root, and the roots take turns.

Where files go on coming (`fair`), who is next within a line is for turns.py to say; where all of
them are to be read before anything ends, they go in the order in which they came.
"""

from collections import Counter, OrderedDict, deque

from ingestd.model import Arrival
from ingestd.turns import Turns


class Line:
    """The files of one root."""

    def __init__(self, *, fair: bool) -> None:
        self._fair: Turns[int, Arrival] | None = Turns() if fair else None
        self._plain: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._plain if self._fair is None else self._fair)

    def put(self, arrival: Arrival) -> None:
        """Let a file wait."""
        if self._fair is None:
            self._plain.append(arrival)
        else:
            self._fair.put(arrival.seq, arrival.path, arrival, newness=arrival.changed_ns)

    def take(self, files: int, size_bytes: int) -> list[Arrival]:
        """Take up to so many files, and no more once they have so many bytes; at least one."""
        chunk: list[Arrival] = []
        while len(self) and len(chunk) < files and size_bytes > 0:
            chunk.append(self._plain.popleft() if self._fair is None else self._fair.take())
            size_bytes -= chunk[-1].size_bytes
        return sorted(chunk, key=lambda arrival: arrival.seq)

    def empty(self) -> list[Arrival]:
        """Give up all of them."""
        if self._fair is not None:
            return self._fair.clear()
        files, self._plain = list(self._plain), deque()
        return files


class Waiting:
    """All files that wait. A root whose files hang gets one worker, and one file at a time."""

    def __init__(self, *, fair: bool) -> None:
        self._fair = fair
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._under_way: Counter[str] = Counter()
        self.suspects: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, arrival: Arrival) -> None:
        """Let a file wait."""
        if arrival.root not in self._lines:
            self._lines[arrival.root] = Line(fair=self._fair)
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
