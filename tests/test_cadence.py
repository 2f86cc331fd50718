import pytest

from ingestd.cadence import HOT_FOR_S, Hot, next_part_s, next_sweep_s


@pytest.mark.parametrize(
    ("took_s", "polled", "chance", "expected"),
    [
        pytest.param(0.1, True, 0.5, 110.1, id="a small share is listed whole every time"),
        pytest.param(5, True, 0.5, 155, id="a larger one for a tenth of the time"),
        pytest.param(100, True, 1, 400, id="but within full_sweep_s"),
        pytest.param(400, True, 1, 900, id="unless that is more than half of the time"),
        pytest.param(0.1, False, 1, 400, id="one that tells is listed within full_sweep_s"),
        pytest.param(0.1, False, 0, 325, id="not all of them at once"),
    ],
)
def test_next_sweep_s(took_s: float, polled: bool, chance: float, expected: float) -> None:
    found = next_sweep_s(
        100, 100 + took_s, polled=polled, hot_s=10, full_sweep_s=300, chance=chance
    )
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [
        pytest.param(1, 110, id="every hot_s"),
        pytest.param(8, 116, id="unless that is more than half of the time"),
    ],
)
def test_next_part_s(took_s: float, expected: float) -> None:
    assert next_part_s(100, 100 + took_s, hot_s=10) == expected


def test_a_folder_that_changed_is_hot_for_a_while_and_so_are_those_above_it() -> None:
    hot = Hot()
    assert hot.folders(0) == [""]
    hot.note("a/b", 0)
    hot.note("c", 10)
    assert set(hot.folders(11)) == {"", "a", "a/b", "c"}
    assert hot.folders(HOT_FOR_S + 1) == ["", "c"]


def test_no_more_folders_are_hot_than_the_limit_and_the_latest_stay() -> None:
    hot = Hot(limit=3)
    for number in range(10):
        hot.note(str(number), number)
    assert hot.folders(10) == ["", "9", "8"]
