import os
import socket
from pathlib import Path

import pytest

from ingestd.config import IGNORE
from ingestd.errors import Reason
from ingestd.sweep import Ignored, Seen, sweep

NOTHING = Ignored.of(())


def everything(root: Path, ignored: Ignored = NOTHING, stretch: int = 4096) -> Seen:
    """Put all stretches of a sweep together."""
    seen = Seen()
    for part in sweep(str(root), ignored, stretch=stretch):
        seen.sightings += part.sightings
        seen.faults += part.faults
        seen.unlisted += part.unlisted
    return seen


def paths(seen: Seen) -> list[str]:
    return sorted(look.path for look in seen.sightings)


def test_files_at_every_depth_are_seen_once(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d/e", "b/d/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    seen = everything(tmp_path, stretch=2)
    assert paths(seen) == ["a", "b/c", "b/d/e", "b/d/f"]
    assert {look.size_bytes for look in seen.sightings} == {5}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("image.dcm", False, id="an image"),
        pytest.param("IM0001", False, id="an image without a suffix"),
        pytest.param(".hidden", True, id="a hidden file"),
        pytest.param(".snapshot/image.dcm", True, id="a file in a hidden folder"),
        pytest.param("image.dcm.part", True, id="a copy under way"),
        pytest.param("~$image.dcm", True, id="an editor's lock"),
        pytest.param("a/@eaDir/image.dcm", True, id="what a storage box keeps for itself"),
        pytest.param("@eaDir", False, id="a file with the name of an ignored folder"),
        pytest.param("Thumbs.db", True, id="what a desktop leaves behind"),
        pytest.param("$RECYCLE.BIN/image.dcm", True, id="a waste bin"),
    ],
)
def test_ignored_names_are_not_seen_by_sweep_nor_by_hint(
    tmp_path: Path, name: str, expected: bool
) -> None:
    ignored = Ignored.of(IGNORE)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    assert (paths(everything(tmp_path, ignored)) == []) is expected
    assert ignored.path(name) is expected


def test_what_is_no_file_is_a_fault_that_says_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    seen = everything(tmp_path)
    listening.close()
    assert sorted((fault.path, fault.reason, fault.detail) for fault in seen.faults) == [
        ("fifo", Reason.NOT_A_FILE, "a FIFO, not a regular file"),
        ("socket", Reason.NOT_A_FILE, "a socket, not a regular file"),
    ]


def test_links_stay_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").touch()
    (tmp_path / "secret").touch()
    (root / "inside").symlink_to("folder/file")
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "again").symlink_to("folder")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nothing")
    seen = everything(root)
    assert paths(seen) == ["folder/file", "inside"]
    assert sorted((fault.path, fault.reason, fault.detail) for fault in seen.faults) == [
        ("dangling", Reason.NOT_A_FILE, "a symbolic link that leads to nothing"),
        ("loop", Reason.NOT_A_FILE, "a symbolic link that leads to itself"),
        ("outside", Reason.OUTSIDE_ROOT, "the symbolic link leads out of its root"),
    ]
    assert not seen.unlisted


def test_a_name_that_is_not_utf_8_is_seen_and_can_be_opened_again(tmp_path: Path) -> None:
    from ingestd.files import as_path  # noqa: PLC0415

    name = os.fsdecode(b"\xffbad\xe4name")
    (tmp_path / name).write_bytes(b"x")
    (look,) = everything(tmp_path).sightings
    assert look.path == "//xffbad//xe4name"
    assert look.path.encode()
    assert Path(as_path(str(tmp_path), look.path)).read_bytes() == b"x"


def test_a_root_that_is_not_there_is_an_error_and_not_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        everything(tmp_path / "nothing")


def test_a_folder_that_goes_while_it_is_listed_is_said_to_be_unlisted(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    parts = sweep(str(tmp_path), NOTHING, stretch=1)
    next(parts)
    (tmp_path / "folder").rmdir()
    rest = [path for part in parts for path, _ in part.unlisted]
    assert rest == ["folder"]


def test_a_folder_that_became_a_link_while_it_waited_is_not_followed(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret"
    for folder in (root / "upper" / "deeper", root / "flat", secret / "deeper"):
        folder.mkdir(parents=True)
    (secret / "a").touch()
    (secret / "deeper" / "b").touch()
    (root / "file").touch()
    parts = sweep(str(root), NOTHING, stretch=1)
    next(parts)
    for name in ("upper", "flat"):
        (root / name).rename(tmp_path / name)
        (root / name).symlink_to(secret)
    rest = [part for part in parts if part.sightings]
    assert rest == []


def test_only_folders_that_are_asked_for_are_listed(tmp_path: Path) -> None:
    for name in ("a/x", "a/deep/y", "b/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    parts = list(sweep(str(tmp_path), NOTHING, enter=lambda folder: folder == "a"))
    assert sorted(look.path for part in parts for look in part.sightings) == ["a/x"]
    assert [folder for part in parts for folder in part.folders] == ["a"]
