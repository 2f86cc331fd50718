"""Wiring. `ingestd scan`: ingest folders now, all the way to volumes, then end."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from ingestd import config
from ingestd.errors import ConfigError
from ingestd.service import Works
from ingestd.sweep import Ignored, Seen, sweep

log = structlog.get_logger()


class Progress(Protocol):
    """Who shows how far a scan is."""

    def show(self, *, found: int, done: int, refused: int, doing: str) -> None:
        """So many files were found, have an outcome, were refused."""


class Scan:
    """One scan of some folders into one state folder."""

    def __init__(
        self, folders: Sequence[Path], settings: config.Config, state: Path, progress: Progress
    ) -> None:
        self.found = self.unchanged = 0
        self.unlisted: list[tuple[str, str]] = []  #: folders that could not be listed, and why
        self.failure: BaseException | None = None
        self._folders, self._settings, self._state = folders, settings, state
        self._progress = progress
        self._stop = threading.Event()
        self._started_s = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Scan, and give the summary: how many of what."""
        with Works(
            self._settings, self._state, done=lambda _, __: None, failed=self._fail
        ) as works:
            self._works = works
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self._interrupt())
            for folder in self._folders:
                self._take(str(folder))
            works.conductor.drain(lambda: self._tell("reading"))
            if not self._stop.is_set():
                works.series.finish(lambda: self._tell("stacking"))
            self._tell("done")
        return self._summary(works)

    @property
    def interrupted(self) -> bool:
        """Whether it ended before its time."""
        return self._stop.is_set()

    def _interrupt(self) -> None:
        self._stop.set()
        self._works.conductor.close_door()

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        self._interrupt()

    def _take(self, root: str) -> None:
        """Offer every file below `root` that the ledger does not know as it is."""
        try:
            for seen in sweep(root, Ignored.of(config.IGNORE)):
                if self._stop.is_set() or not self._offer(root, seen):
                    return
        except OSError as error:
            self.unlisted.append((root, str(error.strerror)))

    def _offer(self, root: str, seen: Seen) -> bool:
        """Offer one stretch of a sweep; False when no more work is taken."""
        works = self._works
        self.found += len(seen.sightings) + len(seen.faults)
        self.unlisted += [(f"{root}/{path}", str(error.strerror)) for path, error in seen.unlisted]
        unknown = works.catalog.unknown(seen.sightings)
        self.unchanged += len(seen.sightings) - len(unknown)
        self.unchanged += len(seen.faults) - works.refuse(seen.faults)
        for sighting, attempts in unknown:
            if not works.offer(sighting, attempts):
                return False
            self._tell("reading")
        return True

    def _tell(self, doing: str) -> None:
        tally = self._works.conductor.tally
        self._progress.show(
            found=self.found - self.unchanged,
            done=tally.files,
            refused=tally.states["refused"],
            doing=doing,
        )

    def _summary(self, works: Works) -> dict[str, Any]:
        tally = works.conductor.tally
        return {
            "files": self.found,
            "unchanged": self.unchanged,
            "cataloged": tally.states["cataloged"],
            "duplicate": tally.states["duplicate"],
            "conflict": tally.states["conflict"],
            "refused": dict(sorted(tally.reasons.items())),
            "retry": tally.states["retry"],
            "instances": tally.instances,
            "series": len(works.series.done.series),
            "volumes": works.series.done.volumes,
            "thumbnails": tally.thumbnails,
            "problems": tally.problems,
            "seconds": round(time.monotonic() - self._started_s, 3),
        }


def folders(paths: Sequence[Path]) -> list[Path]:
    """Make roots of what the command line names.

    raises  ConfigError when one is no folder, or lies in another
    """
    found = [Path(os.path.abspath(path)) for path in paths]
    for folder in found:
        if not folder.is_dir():
            what = "is a file; name its folder" if folder.exists() else "is not there"
            raise ConfigError(f"{folder}: {what}")
        for other in found:
            if other is not folder and folder.is_relative_to(other):
                raise ConfigError(f"{folder} lies in {other}; each file would be seen twice")
    return found
