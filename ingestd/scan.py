"""Wiring. `ingestd scan`: ingest folders now, all the way to volumes, then end."""

import os
import signal
import stat
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ingestd import config
from ingestd.errors import ConfigError, IngestError, Reason
from ingestd.files import NOT_TEXT, as_path, as_text, free_bytes
from ingestd.owner import RESOLVE_S, resolved
from ingestd.reach import Reach, beat
from ingestd.sweep import Ignored, Seen, left, sweep
from ingestd.works import Works

#: So many workers lost since a series was last done: a share hangs, for a series that harms workers
#: one after the other costs fewer.
LOST_WORKERS = 32
BATCH_WAIT_MS = 10_000  #: how long a batch may gather


class Progress(Protocol):
    """Who shows how far a scan is."""

    def show(self, *, found: int, done: int, refused: int, doing: str) -> None:
        """So many were found, are done, were refused: files, and then series."""


class Scan:
    """One scan of some folders into one state folder."""

    def __init__(self, settings: config.Config, state: Path, progress: Progress) -> None:
        self.found = self.offered = 0
        self.unlisted: dict[str, str] = {}  #: folders that could not be listed, and why
        self.failure: BaseException | None = None
        self.held: list[tuple[str, str]] = []  #: roots whose files stay, and why
        self.unread: dict[str, str] = {}  #: roots whose files cannot be read, and why
        self._settings, self._state = settings, state
        self._progress = progress
        self._stop = threading.Event()
        self._works: Works | None = None
        self._reach: Reach | None = None
        self._stacked = 0, 0  #: series that are done, and how many workers were lost by then
        self._started_s = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Scan, and give the summary: how many of what.

        raises  IngestError disk_full when the state folder has no room to begin with
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._interrupt())
        check_room(self._state, self._settings.space.min_free_bytes)
        with Works(
            self._settings,
            self._state,
            done=lambda _, __: None,
            failed=self._fail,
            halted=self._fail,  # Nobody waits for room at a terminal, or in a nightly job.
        ) as works:
            self._works = works
            for root in self._settings.root:
                self._take(works, root)
            works.conductor.drain(lambda: self._tell(works))
            deadline_s = self._settings.workers.deadline_s
            works.takers.finish(lambda: not self._stop.is_set(), deadline_s)
            self.held = works.takers.held
            self.unread = works.conductor.given_up
            self._stacked = 0, works.pool.deaths
            works.series.finish(lambda: self._stacking(works))
            works.hooks.finish(lambda: not self._stop.is_set())
        return self._summary(works)

    @property
    def interrupted(self) -> bool:
        """Whether it ended before its time."""
        return self._stop.is_set()

    def _interrupt(self) -> None:
        self._stop.set()
        if self._reach is not None:
            self._reach.close()
        if self._works is not None:
            self._works.conductor.close_door()

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        self._interrupt()

    def _take(self, works: Works, root: config.Root) -> None:
        """Offer every file below `root` that the ledger does not know as it is.

        A folder that hangs is told of and left out: the root is listed again without it, once
        what was found has its outcome, and so is not offered twice.
        """
        hung: set[str] = set()
        now: datetime | None = datetime.max  # noqa: DTZ901 -- who waits for another try has it now
        self._reach = Reach(root.key, deadline_s=self._settings.sweep.deadline_s)
        while not self._stop.is_set():
            found = self.found
            try:
                self._list(works, root, hung, now)
            except OSError as error:
                if self._stop.is_set():
                    return
                self.unlisted[as_path(root.key, error.filename or "")] = str(error.strerror)
                if isinstance(error, TimeoutError) and error.filename:
                    hung.add(error.filename)
                    works.conductor.drain(lambda: self._tell(works))
                    self.found, now = found, None
                    continue
            return

    def _list(self, works: Works, root: config.Root, hung: set[str], now: datetime | None) -> None:
        """List a root, but for what hangs, and offer what is new.

        raises  OSError when the root cannot be listed; TimeoutError when it, or the folder that
                it names, hangs
        """
        assert self._reach is not None, "there is a thread to list with"
        ignored = Ignored.of(root.ignore)
        listed = sweep(root.key, ignored, enter=lambda path: path not in hung, beat=beat)
        while (seen := self._reach.call(lambda: next(listed, None))) is not None:
            if self._stop.is_set() or not self._offer(works, root.key, seen, now):
                return

    def _offer(self, works: Works, root: str, seen: Seen, now: datetime | None) -> bool:
        """Offer one stretch of a sweep; False when no more work is taken."""
        self.found += len(seen.sightings) + len(seen.faults)
        for path, error in seen.unlisted:
            self.unlisted[as_path(root, path)] = str(error.strerror)
        self.offered += works.refuse(seen.faults)
        for sighting, past in works.catalog.unknown(seen.sightings, now=now):
            if not works.offer(sighting, past):
                return False
            self.offered += 1
            self._tell(works)
        return True

    def _tell(self, works: Works) -> None:
        tally = works.conductor.tally
        self._progress.show(
            found=self.offered,
            done=tally.files,
            refused=tally.states["refused"],
            doing="reading",
        )

    def _stacking(self, works: Works) -> bool:
        """Show how many series are done; False to stop."""
        done, deaths = len(works.series.done.series), works.pool.deaths
        if done != self._stacked[0]:
            self._stacked = done, deaths
        self._progress.show(
            found=done + works.series.open,
            done=done,
            refused=works.conductor.tally.states["refused"],
            doing="stacking",
        )
        return not self._stop.is_set() and deaths < self._stacked[1] + LOST_WORKERS

    def _summary(self, works: Works) -> dict[str, Any]:
        tally = works.conductor.tally
        return {
            "files": self.found,
            "unchanged": max(0, self.found - self.offered),
            "cataloged": tally.states["cataloged"],
            "duplicate": tally.states["duplicate"],
            "conflict": tally.states["conflict"],
            "refused": dict(sorted(tally.reasons.items())),
            "retry": tally.states["retry"],
            "instances": tally.instances,
            "series": len(works.series.done.series),
            "series_open": works.series.open,
            "volumes": works.series.done.volumes,
            "thumbnails": tally.thumbnails + works.series.covers.made,
            "problems": tally.problems,
            "archived": works.takers.taken,
            "quarantined": works.takers.put_aside,
            "seconds": round(time.monotonic() - self._started_s, 3),
        }


def check_room(state: Path, needed_bytes: int) -> None:
    """See that there is room to begin with.

    raises  IngestError disk_full
    """
    free = free_bytes(state)
    if free < needed_bytes:
        raise IngestError(
            Reason.DISK_FULL,
            f"{state}: {free} bytes are free, and [space] min_free_bytes asks for {needed_bytes}."
            " Make room, or name another state folder.",
        )


def folders(paths: Sequence[str]) -> list[Path]:
    """Make roots of what the command line names.

    raises  ConfigError when one is no folder, or lies in another
    """
    found = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))
    for folder in found:
        if (text := as_text(str(folder))) != str(folder):
            raise ConfigError(f"{text}: {NOT_TEXT}")
        if what := no_folder(folder):
            raise ConfigError(f"{folder}: {what}")
    real = {folder: resolved(folder) for folder in found}
    for folder in found:
        for other in found:
            if other is not folder and real[folder].is_relative_to(real[other]):
                raise ConfigError(f"{folder} lies in {other}; each file would be seen twice")
    return found


def no_folder(path: Path) -> str:
    """Say why a path is no folder; nothing when it is one, or hangs: the listing will tell."""
    try:
        mode = Reach(str(path), deadline_s=RESOLVE_S).call(path.stat).st_mode
    except TimeoutError:
        return ""
    except OSError as error:
        return "is not there" if left(error) else f"cannot be reached: {error.strerror}"
    return "" if stat.S_ISDIR(mode) else "is a file; name its folder"


def as_roots(chosen: Sequence[Path], settings: config.Config) -> config.Config:
    """Make the folders of a scan its roots; one in a configured root goes by its rules."""
    roots = []
    for folder in chosen:
        own = [root for root in settings.root if folder.is_relative_to(root.path)]
        changes: dict[str, object] = {"path": folder}
        if own and own[0].path != folder:
            changes["sentinel"] = ""
        roots.append((own[0] if own else config.Root(path=folder)).model_copy(update=changes))
    # Nobody looks at the catalog meanwhile, and full batches are cheap.
    catalog = settings.catalog.model_copy(update={"batch_wait_ms": BATCH_WAIT_MS})
    return settings.model_copy(update={"root": tuple(roots), "catalog": catalog})
