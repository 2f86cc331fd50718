"""Edge: a pool of processes that may be killed; a file takes no more than itself down.

An `Executor`, so that another one (Dask's, say) can take its place. What is submitted must be
importable in another process and accept `beat`, which it calls with the index of each item that
it takes up: the deadline counts from the last beat, and when the process dies, hangs or asks for
too much memory, the `WorkerLost` that the future raises names the item in hand.

A process that got nowhere and used hardly any CPU was waiting for a disk or a share: that is no
fault of the item. One that said it is `computing` by then waits for nobody.
"""

import queue
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, TypeVar

from ingestd import preload
from ingestd.board import Board, Silence, Vigil
from ingestd.errors import Reason
from ingestd.log import get_logger
from ingestd.pulse import Pulse
from ingestd.worker import main

log = get_logger()

P = ParamSpec("P")
T = TypeVar("T")

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
    term: int  #: those of an earlier term are sent home


@dataclass(slots=True)
class _Seat:
    """Where a keeper's process sits; empty when it was lost."""

    beat: Callable[[], None]  #: says that its keeper moves
    worker: _Worker | None = None


class Pool(Executor):
    """So many processes, each kept by one thread that sends it work and buries it."""

    def __init__(
        self,
        processes: int,
        *,
        deadline_s: float,
        memory_bytes: int,
        verbose: bool = False,
        pulse: Pulse | None = None,
    ) -> None:
        """Start the keepers; `verbose` has processes send what they log, at debug level too."""
        self.processes = 0
        self.lost: Counter[str] = Counter()  #: processes that were lost, by reason
        self._pulse = pulse or Pulse()
        self._term = 0
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._context = get_context("forkserver")
        preload.begin()
        self._keepers: list[threading.Thread] = []
        self.configure(processes, deadline_s=deadline_s, memory_bytes=memory_bytes, verbose=verbose)

    def configure(
        self, processes: int, *, deadline_s: float, memory_bytes: int, verbose: bool
    ) -> None:
        """Have so many processes, under these limits, as soon as each has done what it has."""
        self._deadline_s, self._memory_bytes, self._verbose = deadline_s, memory_bytes, verbose
        self._term += 1
        for _ in range(processes - self.processes):
            name = f"keeper-{len(self._keepers)}"
            keeper = threading.Thread(target=self._keep, args=[name], name=name, daemon=True)
            self._keepers.append(keeper)
            keeper.start()
        for _ in range(self.processes - processes):
            self._calls.put(None)
        self.processes = processes

    @property
    def deaths(self) -> int:
        """How many processes were lost."""
        return self.lost.total()

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

    def _keep(self, name: str) -> None:
        """Take one call after another; replace the process whenever it was lost."""
        seat = _Seat(self._pulse.part(name))
        # It is there when work comes. If it is not, then is the time to say so, and to try again.
        with suppress(OSError, EOFError, WorkerLost):
            seat.worker = self._start()
        while (call := self._next(seat)) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                result = self._answer(seat, call)
            except Exception as error:  # noqa: BLE001 -- it belongs to whoever asked
                call.future.set_exception(error)
            else:
                call.future.set_result(result)
        self._pulse.end(name)
        dismiss(seat)

    def _next(self, seat: _Seat) -> _Call | None:
        while True:
            seat.beat()
            with suppress(queue.Empty):
                return self._calls.get(timeout=1.0)

    def _answer(self, seat: _Seat, call: _Call) -> Any:
        """Have one call served; again when the process died before it took anything up."""
        if seat.worker is not None and seat.worker.term != self._term:
            dismiss(seat)
        for _ in range(IDLE_DEATHS):
            seat.worker = seat.worker or self._begin(seat.beat)
            try:
                return self._serve(seat.worker, call, seat.beat)
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
            self.lost[str(lost.reason)] += 1
            log.warning("worker_lost", reason=str(lost.reason), detail=lost.detail)

    def _begin(self, beat: Callable[[], None]) -> _Worker:
        """Start a process, however long it takes: that there is none is no fault of the work."""
        while True:
            beat()
            try:
                return self._start()
            except (OSError, EOFError, WorkerLost) as error:
                log.warning("worker_not_started", why=f"{type(error).__name__}: {error}")
            if self._closing.wait(RESTART_S):
                raise PoolClosed

    def _start(self) -> _Worker:
        term = self._term
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
        worker = _Worker(process, ours, board, term)
        try:
            if ours.poll(START_S):
                ours.recv()
                return worker
        except (EOFError, OSError):
            pass
        bury(worker)
        raise WorkerLost(Reason.WORKER_CRASHED, "the process did not come up", None)

    def _serve(self, worker: _Worker, call: _Call, beat: Callable[[], None]) -> Any:
        """Send one call, follow its beats, and give its result."""
        vigil = Vigil(worker.board, worker.process.pid, self._deadline_s)
        try:
            worker.pipe.send((call.fn, call.args, call.kwargs))
            while True:
                beat()
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


def dismiss(seat: _Seat) -> None:
    """End a process that has nothing in hand."""
    if seat.worker is not None:
        bury(seat.worker)
        seat.worker = None


def bury(worker: _Worker) -> None:
    """Kill the process and collect it; one that hangs in the kernel is left to itself."""
    worker.pipe.close()
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join(1.0)
    if worker.process.exitcode is not None:
        worker.process.close()
