import tracemalloc
from collections import Counter

import pytest

from ingestd.turns import Turns


def waiting(*paths: str) -> Turns[str, str]:
    turns: Turns[str, str] = Turns()
    for path in paths:
        turns.put(path, path, path)
    return turns


def some(turns: Turns[str, str], count: int) -> list[str]:
    return [turns.take() for _ in range(count)]


def test_the_newest_the_next_folder_and_the_oldest_go_by_turns() -> None:
    turns = waiting("many/1", "many/2", "many/3", "many/4", "many/5", "one/6", "many/7", "many/8")
    assert some(turns, 8) == [
        "many/8",  # the newest
        "many/1",  # the first folder
        "many/2",  # the oldest
        "many/3",
        "many/7",
        "many/4",
        "many/5",
        "one/6",
    ]


def test_newness_can_be_said() -> None:
    turns: Turns[str, str] = Turns()
    for name, newness in {"old": 1, "newest": 9, "new": 5}.items():
        turns.put(name, name, name, newness=newness)
    assert turns.take() == "newest"


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param([f"all/{one:05}" for one in range(20_000)], id="one folder"),
        pytest.param([f"all/{one // 100}/{one % 100}" for one in range(20_000)], id="series"),
        pytest.param([f"all/{one}/file" for one in range(20_000)], id="a folder for each file"),
        pytest.param(
            [f"{one // 100}/{one % 100}" for one in range(20_000)], id="folders of a root"
        ),
    ],
)
@pytest.mark.parametrize("at", [0, 0.001, 0.5, 0.999, 1])
def test_a_single_file_is_among_the_next_whenever_it_came_in_a_flood(
    flood: list[str], at: float
) -> None:
    middle = int(len(flood) * at)
    turns = waiting(*flood[:middle], "alone/file", *flood[middle:])
    folders = len({path.split("/")[0] for path in flood})
    assert "alone/file" in some(turns, 8 * (folders + 1))


def test_a_flood_that_goes_on_while_it_is_worked_off_starves_nobody() -> None:
    turns = waiting(*(f"all/{one}/file" for one in range(1000)), "alone/file")
    taken: list[str] = []
    for one in range(1000, 1100):
        for more in range(10):  # Ten come for each that goes.
            turns.put(f"{one}-{more}", f"all/{one}-{more}/file", f"all/{one}-{more}/file")
        taken.append(turns.take())
    assert "alone/file" in taken[:16]


def test_every_one_is_given_once_and_the_same_key_does_not_wait_twice() -> None:
    turns = waiting(*(f"{one % 7}/{one % 3}/{one}" for one in range(3000)))
    turns.put("0/0/0", "0/0/0", "again")
    assert turns.get("0/0/0") == "again"
    taken = Counter(some(turns, 1000))
    for one in range(3000, 4000):
        turns.put(str(one), f"a/b/c/d/e/f/{one}", str(one))
    turns.remove("3500")
    taken += Counter(some(turns, 500)) + Counter(turns.clear())
    assert len(turns) == 0
    assert (len(taken), set(taken.values())) == (3999, {1})


def test_what_is_dropped_is_the_oldest_where_much_waits() -> None:
    turns = waiting("alone/file", *(f"all/{one % 50}/{one}" for one in range(1000)), "last/file")
    dropped = [turns.drop() for _ in range(990)]
    assert not {"alone/file", "last/file"} & set(dropped)
    assert dropped[0] in {f"all/{one}/{one}" for one in range(50)}


def test_a_file_alone_in_deep_folders_takes_no_more_memory_than_others() -> None:
    tracemalloc.start()
    turns = waiting(*(f"{one}/study/series/stack/more/file" for one in range(10_000)))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / len(turns) < 1000
