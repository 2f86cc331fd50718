from ingestd.hints import Hints
from ingestd.watch import Hint


def test_the_newest_and_the_oldest_go_by_turns_and_each_path_once() -> None:
    hints = Hints(limit=10)
    for name in "abcdeab":
        hints.put(Hint(path=name, is_folder=False))
    assert [path for path, _ in hints.take(0, 3)] == ["e", "a", "d"]
    assert [path for path, _ in hints.take(0, 3)] == ["c", "b"]


def test_when_there_are_too_many_the_oldest_is_left_to_a_sweep() -> None:
    hints = Hints(limit=2)
    for name in "abc":
        hints.put(Hint(path=name, is_folder=False))
    assert hints.lost
    assert sorted(path for path, _ in hints.take(0, 9)) == ["b", "c"]


def test_once_a_folder_always_a_folder() -> None:
    hints = Hints(limit=2)
    hints.put(Hint(path="a", is_folder=True))
    hints.put(Hint(path="a", is_folder=False))
    assert hints.take(0, 9) == [("a", True)]
