import threading
import time
from dataclasses import replace

from ingestd.hints import GATHER_S, Hint, Hints, InFlight
from ingestd.model import Sighting


def test_a_hint_waits_once_however_often_it_is_given() -> None:
    hints = Hints(limit=10)
    for name in "abcdeab":
        hints.put(Hint(path=name, is_folder=False))
    assert sorted(hint.path for hint in hints.take(0, 9)) == ["a", "b", "c", "d", "e"]
    assert hints.take(0, 9) == []


def test_when_there_are_too_many_a_full_folder_is_left_to_a_sweep_and_a_single_file_is_not() -> (
    None
):
    hints = Hints(limit=100)
    hints.put(Hint(path="alone/file", is_folder=False))
    for number in range(1000):
        hints.put(Hint(path=f"all/{number % 10}/{number}", is_folder=False))
    assert hints.lost
    taken = [hint.path for hint in hints.take(0, 1000)]
    assert len(taken) == 100
    assert "alone/file" in taken[:8]


def test_once_a_folder_always_a_folder() -> None:
    hints = Hints(limit=2)
    hints.put(Hint(path="a", is_folder=True))
    hints.put(Hint(path="a", is_folder=False))
    assert hints.take(0, 9) == [Hint(path="a", is_folder=True)]
    hints.put(Hint(path="a", is_folder=False))
    hints.put(Hint(path="a", is_folder=True))
    assert hints.take(0, 9) == [Hint(path="a", is_folder=True)]


def test_a_file_in_flight_is_looked_at_again_only_when_it_changed_meanwhile() -> None:
    offered = Sighting(root="/r", path="a", size_bytes=1, mtime_ns=1, seen_s=0)
    in_flight = InFlight()
    assert not in_flight.has(offered)
    in_flight.add(offered, 0)
    assert in_flight.has(replace(offered, seen_s=1))
    assert in_flight.done(["a"]) == []
    in_flight.add(offered, 0)
    assert in_flight.has(replace(offered, mtime_ns=2))
    assert in_flight.done(["a"]) == ["a"]
    assert "a" not in in_flight


def test_a_file_that_is_being_written_is_looked_at_no_more_than_so_often() -> None:
    hints, over = Hints(limit=10), threading.Event()

    def write() -> None:
        while not over.wait(0.0005):
            hints.put(Hint(path="growing", is_folder=False))

    writer = threading.Thread(target=write)
    began_s = time.monotonic()
    writer.start()
    taken = sum(len(hints.take(1, 10)) for _ in range(10))
    took_s = time.monotonic() - began_s
    over.set()
    writer.join()
    assert taken <= took_s / GATHER_S + 1
