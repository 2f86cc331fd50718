import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from ingestd.errors import IngestError, Reason
from ingestd.source import Changed, Source, opened
from ingestd.store import INCOMING, MARKER, Kept, Occupied, Store
from ingestd.storelock import StoreLock

WHERE = "P/1/2/3.dcm"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "archive", StoreLock(), owner="a")
    made.prepare(is_known=False)
    return made


@contextmanager
def source(folder: Path, content: bytes) -> Iterator[Source]:
    folder.mkdir(exist_ok=True)
    (folder / "x").write_bytes(content)
    os.utime(folder / "x", ns=(123_456_789, 123_456_789))
    with opened(str(folder), "x", size_bytes=len(content), mtime=123_456_789) as found:
        yield found


def put(store: Store, folder: Path, content: bytes, digest: str | None = None) -> Kept:
    with source(folder, content) as found:
        kept = store.put(found, WHERE, digest=digest or blake3(content).hexdigest())
        store.settle()
        return kept


def files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    )


def test_a_file_stands_under_its_name_with_its_bytes_and_time(store: Store, tmp_path: Path) -> None:
    kept = put(store, tmp_path / "drop", b"pixels" * 500_000)
    there = store.place / WHERE
    assert there.read_bytes() == b"pixels" * 500_000
    assert (kept.size_bytes, kept.mtime_ns, kept.is_new) == (3_000_000, 123_456_789, True)
    assert (there.stat().st_mtime_ns, there.stat().st_nlink) == (123_456_789, 1)
    assert files(store.place) == [WHERE]


def test_the_same_bytes_again_are_found_there(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "drop", b"one")
    assert not put(store, tmp_path / "drop", b"one").is_new


def test_other_bytes_are_never_overwritten(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "drop", b"one")
    with pytest.raises(Occupied):
        put(store, tmp_path / "drop", b"two")
    assert (store.place / WHERE).read_bytes() == b"one"
    assert files(store.place) == [WHERE]


@pytest.mark.parametrize("standing", [None, b"one"])
def test_bytes_that_are_not_what_was_read_are_not_kept(
    store: Store, tmp_path: Path, standing: bytes | None
) -> None:
    if standing:
        put(store, tmp_path / "drop", standing)
    with pytest.raises(Changed):
        put(store, tmp_path / "drop", b"two", digest=blake3(b"one").hexdigest())
    assert files(store.place) == ([WHERE] if standing else [])


def plant_a_link(store: Store, victim: Path) -> None:
    (store.place / WHERE).parent.mkdir(parents=True)
    (store.place / WHERE).symlink_to(victim)


def test_a_link_under_the_name_is_neither_followed_nor_replaced(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "victim").write_bytes(b"one")
    plant_a_link(store, tmp_path / "victim")
    with pytest.raises(Occupied):
        put(store, tmp_path / "drop", b"one")
    assert (store.place / WHERE).is_symlink()


def test_a_folder_that_is_a_link_is_not_entered(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (store.place / "P").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IngestError) as error:
        put(store, tmp_path / "drop", b"one")
    assert error.value.reason is Reason.STATE_NOT_WRITABLE
    assert files(tmp_path / "elsewhere") == []


def test_a_copy_that_is_taken_back_leaves_nothing(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "drop", b"one")
    store.take_back(WHERE)
    assert files(store.place) == []


def test_what_a_crash_left_half_is_thrown_away_and_what_is_anothers_is_not(tmp_path: Path) -> None:
    mine = Store(tmp_path / "archive", lock := StoreLock(), owner="a")
    mine.prepare(is_known=False)
    other = Store(tmp_path / "archive", lock, owner="b")
    for one in (mine, other):
        (tmp_path / "archive" / INCOMING / f"{one._prefix}-1-1.part").touch()
    mine.prepare(is_known=False)
    assert files(tmp_path / "archive") == [f"{INCOMING}/{other._prefix}-1-1.part"]


def test_an_archive_that_is_not_mounted_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with pytest.raises(IngestError, match="mount it") as error:
        Store(tmp_path / "archive", StoreLock(), owner="a").prepare(is_known=True)
    assert error.value.reason is Reason.STATE_NOT_WRITABLE
    assert list((tmp_path / "archive").iterdir()) == []


def test_an_archive_that_is_unmounted_under_way_is_not_written_beside(
    tmpfs: Callable[[str], Path], tmp_path: Path
) -> None:
    share = Store(tmpfs("size=1m"), StoreLock(), owner="a")
    share.prepare(is_known=False)
    share._lock.close()  # A lock is an open file, which would keep it mounted.
    subprocess.run(["umount", str(share.place)], check=True)
    with pytest.raises(IngestError) as error:
        put(share, tmp_path / "drop", b"one")
    assert error.value.reason is Reason.STATE_NOT_WRITABLE
    assert list(share.place.iterdir()) == []


def test_two_programs_do_not_share_a_store(store: Store) -> None:
    with pytest.raises(IngestError, match="another ingestd writes to"):
        Store(store.place, StoreLock(), owner="a").prepare(is_known=False)


def test_a_name_in_hand_is_not_given_to_another_root(store: Store) -> None:
    other = Store(store.place, store._lock, owner="b")
    assert (store.claim("x"), store.claim("x"), other.claim("x")) == (True, True, False)
    other.release(["x"])
    assert not other.claim("x")
    store.release(["x"])
    assert other.claim("x")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"tmpfs{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("tmpfs cannot be mounted here: that needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        if folder.is_mount():
            subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_halts_and_leaves_nothing_half(
    tmpfs: Callable[[str], Path], tmp_path: Path
) -> None:
    full = Store(tmpfs("size=1m"), StoreLock(), owner="a")
    full.prepare(is_known=False)
    with pytest.raises(IngestError) as error:
        put(full, tmp_path / "drop", bytes(2 << 20))
    assert error.value.reason is Reason.DISK_FULL
    assert files(full.place) == []


def test_an_archive_that_is_mounted_read_only_halts(tmpfs: Callable[[str], Path]) -> None:
    with pytest.raises(IngestError) as error:
        Store(tmpfs("ro"), StoreLock(), owner="a").prepare(is_known=False)
    assert error.value.reason is Reason.STATE_NOT_WRITABLE
