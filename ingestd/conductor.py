"""Wiring. From arrivals to outcomes: chunks to workers, tables to the catalog.

Every queue here has a limit; whoever offers more waits. Nothing is forgotten before the catalog
has it: what is lost with a worker is cut smaller and tried again, until the one guilty file is
alone, and refused.
"""

import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path

from ingestd import config, tasks
from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason, Verdict
from ingestd.log import get_logger
from ingestd.meters import Meters
from ingestd.model import Arrival, Fault
from ingestd.pulse import Pulse
from ingestd.tables import Batch
from ingestd.tally import Tally
from ingestd.threads import thread
from ingestd.waiting import Waiting, parts
from ingestd.workers import Pool, PoolClosed, WorkerLost
from ingestd.writer import HALT_S, Writer

log = get_logger()

CHUNK_BYTES = 64 << 20  #: a chunk of larger files is closed earlier
HANGS = 4  #: so many files of a root that hang, and none read in between, and nobody comes back
LONELY_DEATHS = 3  #: a file that killed so many workers while alone is guilty


class Conductor:
    """Two threads: one sends chunks to the pool, one (writer.py) writes what comes back.

    held_up  told when files of a root cannot be read because its share hangs, with the files that
             are given back: they have no outcome, and wait in their folder. Without it (nobody
             would come back for them) the others are tried, until so many hang that their root is
             given up: all its files are to be tried again another time.
    """

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
        held_up: Callable[[str, Sequence[str], str], None] | None = None,
        pulse: Pulse,
        meters: Meters,
    ) -> None:
        self._beat = pulse.part("sender")
        self.paused = False  #: take no new work; what is under way goes on
        self._pool, self._state, self._reading = pool, state, tasks.Reading.of(settings)
        self._done, self._held_up = done, held_up
        self._chunk_files = chunk = settings.workers.chunk_files
        # Whoever can be held up has a limit of its own, and must not wait here for another root.
        self._room = sys.maxsize if held_up else 4 * chunk * pool.processes
        self._waiting = Waiting(fair=held_up is not None)
        self._line, self._idle = threading.Condition(), threading.Condition()
        self._again: queue.SimpleQueue[list[Arrival]] = queue.SimpleQueue()
        self._place_count = 2 * pool.processes
        self._places = threading.Semaphore(self._place_count)
        self.given_up: dict[str, str] = {}  #: roots whose files hang, and why
        self._hangs, self._lonely = Counter[str](), Counter[int]()
        self._open = 0  # arrivals without an outcome
        self._stopping = threading.Event()
        self._writer = Writer(
            catalog,
            settings.catalog,
            results=2 * pool.processes + 2 * -(-settings.catalog.batch_rows // chunk),
            stopping=self._stopping,
            open_files=lambda: self._open,
            written=self._written,
            touched=touched,
            halted=halted,
            beat=pulse.part("writer"),
            meters=meters,
        )
        self._sender_thread = thread(self._send, "sender", failed)
        self._writer_thread = thread(self._writer.run, "writer", failed)

    def configure(self, settings: config.Config) -> None:
        """Go by another config from the next chunk on; the pool goes by it already."""
        self._reading = tasks.Reading.of(settings)
        self._chunk_files = settings.workers.chunk_files
        self._writer.settings = settings.catalog
        more = max(0, 2 * self._pool.processes - self._place_count)
        if more:  # When it is fewer, some more chunks than needed wait in the pool.
            self._place_count += more
            self._places.release(more)
            self._writer.unreserve(more)

    def start(self) -> None:
        """Begin to take work."""
        self._sender_thread.start()
        self._writer_thread.start()

    @property
    def tally(self) -> Tally:
        """What has come to an outcome so far."""
        return self._writer.tally

    @property
    def halted(self) -> IngestError | None:
        """Why no work is taken; None when it is."""
        return self._writer.halted

    def close_door(self) -> None:
        """Take no more work; what workers have in hand goes on."""
        self._stopping.set()
        for waited_for in (self._idle, self._line):
            with waited_for:
                waited_for.notify_all()

    def stop(self, within_s: float) -> None:
        """Take no more work; write what workers finish in time; the rest stays in its folder."""
        until_s = time.monotonic() + within_s
        self.close_door()
        self._sender_thread.join(max(0.0, until_s - time.monotonic()))
        for _ in range(self._place_count):  # Each is given back when its chunk is done.
            if not self._places.acquire(timeout=max(0.0, until_s - time.monotonic())):
                break
        self._writer.end()
        self._writer_thread.join()

    def offer(self, arrival: Arrival) -> bool:
        """Take a file; wait while there is no room; False when we are stopping."""
        with self._line:
            while len(self._waiting) >= self._room and not self._stopping.is_set():
                self._line.wait(0.5)
            if self._stopping.is_set():
                return False
            with self._idle:
                self._open += 1
            self._waiting.put(arrival)
            self._line.notify_all()
        return True

    def refuse(self, faults: Sequence[Fault], seqs: Iterable[int]) -> None:
        """Take entries of a folder that need no worker to be refused; wait while many wait."""
        if self._writer.reserve():
            with self._idle:
                self._open += len(faults)
            self._writer.put(Batch.refusing(tasks.fault_rows(faults, seqs)))

    @property
    def waiting(self) -> int:
        """How many files have no outcome yet."""
        return self._open

    def drain(self, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until each file that was offered has an outcome; call `tick` meanwhile."""
        self._writer.ending = True
        while self._open and not self._stopping.is_set():
            with self._idle:
                self._idle.wait_for(lambda: not self._open or self._stopping.is_set(), 0.1)
            tick()
        self._writer.ending = False

    def _written(self, batch: Batch) -> None:
        """Say to the scouts which of their files have an outcome now."""
        paths: dict[str, list[str]] = {}
        for root, path in zip(
            batch.file["root"].to_pylist(), batch.file["path"].to_pylist(), strict=True
        ):
            paths.setdefault(root, []).append(path)
        for root, done in paths.items():
            self._done(root, done)
        self._close(batch.file.num_rows)

    def _close(self, files: int) -> None:
        with self._idle:
            self._open -= files
            self._idle.notify_all()

    def _send(self) -> None:
        """Make chunks and send them, no more at once than the pool can take up soon."""
        while not self._stopping.is_set():
            self._beat()
            if self.paused:
                self._stopping.wait(0.5)
                continue
            if (self.halted and self._stopping.wait(HALT_S)) or not self._writer.reserve(
                self._beat
            ):
                return
            while not self._places.acquire(timeout=1.0):
                self._beat()
            if chunk := self._next_chunk():
                self._submit(chunk)
            else:
                self._places.release()
                self._writer.unreserve()

    def _next_chunk(self) -> list[Arrival]:
        """Take what is to be tried again first, else what is there, without waiting for more."""
        try:
            chunk = self._again.get_nowait()
        except queue.Empty:
            with self._line:
                chunk = self._waiting.take(self._chunk_files, CHUNK_BYTES)
                if not chunk and not self._stopping.is_set():
                    self._line.wait(0.2)
                    chunk = self._waiting.take(self._chunk_files, CHUNK_BYTES)
                self._line.notify_all()
            return chunk
        with self._line:
            if chunk[0].root not in self._waiting.suspects:
                self._waiting.begin(chunk[0].root)
                return chunk
        self._give_back(chunk, "its share hung just before")
        return []

    def _submit(self, chunk: list[Arrival]) -> None:
        if why := self.given_up.get(chunk[0].root):
            self._try_later(chunk, why)
            with self._line:
                self._waiting.end(chunk[0].root)
            self._places.release()
            return
        future = self._pool.submit(tasks.ingest, chunk, state=self._state, reading=self._reading)
        future.add_done_callback(lambda done: self._returned(chunk, done))

    def _returned(self, chunk: list[Arrival], future: "Future[Batch]") -> None:
        """Pass on what a worker made, or decide what becomes of what it did not."""
        error = future.exception()
        with self._line:
            self._waiting.end(chunk[0].root)
            if error is None:
                self._waiting.suspects.discard(chunk[0].root)
                self._hangs.pop(chunk[0].root, None)
            self._line.notify_all()
        if error is None:
            self._writer.put(future.result())
        elif isinstance(error, WorkerLost) and error.reason is Reason.TRANSIENT_IO:
            self._hung(chunk, error)
        elif isinstance(error, IngestError) and error.reason.verdict is Verdict.HALT:
            self._writer.halt(error)
            self._try_again(chunk)
        elif self._stopping.is_set() or isinstance(error, PoolClosed):
            self._writer.unreserve()
            self._close(len(chunk))  # It stays in its folder; the next start finds it there.
        else:
            self._convict(chunk, error)
        self._places.release()

    def _try_again(self, *parts: list[Arrival]) -> None:
        self._writer.unreserve()
        for part in parts:
            self._again.put(part)

    def _hung(self, chunk: list[Arrival], lost: WorkerLost) -> None:
        """Try the file that hung later; give back all of its root, lest others wait for it too."""
        at = lost.at or 0
        hanging, others = chunk[at], chunk[:at] + chunk[at + 1 :]
        self._try_later([hanging], lost.detail)
        if self._held_up is None:
            self._hangs[hanging.root] += 1
            if self._hangs[hanging.root] >= HANGS:
                self.given_up[hanging.root] = lost.detail
            if others:
                self._again.put(others)
            return
        with self._line:
            others += self._waiting.hold(hanging.root)
        self._give_back(others, lost.detail, root=hanging.root)

    def _try_later(self, arrivals: list[Arrival], why: str) -> None:
        """Let files that cannot be read just now have that for their outcome."""
        error = IngestError(Reason.TRANSIENT_IO, why)
        self._writer.put(Batch.refusing(tasks.file_rows([], [(one, error) for one in arrivals])))

    def _give_back(self, arrivals: list[Arrival], why: str, *, root: str | None = None) -> None:
        """Forget files without an outcome: their folder has them, and a sweep finds them there."""
        assert self._held_up is not None, "nobody would come back for them"
        root = root or arrivals[0].root
        log.warning("held_up", root=root, files=len(arrivals), why=why)
        self._held_up(root, [arrival.path for arrival in arrivals], why)
        self._close(len(arrivals))

    def _convict(self, chunk: list[Arrival], error: BaseException) -> None:
        """Cut a lost chunk smaller, or refuse the file that was alone in it."""
        lost = error if isinstance(error, WorkerLost) else None
        if len(chunk) > 1:
            self._try_again(*parts(chunk, lost.at if lost else None))
            return
        (arrival,) = chunk
        self._lonely[arrival.seq] += 1
        crashed = lost is not None and lost.reason is Reason.WORKER_CRASHED
        if crashed and self._lonely[arrival.seq] < LONELY_DEATHS:
            self._try_again(chunk)  # Somebody else may have killed it; the second time counts.
            return
        del self._lonely[arrival.seq]
        reason = lost.reason if lost else Reason.WORKER_CRASHED
        detail = (
            lost.detail if lost else f"reading it raised {type(error).__name__}, a fault of ours"
        )
        if lost is None:
            log.error("file_failed", root=arrival.root, path=arrival.path, exc_info=error)
        guilty = [(arrival, IngestError(reason, detail))]
        self._writer.put(Batch.refusing(tasks.file_rows([], guilty)))
