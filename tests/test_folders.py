from pathlib import Path

import pytest

from ingestd import folders
from ingestd.folders import Folders
from ingestd.reach import Reach
from ingestd.sweep import Ignored, Seen

ROOM = 1000


class Desk:
    """Collects what is found, and counts what is left to a sweep."""

    def __init__(self, root: Path, *ignored: str) -> None:
        self.found: list[str] = []
        self.lost = 0
        self.folders = Folders(
            str(root),
            ignored=Ignored.of(ignored),
            reach=Reach("root", deadline_s=30),
            found=self._take,
            lost=self._lose,
        )

    def _take(self, seen: Seen) -> None:
        self.found += [look.path for look in seen.sightings]

    def _lose(self) -> None:
        self.lost += 1

    def advance(self, room: int = ROOM) -> None:
        self.folders.advance(lambda: room - len(self.found))


@pytest.fixture(autouse=True)
def stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "STRETCH", 10)


def fill(folder: Path, files: int) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"{number:04}").touch()


def test_a_folder_is_listed_to_its_depths_and_nothing_is_left(tmp_path: Path) -> None:
    fill(tmp_path / "a", 3)
    fill(tmp_path / "a" / "b" / "c", 35)
    desk = Desk(tmp_path)
    desk.folders.put("a")
    while len(desk.folders):
        desk.advance()
    assert len(desk.found) == len(set(desk.found)) == 38
    assert not desk.lost


def test_a_large_folder_does_not_hold_up_a_small_one(tmp_path: Path) -> None:
    fill(tmp_path / "large", 500)
    desk = Desk(tmp_path)
    desk.folders.put("large")
    desk.advance()
    fill(tmp_path / "small", 1)
    desk.folders.put("small")
    desk.advance()
    assert "small/0000" in desk.found
    assert len(desk.found) < 100


def test_a_folder_of_which_all_is_ignored_is_listed_a_stretch_at_a_time_too(tmp_path: Path) -> None:
    fill(tmp_path / "large", 500)
    fill(tmp_path / "small", 1)
    desk = Desk(tmp_path, "0[1-9]*", "00[1-9]*", "000[1-9]")
    desk.folders.put("large")
    desk.advance()
    assert len(desk.folders) == 1


def test_without_room_nothing_is_listed_and_what_is_large_is_left_to_a_sweep(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "large", 500)
    desk = Desk(tmp_path)
    desk.folders.put("large")
    desk.advance(room=0)
    assert (desk.found, desk.lost, len(desk.folders)) == ([], 0, 1)
    desk.advance(room=15)
    assert (len(desk.found), desk.lost, len(desk.folders)) == (10, 1, 0)


def test_there_are_only_so_many_and_a_sweep_takes_the_place_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LIMIT", 5)
    desk = Desk(tmp_path)
    for number in range(8):
        desk.folders.put(str(number))
    assert (len(desk.folders), desk.lost) == (5, 3)


def test_many_large_folders_hold_only_so_many_open(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(20):
        fill(tmp_path / str(number), 30)
        desk.folders.put(str(number))
    for _ in range(20):
        desk.advance()
        assert len(desk.folders._large) <= folders.LARGE


def test_a_folder_that_left_is_no_trouble(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.folders.put("gone")
    desk.advance()
    assert (desk.found, desk.lost, len(desk.folders)) == ([], 0, 0)
