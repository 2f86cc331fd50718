from collections.abc import Iterator

import pytest
from test_catalog import NOW, ROOT, A, B, batch, file, states

from ingestd.catalog import Catalog
from ingestd.rollcall import RollCall


@pytest.fixture
def roll(catalog: Catalog) -> Iterator[RollCall]:
    made = RollCall(catalog, ROOT, brake_percent=20)
    yield made
    made.close()


def sweeps(roll: RollCall, times: int, *there: str, unlisted: tuple[str, ...] = ()) -> None:
    for _ in range(times):
        roll.begin()
        roll.note(there)
        roll.end(unlisted)


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


def test_when_much_of_a_root_vanishes_it_takes_longer_and_is_loud(
    catalog: Catalog, roll: RollCall
) -> None:
    files = [file(str(number), f"1.{number}") for number in range(40)]
    catalog.write(batch(*files), now=NOW)
    sweeps(roll, 3, *(str(number) for number in range(20)))
    assert "gone" not in states(catalog).values()
    assert catalog.rows("SELECT kind, root FROM event") == [("gone_brake", ROOT)]
    sweeps(roll, 1, *(str(number) for number in range(20)))
    assert list(states(catalog).values()).count("gone") == 20


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
