"""Wiring. Results become rows: gathered into batches, written, and waited for while we halt."""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from ingestd import config, tasks
from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason
from ingestd.log import get_logger
from ingestd.meters import Meters
from ingestd.tables import Batch
from ingestd.tally import Tally

log = get_logger()

BROKEN_TRIES = 3  #: so often the catalog is opened anew before the program gives up
#: Rows of `element` that a batch has at most, if it can: a row group of DuckDB's. The few beyond it
#: would have to lie in one of their own until a checkpoint writes all of them anew to close the
#: gaps, and leaves half of the file free.
FULL_TAGS = 122_880
#: So few that are left in the end, of those gathered, come along: a batch of their own would take
#: half as long as this one, and lie in a row group of its own all the same.
LAST_SHARE = 8
#: In the end, so many are written while workers read the others. It costs little more than to
#: write all of them when nobody else has anything to do.
HALF_FILES = 256
HALT_S = 5.0  #: pause between two tries to write to a full disk


class Writer:
    """Writes what workers made; no more results may wait for it, or be in the making, than fit.

    results     how many
    open_files  tells how many files have no outcome yet
    written     told of each batch that is in the catalog
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: config.Catalog,
        *,
        results: int,
        stopping: threading.Event,
        open_files: Callable[[], int],
        written: Callable[[Batch], None],
        touched: Callable[[Iterable[str]], None],
        halted: Callable[[IngestError], None],
        beat: Callable[[], None],
        meters: Meters,
    ) -> None:
        self.tally = Tally()
        self.halted: IngestError | None = None
        self.ending = False  #: no more files will come than those without an outcome
        self.settings = settings
        self._catalog, self._stopping, self._beat = catalog, stopping, beat
        self._meters = meters
        self._open_files, self._written = open_files, written
        self._touched, self._tell_halt = touched, halted
        self._results: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(results)

    def reserve(self, beat: Callable[[], None] = lambda: None) -> bool:
        """Wait until there is room for one more result; False when we are stopping."""
        while not self._room.acquire(timeout=0.5):
            beat()
            if self._stopping.is_set():
                return False
        return True

    def unreserve(self, results: int = 1) -> None:
        """Nothing will come of it; or there is room for more than before."""
        self._room.release(results)

    def put(self, batch: Batch) -> None:
        """Take a result for which room was reserved."""
        self._results.put(batch)

    def end(self) -> None:
        """Write what is here, and end."""
        self._results.put(None)

    def run(self) -> None:
        """Gather results into batches and write them until told to stop."""
        stopping = False
        while not stopping:
            first = self._next()
            if first is None:
                return
            batch, count, stopping = self._gather(first)
            if not self._commit(batch):
                return
            self._room.release(count)

    def _next(self) -> Batch | None:
        while True:
            self._beat()
            with suppress(queue.Empty):
                return self._results.get(timeout=1.0)

    def _gather(self, first: Batch) -> tuple[Batch, int, bool]:
        """Add to a result what follows it soon; say how many they are, and whether it ends."""
        parts = [first]
        files, tags = first.file.num_rows, first.element.num_rows
        until_s = time.monotonic() + self.settings.batch_wait_ms / 1000
        most = self.settings.batch_rows
        while files < most and self._open_files() > files:
            is_full = tags + tags // len(parts) > FULL_TAGS  # The next part is likely to be alike.
            if self._is_enough(files, is_full=is_full):
                break
            try:
                part = self._results.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                break
            if part is None:
                return Batch.of(parts), len(parts), True
            parts.append(part)
            files += part.file.num_rows
            tags += part.element.num_rows
        return Batch.of(parts), len(parts), False

    def _is_enough(self, files: int, *, is_full: bool) -> bool:
        """Whether to write what was gathered before its time."""
        left = self._open_files() - files
        if is_full:
            return not self.ending or left > files // LAST_SHARE
        return self.ending and self._results.empty() and files >= max(left, HALF_FILES)

    def _commit(self, batch: Batch) -> bool:
        """Write one batch; while the disk is full, wait. False when we stop without it."""
        broken = 0
        trouble: IngestError | OSError | None = None
        while True:
            self._beat()
            since_s = time.monotonic()
            try:
                self._mend(trouble)
                written = self._catalog.write(batch)
                break
            except (IngestError, OSError) as error:
                trouble = error
                self.halt(why := halting(error))
                # With a damaged file we stay up: what is whole can be asked until it is restored.
                broken += why.reason is Reason.CATALOG_BROKEN and self._catalog.damaged is None
                if broken == BROKEN_TRIES:
                    raise
            if self._stopping.wait(HALT_S):
                return False
        if self.halted:
            log.info("resumed")
            self.halted = None
        self.tally.add(written)
        size_bytes = sum(batch.file["size_bytes"].to_pylist())
        self._meters.committed(time.monotonic() - since_s, written, size_bytes)
        self._touched(written.series)
        for reason, count in written.reasons.items():
            log.info("refused", reason=reason, files=count)
        if conflicts := written.states.get("conflict"):
            log.warning("conflict", files=conflicts, see="SELECT * FROM conflict")
        self._written(batch)
        return True

    def _mend(self, trouble: IngestError | OSError | None) -> None:
        """Open the catalog anew where that may help: DuckDB calls it invalid after a full disk.

        raises  IngestError when it cannot be opened just now
        """
        if self._catalog.damaged is not None:
            return
        if isinstance(trouble, IngestError) and trouble.reason is not Reason.CATALOG_MEMORY:
            self._catalog.reopen()

    def halt(self, error: IngestError) -> None:
        """Take no more work until a batch was written."""
        if self.halted is None or self.halted.reason is not error.reason:
            log.error("halted", reason=str(error.reason), detail=error.detail)
            self._tell_halt(error)
        self.halted = error


def halting(error: IngestError | OSError) -> IngestError:
    """Say of any trouble while writing why we halt."""
    if isinstance(error, IngestError):
        return error
    return tasks.state_trouble(error)
