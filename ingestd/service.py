"""Wiring. Builds every part, in order, and takes them down again in the other order."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ingestd import __version__, config, reconcile, retries
from ingestd.jobs import Jobs
from ingestd.log import get_logger
from ingestd.rollcall import RollCall
from ingestd.rootcheck import Health, State
from ingestd.scout import Scout
from ingestd.serve import Server
from ingestd.watch import KernelWatch
from ingestd.works import Works

log = get_logger()

STUCK_S = 60.0  #: a scout that got nowhere for so long hangs on its share


class Daemon:
    """Everything `ingestd run` is: works, eyes, jobs and a socket."""

    def __init__(self, settings: config.Config, state: Path) -> None:
        self.settings, self.state = settings, state
        self.started_s = time.monotonic()
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        self._parts = ExitStack()
        self._scouts: dict[str, Scout] = {}
        try:
            self._build()
        except BaseException:
            self._parts.close()
            raise

    def _build(self) -> None:
        settings, state = self.settings, self.state
        self.works = self._parts.enter_context(
            Works(settings, state, done=self._done, failed=self._fail, held_up=self._held_up)
        )
        kernel = KernelWatch(self._overflowed)
        self._parts.callback(kernel.stop)
        for root in settings.root:
            roll = RollCall(
                self.works.catalog,
                root.key,
                brake_percent=settings.sweep.gone_brake_percent,
                brake_s=settings.sweep.gone_brake_s,
            )
            self._parts.callback(roll.close)
            scout = Scout(
                root,
                settings,
                ledger=self.works.catalog,
                roll=roll,
                kernel=kernel,
                offer=self.works.offer,
                refuse=self.works.refuse,
                health=Health(root.key, self._health_changed),
            )
            self._scouts[scout.root] = scout
        self._parts.callback(self._stop_scouts)
        server = Server(self.works.catalog, self.status, settings.sql, state=state)
        self._parts.callback(server.stop)
        server.start()
        self._space()
        self._jobs()
        for scout in self._scouts.values():
            scout.start()

    def _jobs(self) -> None:
        """Schedule what is done again and again; one thread, each job once at a time."""
        self._timer = Jobs()
        self._parts.callback(self._timer.stop)
        quiet_s, first_s = self.settings.series.quiet_s, self.settings.retry.first_s
        for job, every_s in (
            (self.works.series.tick, max(0.2, min(5.0, quiet_s / 4))),
            (self._retry, max(0.2, min(5.0, first_s))),
            (self._space, 10.0),
            (self.works.catalog.checkpoint, 600.0),
            (self._watch_scouts, 10.0),
        ):
            self._timer.add(job, every_s)
        self._timer.start()

    def run(self) -> int:
        """Live until a signal; give the exit code."""
        log.info(
            "started",
            version=__version__,
            state=str(self.state),
            roots=[scout.root for scout in self._scouts.values()],
        )
        while not self._stop.wait(1.0):
            self._timer.look_at_clock()
        log.info("stopping")
        self.close()
        log.info("stopped", files=self.works.conductor.tally.files)
        return 1 if self.failure else 0

    def close(self) -> None:
        """Take everything down, newest part first."""
        self._parts.close()

    def status(self) -> dict[str, Any]:
        """Say how it goes, for `ingestd status`; small, and without patient data."""
        works = self.works
        tally = works.conductor.tally
        halted = works.conductor.halted or works.takers.halted
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self.started_s, 1),
            "state": str(self.state),
            "halted": halted and str(halted.reason),
            "paused": works.conductor.paused,
            "roots": [self._root_status(scout) for scout in self._scouts.values()],
            "settling": sum(scout.waiting for scout in self._scouts.values()),
            "waiting": works.conductor.waiting,
            "open_series": works.series.open,
            "worker_deaths": works.pool.deaths,
            "since_start": {
                "files": tally.files,
                **{str(state): count for state, count in sorted(tally.states.items())},
            },
        }

    def _root_status(self, scout: Scout) -> dict[str, Any]:
        return {
            "name": scout.name,
            "root": scout.root,
            "health": scout.health.state,
            "why": scout.health.why,
            "watch": scout.means.how,
            "watch_why": scout.means.why,
            "settling": scout.waiting,
            "hanging": scout.hanging,
            "swept_files": scout.sweeps.files,
            "sweep_s": round(scout.sweeps.took_s, 3),
            **self.works.takers.status(scout.root),
        }

    def _done(self, root: str, paths: Sequence[str]) -> None:
        scout = self._scouts.get(root)
        if scout is not None:
            scout.done(paths)

    def _held_up(self, root: str, paths: Sequence[str], why: str) -> None:
        scout = self._scouts.get(root)
        if scout is not None:
            scout.held_up(paths, why)

    def _fail(self, error: BaseException) -> None:
        """End the program: a part of it cannot go on, and a new start may."""
        self.failure = error
        self._stop.set()

    def _overflowed(self) -> None:
        log.warning("hints_lost", detail="the kernel's event queue overflowed; sweeping")
        for scout in self._scouts.values():
            scout.lost_hints()

    def _health_changed(self, root: str, health: State, why: str) -> None:
        level = log.info if health == "healthy" else log.warning
        level(f"root_{health}", root=root, why=why)
        self.works.catalog.tell(f"root_{health}", root=root, detail=why)
        if health != "unreachable":
            retries.retry_now(self.works.catalog, root)

    def _retry(self) -> None:
        for scout in self._scouts.values():
            if scout.health.state != "unreachable":
                unread = retries.unread(self.works.catalog, scout.root)
                scout.health.complain("reading", unread)
                scout.hint(retries.due_retries(self.works.catalog, scout.root))

    def _space(self) -> None:
        """Take no new work while a disk of ours is nearly full, or the archive is in trouble."""
        free = min(map(reconcile.free_bytes, (self.state, *self.works.takers.places)))
        trouble = self.works.takers.halted
        short = free < self.settings.space.min_free_bytes or trouble is not None
        if short != self.works.conductor.paused:
            self.works.conductor.paused = short
            level = log.warning if short else log.info
            level("space_short" if short else "space_enough", free_bytes=free)
            kind = str(trouble.reason) if trouble else "disk_full" if short else "disk_free"
            words = trouble.detail if trouble else f"{free} bytes are free"
            self.works.catalog.tell(kind, detail=words)

    def _watch_scouts(self) -> None:
        for scout in self._scouts.values():
            if scout.silent_s > STUCK_S and scout.health.state != "unreachable":
                log.warning("root_silent", root=scout.root, silent_s=round(scout.silent_s))

    def _stop_scouts(self) -> None:
        self.works.conductor.close_door()
        for scout in self._scouts.values():
            scout.stop()
        until_s = time.monotonic() + 1.0
        for scout in self._scouts.values():
            scout.join(until_s - time.monotonic())
