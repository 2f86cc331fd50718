import errno
import threading
import time

import pytest

from ingestd.reach import HANGING, Reach, beat


def test_what_the_work_gives_or_raises_comes_back() -> None:
    reach = Reach("x", deadline_s=10)
    assert reach.call(lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        reach.call(lambda: open("/nothing/there"))  # noqa: SIM115
    reach.close()


def test_work_that_hangs_is_left_behind_and_so_many_at_most() -> None:
    reach = Reach("x", deadline_s=0.05)
    let_go = threading.Event()
    for _ in range(HANGING + 2):
        with pytest.raises(TimeoutError) as hangs:
            reach.call(let_go.wait)
        assert hangs.value.errno == errno.ETIMEDOUT
    assert reach.hanging == HANGING
    let_go.set()
    until_s = time.monotonic() + 10
    while reach.hanging and time.monotonic() < until_s:
        time.sleep(0.01)
    assert reach.call(lambda: 7) == 7
    reach.close()


def test_work_that_gets_somewhere_may_take_longer_than_the_deadline() -> None:
    reach = Reach("x", deadline_s=0.2)

    def work() -> str:
        for _ in range(20):
            beat()
            time.sleep(0.03)
        return "done"

    assert reach.call(work) == "done"
    reach.close()


def test_whoever_stops_does_not_wait_for_what_hangs() -> None:
    reach = Reach("x", deadline_s=600)
    let_go = threading.Event()
    threading.Timer(0.1, reach.close).start()
    with pytest.raises(TimeoutError):
        reach.call(let_go.wait)
    let_go.set()
