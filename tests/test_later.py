from ingestd.later import Held, Later


def test_what_is_put_off_again_waits_twice_as_long_up_to_a_limit() -> None:
    later = Later(first_s=5, limit_s=30)
    waits = []
    for _ in range(5):
        later.leave("a", 100)
        waits.append(later.next_s(100, 1000))
    assert waits == [5, 10, 20, 30, 30]


def test_a_file_that_is_put_off_is_not_asked_for_until_it_is_due() -> None:
    later = Later(first_s=5, limit_s=30)
    later.leave("a", 100)
    assert (later.not_yet(104.9), later.not_yet(105)) == (["a"], [])


def test_what_went_through_is_forgotten_and_what_was_put_off_again_is_not() -> None:
    later = Later(first_s=5, limit_s=30)
    later.leave("a", 100)
    later.leave("b", 100)
    later.leave("b", 106)
    later.went_through(106)
    assert later.not_yet(107) == ["b"]
    assert len(later) == 1


def test_a_root_that_rests_is_not_tried_and_forgets_its_files() -> None:
    later = Later(first_s=5, limit_s=30)
    later.leave("a", 100)
    later.rest(100)
    assert (len(later), later.rests(104), later.rests(105)) == (0, True, False)


def test_nothing_put_off_waits_as_long_as_allowed() -> None:
    assert Later(first_s=5, limit_s=30).next_s(100, 60) == 60


def test_a_root_whose_reads_hang_is_left_alone_for_longer_and_longer() -> None:
    held = Held(limit_s=60.0)
    away = []
    for now_s in (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 700.0):
        held.why = "no answer"
        away.append(held.take(now_s))
    assert away == [("no answer", s) for s in (2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 2.0)]
    assert held.why == ""
