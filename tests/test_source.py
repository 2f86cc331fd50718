import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.source import Changed, Version, opened, unlink


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "x.dcm").write_bytes(b"first")
    os.utime(folder / "a" / "b" / "x.dcm", ns=(7, 7))
    (tmp_path / "secret").write_bytes(b"first")
    os.utime(tmp_path / "secret", ns=(7, 7))
    a_tick_later(folder / "a/b/x.dcm")
    return folder


def a_tick_later(file: Path) -> None:
    """Wait until the file system's clock, which has steps, gives another time than that of a file.

    In life a file has been quiet for seconds when it is taken.
    """
    probe = file.parent / "probe"
    while True:
        probe.touch()
        later = probe.stat().st_ctime_ns > file.stat().st_ctime_ns
        probe.unlink()
        if later:
            return


def version(drop: Path) -> Version:
    with opened(str(drop), "a/b/x.dcm", size_bytes=5, mtime=7) as source:
        return source.version


def test_a_file_that_is_as_the_ledger_says_is_opened_and_unlinked(drop: Path) -> None:
    unlink(str(drop), "a/b/x.dcm", version(drop))
    assert list((drop / "a" / "b").iterdir()) == []


def link_the_file(drop: Path) -> None:
    (drop / "a/b/x.dcm").unlink()
    (drop / "a/b/x.dcm").symlink_to(drop.parent / "secret")


def link_the_folder(drop: Path) -> None:
    (drop.parent / "elsewhere").mkdir()
    (drop.parent / "secret").rename(drop.parent / "elsewhere" / "x.dcm")
    (drop / "a/b").rename(drop / "a/c")
    (drop / "a/b").symlink_to(drop.parent / "elsewhere")


def replace_by_the_same_look(drop: Path) -> None:
    (drop / "a/b/y").write_bytes(b"other")
    os.utime(drop / "a/b/y", ns=(7, 7))
    (drop / "a/b/y").rename(drop / "a/b/x.dcm")


def rewrite_in_place(drop: Path) -> None:
    (drop / "a/b/x.dcm").write_bytes(b"other")
    os.utime(drop / "a/b/x.dcm", ns=(7, 7))


def grow(drop: Path) -> None:
    with (drop / "a/b/x.dcm").open("ab") as out:
        out.write(b"more")


def replace_by_a_fifo(drop: Path) -> None:
    (drop / "a/b/x.dcm").unlink()
    os.mkfifo(drop / "a/b/x.dcm")


CHANGES = [
    pytest.param(link_the_file, id="a link to a file outside"),
    pytest.param(link_the_folder, id="a folder that became a link"),
    pytest.param(replace_by_the_same_look, id="another file of the same size and time"),
    pytest.param(rewrite_in_place, id="other bytes in place, the time set back"),
    pytest.param(grow, id="a file that grew"),
    pytest.param(replace_by_a_fifo, id="a FIFO"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_put_in_place_of_a_file_is_never_unlinked(
    drop: Path, change: Callable[[Path], None]
) -> None:
    seen = version(drop)
    change(drop)
    before = sorted(drop.parent.rglob("*"))
    with pytest.raises((Changed, OSError)):
        unlink(str(drop), "a/b/x.dcm", seen)
    assert sorted(drop.parent.rglob("*")) == before


@pytest.mark.parametrize("change", [link_the_file, link_the_folder, grow, replace_by_a_fifo])
def test_what_was_put_in_place_of_a_file_is_never_read(
    drop: Path, change: Callable[[Path], None]
) -> None:
    change(drop)
    with pytest.raises((Changed, OSError)), opened(str(drop), "a/b/x.dcm", size_bytes=5, mtime=7):
        pytest.fail("it was opened")


def test_a_write_while_it_is_open_is_noticed(drop: Path) -> None:
    with opened(str(drop), "a/b/x.dcm", size_bytes=5, mtime=7) as source:
        source.unchanged()
        rewrite_in_place(drop)
        with pytest.raises(Changed):
            source.unchanged()


def test_a_path_of_any_depth_and_of_any_bytes_is_walked(tmp_path: Path) -> None:
    deep = "/".join(["d" * 200] * 25)  # Longer than PATH_MAX: no single call can open it.
    where = os.open(tmp_path, os.O_RDONLY)
    for name in deep.split("/"):
        os.mkdir(name, dir_fd=where)
        below = os.open(name, os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = below
    os.close(os.open(b"\xff.dcm", os.O_WRONLY | os.O_CREAT, dir_fd=where))
    os.utime(b"\xff.dcm", ns=(7, 7), dir_fd=where)
    os.close(where)
    with opened(str(tmp_path), f"{deep}///xff.dcm", size_bytes=0, mtime=7) as source:
        assert source.version.size_bytes == 0
