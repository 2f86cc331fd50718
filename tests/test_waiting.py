from collections.abc import Sequence
from dataclasses import replace

import pytest

from ingestd.model import Arrival
from ingestd.waiting import Waiting


def arrival(seq: int, root: str = "/r", changed_ns: int = 0, size_bytes: int = 1) -> Arrival:
    return Arrival(
        seq=seq,
        root=root,
        path=str(seq),
        size_bytes=size_bytes,
        mtime_ns=1,
        changed_ns=changed_ns,
    )


def seqs(chunk: Sequence[Arrival]) -> list[int]:
    return [one.seq for one in chunk]


def test_a_share_of_each_chunk_is_for_the_newest_and_most_for_the_oldest() -> None:
    waiting = Waiting(fair=True)
    for seq in range(20):
        waiting.put(arrival(seq, changed_ns=1000 if seq == 11 else seq))
    assert seqs(waiting.take(8, 1 << 20)) == [0, 1, 2, 3, 4, 5, 11, 19]
    assert seqs(waiting.take(8, 1 << 20)) == [6, 7, 8, 9, 10, 12, 17, 18]
    assert seqs(waiting.take(8, 1 << 20)) == [13, 14, 15, 16]
    assert seqs(waiting.take(8, 1 << 20)) == []


def test_a_file_of_its_own_folder_is_in_the_next_chunk_however_new_all_others_are() -> None:
    waiting = Waiting(fair=True)
    waiting.put(replace(arrival(0), path="alone/0"))
    for seq in range(1, 5000):
        waiting.put(replace(arrival(seq, changed_ns=seq), path=f"all/{seq % 50}/{seq}"))
    waiting.take(64, 1 << 20)
    waiting.put(replace(arrival(5000), path="alone/5000"))
    for seq in range(5001, 9000):
        waiting.put(replace(arrival(seq, changed_ns=seq), path=f"all/{seq % 50}/{seq}"))
    assert 5000 in seqs(waiting.take(64, 1 << 20))


def test_large_files_of_which_one_makes_a_chunk_do_not_keep_the_oldest_waiting() -> None:
    waiting = Waiting(fair=True)
    for seq in range(100):
        waiting.put(arrival(seq, changed_ns=seq, size_bytes=1 << 30))
    taken = [seq for _ in range(8) for seq in seqs(waiting.take(8, 1 << 20))]
    assert sorted(taken) == [0, 1, 2, 3, 4, 5, 98, 99]


def test_where_nobody_must_be_fair_files_go_in_the_order_in_which_they_came() -> None:
    waiting = Waiting(fair=False)
    for seq in range(5):
        waiting.put(arrival(seq, changed_ns=-seq))
    assert seqs(waiting.take(3, 1 << 20)) == [0, 1, 2]
    assert len(waiting) == 2


def test_a_chunk_ends_when_it_has_enough_bytes_but_has_one_file_at_least() -> None:
    waiting = Waiting(fair=True)
    for seq in range(4):
        waiting.put(arrival(seq, size_bytes=100))
    assert seqs(waiting.take(8, 150)) == [0, 3]
    assert seqs(waiting.take(8, 50)) == [1]


def test_roots_take_turns_and_one_chunk_is_of_one_root() -> None:
    waiting = Waiting(fair=True)
    for seq in range(100):
        waiting.put(arrival(seq, root="/many"))
    waiting.put(arrival(100, root="/few"))
    assert {one.root for one in waiting.take(8, 1 << 20)} == {"/many"}
    assert seqs(waiting.take(8, 1 << 20)) == [100]


def test_a_root_that_hung_has_one_file_under_way_until_it_is_trusted_again() -> None:
    waiting = Waiting(fair=True)
    for seq in range(3):
        waiting.put(arrival(seq))
    assert seqs(waiting.hold("/r")) == [0, 1, 2]
    for seq in range(3, 9):
        waiting.put(arrival(seq))
    assert seqs(waiting.take(8, 1 << 20)) == [8]
    assert seqs(waiting.take(8, 1 << 20)) == []
    waiting.end("/r")
    waiting.suspects.discard("/r")
    assert seqs(waiting.take(8, 1 << 20)) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("fair", [True, False])
def test_every_file_is_given_once_whatever_order_they_have(fair: bool) -> None:
    waiting = Waiting(fair=fair)
    given: list[int] = []
    for seq in range(5000):
        waiting.put(arrival(seq, changed_ns=seq * 7919 % 5000))
        if seq % 3 == 0:
            given += seqs(waiting.take(2, 1 << 20))
    while chunk := waiting.take(64, 1 << 20):
        given += seqs(chunk)
    assert sorted(given) == list(range(5000))
