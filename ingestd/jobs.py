"""Edge: what is done again and again, each job once at a time, whatever the clock is set to."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from ingestd.errors import IngestError
from ingestd.log import get_logger

log = get_logger()

CLOCK_S = 5.0  #: a clock that went so far ahead of our monotonic one, or behind it, was set


class Every(BaseTrigger):  # type: ignore[misc]
    """So long after the last time, without a thought for the times that were missed.

    APScheduler's own interval makes a list of these first, which takes all memory when a clock goes
    from 1970 to now.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, _: datetime | None, now: datetime) -> datetime:
        """Say when the next time is."""
        return now + self._interval


class Jobs:
    """The scheduler, in threads of its own."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": {"type": "threadpool", "max_workers": 2}},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_listener(job_late, EVENT_JOB_MISSED)
        self._scheduler.add_listener(job_failed, EVENT_JOB_ERROR)
        self._ahead_s = time.time() - time.monotonic()

    def add(self, job: Callable[[], object], every_s: float) -> None:
        """Do something every so often, instead of as often as before."""
        first = datetime.now(UTC) + timedelta(seconds=every_s)
        self._scheduler.add_job(
            job, Every(every_s), next_run_time=first, id=job.__name__, replace_existing=True
        )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def look_at_clock(self) -> None:
        """Let no job wait for a time of a clock that was set: APScheduler goes by the wall's."""
        set_s = time.time() - time.monotonic() - self._ahead_s
        if abs(set_s) < CLOCK_S:
            return
        self._ahead_s += set_s
        log.warning("clock_set", by_s=round(set_s))
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """Begin no more jobs."""
        self._scheduler.shutdown(wait=False)


def job_late(event: JobExecutionEvent) -> None:
    """Tell of a job that was left out once."""
    log.warning("job_late", job=event.job_id, code=event.code)


def job_failed(event: JobExecutionEvent) -> None:
    """Tell of a job that failed; while we halt it is only late, and comes again."""
    if isinstance(event.exception, IngestError):
        log.warning("job_halted", job=event.job_id, reason=str(event.exception.reason))
    else:
        log.error("job_failed", job=event.job_id, exc_info=event.exception)
