"""What is said of differences, and that the page about them is complete."""

import re
from pathlib import Path

from ingestd import sql
from ingestd.differences import KINDS, LISTED, Difference, Found, Mend, as_text, is_proven, summary

PAGE = Path(__file__).parents[1] / "docs" / "audit.md"


def some(count: int, kind: str = "file_changed") -> list[Difference]:
    return [Difference(kind=kind, root="/drop", path=str(number)) for number in range(count)]


def test_the_page_has_a_heading_for_each_kind_and_no_other() -> None:
    assert set(re.findall(r"^## (\w+)$", PAGE.read_text(), re.MULTILINE)) == set(KINDS)


def test_each_question_between_tables_is_a_kind() -> None:
    assert set(sql.AUDIT) <= set(KINDS)


def test_what_the_page_calls_not_mended_is_not_mended() -> None:
    sections = re.split(r"^## (\w+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    for kind, words in zip(sections[::2], sections[1::2], strict=True):
        assert (KINDS[kind].mend is not Mend.NOT) == ("Mended:" in words), kind


def test_all_are_counted_and_so_many_are_named() -> None:
    found = Found()
    found.add(some(LISTED + 5))
    said = summary(found, None)
    assert said["found"] == {"file_changed": LISTED + 5}
    assert (len(said["differences"]), said["not_listed"]) == (LISTED, 5)


def test_what_is_not_found_again_was_mended() -> None:
    first, left = Found(), Found()
    first.add(some(3))
    left.add(some(1))
    said = summary(first, left)
    assert [one["mended"] for one in said["differences"]] == [False, True, True]
    assert not is_proven(said)
    assert "2 of 3 mended" in as_text(said)


def test_nothing_is_proven_of_what_was_not_compared() -> None:
    found = Found()
    assert is_proven(summary(found, None))
    found.unproven.append("/drop: cannot be reached")
    assert not is_proven(summary(found, None))
