"""Two threads: everything is done once, what fails is told, what hangs is named."""

import threading

import pytest

from ingestd import by_two


@pytest.mark.parametrize("count", [0, 1, 2, 7, 200])
@pytest.mark.parametrize("alone", [True, False])
def test_everything_is_done_once(count: int, alone: bool) -> None:
    done: list[int] = []
    beats: list[int] = []
    by_two.each(range(count), done.append, beats.append, alone=alone)
    assert sorted(done) == list(range(count))
    assert set(beats) >= set(range(count if alone else (count + 1) // 2))


@pytest.mark.parametrize("at", [0, 2, 3, 5], ids=["here", "last here", "there", "last there"])
def test_what_fails_is_told_and_both_threads_are_done(at: int) -> None:
    def do(one: int) -> None:
        if one == at:
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        by_two.each(range(6), do, lambda _: None)
    assert not [thread for thread in threading.enumerate() if thread.name == "by-two"]


def test_what_the_other_thread_waits_for_is_named_in_the_end() -> None:
    told, free = threading.Event(), threading.Event()

    def do(one: int) -> None:
        if one == 4:
            assert free.wait(60)

    def beat(one: int) -> None:
        if one == 4:
            told.set()
            free.set()

    by_two.each(range(6), do, beat)
    assert told.is_set()


def test_without_room_for_a_thread_it_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    done: list[int] = []
    by_two.each(range(5), done.append, lambda _: None)
    assert done == list(range(5))
