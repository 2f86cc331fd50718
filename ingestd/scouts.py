"""Wiring. The scouts of all roots; roots come and go while we run."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ingestd import config, retries
from ingestd.log import get_logger
from ingestd.rollcall import RollCall
from ingestd.rootcheck import Health, State
from ingestd.scout import Scout
from ingestd.watch import KernelWatch
from ingestd.works import Works

log = get_logger()

STUCK_S = 60.0  #: a scout that got nowhere for so long hangs on its share
STOP_S = 1.0  #: how long all of them may take to end


class Scouts:
    """One for each root, with the count of who is gone and what the kernel tells."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._kernel = KernelWatch(self._overflowed)
        self._scouts: dict[str, Scout] = {}
        self._rolls: dict[str, RollCall] = {}
        self._due: dict[str, retries.Due] = {}
        self._archive_due = retries.Due(works.catalog, works.archive)

    def begin(self, roots: Sequence[config.Root], settings: config.Config) -> None:
        """Look after these roots from now on."""
        for root in roots:
            roll = RollCall(
                self._works.catalog,
                root.key,
                brake_percent=settings.sweep.gone_brake_percent,
                brake_s=settings.sweep.gone_brake_s,
            )
            scout = Scout(
                root,
                settings,
                ledger=self._works.catalog,
                roll=roll,
                kernel=self._kernel,
                offer=self._works.offer,
                refuse=self._works.refuse,
                health=Health(root.key, self._health_changed),
                meters=self._works.meters,
            )
            self._rolls[scout.root] = roll
            self._due[scout.root] = retries.Due(self._works.catalog, scout.root)
            self._scouts = {**self._scouts, scout.root: scout}
            scout.start()

    def end(self, roots: Sequence[str]) -> None:
        """Look after these no more. What workers have of them comes to its outcome."""
        ended = [self._scouts[root] for root in roots]
        self._scouts = {root: scout for root, scout in self._scouts.items() if root not in roots}
        self._end(ended)
        for scout in ended:
            # Its folder may hang: then the kernel's watch is left behind with its thread.
            hand = threading.Thread(target=self._kernel.remove, args=[scout.root], daemon=True)
            hand.start()
            hand.join(STOP_S)

    def stop(self) -> None:
        """Look after none."""
        self._end(list(self._scouts.values()))
        self._kernel.stop()

    def _end(self, scouts: Sequence[Scout]) -> None:
        for scout in scouts:
            scout.stop()
        until_s = time.monotonic() + STOP_S
        for scout in scouts:
            scout.join(until_s - time.monotonic())
            self._rolls.pop(scout.root).close()

    @property
    def by_root(self) -> Mapping[str, Scout]:
        """All of them, as they are now."""
        return self._scouts

    @property
    def roots(self) -> list[str]:
        """The folders that are looked after."""
        return list(self._scouts)

    @property
    def settling(self) -> int:
        """How many files wait for their senders to finish."""
        return sum(scout.waiting for scout in self._scouts.values())

    def status(self) -> list[dict[str, Any]]:
        """Say of each root how it is and how it is watched."""
        return [self._root_status(scout) for scout in self._scouts.values()]

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
            **self._works.takers.status(scout.root),
        }

    def done(self, root: str, paths: Sequence[str]) -> None:
        """These files have an outcome."""
        if (scout := self._scouts.get(root)) is not None:
            scout.done(paths)

    def held_up(self, root: str, paths: Sequence[str], why: str) -> None:
        """A file of this root hangs; these were given back unread."""
        self._works.again.done(root, paths)
        if (scout := self._scouts.get(root)) is not None:
            scout.held_up(paths, why)

    def retry(self) -> None:
        """Ask for a look at what is to be tried again by now."""
        for scout in self._scouts.values():
            if scout.health.state != "unreachable":
                unread = retries.unread(self._works.catalog, scout.root)
                scout.health.complain("reading", unread)
                scout.hint(self._due[scout.root].take())
        if archived := self._archive_due.take():
            try:
                self._works.again.look(self._works.archive, archived)
            except OSError as error:
                log.warning("not_looked_at", root=self._works.archive, why=error.strerror)

    def watch(self) -> None:
        """Tell of scouts that get nowhere."""
        for scout in self._scouts.values():
            if scout.silent_s > STUCK_S and scout.health.state != "unreachable":
                log.warning("root_silent", root=scout.root, silent_s=round(scout.silent_s))

    def _overflowed(self) -> None:
        log.warning("hints_lost", detail="the kernel's event queue overflowed; sweeping")
        for scout in self._scouts.values():
            scout.lost_hints()

    def _health_changed(self, root: str, health: State, why: str) -> None:
        level = log.info if health == "healthy" else log.warning
        level(f"root_{health}", root=root, why=why)
        self._works.catalog.tell(f"root_{health}", root=root, detail=why)
        if health != "unreachable":
            retries.retry_now(self._works.catalog, root)
