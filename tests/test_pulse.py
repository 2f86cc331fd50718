from ingestd.pulse import Pulse


def test_a_part_that_beats_is_never_stuck() -> None:
    pulse = Pulse()
    beat = pulse.part("sender")
    found = []
    for _ in range(100):
        beat()
        found.append(pulse.look(60.0))
    assert found == [{}] * 100


def test_a_part_that_stands_still_is_named_with_how_long() -> None:
    pulse = Pulse()
    pulse.part("sender")
    assert [pulse.look(60.0) for _ in range(4)] == [{}, {}, {"sender": 120.0}, {"sender": 180.0}]


def test_the_writer_may_take_longer() -> None:
    pulse = Pulse()
    pulse.part("writer")
    assert [bool(pulse.look(100.0)) for _ in range(8)] == [False] * 6 + [True] * 2


def test_one_beat_makes_up_for_all() -> None:
    pulse = Pulse()
    beat = pulse.part("sender")
    for _ in range(5):
        pulse.look(60.0)
    beat()
    assert pulse.look(60.0) == {}


def test_a_part_that_ended_is_not_waited_for() -> None:
    pulse = Pulse()
    pulse.part("keeper-0")
    pulse.part("sender")
    pulse.end("keeper-0")
    for _ in range(3):
        pulse.look(60.0)
    assert set(pulse.look(60.0)) == {"sender"}
