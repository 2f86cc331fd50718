import pytest

from ingestd.screen import cut, fitted, plain, plain_lines, width


@pytest.mark.parametrize(
    "bad",
    ["\x1b", "\x07", "\x9b", "\r", "\n", "\u202e", "\u2066", "\u2028", "\ud800"],
    ids=ascii,
)
def test_what_a_terminal_would_obey_is_replaced(bad: str) -> None:
    assert plain(f"a{bad}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_words_of_several_lines_keep_their_lines() -> None:
    assert plain_lines("LINE 1\n\x1b^") == "LINE 1\n\N{REPLACEMENT CHARACTER}^"


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [
        pytest.param("short", 10, "short", id="what fits stays"),
        pytest.param("some words here", 10, "some word…", id="words lose their end"),
        pytest.param(
            "1.2.840.113619.2.55.3.6046", 15, "1.2.840…55.3.6046"[:7] + "….3.6046", id="UID"
        ),
        pytest.param("花子花子", 5, "花子…", id="wide characters take two cells"),
        pytest.param("é" * 9, 8, "é" * 7 + "…", id="narrow ones take one"),
    ],
)
def test_a_text_is_shortened_and_shows_it(text: str, cells: int, expected: str) -> None:
    assert cut(text, cells) == expected
    assert width(cut(text, cells)) <= cells


@pytest.mark.parametrize(
    ("wide", "room", "expected"),
    [
        pytest.param([5, 5], 80, [5, 5], id="there is room"),
        pytest.param([5, 50, 30], 60, [5, 25, 26], id="the widest give way first"),
        pytest.param([64, 64], 80, [39, 39], id="evenly"),
        pytest.param([10] * 9, 40, [8, 8, 9, 9], id="what has no room is left out"),
        pytest.param([90], 20, [20], id="the first column stays"),
    ],
)
def test_columns_fit_a_line(wide: list[int], room: int, expected: list[int]) -> None:
    found = fitted(wide, room, gap=2, least=8)
    assert found == expected
    assert sum(found) + 2 * (len(found) - 1) <= room
