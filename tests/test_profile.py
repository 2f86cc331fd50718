import os
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import PATIENCE
from daemons import COMMAND
from test_catalog import NOW, batch, file

from ingestd import profile
from ingestd.catalog import Catalog
from ingestd.errors import StateError


def open_to_others(state: Path) -> set[str]:
    """Name what shows persons and is not for its owner alone, at any depth that others reach."""
    found = set()
    for pattern, _, _ in profile.SHOWING:
        for place in state.glob(pattern):
            if stat.S_IMODE(place.stat().st_mode) & 0o077:
                found.add(place.name)
    return found


def researched(state: Path) -> None:
    """Put a state folder under the research profile, as a daemon does."""
    before = os.umask(profile.umask(state, "research"))
    try:
        with Catalog(state, memory_bytes=1 << 28, patience=PATIENCE, profile="research") as made:
            made.write(batch(file("a")), now=NOW)
            profile.close_off(state, "research")
    finally:
        os.umask(before)


def test_folders_that_workers_fill_are_there_and_closed_before_they_begin(tmp_path: Path) -> None:
    researched(tmp_path / "state")
    assert {one.name for one in (tmp_path / "state").iterdir()} > set(profile.FOLDERS)
    assert open_to_others(tmp_path / "state") == set()


def test_what_is_opened_to_the_group_again_is_what_was_closed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    researched(state)
    profile.close_off(state, "full")
    assert stat.S_IMODE((state / "catalog.duckdb").stat().st_mode) == 0o640
    assert stat.S_IMODE((state / "volumes").stat().st_mode) == 0o750


def test_what_a_restore_puts_there_and_aside_is_closed_too(tmp_path: Path) -> None:
    state, kept = tmp_path / "state", tmp_path / "kept"
    researched(state)
    for command in (["backup", str(kept)], ["restore"]):
        place = [str(one) for one in kept.iterdir() if one.is_dir()] if kept.exists() else []
        done = subprocess.run(
            [*COMMAND, *command, *place, "--state", str(state)], capture_output=True, check=True
        )
        assert done.stderr == b""
    assert any(one.name.startswith("before-restore-") for one in state.iterdir())
    assert open_to_others(state) == set()


def test_a_mark_that_says_neither_is_no_full_profile(tmp_path: Path) -> None:
    (tmp_path / profile.MARK).write_text("reserch\n")
    with pytest.raises(StateError, match="neither full nor research"):
        profile.read(tmp_path)
