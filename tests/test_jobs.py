import time
from datetime import UTC, datetime, timedelta

from ingestd.jobs import Every, Jobs


def test_after_a_clock_went_far_ahead_a_job_runs_once_and_not_for_each_time_missed() -> None:
    now = datetime.now(UTC)
    after = Every(0.2).get_next_fire_time(datetime(1970, 1, 1, tzinfo=UTC), now)
    assert after == now + timedelta(seconds=0.2)


def test_a_job_is_done_again_and_again_and_a_failure_does_not_end_it() -> None:
    done: list[float] = []

    def job() -> None:
        done.append(time.monotonic())
        raise ValueError("on purpose")

    jobs = Jobs()
    jobs.add(job, 0.05)
    jobs.start()
    until_s = time.monotonic() + 20
    while len(done) < 3 and time.monotonic() < until_s:
        time.sleep(0.02)
    jobs.stop()
    assert len(done) >= 3
