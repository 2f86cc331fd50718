"""One thread of another process is stopped, and goes on: by ptrace(2), which knows threads."""

import ctypes
import os
from pathlib import Path
from types import TracebackType

import pytest
from daemons import wait_for

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # linux/ptrace.h
WALL = 0x40000000  # waitpid(2): __WALL

#: To be found on PYTHONPATH: Python tells the kernel no names of threads, so it tells us.
TELLER = """
import os, sys, threading, time
def tell():
    while True:
        names = "".join(f"{one.name} {one.native_id}\\n" for one in threading.enumerate())
        with open("{place}.part", "w") as out:
            out.write(names)
        os.replace("{place}.part", "{place}")
        time.sleep(0.2)
if "run" in sys.orig_argv and "{place}":
    threading.Thread(target=tell, daemon=True).start()
"""


class Named:
    """What a daemon's threads are called; `settings` are for its environment."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / "threads"
        (folder / "lib").mkdir()
        told = TELLER.replace("{place}", str(self._place))
        (folder / "lib" / "sitecustomize.py").write_text(told)
        self.settings = {"PYTHONPATH": str(folder / "lib")}

    def number(self, name: str) -> int:
        """The kernel's number of a thread."""
        wait_for(self._place.exists)
        found = dict(line.rsplit(" ", 1) for line in self._place.read_text().splitlines())
        return int(found[name])


class Stopped:
    """A thread that stands still as long as this lasts."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._libc = ctypes.CDLL(None, use_errno=True)

    def _ptrace(self, request: int) -> None:
        if self._libc.ptrace(request, self._number, None, None):
            pytest.skip(f"ptrace: {os.strerror(ctypes.get_errno())}")

    def __enter__(self) -> None:
        self._ptrace(SEIZE)
        self._ptrace(INTERRUPT)
        os.waitpid(self._number, WALL)

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._ptrace(DETACH)
