import errno
import threading
import time
import weakref
from functools import partial

import pytest
from daemons import wait_for

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

    def answers() -> bool:
        try:
            return reach.call(lambda: True)
        except TimeoutError:  # The machine is slow, and the deadline short.
            return False

    assert wait_for(answers)
    reach.close()


def test_who_gives_up_says_where_the_work_had_been_last() -> None:
    reach = Reach("x", deadline_s=0.05)
    let_go = threading.Event()

    def work() -> None:
        beat("a folder")
        let_go.wait()

    def place() -> str | None:
        with pytest.raises(TimeoutError) as hangs:
            reach.call(work)
        return hangs.value.filename

    assert wait_for(place) == "a folder"
    let_go.set()
    reach.close()


def test_work_that_gets_somewhere_may_take_longer_than_the_deadline() -> None:
    reach = Reach("x", deadline_s=2)

    def work() -> str:
        until_s = time.monotonic() + 2.5
        while time.monotonic() < until_s:
            beat()
            time.sleep(0.01)
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


def test_a_call_that_is_over_keeps_nothing_of_what_it_worked_with() -> None:
    reach = Reach("root", deadline_s=5)
    listing = iter(Held())
    watched = weakref.ref(listing)
    assert reach.call(partial(next, listing)) == 1
    del listing
    wait_for(lambda: watched() is None)
    reach.close()


class Held:
    """Something that is listed, and can be watched."""

    def __iter__(self) -> "Held":
        return self

    def __next__(self) -> int:
        return 1
