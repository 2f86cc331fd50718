"""Edge: the life of a worker, a process that may be killed: one call after another."""

import ctypes
import gc
import logging
import os
import resource
import signal
from multiprocessing.connection import Connection
from typing import Any

from ingestd.board import Board

PR_SET_PDEATHSIG = 1  # prctl(2)


class Told(logging.Handler):
    """Sends what a worker logs to its keeper; standard error leads nowhere."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        """Send level, event and what varies: `extra={"at": {...}}`."""
        self._pipe.send(("log", (record.levelno, record.getMessage(), getattr(record, "at", {}))))


def main(pipe: "Connection[Any, Any]", board: Board, memory_bytes: int, verbose: bool) -> None:  # noqa: FBT001 -- one of a process's args
    """Live as a worker: take a call, answer it, until the pipe ends."""
    if verbose:
        ours = logging.getLogger("ingestd")
        ours.addHandler(Told(pipe))
        ours.setLevel(logging.DEBUG)
    for number in (signal.SIGINT, signal.SIGHUP):  # For the daemon, which lets us finish.
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o027)  # The server that we are forked from began before the daemon had set its own.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    silence()
    limit_memory(memory_bytes)
    # What was imported is never garbage, and rows hardly are: to look for it less often is enough.
    gc.freeze()
    gc.set_threshold(20_000)
    pipe.send(("hello", os.getpid()))
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except (EOFError, ConnectionError):
            return
        try:
            answer = ("done", fn(*args, **kwargs, beat=board.beat))
        except MemoryError:
            answer = ("memory", None)
        except Exception as error:  # noqa: BLE001 -- it goes back to whoever asked
            answer = ("error", error)
        pipe.send(answer)
        if answer[0] != "done":
            del answer
            gc.collect()  # Its frames hold files of a share open, which nobody could unmount.


def silence() -> None:
    """Keep what codecs print away from the log: it may hold header values."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def limit_memory(memory_bytes: int) -> None:
    """Let allocations beyond what the imports took already, plus `memory_bytes`, fail."""
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    limit = pages * resource.getpagesize() + memory_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))  # The daemon's own is not for us.
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
