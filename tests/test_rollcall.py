from collections.abc import Iterator

import pytest
from test_catalog import NOW, ROOT, A, B, batch, file, states

from ingestd.catalog import Catalog
from ingestd.rollcall import RollCall


@pytest.fixture
def roll(catalog: Catalog) -> Iterator[RollCall]:
    made = RollCall(catalog, ROOT, brake_percent=20, brake_s=3600)
    yield made
    made.close()


def sweeps(
    roll: RollCall,
    times: int,
    *there: str,
    unlisted: tuple[str, ...] = (),
    now_s: float = 0.0,
) -> None:
    for _ in range(times):
        roll.begin()
        roll.note(there)
        roll.end(unlisted, now_s)


def test_a_file_is_gone_after_two_sweeps_without_it_and_not_before(
    catalog: Catalog, roll: RollCall
) -> None:
    catalog.write(batch(file("a"), file("b", "2.2")), now=NOW)
    sweeps(roll, 1, "a")
    assert states(catalog)["b"] == "cataloged"
    sweeps(roll, 1, "a")
    assert states(catalog) == {"a": "cataloged", "b": "gone"}


def test_a_file_that_was_only_away_for_one_sweep_is_not_gone(
    catalog: Catalog, roll: RollCall
) -> None:
    catalog.write(batch(file("a")), now=NOW)
    for there in ([], ["a"], []):
        sweeps(roll, 1, *there)
    assert states(catalog) == {"a": "cataloged"}


def test_a_folder_that_could_not_be_listed_says_nothing_of_its_files(
    catalog: Catalog, roll: RollCall
) -> None:
    catalog.write(batch(file("x/a"), file("xy", "2.2")), now=NOW)
    sweeps(roll, 3, unlisted=("x",))
    assert states(catalog) == {"x/a": "cataloged", "xy": "gone"}


@pytest.fixture
def forty(catalog: Catalog) -> list[str]:
    """Forty files that the ledger knows."""
    names = [str(number) for number in range(40)]
    catalog.write(batch(*(file(name, f"1.{name}") for name in names)), now=NOW)
    return names


def gone(catalog: Catalog) -> int:
    return list(states(catalog).values()).count("gone")


def events(catalog: Catalog) -> list[str]:
    return [
        kind
        for (kind,) in catalog.rows(
            "SELECT kind FROM event WHERE kind LIKE 'gone%' ORDER BY event_id"
        )
    ]


def test_when_much_of_a_root_is_missed_it_is_not_gone_however_often_it_was_swept(
    catalog: Catalog, roll: RollCall, forty: list[str]
) -> None:
    sweeps(roll, 1, *forty[:20], now_s=100)
    sweeps(roll, 12, *forty[:20], now_s=3699)
    assert (gone(catalog), events(catalog)) == (0, ["gone_brake"])
    assert roll.missed == "20 of 40 files are not there"
    sweeps(roll, 1, *forty[:20], now_s=3700)
    assert (gone(catalog), events(catalog)) == (20, ["gone_brake", "gone_believed"])
    assert roll.missed == ""


def test_what_leaves_bit_by_bit_is_braked_as_well(
    catalog: Catalog, roll: RollCall, forty: list[str]
) -> None:
    for there in range(40, 0, -6):
        sweeps(roll, 1, *forty[:there])
    assert (gone(catalog), events(catalog)) == (0, ["gone_brake"])


def test_what_comes_back_is_missed_no_more_and_the_next_time_is_told_again(
    catalog: Catalog, roll: RollCall, forty: list[str]
) -> None:
    for _ in range(2):
        sweeps(roll, 3, *forty[:20])
        assert roll.missed
        sweeps(roll, 1, *forty, now_s=5000)
        assert roll.missed == ""
    assert (gone(catalog), events(catalog)) == (0, ["gone_brake", "gone_brake"])


def test_a_small_part_may_go_while_nothing_else_is_missed(
    catalog: Catalog, roll: RollCall, forty: list[str]
) -> None:
    sweeps(roll, 2, *forty[:30])
    assert (gone(catalog), events(catalog)) == (10, [])


def test_an_instance_whose_file_is_gone_lives_on_in_its_copy(
    catalog: Catalog, roll: RollCall
) -> None:
    catalog.write(batch(file("a"), file("copy"), file("other", digest=B)), now=NOW)
    sweeps(roll, 2, "copy", "other")
    assert catalog.rows("SELECT path, digest FROM instance") == [("copy", A)]
    assert states(catalog) == {"a": "gone", "copy": "cataloged", "other": "conflict"}


def test_the_count_goes_on_after_the_catalog_was_opened_anew(
    catalog: Catalog, roll: RollCall
) -> None:
    catalog.write(batch(file("a"), file("b", "2.2")), now=NOW)
    sweeps(roll, 1, "a")
    catalog.reopen()
    sweeps(roll, 1, "a")
    assert states(catalog)["b"] == "cataloged"
    sweeps(roll, 1, "a")
    assert states(catalog)["b"] == "gone"


def test_a_conflict_whose_rival_is_gone_is_read_again_and_becomes_the_instance(
    catalog: Catalog, roll: RollCall
) -> None:
    catalog.write(batch(file("a"), file("b", digest=B)), now=NOW)
    sweeps(roll, 2, "b")
    assert states(catalog) == {"a": "gone", "b": "retry"}
    catalog.write(batch(file("b", digest=B)), now=NOW)
    assert catalog.rows("SELECT path, digest, revision FROM instance") == [("b", B, 2)]
    assert states(catalog) == {"a": "gone", "b": "cataloged"}
