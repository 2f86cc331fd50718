"""Pure. What becomes of a series that could not be stacked: when again, and without which file."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ingestd import config
from ingestd.errors import Reason, Verdict
from ingestd.model import Harm, SeriesFile, SeriesJob

CRASHES = 3  #: a file that cost so many workers is left alone, and so is a series that did
HARMS = 8  #: with so many such files a series is given up

File: TypeAlias = tuple[str, int, int]  #: SOPInstanceUID, size and time


@dataclass(slots=True)
class Trouble:
    """What a series has done so far."""

    tries: int = 0
    next_s: float = 0.0  #: not before
    harms: dict[File, Harm] = field(default_factory=dict)
    crashes: Counter[int | None] = field(default_factory=Counter)  #: by what was in hand
    halts: Reason | None = None  #: what of ours was in the way at the last try

    def without_harm(self, job: SeriesJob) -> SeriesJob:
        """Mark the files that have harmed a worker."""
        if not self.harms:
            return job
        files = tuple(replace(file, harm=self.harms.get(_key(file))) for file in job.files)
        return replace(job, files=files)

    def again(
        self,
        job: SeriesJob,
        reason: Reason,
        detail: str,
        *,
        at: int | None,
        retry: config.Retry,
        now_s: float,
    ) -> bool:
        """Say whether the series is tried again; `next_s` says when.

        at  what the lost worker had in hand, as `volume.build` beats; None when none was lost
        """
        self.tries += 1
        self.next_s = now_s
        self.halts = reason if reason.verdict is Verdict.HALT else None
        if self.halts is not None:
            self.next_s = now_s + retry.first_s
            return True
        if reason.verdict is Verdict.RETRY:
            self.next_s = now_s + min(retry.limit_s, retry.first_s * 2 ** (self.tries - 1))
            return self.tries < retry.attempts
        if reason is Reason.WORKER_CRASHED:
            self.crashes[at] += 1
            if self.crashes.total() < CRASHES:
                return True  # Somebody else may have killed it.
            if self.crashes[at] < CRASHES:
                return False  # Each time at another file: it is none of them.
            self.crashes.clear()
        return self._blame(job, at, reason, detail)

    def _blame(self, job: SeriesJob, at: int | None, reason: Reason, detail: str) -> bool:
        """Leave the file alone that was in hand; False when there was none, or there are many."""
        if at is None or at >= 2 * len(job.files) or len(self.harms) >= HARMS:
            return False
        in_pixels, index = divmod(at, len(job.files))
        file = job.files[index]
        if file.harm is not None:
            return False
        self.harms[_key(file)] = Harm(reason, detail, in_pixels=bool(in_pixels))
        return True


def _key(file: SeriesFile) -> File:
    return file.SOPInstanceUID, file.size_bytes, file.mtime_ns
