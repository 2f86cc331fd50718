"""Edge: when a snapshot of the catalog is due, and the process that makes it."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason
from ingestd.files import CATALOG_NAME, SNAPSHOT_NAME
from ingestd.log import get_logger
from ingestd.snapshot import AGAIN

log = get_logger()

SHARE = 10  #: at most one part in so many of the time is spent on snapshots
TRIES = 3  #: the last of them keeps the writer waiting
LOOK_S = 1.0


class Snapshots:
    """Publishes snapshots, one at a time, in a thread of its own.

    every_s         how often, when something changed; 0: only when somebody asks
    min_free_bytes  so much room must be left
    """

    def __init__(
        self, catalog: Catalog, state: Path, *, every_s: float, min_free_bytes: int
    ) -> None:
        self._catalog, self._state = catalog, state
        self._every_s, self._min_free_bytes = every_s, min_free_bytes
        self._one = threading.Lock()
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def configure(self, *, every_s: float, min_free_bytes: int) -> None:
        """Go by other settings from now on."""
        self._every_s, self._min_free_bytes = every_s, min_free_bytes
        self._woken.set()

    @contextmanager
    def none(self) -> Iterator[None]:
        """Publish nothing meanwhile; what is under way is given up."""
        while not self._one.acquire(timeout=0.1):
            self._give_up()
        try:
            yield
        finally:
            self._one.release()

    def _give_up(self) -> None:
        if (process := self._process) is not None:
            process.kill()

    def stop(self) -> None:
        """Publish no more; what is under way is given up."""
        self._stopping.set()
        self._woken.set()
        self._give_up()
        if self._thread.is_alive():
            self._thread.join(3.0)

    def _run(self) -> None:
        took_s = 0.0
        while not self._stopping.is_set():
            every_s = self._every_s
            if self._woken.wait(rest_s(took_s, every_s=every_s) if every_s else None):
                self._woken.clear()
                continue
            began_s = time.monotonic()
            try:
                self.publish()
            except IngestError as error:
                log.warning("snapshot_failed", reason=str(error.reason), detail=error.detail)
            except OSError as error:
                log.warning("snapshot_failed", detail=error.strerror)
            took_s = time.monotonic() - began_s

    def publish(self) -> Path:
        """Publish a snapshot of all that is committed by now, unless the last one is that.

        raises  IngestError disk_full when there is no room; catalog_broken when it cannot be made
        """
        with self._one:
            began_s = time.monotonic()
            if self.is_fresh():
                return self._state / SNAPSHOT_NAME
            self._catalog.checkpoint()
            paused_s = time.monotonic() - began_s
            for left in reversed(range(TRIES)):
                with nullcontext() if left else self._catalog.still():
                    code, words = self._copy()
                if code != AGAIN or self._stopping.is_set():
                    break
            if code and not self._stopping.is_set():
                reason = Reason.DISK_FULL if "No space" in words else Reason.CATALOG_BROKEN
                raise IngestError(reason, f"the snapshot could not be made: {words}")
            took_s = time.monotonic() - began_s
            log.info("snapshot", took_s=round(took_s, 3), paused_s=round(paused_s, 3))
            return self._state / SNAPSHOT_NAME

    def is_fresh(self) -> bool:
        """Whether the last snapshot is of what the catalog is now; it may be of an earlier run."""
        catalog, log_file = self._state / CATALOG_NAME, self._state / f"{CATALOG_NAME}.wal"
        try:
            if log_file.stat().st_size:
                return False
        except FileNotFoundError:
            pass
        try:
            return (self._state / SNAPSHOT_NAME).stat().st_mtime_ns == catalog.stat().st_mtime_ns
        except FileNotFoundError:
            return False

    def _copy(self) -> tuple[int, str]:
        """Run the process that copies; give its exit code and its last words."""
        size = (self._state / CATALOG_NAME).stat().st_size
        free = shutil.disk_usage(self._state).free
        if free < size + self._min_free_bytes:
            words = f"{free} bytes are free; a snapshot takes {size}, and [space] keeps the rest"
            raise IngestError(Reason.DISK_FULL, words)
        command = [sys.executable, "-m", "ingestd.snapshot", str(self._state.absolute())]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
        try:
            _, words = self._process.communicate()
            return self._process.returncode, (words.strip().splitlines() or ["it was ended"])[-1]
        finally:
            self._process = None


def rest_s(took_s: float, *, every_s: float) -> float:
    """Say how long to wait after a snapshot that took so long."""
    return max(every_s, (SHARE - 1) * took_s)
