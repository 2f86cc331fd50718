"""Edge: the scheduled jobs: series that fell quiet are stacked and judged."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import pyarrow as pa

from ingestd import config, evidence, judging, tables, tasks
from ingestd.catalog import Catalog, utc_now
from ingestd.completeness import Judgement
from ingestd.covers import Covers
from ingestd.errors import IngestError, Reason
from ingestd.judging import Closing
from ingestd.log import get_logger
from ingestd.model import SeriesJob, SeriesState
from ingestd.trouble import Trouble
from ingestd.volumefiles import heal, remove
from ingestd.workers import Pool, PoolClosed, WorkerLost

log = get_logger()

#: What an earlier run left without a judgement, or without a file that may be back now.
LEFT_OPEN = """
    SELECT SeriesInstanceUID FROM series_state WHERE state IN ('receiving', 'quiet')
    UNION
    SELECT SeriesInstanceUID FROM volume
    WHERE reason IN ('transient_io', 'still_changing', 'not_readable')
"""

AT_ONCE = 256  #: so many series are judged in one transaction
NOTHING = tables.VOLUME.empty_table(), tables.VOLUME_SLICE.empty_table()
PUBLISHED = "SELECT path, SeriesInstanceUID FROM volume WHERE path IS NOT NULL"


@dataclass(slots=True)
class Done:
    """What came of series so far."""

    series: set[str] = field(default_factory=set)
    volumes: int = 0


class Series:
    """Follows each series from its last arrival to its judgement."""

    def __init__(
        self,
        catalog: Catalog,
        pool: Pool,
        settings: config.Config,
        *,
        state: Path,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.done = Done()
        self._clock, self._now = clock, now
        self._catalog, self._pool, self._settings, self._state = catalog, pool, settings, state
        self.covers = Covers(catalog, pool, settings.thumbnail, state=state)
        self._lock = threading.Condition()
        self._arrived: dict[str, float] = {}  # series -> our monotonic clock at its last arrival
        self._asked: dict[str, float] = {}  # the same, when a count was asked whether it is whole
        self._under_way: set[str] = set()
        self._trouble: dict[str, Trouble] = {}
        self._needs_workers = settings.volume.enabled or settings.thumbnail.level == "series"

    def configure(self, settings: config.Config) -> None:
        """Go by another config from the next series on."""
        self._settings, self.covers.options = settings, settings.thumbnail
        self._needs_workers = settings.volume.enabled or settings.thumbnail.level == "series"

    def remember(self) -> None:
        """Take up what an earlier run left without a judgement, or without a file."""
        now_s = self._clock()
        rows = self._catalog.rows(LEFT_OPEN)
        published = dict(self._catalog.rows(PUBLISHED))
        deleted, lost = heal(self._state, published)
        if deleted or lost:
            log.warning("volumes_healed", orphans=deleted, lost=len(lost))
        with self._lock:
            self._arrived.update((uid, now_s) for (uid,) in rows)
            self._arrived.update((published[path], now_s) for path in lost)

    def touched(self, series: Iterable[str], *, again: bool = False) -> None:
        """These got an instance just now; or `again`: unless they did, they are judged anew."""
        at_s = float("-inf") if again else self._clock()
        with self._lock:
            for uid in series:
                self._arrived[uid] = max(at_s, self._arrived.get(uid, at_s))

    @property
    def open(self) -> int:
        """How many series have no judgement yet."""
        with self._lock:
            return len(self._arrived.keys() | self._under_way)

    @property
    def halted(self) -> Reason | None:
        """Why series are not stacked; None when they are."""
        with self._lock:
            return next((held.halts for held in self._trouble.values() if held.halts), None)

    def tick(self, *, quiet_s: float | None = None) -> bool:
        """Start on series that are quiet, if workers are free; say whether there were any."""
        quiet_s = self._settings.series.quiet_s if quiet_s is None else quiet_s
        self._tell(judging.judge_doubted(self._catalog, self._now()))
        self._hasten(quiet_s)
        if not (taken := self._take_quiet(self._clock() - quiet_s)):
            return False
        try:
            jobs = self._call_quiet(taken)
        except BaseException:
            self._put_back(taken)
            raise
        self._close([Closing(job) for job in jobs if not job.files])  # The volume stays.
        jobs = [job for job in jobs if job.files]
        if self._needs_workers:
            for job in jobs:
                self._begin(job)
        else:
            self._close([Closing(job, *NOTHING) for job in jobs])
        return True

    def wait_for_room(self, limit_s: float) -> None:
        """Wait until one more may be begun."""
        with self._lock:
            self._lock.wait_for(lambda: len(self._under_way) < self._room, limit_s)

    @property
    def _room(self) -> int:
        return self._pool.processes if self._needs_workers else AT_ONCE

    def finish(self, tick: Callable[[], bool]) -> None:
        """Judge every series that is open, now; call `tick` meanwhile, until it says to stop.

        A series that cannot be read just now stays open.
        """
        while tick():
            self.tick(quiet_s=0.0)
            with self._lock:
                now_s = self._clock()
                later = {uid for uid, held in self._trouble.items() if held.next_s > now_s}
                waiting = self._arrived.keys() - later
                if not waiting and not self._under_way:
                    return
                if self._under_way:  # What was judged at once wakes nobody.
                    self._lock.wait(0.1)

    def give_up(self) -> None:
        """Tell loudly of series that have lacked something for too long."""
        after_s = self._settings.series.give_up_s
        for uid, words in judging.give_up(self._catalog, self._now(), after_s):
            log.error("series_given_up", series=uid, why=words)

    def _hasten(self, quiet_s: float) -> None:
        """Let series that are all here by a count wait no longer: nothing more is to come."""
        if quiet_s <= self._settings.series.counted_quiet_s:
            return
        before_s = self._clock() - self._settings.series.counted_quiet_s
        with self._lock:
            paused = {
                uid: arrived_s
                for uid, arrived_s in self._arrived.items()
                if arrived_s <= before_s and self._asked.get(uid) != arrived_s
            }
            self._asked |= paused
        counted = evidence.counted(self._catalog, list(paused))
        with self._lock:
            for uid in counted:
                if self._arrived.get(uid) == paused[uid]:
                    self._arrived[uid] = self._asked[uid] = paused[uid] - quiet_s

    def _take_quiet(self, before_s: float) -> list[str]:
        now_s = self._clock()
        with self._lock:
            taken: list[str] = []
            for uid, arrived_s in self._arrived.items():
                if len(taken) >= self._room - len(self._under_way):
                    break
                trouble = self._trouble.get(uid)
                due = trouble is None or trouble.next_s <= now_s
                if arrived_s <= before_s and due and uid not in self._under_way:
                    taken.append(uid)
            for uid in taken:
                del self._arrived[uid]
                self._asked.pop(uid, None)
            self._under_way.update(taken)
        return taken

    def _call_quiet(self, uids: Sequence[str]) -> list[SeriesJob]:
        """Call series quiet, and say what there is to do."""
        revisions = judging.call_quiet(self._catalog, uids, self._now())
        self._end([uid for uid in uids if uid not in revisions])
        return judging.jobs(self._catalog, revisions)

    def _begin(self, job: SeriesJob) -> None:
        """Send a series to be stacked, or pictured at least."""
        uid = job.SeriesInstanceUID
        try:
            if not self._settings.volume.enabled:
                self.covers.make(job, NOTHING[1], partial(self._write, job, *NOTHING))
                return
            with self._lock:
                job = self._trouble[uid].without_harm(job) if uid in self._trouble else job
            future = self._pool.submit(
                tasks.stack, job, state=self._state, options=self._settings.volume.stacking
            )
        except BaseException:
            self._put_back([uid])
            raise
        future.add_done_callback(lambda done: self._returned(job, done))

    def _returned(self, job: SeriesJob, future: "Future[tuple[pa.Table, pa.Table]]") -> None:
        """Write what a worker made of a series, or why it made nothing."""
        try:
            volumes, slices = future.result()
        except PoolClosed:
            return  # The series stays quiet in the catalog; the next start takes it up.
        except (WorkerLost, IngestError) as error:
            if self._later(job, error):
                return
            volumes, slices = judging.no_volume(job, error), tables.VOLUME_SLICE.empty_table()
        except Exception as error:
            log.exception("series_failed", series=job.SeriesInstanceUID)
            fault = IngestError(Reason.WORKER_CRASHED, f"stacking raised {type(error).__name__}")
            volumes, slices = judging.no_volume(job, fault), tables.VOLUME_SLICE.empty_table()
        self.covers.make(job, slices, partial(self._write, job, volumes, slices))

    def _write(
        self, job: SeriesJob, volumes: pa.Table, slices: pa.Table, trouble: IngestError | None
    ) -> None:
        """Write what is known of a series, unless its picture has to be tried again."""
        if trouble is None or not self._later(job, trouble):
            self._close([Closing(job, volumes, slices)])

    def _later(self, job: SeriesJob, error: WorkerLost | IngestError) -> bool:
        """Put a series back that could not be read just now; False when that was often enough."""
        uid = job.SeriesInstanceUID
        with self._lock:
            again = self._trouble.setdefault(uid, Trouble()).again(
                job,
                error.reason,
                error.detail,
                at=error.at if isinstance(error, WorkerLost) else None,
                retry=self._settings.retry,
                now_s=self._clock(),
            )
        log.warning("series_not_stacked", series=uid, reason=str(error.reason), again=again)
        if again:
            self._put_back([uid])
        return again

    def _put_back(self, uids: Iterable[str]) -> None:
        with self._lock:
            for uid in uids:
                self._arrived.setdefault(uid, self._clock())
                self._under_way.discard(uid)
            self._lock.notify_all()

    def _close(self, closings: Sequence[Closing]) -> None:
        """Write what is known of some series and judge them."""
        if not closings:
            return
        try:
            closed = judging.close(self._catalog, closings, self._now())
            for path in closed.replaced:
                remove(self._state, path)
        except (IngestError, OSError) as error:
            fault = error if isinstance(error, IngestError) else tasks.state_trouble(error)
            for one in closings:
                self._later(one.job, fault)
            return
        except Exception:
            if len(closings) > 1:  # One of them is at fault; the others are not to suffer for it.
                for one in closings:
                    self._close([one])
                return
            uid = closings[0].job.SeriesInstanceUID
            log.exception("series_failed", series=uid)
            self._end([uid])  # It stays quiet in the catalog; the next start takes it up.
            return
        self._tell(closed.judged)
        renewed = [(one.job, one.volumes) for one in closings if one.volumes is not None]
        paths = [table["path"] for _, table in renewed]
        with self._lock:
            self.done.series.update(job.SeriesInstanceUID for job, _ in renewed)
            self.done.volumes += sum(len(path) - path.null_count for path in paths)
        self._end(one.job.SeriesInstanceUID for one in closings)

    def _tell(self, judged: Iterable[tuple[str, Judgement]]) -> None:
        for uid, found in judged:
            level = log.warning if found.state is SeriesState.INCOMPLETE else log.info
            level(judging.kind_of(found), series=uid, images=found.found, why=found.evidence)

    def _end(self, uids: Iterable[str]) -> None:
        with self._lock:
            for uid in uids:
                self._under_way.discard(uid)
                self._trouble.pop(uid, None)
            self._lock.notify_all()
