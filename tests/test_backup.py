"""A copy of a catalog that is open: whole, or not there."""

import threading
from pathlib import Path

import pytest
from conftest import PATIENCE
from disks import block_at, damage
from test_catalog import NOW, batch, file

from ingestd import backup as backups
from ingestd.backup import backup
from ingestd.catalog import Catalog
from ingestd.errors import ConfigError, StateError
from ingestd.restore import restore


def back_up(catalog: Catalog, place: Path, keep: int | None = None) -> Path:
    made = backup(catalog, place, keep=keep, tell=lambda *_: None, stopping=lambda: False)
    return Path(made["path"])


def paths(state: Path) -> list[str]:
    with Catalog(state, memory_bytes=1 << 29, patience=PATIENCE) as opened:
        return [path for (path,) in opened.rows("SELECT path FROM file ORDER BY path")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def visible(place: Path) -> list[str]:
    return sorted(one.name for one in place.iterdir() if not one.name.startswith("."))


def test_what_is_written_while_it_is_copied_is_in_it_whole_or_not_at_all(
    catalog: Catalog, place: Path
) -> None:
    ended = threading.Event()

    def write() -> None:
        for number in range(10_000):
            if ended.is_set():
                return
            catalog.write(batch(*(file(f"{number}-{at}", f"1.{number}.{at}") for at in range(20))))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [back_up(catalog, place) for _ in range(2)]
    finally:
        ended.set()
        writer.join()
    assert visible(place) == sorted(one.name for one in made)
    for one in made:
        found = paths(one)
        assert len(found) % 20 == 0
        assert {path.split("-")[0] for path in found} == {str(n) for n in range(len(found) // 20)}


def test_so_many_are_kept_and_what_is_not_ours_stays(catalog: Catalog, place: Path) -> None:
    """Also a state folder whose name begins alike, and a backup that somebody made one of it."""
    names = ["ingestd-1", "ingestd-20200101T000000Z-old", "ingestd-20200101T000000Z"]
    for name in names:
        (place / name).mkdir(parents=True)
        (place / name / "catalog.duckdb").write_bytes(b"precious")
    (place / names[-1] / "owner.lock").touch()
    made = [back_up(catalog, place, keep=2) for _ in range(3)]
    assert visible(place) == sorted([*(one.name for one in made[1:]), *names])


def test_the_oldest_of_one_second_goes_first(place: Path) -> None:
    names = [f"ingestd-20200101T000000Z{more}" for more in ("", "-2", "-9", "-10")]
    for name in names:
        (place / name).mkdir(parents=True)
        (place / name / "catalog.duckdb").touch()
    gone = backups.older(place, place / names[-1], keep=2)
    assert [one.name for one in gone] == names[:2]


def test_what_a_crash_left_is_swept_up(catalog: Catalog, place: Path) -> None:
    half = place / f".{backups.PREFIX}20200101T000000Z{backups.PART}"
    half.mkdir(parents=True)
    (half / "catalog.duckdb").write_bytes(b"half")
    back_up(catalog, place)
    assert not half.exists()


def test_a_backup_that_fails_leaves_nothing(
    catalog: Catalog, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = back_up(catalog, place, keep=1)

    def broken(_: Path) -> dict[str, int]:
        raise StateError("the copy cannot be opened")

    monkeypatch.setattr(backups, "proven", broken)
    with pytest.raises(StateError):
        back_up(catalog, place, keep=1)
    assert [one.name for one in place.iterdir() if one.name != backups.LOCK] == [first.name]


def test_a_catalog_that_its_disk_has_damaged_is_no_backup(catalog: Catalog, place: Path) -> None:
    first = back_up(catalog, place, keep=1)
    catalog.write(batch(*(file(str(at), f"1.{at}") for at in range(20))), now=NOW)
    catalog.checkpoint()
    ((number,),) = catalog.rows(
        "SELECT DISTINCT block_id FROM pragma_storage_info('instance') WHERE block_id >= 0 LIMIT 1"
    )
    damage(catalog.state / "catalog.duckdb", block_at(number))
    with pytest.raises(StateError, match="table instance of the catalog is damaged"):
        back_up(catalog, place, keep=1)
    assert visible(place) == [first.name]


def test_a_place_that_is_not_absolute_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ConfigError):
        back_up(catalog, Path("here"))


def test_a_restore_keeps_the_catalog_before_and_its_log(catalog: Catalog, place: Path) -> None:
    catalog.write(batch(file("a")), now=NOW)
    made = back_up(catalog, place)
    catalog.write(batch(file("b", "2.2")), now=NOW)
    with pytest.raises(StateError, match="owns this state folder"):
        restore(made, catalog.state)
    catalog.close()
    said = restore(made, catalog.state)
    assert paths(catalog.state) == ["a"]
    assert paths(Path(said["before"])) == ["a", "b"]
    assert paths(made) == ["a"]


def test_the_log_of_a_catalog_that_is_lost_is_put_aside_too(catalog: Catalog, place: Path) -> None:
    catalog.write(batch(file("a")), now=NOW)
    made = back_up(catalog, place)
    catalog.close()
    (catalog.state / "catalog.duckdb").unlink()
    (catalog.state / backups.WAL_NAME).write_bytes(b"of the lost one")
    said = restore(made, catalog.state)
    assert paths(catalog.state) == ["a"]
    assert [one.name for one in Path(said["before"]).iterdir()] == [backups.WAL_NAME]


def test_what_is_no_backup_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / "catalog.duckdb").write_bytes(b"something else" * 1000)
    with pytest.raises(StateError):
        restore(tmp_path, tmp_path / "state")
    assert not (tmp_path / "state" / "catalog.duckdb").exists()
    with pytest.raises(StateError):
        restore(tmp_path / "nowhere", tmp_path / "state")
