"""Wiring. Free space: below a limit no work is taken; with room again all goes on by itself."""

import time

from ingestd.errors import IngestError, Reason
from ingestd.files import free_bytes
from ingestd.log import get_logger
from ingestd.workers import PoolClosed
from ingestd.works import Works

log = get_logger()


class Space:
    """Looks at the disks that we write to, and holds work back while one of them is nearly full."""

    def __init__(self, works: Works) -> None:
        self.free: dict[str, float] = {}  #: bytes, by folder
        self.halted: Reason | None = None  #: why series are not judged
        self.is_short = False  #: a disk of ours is nearly full
        self.stack_s = 0.0  #: so long `stack` goes on with one series after the other
        self._works = works
        self._told: str | None = None

    @property
    def free_bytes(self) -> int:
        """How much room the fullest of them had at the last look."""
        return int(min(self.free.values(), default=0.0))

    def look(self) -> None:
        """Take no new work while a disk is nearly full, or an archive is in trouble.

        raises  IngestError when the catalog cannot be told of it; it is told at the next look
        """
        works = self._works
        places = (works.state, *works.takers.places)
        self.free = {str(place): float(free_bytes(place)) for place in places}
        self.is_short = self.free_bytes < works.settings.space.min_free_bytes
        trouble = works.takers.halted
        held = self.is_short or trouble is not None
        if held != works.conductor.paused:
            works.conductor.paused = held
            level = log.warning if held else log.info
            level("space_short" if held else "space_enough", free_bytes=self.free_bytes)
        if not self.is_short:
            self._revive()
        kind = str(trouble.reason) if trouble else "disk_full" if self.is_short else "disk_free"
        if kind != (self._told or "disk_free"):
            words = trouble.detail if trouble else f"{self.free_bytes} bytes are free"
            works.catalog.tell(kind, detail=words)
        self._told = kind

    def stack(self) -> None:
        """Stack and judge series that are quiet, unless files of theirs may wait while we halt.

        raises  IngestError when the catalog cannot be written
        """
        until_s = time.monotonic() + self.stack_s
        while self._may_stack:
            try:
                more = self._works.series.tick()
            except PoolClosed:  # We stop.
                return
            except IngestError as error:
                self.halted = error.reason
                raise
            self.halted = None
            left_s = until_s - time.monotonic()
            if not more or left_s <= 0:
                return
            self._works.series.wait_for_room(left_s)

    @property
    def _may_stack(self) -> bool:
        works = self._works
        return not (self.is_short or works.conductor.halted or works.catalog.damaged)

    def _revive(self) -> None:
        """A full disk may have ended the catalog while nothing was written that would notice.

        raises  IngestError when it cannot be opened now; it is tried at the next look
        """
        catalog = self._works.catalog
        with catalog.still():
            try:
                catalog.rows("SELECT 1")
            except IngestError as error:
                log.warning("reopening", reason=str(error.reason), detail=error.detail)
                catalog.reopen()
