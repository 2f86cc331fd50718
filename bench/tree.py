"""What a process and all that it started hold, look after look: memory, files, threads.

Memory is proportional (PSS): a page that several processes share counts once, in parts.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LEFT = (FileNotFoundError, ProcessLookupError)  #: a process may end while it is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a process and all below it."""

    at_s: float  #: since the first one
    mib: float  #: of the process itself
    others_mib: float  #: of all below it
    processes: int
    files: int  #: that are open, in all of them
    threads: int
    count: int  #: of what the caller counts besides

    @property
    def all_mib(self) -> float:
        """Memory of all of them."""
        return self.mib + self.others_mib


def family(first: int) -> list[int]:
    """Name a process and all below it."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(*LEFT):
                stat = Path(f"/proc/{name}/stat").read_text()
                below.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(name))
    found = [first]
    for pid in found:
        found += below.get(pid, [])
    return found


def memory_mib(pid: int) -> float:
    """Give the proportional memory of a process; 0 when it has ended."""
    with suppress(*LEFT):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def entries(folder: str) -> int:
    """Count what is in a folder of /proc; nothing when its process has ended."""
    with suppress(*LEFT):
        return len(os.listdir(folder))
    return 0


@dataclass
class Tree:
    """Looks at a process until it is told to stop."""

    pid: int
    every_s: float
    counted: Callable[[], int] = lambda: 0
    looks: list[Look] = field(default_factory=list)

    def __enter__(self) -> "Tree":
        self._began_s, self._enough = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def look(self) -> Look:
        """Look once."""
        pids = family(self.pid)
        mib = [memory_mib(pid) for pid in pids]
        return Look(
            at_s=time.monotonic() - self._began_s,
            mib=mib[0],
            others_mib=sum(mib[1:]),
            processes=len(pids),
            files=sum(entries(f"/proc/{pid}/fd") for pid in pids),
            threads=sum(entries(f"/proc/{pid}/task") for pid in pids),
            count=self.counted(),
        )

    def _go_on(self) -> None:
        while not self._enough.wait(self.every_s):
            self.looks.append(self.look())

    def thirds(self) -> Iterator[list[Look]]:
        """Give the looks of each third of the time."""
        for third in range(3):
            yield self.looks[third * len(self.looks) // 3 : (third + 1) * len(self.looks) // 3]
