import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.forkserver import _forkserver
from pathlib import Path
from threading import active_count

import guilty
import pytest

from ingestd.errors import Reason
from ingestd.workers import Pool, WorkerLost


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(2, deadline_s=1.0, memory_bytes=256 << 20)
    yield made
    made.shutdown()


def test_a_result_comes_back(pool: Pool) -> None:
    assert pool.submit(guilty.add, [1, 2, 3]).result(30) == 6


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        pytest.param("die", Reason.WORKER_CRASHED, id="a segfault in a codec"),
        pytest.param("spin", Reason.WORKER_TIMEOUT, id="a loop without an end"),
        pytest.param("stall", Reason.WORKER_TIMEOUT, id="a codec that waits for itself"),
        pytest.param("hang", Reason.TRANSIENT_IO, id="a read that hangs: its share is to blame"),
        pytest.param("eat", Reason.WORKER_MEMORY, id="more memory than the limit"),
    ],
)
def test_a_lost_worker_names_the_item_in_hand(pool: Pool, deed: str, reason: Reason) -> None:
    with pytest.raises(WorkerLost) as lost:
        pool.submit(guilty.act, ["", "", deed, ""]).result(30)
    assert (lost.value.reason, lost.value.at) == (reason, 2)


def test_an_error_is_an_answer_and_costs_no_process(pool: Pool) -> None:
    deaths = pool.deaths
    with pytest.raises(ValueError, match="on purpose"):
        pool.submit(guilty.act, ["fail"]).result(30)
    assert pool.deaths == deaths


@pytest.mark.parametrize("verbose", [True, False])
def test_what_a_worker_logs_comes_back_when_it_is_wanted(
    verbose: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(1, deadline_s=30.0, memory_bytes=256 << 20, verbose=verbose)
    with caplog.at_level(logging.DEBUG, "ingestd.log"):
        pool.submit(guilty.act, ["tell"]).result(30)
    pool.shutdown()
    said = [(one.levelname, one.getMessage(), one.__dict__["at"]) for one in caplog.records]
    assert said == ([("DEBUG", "decoded", {"decoder": "charls"})] if verbose else [])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def zombies() -> list[str]:
    """Processes that ended below us or our forkserver, and that nobody buried."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            ours = {str(os.getpid()), str(_forkserver._forkserver_pid)}
            found += [entry.name] if state == "Z" and parent in ours else []
    return found


@pytest.mark.parametrize("deaths", [20, pytest.param(200, marks=pytest.mark.long)])
def test_after_many_deaths_there_is_no_zombie_and_no_leak(deaths: int) -> None:
    pool = Pool(2, deadline_s=30.0, memory_bytes=256 << 20)
    pool.submit(guilty.add, [1]).result(30)
    open_files, threads, resident = len(os.listdir("/proc/self/fd")), active_count(), 0
    for number in range(deaths):
        with pytest.raises(WorkerLost):
            pool.submit(guilty.act, ["die"]).result(30)
        resident = resident_bytes() if number == 9 else resident
    alive = pool.submit(guilty.act, [""]).result(30)
    assert pool.deaths == deaths
    assert len(os.listdir("/proc/self/fd")) <= open_files + 2
    assert active_count() == threads
    assert resident_bytes() - resident < 8 << 20
    assert zombies() == []
    pool.shutdown()
    assert not Path(f"/proc/{alive}").exists()


def test_a_worker_killed_from_outside_is_replaced(pool: Pool) -> None:
    victim = pool.submit(guilty.act, [""]).result(30)
    os.kill(victim, signal.SIGKILL)
    errors = [pool.submit(guilty.add, [1, 1]).exception(30) for _ in range(4)]
    lost = [error for error in errors if error is not None]  # One of the four met the dead one.
    assert [error.reason for error in lost if isinstance(error, WorkerLost)] == [
        Reason.WORKER_CRASHED
    ] * len(lost)
    assert len(lost) <= 1
    assert pool.submit(guilty.add, [1, 1]).result(30) == 2


def test_shutdown_without_patience_ends_a_worker_that_hangs() -> None:
    pool = Pool(1, deadline_s=600.0, memory_bytes=256 << 20)
    pool.submit(guilty.add, [1]).result(30)
    stuck = pool.submit(guilty.act, ["hang"])
    pool.shutdown(cancel_futures=True)
    assert isinstance(stuck.exception(30), WorkerLost)
