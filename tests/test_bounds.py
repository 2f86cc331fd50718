from pathlib import Path

import pytest

from ingestd import bounds
from ingestd.bounds import Bounds
from ingestd.config import Config
from ingestd.errors import StateError


def test_without_a_daemon_ever_they_are_those_of_an_empty_config(tmp_path: Path) -> None:
    assert bounds.read(tmp_path) == Bounds() == bounds.of(Config())


def test_those_of_the_last_daemon_are_kept(tmp_path: Path) -> None:
    wanted = bounds.of(Config(sql={"rows": 7, "deadline_s": 1.5}))
    bounds.keep(tmp_path, wanted)
    assert bounds.read(tmp_path) == wanted
    assert (wanted.rows, wanted.deadline_s) == (7, 1.5)
    bounds.keep(tmp_path, Bounds())
    assert bounds.read(tmp_path) == Bounds()


@pytest.mark.parametrize("content", ["", "[]", '{"rows": 1, "colour": 2}', "\xff"])
def test_a_damaged_note_is_said_and_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / bounds.NAME).write_text(content)
    with pytest.raises(StateError, match="start `ingestd run` again"):
        bounds.read(tmp_path)
    bounds.keep(tmp_path, Bounds())
    assert bounds.read(tmp_path) == Bounds()
