"""Edge: a pool of processes that may be killed; a file takes no more than itself down.

An `Executor`, so that another one (Dask's, say) can take its place. What is submitted must be
importable in another process and accept `beat`, which it calls with the index of each item that
it takes up: the deadline counts from the last beat, and when the process dies, hangs or asks for
too much memory, the `WorkerLost` that the future raises names the item in hand.

A process that got nowhere and used hardly any CPU was waiting for a disk or a share: that is no
fault of the item. One that said it is `computing` by then waits for nobody.
"""

import ctypes
import logging
import os
import queue
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, TypeVar

from ingestd import preload
from ingestd.board import Board, Silence, Vigil
from ingestd.errors import Reason
from ingestd.log import get_logger

log = get_logger()

P = ParamSpec("P")
T = TypeVar("T")

PR_SET_PDEATHSIG = 1  # prctl(2)
IDLE_DEATHS = 5  #: so often a call is sent again whose process died before it took it up
RESTART_S = 1.0  #: pause after a process could not be started
START_S = 60.0  #: a worker that has not said hello by then will not


class WorkerLost(Exception):
    """The process that had this work is gone, and why."""

    def __init__(self, reason: Reason, detail: str, at: int | None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
        self.at = at  #: index of the item in hand; None when it had taken none up


class PoolClosed(WorkerLost):
    """The pool was closed before this work was done. Nothing is known against the work."""

    def __init__(self) -> None:
        super().__init__(Reason.WORKER_CRASHED, "stopped with the daemon", None)


@dataclass(slots=True)
class _Call:
    future: Future[Any]
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: "Connection[Any, Any]"
    board: Board


@dataclass(slots=True)
class _Seat:
    """Where a keeper's process sits; empty when it was lost."""

    worker: _Worker | None = None


class Pool(Executor):
    """So many processes, each kept by one thread that sends it work and buries it."""

    def __init__(
        self, processes: int, *, deadline_s: float, memory_bytes: int, verbose: bool = False
    ) -> None:
        """Start the keepers; `verbose` has processes send what they log, at debug level too."""
        self.processes = processes
        self._verbose = verbose
        self.deaths = 0
        self._deadline_s, self._memory_bytes = deadline_s, memory_bytes
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._context = get_context("forkserver")
        preload.begin()
        self._keepers = [
            threading.Thread(target=self._keep, name=f"keeper-{number}", daemon=True)
            for number in range(processes)
        ]
        for keeper in self._keepers:
            keeper.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue `fn(*args, **kwargs, beat=...)` for the next free process."""
        if self._closing.is_set():
            raise RuntimeError("the pool is closed")
        future: Future[T] = Future()
        self._calls.put(_Call(future, fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- the Executor's signature
        """Let what is under way end, or with `cancel_futures` kill it; then end the processes."""
        if cancel_futures:
            self._closing.set()
        for _ in self._keepers:
            self._calls.put(None)
        if wait:
            for keeper in self._keepers:
                keeper.join()
        self._closing.set()

    def _keep(self) -> None:
        """Take one call after another; replace the process whenever it was lost."""
        seat = _Seat()
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                result = self._answer(seat, call)
            except Exception as error:  # noqa: BLE001 -- it belongs to whoever asked
                call.future.set_exception(error)
            else:
                call.future.set_result(result)
        if seat.worker is not None:
            seat.worker.pipe.close()  # The worker ends when it reads the end of its pipe.
            seat.worker.process.join(1.0)
            bury(seat.worker)

    def _answer(self, seat: _Seat, call: _Call) -> Any:
        """Have one call served; again when the process died before it took anything up."""
        for _ in range(IDLE_DEATHS):
            seat.worker = seat.worker or self._begin()
            try:
                return self._serve(seat.worker, call)
            except WorkerLost as lost:
                self._lose(seat.worker, lost)
                seat.worker = None
                crashed = lost.reason is Reason.WORKER_CRASHED
                if lost.at is not None or not crashed or isinstance(lost, PoolClosed):
                    raise
        raise WorkerLost(Reason.WORKER_CRASHED, "no process lived to take it up", None)

    def _lose(self, worker: _Worker, lost: WorkerLost) -> None:
        bury(worker)
        if not isinstance(lost, PoolClosed):
            self.deaths += 1
            log.warning("worker_lost", reason=str(lost.reason), detail=lost.detail)

    def _begin(self) -> _Worker:
        """Start a process, however long it takes: that there is none is no fault of the work."""
        while True:
            try:
                return self._start()
            except (OSError, EOFError, WorkerLost) as error:
                log.warning("worker_not_started", why=f"{type(error).__name__}: {error}")
            if self._closing.wait(RESTART_S):
                raise PoolClosed

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        board = Board(self._context)
        process = self._context.Process(
            target=main,
            args=(theirs, board, self._memory_bytes, self._verbose),
            name="ingestd-worker",
            daemon=True,
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours, board)
        try:
            if ours.poll(START_S):
                ours.recv()
                return worker
        except (EOFError, OSError):
            pass
        bury(worker)
        raise WorkerLost(Reason.WORKER_CRASHED, "the process did not come up", None)

    def _serve(self, worker: _Worker, call: _Call) -> Any:
        """Send one call, follow its beats, and give its result."""
        vigil = Vigil(worker.board, worker.process.pid, self._deadline_s)
        try:
            worker.pipe.send((call.fn, call.args, call.kwargs))
            while True:
                if self._closing.is_set():
                    raise PoolClosed
                if not worker.pipe.poll(vigil.wait_s):
                    if silence := vigil.look():
                        raise self._overdue(silence)
                    continue
                kind, content = worker.pipe.recv()
                if kind == "log":
                    level, event, details = content
                    log.log(level, event, **details)
                elif kind == "memory":
                    detail = f"more than {self._memory_bytes} bytes of memory"
                    raise WorkerLost(Reason.WORKER_MEMORY, detail, worker.board.look().at)
                else:
                    break
        except (EOFError, ConnectionError) as error:
            worker.process.join(1.0)
            detail = f"the process ended with {worker.process.exitcode}"
            raise WorkerLost(Reason.WORKER_CRASHED, detail, worker.board.look().at) from error
        if kind == "error":
            raise content
        return content

    def _overdue(self, silence: Silence) -> WorkerLost:
        """Say of a process that got nowhere what it is lost for."""
        words = f"no progress in {self._deadline_s:g} s"
        if silence.waiting:
            words += ": its disk or share hangs"
            return WorkerLost(Reason.TRANSIENT_IO, words, silence.at)
        return WorkerLost(Reason.WORKER_TIMEOUT, words, silence.at)


def bury(worker: _Worker) -> None:
    """Kill the process and collect it; one that hangs in the kernel is left to itself."""
    worker.pipe.close()
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join(1.0)
    if worker.process.exitcode is not None:
        worker.process.close()


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which lets us finish.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    silence()
    limit_memory(memory_bytes)
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
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
