"""Wiring. From arrivals to outcomes: chunks to workers, tables to the catalog.

Every queue here has a limit; whoever offers more waits. Nothing is forgotten before the catalog
has it: what is lost with a worker is cut smaller and tried again, until the one guilty file is
alone, and refused.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pyarrow as pa
import structlog

from ingestd import config, tables, tasks
from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason, StateError, Verdict
from ingestd.model import Arrival, Fault
from ingestd.tables import Batch
from ingestd.tally import Tally
from ingestd.workers import Pool, PoolClosed, WorkerLost

log = structlog.get_logger()

CHUNK_BYTES = 64 << 20  #: a chunk of larger files is closed earlier
LONELY_DEATHS = 3  #: a file that killed so many workers while alone is guilty
BROKEN_TRIES = 3  #: so often the catalog is opened anew before the program gives up
HALT_S = 5.0  #: pause between two tries to write to a full disk


class Conductor:
    """Two threads: one sends chunks to the pool, one writes what comes back."""

    def __init__(
        self,
        catalog: Catalog,
        pool: Pool,
        settings: config.Config,
        *,
        state: Path,
        done: Callable[[str, Sequence[str]], None],
        touched: Callable[[Iterable[str]], None],
        failed: Callable[[BaseException], None],
        halted: Callable[[IngestError], None],
    ) -> None:
        self.tally = Tally()
        self.halted: IngestError | None = None
        self.paused = False  #: take no new work; what is under way goes on
        self._catalog, self._pool, self._settings, self._state = catalog, pool, settings, state
        self._done, self._touched, self._failed, self._tell_halt = done, touched, failed, halted
        chunk = settings.workers.chunk_files
        self._arrivals: queue.Queue[Arrival] = queue.Queue(maxsize=4 * chunk * pool.processes)
        self._again: queue.SimpleQueue[list[Arrival]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._places = threading.Semaphore(2 * pool.processes)
        self._lonely: Counter[int] = Counter()
        self._open = 0  # arrivals without an outcome
        self._idle = threading.Condition()
        self._stopping = threading.Event()
        self._sender = self._thread(self._send, "sender")
        self._writer = self._thread(self._write, "writer")

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Make a thread whose failure is the program's, not a silence."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:
                log.exception("thread_failed", thread=name)
                self._failed(error)

        return threading.Thread(target=guarded, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        self._sender.start()
        self._writer.start()

    def close_door(self) -> None:
        """Take no more work; what workers have in hand goes on."""
        self._stopping.set()
        with self._idle:
            self._idle.notify_all()

    def stop(self, within_s: float) -> None:
        """Take no more work; write what workers finish in time; the rest stays in its folder."""
        until_s = time.monotonic() + within_s
        self.close_door()
        self._sender.join(max(0.0, until_s - time.monotonic()))
        for _ in range(
            2 * self._pool.processes
        ):  # Each place is given back when its chunk is done.
            if not self._places.acquire(timeout=max(0.0, until_s - time.monotonic())):
                break
        self._results.put(None)
        self._writer.join()

    def offer(self, arrival: Arrival) -> bool:
        """Take a file; wait while there is no room; False when we are stopping."""
        with self._idle:
            self._open += 1
        while not self._stopping.is_set():
            try:
                self._arrivals.put(arrival, timeout=0.5)
            except queue.Full:
                continue
            return True
        self._close(1)
        return False

    def refuse(self, faults: Sequence[Fault], seqs: Iterable[int]) -> None:
        """Take entries of a folder that need no worker to be refused."""
        rows = [
            {
                "seq": seq,
                "root": fault.root,
                "path": fault.path,
                "size_bytes": fault.size_bytes,
                "mtime_ns": fault.mtime_ns,
                "reason": str(fault.reason),
                "detail": fault.detail,
                "attempts": 1,
                "known": True,
            }
            for seq, fault in zip(seqs, faults, strict=False)
        ]
        with self._idle:
            self._open += len(rows)
        self._results.put(Batch.refusing(pa.Table.from_pylist(rows, schema=tables.FILE)))

    @property
    def waiting(self) -> int:
        """How many files have no outcome yet."""
        return self._open

    def drain(self, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until each file that was offered has an outcome; call `tick` meanwhile."""
        while True:
            with self._idle:
                if self._open == 0 or self._stopping.is_set():
                    return
                self._idle.wait(0.1)
            tick()

    def _close(self, files: int) -> None:
        with self._idle:
            self._open -= files
            self._idle.notify_all()

    def _send(self) -> None:
        """Make chunks and send them, no more at once than the pool can take up soon."""
        while not self._stopping.is_set():
            if self.paused:
                self._stopping.wait(0.5)
                continue
            if self.halted and self._stopping.wait(HALT_S):
                return
            chunk = self._next_chunk()
            if chunk:
                self._places.acquire()
                self._submit(chunk)

    def _next_chunk(self) -> list[Arrival]:
        """Take what is to be tried again first, else what is there, without waiting for more."""
        try:
            return self._again.get_nowait()
        except queue.Empty:
            pass
        chunk: list[Arrival] = []
        size_bytes = 0
        try:
            while len(chunk) < self._settings.workers.chunk_files and size_bytes < CHUNK_BYTES:
                arrival = self._arrivals.get(timeout=0.0 if chunk else 0.2)
                chunk.append(arrival)
                size_bytes += arrival.size_bytes
        except queue.Empty:
            pass
        return chunk

    def _submit(self, chunk: list[Arrival]) -> None:
        future = self._pool.submit(tasks.ingest, chunk, state=self._state, settings=self._settings)
        future.add_done_callback(lambda done: self._returned(chunk, done))

    def _returned(self, chunk: list[Arrival], future: "Future[Batch]") -> None:
        """Pass on what a worker made, or decide what becomes of what it did not."""
        error = future.exception()
        if error is None:
            self._results.put(future.result())
        elif isinstance(error, IngestError) and error.reason.verdict is Verdict.HALT:
            self._halt(error)
            self._again.put(chunk)
        elif self._stopping.is_set() or isinstance(error, PoolClosed):
            self._close(len(chunk))  # It stays in its folder; the next start finds it there.
        else:
            self._convict(chunk, error)
        self._places.release()

    def _convict(self, chunk: list[Arrival], error: BaseException) -> None:
        """Cut a lost chunk smaller, or refuse the file that was alone in it."""
        lost = error if isinstance(error, WorkerLost) else None
        if len(chunk) > 1:
            for part in parts(chunk, lost.at if lost else None):
                self._again.put(part)
            return
        (arrival,) = chunk
        self._lonely[arrival.seq] += 1
        crashed = lost is not None and lost.reason is Reason.WORKER_CRASHED
        if crashed and self._lonely[arrival.seq] < LONELY_DEATHS:
            self._again.put(chunk)  # Somebody else may have killed it; the second time counts.
            return
        del self._lonely[arrival.seq]
        reason = lost.reason if lost else Reason.WORKER_CRASHED
        detail = (
            lost.detail if lost else f"reading it raised {type(error).__name__}, a fault of ours"
        )
        if lost is None:
            log.error("file_failed", root=arrival.root, path=arrival.path, exc_info=error)
        guilty = [(arrival, IngestError(reason, detail))]
        self._results.put(Batch.refusing(tasks.file_rows([], guilty)))

    def _write(self) -> None:
        """Gather results into batches and write them until told to stop."""
        stopping = False
        while not stopping:
            first = self._results.get()
            if first is None:
                return
            batch, stopping = self._gather(first)
            if not self._commit(batch):
                return

    def _gather(self, first: Batch) -> tuple[Batch, bool]:
        """Add to a result what follows it soon; also say whether the end came."""
        parts = [first]
        files = first.file.num_rows
        until_s = time.monotonic() + self._settings.catalog.batch_wait_ms / 1000
        while files < self._settings.catalog.batch_rows and self._open > files:
            try:
                part = self._results.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                break
            if part is None:
                return Batch.of(parts), True
            parts.append(part)
            files += part.file.num_rows
        return Batch.of(parts), False

    def _commit(self, batch: Batch) -> bool:
        """Write one batch; while the disk is full, wait. False when we stop without it."""
        broken = 0
        while True:
            try:
                written = self._catalog.write(batch)
                break
            except (IngestError, OSError) as error:
                self._halt(halting(error))
                broken += self.halted is not None and self.halted.reason is Reason.CATALOG_BROKEN
                if broken == BROKEN_TRIES:
                    raise
                trouble = error
            if self._stopping.wait(HALT_S):
                return False
            self._mend(trouble)
        if self.halted:
            log.info("resumed")
            self.halted = None
        self.tally.add(written)
        self._touched(written.series)
        for reason, count in written.reasons.items():
            log.info("refused", reason=reason, files=count)
        if conflicts := written.states.get("conflict"):
            log.warning("conflict", files=conflicts, see="SELECT * FROM conflict")
        self._tell(batch)
        return True

    def _mend(self, trouble: IngestError | OSError) -> None:
        """Open the catalog anew where that may help: DuckDB calls it invalid after a full disk."""
        if isinstance(trouble, IngestError) and trouble.reason is not Reason.CATALOG_MEMORY:
            try:
                self._catalog.reopen()
            except StateError as error:
                log.warning("not_reopened", why=str(error))

    def _halt(self, error: IngestError) -> None:
        if self.halted is None:
            log.error("halted", reason=str(error.reason), detail=error.detail)
            self._tell_halt(error)
        self.halted = error

    def _tell(self, batch: Batch) -> None:
        """Say to the scouts which of their files have an outcome now."""
        paths: dict[str, list[str]] = {}
        for root, path in zip(
            batch.file["root"].to_pylist(), batch.file["path"].to_pylist(), strict=True
        ):
            paths.setdefault(root, []).append(path)
        for root, done in paths.items():
            self._done(root, done)
        self._close(batch.file.num_rows)


def parts(chunk: list[Arrival], at: int | None) -> list[list[Arrival]]:
    """Cut a lost chunk: around the file in hand when it is known, else in half."""
    if at is None:
        middle = len(chunk) // 2
        return [chunk[:middle], chunk[middle:]]
    return [part for part in (chunk[:at], chunk[at : at + 1], chunk[at + 1 :]) if part]


def halting(error: IngestError | OSError) -> IngestError:
    """Say of any trouble while writing why we halt."""
    if isinstance(error, IngestError):
        return error
    return tasks.state_trouble(error)
