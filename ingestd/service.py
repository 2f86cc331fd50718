"""Wiring. Builds every part, in order, and takes them down again in the other order."""

import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ingestd import __version__, bounds, config, profile
from ingestd import log as logs
from ingestd.changes import changes, until_restart
from ingestd.deeds import deeds
from ingestd.doing import Doing
from ingestd.errors import ConfigError, IngestError, Reason, StateError
from ingestd.gist import gist
from ingestd.hands import Hands
from ingestd.jobs import Jobs
from ingestd.log import get_logger
from ingestd.metrics import Metrics, Sources
from ingestd.notify import Notifier, Watchdog
from ingestd.scouts import Scouts
from ingestd.serve import Server
from ingestd.snapshots import Snapshots
from ingestd.space import Space
from ingestd.upkeep import FORGET_S, LOOK_S, Upkeep
from ingestd.works import Works

log = get_logger()

SPACE_S = 10.0  #: how often free space is looked at


class Daemon:
    """Everything `ingestd run` is: works, eyes, jobs and a socket.

    reread  gives the config as it stands now, or raises ConfigError
    """

    def __init__(
        self, settings: config.Config, state: Path, *, reread: Callable[[], config.Config]
    ) -> None:
        self.settings, self.state = settings, state
        self.started_s = time.monotonic()
        self.failure: BaseException | None = None
        self._reread = reread
        self._refused = ""  # why the newest config is not in use
        self._at_restart: Sequence[str] = ()
        self._orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listen()
        self._notifier = Notifier()
        self._notifier.status("starting")
        self._parts = ExitStack()
        try:
            self._build()
        except BaseException:
            self._parts.close()
            raise

    def _listen(self) -> None:
        """Take orders by signal. At a terminal, hanging up means the end, not a new config."""
        hang_up = "stop" if os.isatty(0) else "reload"
        orders = ((signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, hang_up))
        for number, order in orders:
            signal.signal(number, lambda *_, order=order: self._orders.put(order))

    def _build(self) -> None:
        settings, state, metrics = self.settings, self.state, Metrics()
        self.works = self._parts.enter_context(
            Works(
                settings,
                state,
                done=self._done,
                failed=self._fail,
                held_up=self._held_up,
                meters=metrics,
                profile=settings.sql.profile,
            )
        )
        self.works.hooks.dismiss_others()
        self.space = Space(self.works)
        self._watchdog = Watchdog(self.works.pulse, self._notifier)
        self._watchdog.start()
        self._parts.callback(self._watchdog.stop)
        self.scouts = Scouts(self.works)
        self._parts.callback(self.scouts.stop)
        self._parts.callback(self.works.conductor.close_door)
        metrics.look_at(
            Sources(
                catalog=self.works.catalog,
                status=self.status,
                lost=lambda: dict(self.works.pool.lost),
                free=lambda: self.space.free,
            )
        )
        self._open(settings, state, metrics)
        self.space.look()
        self._timer = Jobs()
        self._parts.callback(self._timer.stop)
        self._schedule(settings)
        self._timer.start()
        bounds.keep(state, bounds.of(settings))
        self._beat = self.works.pulse.part("main")
        self.scouts.begin(settings.root, settings)

    def _open(self, settings: config.Config, state: Path, metrics: Metrics) -> None:
        """Begin to answer, and to do what is asked for."""
        hands = Hands(works=self.works, scouts=self.scouts)
        self.upkeep, doing = Upkeep(hands), Doing(deeds(hands))
        self.snapshots = self._snapshots(settings, state)
        self.server = Server(
            self.works.catalog,
            self.status,
            settings.sql,
            state=state,
            metrics=metrics,
            doing=doing,
            ready=self._not_ready,
            growth_bytes=settings.catalog.memory_bytes + settings.sql.memory_bytes,
            snapshot=self.snapshots.publish,
        )
        self._parts.callback(self.server.stop)
        self._parts.callback(doing.stop)
        self._parts.callback(self.upkeep.stop)
        self.server.start()

    def _snapshots(self, settings: config.Config, state: Path) -> Snapshots:
        """Publish copies that others may open; close what is not for them."""
        profile.close_off(state, settings.sql.profile)
        snapshots = Snapshots(
            self.works.catalog,
            state,
            every_s=settings.sql.snapshot_s,
            min_free_bytes=settings.space.min_free_bytes,
        )
        self._parts.callback(snapshots.stop)
        snapshots.start()
        return snapshots

    def _schedule(self, settings: config.Config) -> None:
        """Say what is done again and again, and how often."""
        series, first_s = settings.series, settings.retry.first_s
        tick_s = max(0.2, min(5.0, series.quiet_s / 4, series.counted_quiet_s))
        self.space.stack_s = 0.8 * tick_s
        for job, every_s in (
            (self.space.stack, tick_s),
            (self.scouts.retry, max(0.2, min(5.0, first_s))),
            (self.space.look, SPACE_S),
            (self.upkeep.check_derived, LOOK_S),
            (self.upkeep.forget, FORGET_S),
            (self.works.series.give_up, max(0.2, min(60.0, series.give_up_s / 4))),
            (self.works.catalog.checkpoint, 600.0),
            (self.scouts.watch, 10.0),
        ):
            self._timer.add(job, every_s)

    def run(self) -> int:
        """Live until a signal; give the exit code."""
        log.info("started", version=__version__, state=str(self.state), roots=self.scouts.roots)
        self._notifier.ready()
        while (order := self._next_order()) != "stop":
            if order == "reload":
                self._reload()
            self._timer.look_at_clock()
            self._notifier.status(gist(self.status()))
        log.info("stopping")
        self._notifier.status("stopping: what workers have in hand is finished")
        self._notifier.stopping()
        self.close()
        log.info("stopped", files=self.works.conductor.tally.files)
        return 1 if self.failure else 0

    def _next_order(self) -> str:
        """Wait a moment for an order."""
        self._beat()
        try:
            return self._orders.get(timeout=1.0)
        except queue.Empty:
            return "go on"

    def close(self) -> None:
        """Take everything down, newest part first."""
        self._parts.close()

    def _reload(self) -> None:
        """Go by the config as it stands now; one that is wrong is refused, and the old one kept."""
        self._notifier.reloading()
        try:
            new = self._reread()
            token = self.server.token(new.sql)
            self.works.rehook(new.hooks)
            self._hide(new)
        except (ConfigError, StateError, IngestError, OSError) as error:
            self._refused = str(error)
            words = "the old config holds"
            log.error("reload_refused", why=self._refused, detail=words)  # noqa: TRY400
        else:
            self._refused = ""
            self.server.admit(token)
            self._configure(new)
        self._notifier.ready()

    def _hide(self, new: config.Config) -> None:
        """Show less in SQL, when a new config asks for it; first of all that it asks for.

        raises  OSError; StateError; IngestError: then nothing of the new config is in use
        """
        if not changes(self.settings, new).hidden:
            return
        os.umask(profile.umask(self.state, "research"))
        with self.snapshots.none():
            self.works.catalog.hide()
        profile.close_off(self.state, "research")
        log.info("profile", now="research")

    def _configure(self, new: config.Config) -> None:
        asked = changes(self.settings, new)
        self.settings = settings = until_restart(self.settings, new)
        self._at_restart = asked.at_restart
        logs.configure(settings.log, sys.stderr)
        self.scouts.end(asked.ended)
        self.works.configure(settings, retaken=asked.retaken)
        self.server.configure(settings.sql)
        self.snapshots.configure(
            every_s=settings.sql.snapshot_s, min_free_bytes=settings.space.min_free_bytes
        )
        bounds.keep(self.state, bounds.of(settings))
        self._schedule(settings)
        self.scouts.begin(asked.begun, settings)
        log.info("reloaded", changed=asked.sections, roots=self.scouts.roots)
        if asked.at_restart:
            log.warning("restart_wanted", keys=asked.at_restart)

    def _not_ready(self) -> str:
        """Say why files are not taken just now; nothing when they are."""
        if halted := self._halted:
            return str(halted)
        return "too little free space" if self.works.conductor.paused else ""

    @property
    def _halted(self) -> Reason | None:
        return self.works.halted or self.space.halted

    def status(self) -> dict[str, Any]:
        """Say how it goes, for `ingestd status`; small, and without patient data."""
        works = self.works
        tally = works.conductor.tally
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self.started_s, 1),
            "state": str(self.state),
            "halted": self._halted and str(self._halted),
            "paused": works.conductor.paused,
            "free_bytes": self.space.free_bytes,
            "min_free_bytes": self.settings.space.min_free_bytes,
            "stuck": sorted(self._watchdog.stuck),
            "config_refused": self._refused,
            "restart_wanted": list(self._at_restart),
            "roots": self.scouts.status(),
            "settling": self.scouts.settling,
            "waiting": works.conductor.waiting,
            "open_series": works.series.open,
            "worker_deaths": works.pool.deaths,
            "since_start": {
                "files": tally.files,
                **{str(state): count for state, count in sorted(tally.states.items())},
            },
        }

    def _done(self, root: str, paths: Sequence[str]) -> None:
        self.scouts.done(root, paths)

    def _held_up(self, root: str, paths: Sequence[str], why: str) -> None:
        self.scouts.held_up(root, paths, why)

    def _fail(self, error: BaseException) -> None:
        """End the program: a part of it cannot go on, and a new start may."""
        self.failure = error
        self._orders.put("stop")
