import errno
import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

from ingestd.errors import IngestError
from ingestd.files import (
    Insides,
    as_path,
    as_text,
    default_state,
    look,
    open_inside,
    publish,
    short_path,
    staged,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(b"a/b.dcm", "a/b.dcm", id="plain"),
        pytest.param("試験/花子".encode(), "試験/花子", id="Japanese in UTF-8"),
        pytest.param(
            "試験".encode("shift_jis"), "//x8e//x8e//x8c//xb1", id="Japanese in Shift JIS"
        ),
        pytest.param(b"a\\xff", "a\\xff", id="a backslash like an escape"),
        pytest.param(b"a\nb", "a\nb", id="a line break"),
    ],
)
def test_any_name_is_text_and_back(name: bytes, expected: str) -> None:
    text = as_text(os.fsdecode(name))
    assert text == expected
    assert os.fsencode(as_path("/r", text)) == b"/r/" + name


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({"INGESTD_STATE": "/s"}, "/s", id="INGESTD_STATE first"),
        pytest.param({"XDG_STATE_HOME": "/x"}, "/x/ingestd", id="then the XDG state folder"),
        pytest.param({"HOME": "/h"}, "/h/.local/state/ingestd", id="or where that is by default"),
    ],
)
def test_default_state(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("INGESTD_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_state() == Path(expected)


def test_publish_replaces_whole_files_only(tmp_path: Path) -> None:
    target = tmp_path / "x"
    publish(target, b"old")
    publish(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_publish_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x"
    publish(target, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        publish(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_files_of_one_name_and_other_bytes_wait_apart(tmp_path: Path) -> None:
    final = f"{tmp_path}/x.jpg"
    assert staged(final, "aa" * 32) != staged(final, "bb" * 32)
    assert Path(staged(final, "aa" * 32)).parent == tmp_path


def test_short_path_is_the_same_folder(tmp_path: Path) -> None:
    with short_path(tmp_path) as short:
        assert len(short) < 40
        assert Path(short).stat().st_ino == tmp_path.stat().st_ino
        assert stat.S_ISDIR(Path(short).stat().st_mode)


def test_a_time_beyond_64_bits_is_held_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    os.utime(tmp_path / "x", ns=(10**19, 10**19))
    if (tmp_path / "x").stat().st_mtime_ns < 10**19:
        pytest.skip("this file system cannot hold the year 2286")
    assert look(str(tmp_path), "x").mtime_ns == (1 << 63) - 1


def test_what_is_opened_lies_in_the_root_whatever_became_of_its_folders(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "root-secret"
    for folder in (root / "upper" / "deeper", secret / "deeper"):
        folder.mkdir(parents=True)
        (folder / "file").write_text(folder.parts[-2])
    (root / "inside").symlink_to("upper/deeper/file")
    (tmp_path / "link").symlink_to(root)
    for base in (root, tmp_path / "link"):
        for path in ("upper/deeper/file", "inside"):
            with os.fdopen(open_inside(str(base), path)) as file:
                assert file.read() == "upper"
    (root / "upper").rename(tmp_path / "upper")
    (root / "upper").symlink_to(secret)
    before = set(os.listdir("/proc/self/fd"))
    for path in ("upper/deeper/file", "inside"):
        with pytest.raises(IngestError, match="outside_root"):
            open_inside(str(root), path)
    with pytest.raises(FileNotFoundError, match=str(root / "nothing")):
        open_inside(str(root), "nothing")
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_root_that_goes_away_while_it_is_open_is_no_link_that_leads_out_of_it(
    tmp_path: Path,
) -> None:
    """An unmounted share looks like that to the kernel; its files must not be refused for good."""
    (root := tmp_path / "root").mkdir()
    (root / "file").touch()
    with closing(Insides()) as roots:
        os.close(roots.open(str(root), "file"))
        root.rename(tmp_path / "away")
        with pytest.raises(OSError, match=str(root / "file")) as caught:
            roots.open(str(root), "file")
        assert caught.value.errno == errno.ESTALE
        (tmp_path / "away").rename(root)
        os.close(roots.open(str(root), "file"))


def test_a_root_is_let_go_of_though_somebody_keeps_the_error(tmp_path: Path) -> None:
    """Else a share could not be unmounted."""
    before = set(os.listdir("/proc/self/fd"))
    kept = []
    for path in ("nothing", "nothing/here"):
        try:
            open_inside(str(tmp_path), path)
        except OSError as error:
            kept.append(error)
    assert len(kept) == 2
    assert set(os.listdir("/proc/self/fd")) <= before
