import os
from pathlib import Path

import pytest

from ingestd.errors import ConfigError
from ingestd.owner import apart
from ingestd.scan import folders


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Two folders side by side, one in the first, and a link to each of them."""
    for name in ("one", "one/inner", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / f"to-{name.replace('/', '-')}").symlink_to(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("state", "roots", "expected"),
    [
        pytest.param("one/state", ["one"], "state folder .* lies in", id="state in a root"),
        pytest.param("to-one/state", ["one"], "state folder .* lies in", id="state by a link"),
        pytest.param("one/state", ["to-one"], "state folder .* lies in", id="root by a link"),
        pytest.param("one", ["one/inner"], "lies in the state folder", id="root in the state"),
        pytest.param("state", ["one", "to-one"], "would be seen twice", id="one folder twice"),
        pytest.param("state", ["two", "to-one-inner", "one"], "seen twice", id="nested by a link"),
    ],
)
def test_what_would_be_seen_twice_is_refused(
    here: Path, state: str, roots: list[str], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        apart(here / state, [here / root for root in roots])


def test_folders_side_by_side_are_taken(here: Path) -> None:
    (here / "loop").symlink_to("loop")
    apart(here / "state", [here / "loop", here / "one"])
    apart(here / "state", [here / "to-one", here / "two", here / "not there yet"])


def test_a_state_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not UTF-8"):
        apart(tmp_path / os.fsdecode(b"\xff"), [])


def test_a_folder_of_a_scan_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    with pytest.raises(ConfigError, match="//xff: its name is not UTF-8"):
        folders([str(folder)])
