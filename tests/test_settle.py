import pytest

from ingestd.model import Sighting
from ingestd.settle import Settling


def look(seen_s: float, size: int = 10, mtime: int = 1, path: str = "a") -> Sighting:
    return Sighting(root="/r", path=path, size_bytes=size, mtime_ns=mtime, seen_s=seen_s)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([look(0)], False, id="seen once"),
        pytest.param([look(0), look(4.9)], False, id="the same, but not for long enough"),
        pytest.param([look(0), look(5)], True, id="the same for exactly the time asked"),
        pytest.param([look(0), look(4, size=20), look(8, size=20)], False, id="it grew"),
        pytest.param(
            [look(0), look(4, size=20), look(9, size=20)], True, id="it grew, then rested"
        ),
        pytest.param([look(0), look(5, mtime=2)], False, id="the same size, but rewritten"),
        pytest.param([look(0), look(3, mtime=2), look(6), look(10)], False, id="it went back"),
        pytest.param([look(0, size=0), look(5, size=0)], True, id="an empty file settles too"),
    ],
)
def test_settled(looks: list[Sighting], expected: bool) -> None:
    settling = Settling(quiet_s=5, limit=10)
    assert [settling.saw(one) for one in looks][-1] is expected


def test_due_names_each_file_once_and_only_when_its_time_has_come() -> None:
    settling = Settling(quiet_s=5, limit=10)
    settling.saw(look(0, path="a"))
    settling.saw(look(1, path="b"))
    settling.saw(look(3, path="a", size=20))
    assert settling.due(5.5, 10) == []
    assert settling.due(6.5, 10) == ["b"]
    assert settling.due(99, 10) == ["a"]
    assert settling.due(99, 10) == []


def test_a_settled_file_is_forgotten_and_makes_room() -> None:
    settling = Settling(quiet_s=5, limit=2)
    settling.saw(look(0, path="a"))
    settling.saw(look(0, path="b"))
    assert settling.room == 0
    settling.saw(look(5, path="a"))
    settling.forget("b")
    assert (settling.room, len(settling)) == (2, 0)
