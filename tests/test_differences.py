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


def test_what_is_found_again_with_other_words_is_left() -> None:
    first, left = Found(), Found()
    first.add([Difference(kind="file_unread", root="/drop", path="a", detail="one fault")])
    left.add([Difference(kind="file_unread", root="/drop", path="a", detail="another")])
    first.add([Difference(kind="tags_without_instance", detail=str(at)) for at in range(2)])
    left.add([Difference(kind="tags_without_instance", detail="1")])
    mended = [one["mended"] for one in summary(first, left)["differences"]]
    assert mended == [False, True, False]


def test_where_not_all_that_is_left_is_named_nobody_knows_what_is_mended() -> None:
    first, left = Found(), Found()
    first.add(some(LISTED + 5))
    left.add(some(LISTED + 5)[::-1][: LISTED + 1])
    mended = [one["mended"] for one in summary(first, left)["differences"]]
    assert (mended[:5], set(mended[5:])) == ([None] * 5, {False})


def test_a_name_of_a_file_cannot_pretend_to_be_a_line_of_ours() -> None:
    found = Found()
    found.add([Difference(kind="file_changed", root="/drop", path="x\nno difference\x1b[2J")])
    found.unproven.append("/drop/y\nno difference: cannot be listed")
    lines = as_text(summary(found, None)).split("\n")
    assert not any("\x1b" in line or line.startswith("no difference") for line in lines)


def test_nothing_is_proven_of_what_was_not_compared() -> None:
    found = Found()
    assert is_proven(summary(found, None))
    found.unproven.append("/drop: cannot be reached")
    assert not is_proven(summary(found, None))
