"""Wiring. All that take files out of drop folders: one for each root whose config asks for it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ingestd import config
from ingestd.catalog import Catalog
from ingestd.errors import IngestError
from ingestd.log import get_logger
from ingestd.store import Store
from ingestd.storelock import StoreLock
from ingestd.take import Taker

log = get_logger()

HAND_S = 5.0  #: how long the files in hand may take when the config changes


class Takers:
    """The takers of one program."""

    def __init__(
        self,
        catalog: Catalog,
        settings: config.Config,
        state: Path,
        *,
        failed: Callable[[BaseException], None],
        halted: Callable[[IngestError], None],
    ) -> None:
        self.places: tuple[Path, ...] = ()  #: folders that are written to
        self._catalog, self._state = catalog, state
        self._halted, self._failed = halted, failed
        self._roots: dict[str, config.Root] = {}
        self._takers: dict[str, Taker] = {}
        self._locks: dict[Path, StoreLock] = {}
        self._arrange(settings, [root.key for root in settings.root])

    def _arrange(self, settings: config.Config, roots: Sequence[str]) -> None:
        """Have a taker for each of these roots that asks for one."""
        archive = settings.archive.path or self._state.absolute() / "archive"
        self._roots = {root.key: root for root in settings.root}
        self.places = tuple(
            {archive for root in settings.root if root.take != "index"}
            | {root.quarantine for root in settings.root if root.quarantine is not None}
        )
        for place in self._locks.keys() - set(self.places):
            self._locks.pop(place).close()
        for place in self.places:
            self._locks.setdefault(place, StoreLock())
        for root in settings.root:
            if root.key not in roots or (root.take == "index" and root.quarantine is None):
                continue
            self._takers[root.key] = Taker(
                root,
                self._catalog,
                settings.retry,
                archive=self._store(archive, root) if root.take != "index" else None,
                quarantine=self._store(root.quarantine, root) if root.quarantine else None,
                halted=self._halted,
                failed=self._failed,
            )

    def configure(self, settings: config.Config, roots: Sequence[str]) -> None:
        """Take files of these roots as another config says, after the files in hand.

        One that hangs on its share ends with the program; until then nothing else takes there.
        """
        old = {root: self._takers[root] for root in roots if root in self._takers}
        for taker in old.values():
            taker.stop()
        until_s = time.monotonic() + HAND_S
        hanging = [key for key, one in old.items() if not one.join(until_s - time.monotonic())]
        for root in hanging:
            log.warning("taker_hangs", root=root, detail="its config counts from a restart on")
        kept = {key: one for key, one in self._takers.items() if key not in old or key in hanging}
        self._takers = kept.copy()
        self._arrange(settings, [root for root in roots if root not in hanging])
        for root in self._takers.keys() - kept.keys():
            self._takers[root].start()

    def _store(self, place: Path, root: config.Root) -> Store:
        return Store(place, self._locks[place], owner=root.key)

    def start(self) -> None:
        """Begin to take."""
        for taker in self._takers.values():
            taker.start()

    def wake(self, root: str) -> None:
        """Say that files of a root have an outcome."""
        if root in self._takers:
            self._takers[root].wake()

    def stop(self) -> None:
        """Take no more."""
        for taker in self._takers.values():
            taker.stop()

    def join(self, within_s: float) -> None:
        """Wait for the files in hand."""
        until_s = time.monotonic() + within_s
        for taker in self._takers.values():
            taker.join(until_s - time.monotonic())
        for lock in self._locks.values():
            lock.close()

    def finish(self, tick: Callable[[], bool], within_s: float) -> None:
        """Wait until all is taken that can be taken now, or `tick` says to stop."""
        for taker in self._takers.values():
            taker.finish(tick, within_s)

    @property
    def halted(self) -> IngestError | None:
        """What keeps a store from being written, if anything does."""
        return next((taker.halted for taker in self._takers.values() if taker.halted), None)

    @property
    def taken(self) -> int:
        """Files that went to the archive since the start."""
        return sum(taker.taken for taker in self._takers.values())

    @property
    def put_aside(self) -> int:
        """Files that went to a quarantine since the start."""
        return sum(taker.put_aside for taker in self._takers.values())

    @property
    def held(self) -> list[tuple[str, str]]:
        """The roots whose files stay although they should not, and why."""
        return [(taker.root, taker.why) for taker in self._takers.values() if taker.why]

    def status(self, root: str) -> dict[str, Any]:
        """Say of a root what is done with its files."""
        taker, own = self._takers.get(root), self._roots[root]
        return {
            "take": own.take,
            "quarantine": own.quarantine and str(own.quarantine),
            "archived": taker.taken if taker else 0,
            "quarantined": taker.put_aside if taker else 0,
            "not_taken": taker.left if taker else 0,
            "not_taken_why": taker.why if taker else "",
        }
