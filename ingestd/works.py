"""Wiring. Catalog, workers, conductor, series and takers: what `run` and `scan` share."""

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypedDict

from ingestd import comments, config, hookconfig, reconcile
from ingestd.again import Again
from ingestd.catalog import Catalog
from ingestd.conductor import Conductor
from ingestd.errors import IngestError, Reason
from ingestd.hooks import Hooks
from ingestd.meters import Meters
from ingestd.model import Arrival, Fault, Past, Patience, Sighting
from ingestd.profile import Profile
from ingestd.pulse import Pulse
from ingestd.takers import Takers
from ingestd.workers import Pool

STOP_S = 6.0  #: how long work under way may take when we stop; systemd waits longer
TAKERS_STOP_S = 2.0  #: how long a file under way to the archive may take after that


class Works:
    """They start together and end in the other order."""

    def __init__(
        self,
        settings: config.Config,
        state: Path,
        *,
        done: Callable[[str, Sequence[str]], None],
        failed: Callable[[BaseException], None],
        halted: Callable[[IngestError], None] = lambda _: None,
        held_up: Callable[[str, Sequence[str], str], None] | None = None,
        meters: Meters | None = None,
        remember: bool = True,
        profile: Profile | None = None,
    ) -> None:
        self.meters = meters or Meters()
        self.settings, self.state = settings, state
        self.pulse = Pulse()
        self.pool = Pool(**pool_size(settings), pulse=self.pulse)  # They come up meanwhile.
        self.catalog = open_catalog(settings, state, profile, self.pool)
        self.series = reconcile.Series(self.catalog, self.pool, settings, state=state)
        self.conductor = Conductor(
            self.catalog,
            self.pool,
            settings,
            state=state,
            done=self._done,
            touched=self.series.touched,
            failed=failed,
            halted=halted,
            held_up=held_up,
            pulse=self.pulse,
            meters=self.meters,
        )
        self.hooks = Hooks(self.catalog, settings.hooks)
        self.again = Again(self.catalog, deadline_s=settings.sweep.deadline_s, offer=self.offer)
        self.takers = Takers(self.catalog, settings, state, failed=failed, halted=halted)
        self.archive = str(settings.archive.path or state.absolute() / "archive")
        self._tell_done = done
        self._seqs = itertools.count(1)
        self.conductor.start()
        self.takers.start()
        if remember:
            self.hooks.start()
            self.series.remember()
        # Last: nobody waits for it when there are no works, and DuckDB aborts who ends meanwhile.
        self._comments = comments.begin(self.catalog)

    def rehook(self, options: hookconfig.Hooks) -> None:
        """Tell other people of events, or tell them otherwise.

        raises  ConfigError when a file that it names cannot be used; then nothing is changed
        """
        if options != self.settings.hooks:
            hooks = Hooks(self.catalog, options)
            self.hooks.stop()
            self.hooks = hooks
            self.hooks.dismiss_others()
            self.hooks.start()

    def configure(self, settings: config.Config, *, retaken: Sequence[str]) -> None:
        """Go by another config, without a pause; `retaken`: roots that are emptied otherwise."""
        self.settings = settings
        self.catalog.patience = patience(settings.retry)
        self.pool.configure(**pool_size(settings))
        self.conductor.configure(settings)
        self.series.configure(settings)
        self.takers.configure(settings, retaken)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is under way, within limits, and let the catalog go."""
        self.takers.stop()
        self.again.close()
        self.conductor.stop(STOP_S)
        self.takers.join(TAKERS_STOP_S)
        self.pool.shutdown(cancel_futures=True)
        self.hooks.stop()
        self._comments.join()
        self.catalog.close()

    @property
    def halted(self) -> Reason | None:
        """What of ours is in the way of some work; None when nothing is."""
        error = self.catalog.damaged or self.conductor.halted or self.takers.halted
        return error.reason if error else self.series.halted

    def _done(self, root: str, paths: Sequence[str]) -> None:
        self._tell_done(root, paths)
        self.again.done(root, paths)
        self.takers.wake(root)

    def offer(self, sighting: Sighting, past: Past) -> bool:
        """Give a settled file to the workers; wait while they have enough."""
        return self.conductor.offer(Arrival.of(sighting, past, seq=next(self._seqs)))

    def refuse(self, faults: Sequence[Fault]) -> int:
        """Put entries that are no files into the ledger; say how many it did not have yet."""
        looks = [
            Sighting(
                root=fault.root,
                path=fault.path,
                size_bytes=fault.size_bytes,
                mtime_ns=fault.mtime_ns,
                seen_s=0.0,
            )
            for fault in faults
        ]
        fresh = {sighting.path for sighting, _ in self.catalog.unknown(looks)}
        new = [fault for fault in faults if fault.path in fresh]
        if new:
            self.conductor.refuse(new, self._seqs)
        return len(new)


def patience(retry: config.Retry) -> Patience:
    """Say how often and how long a file is tried again."""
    return Patience(attempts=retry.attempts, first_s=retry.first_s, limit_s=retry.limit_s)


def open_catalog(
    settings: config.Config, state: Path, profile: Profile | None, pool: Pool
) -> Catalog:
    """Become the owner of the catalog; `profile` as for `Catalog`. Without one nobody needs a pool.

    raises  StateError
    """
    try:
        return Catalog(
            state,
            memory_bytes=settings.catalog.memory_bytes,
            patience=patience(settings.retry),
            profile=profile,
        )
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def pool_size(settings: config.Config) -> "PoolSize":
    """Say how many processes there are, and what their limits are."""
    return PoolSize(
        processes=settings.workers.processes or os.cpu_count() or 1,
        deadline_s=settings.workers.deadline_s,
        memory_bytes=settings.workers.memory_bytes,
        verbose=settings.log.level == "debug",
    )


class PoolSize(TypedDict):
    """What a pool is told."""

    processes: int
    deadline_s: float
    memory_bytes: int
    verbose: bool
