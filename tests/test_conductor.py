import pytest

from ingestd.model import Arrival
from ingestd.waiting import parts


def arrivals(names: str) -> list[Arrival]:
    return [
        Arrival(seq=seq, root="/r", path=name, size_bytes=1, mtime_ns=1)
        for seq, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(None, ["ab", "cde"], id="in half when nobody knows"),
        pytest.param(0, ["a", "bcde"], id="the first was in hand"),
        pytest.param(2, ["ab", "c", "de"], id="one in the middle was in hand"),
        pytest.param(4, ["abcd", "e"], id="the last was in hand"),
    ],
)
def test_a_lost_chunk_is_cut_around_its_guilty_file(at: int | None, expected: list[str]) -> None:
    cut = parts(arrivals("abcde"), at)
    assert ["".join(arrival.path for arrival in part) for part in cut] == expected
