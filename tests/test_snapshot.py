import os
import stat
import threading
from pathlib import Path

import duckdb
import pytest
from test_catalog import NOW, batch, file

from ingestd import snapshot
from ingestd.catalog import Catalog
from ingestd.errors import IngestError
from ingestd.snapshots import Snapshots, rest_s


def snapshots(catalog: Catalog, *, min_free_bytes: int = 0) -> Snapshots:
    return Snapshots(catalog, catalog.state, every_s=0, min_free_bytes=min_free_bytes)


def paths(made: Path) -> list[str]:
    with duckdb.connect(str(made), read_only=True) as db:
        return [path for (path,) in db.execute("SELECT path FROM file ORDER BY path").fetchall()]


def test_a_snapshot_is_what_is_committed_and_no_more_than_once(catalog: Catalog) -> None:
    publisher = snapshots(catalog)
    catalog.write(batch(file("a")), now=NOW)
    made = publisher.publish()
    first = made.stat().st_ino
    assert (paths(made), stat.S_IMODE(made.stat().st_mode)) == (["a"], 0o440)
    assert publisher.publish().stat().st_ino == first, "nothing changed"
    catalog.write(batch(file("b", "2.2")), now=NOW)
    assert publisher.publish().stat().st_ino != first
    assert paths(made) == ["a", "b"]
    assert snapshots(catalog).is_fresh(), "after a new start it is known to be of now"


def test_who_has_the_old_one_open_reads_on(catalog: Catalog) -> None:
    publisher = snapshots(catalog)
    catalog.write(batch(file("a")), now=NOW)
    with duckdb.connect(str(publisher.publish()), read_only=True) as reader:
        catalog.write(batch(file("b", "2.2")), now=NOW)
        made = publisher.publish()
        assert reader.execute("SELECT count(*) FROM file").fetchall() == [(1,)]
    assert paths(made) == ["a", "b"]


def test_each_snapshot_is_whole_while_the_writer_goes_on(catalog: Catalog) -> None:
    publisher = snapshots(catalog)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            files = [file(f"{number}-{at}", f"1.{number}.{at}") for at in range(64)]
            catalog.write(batch(*files), now=NOW)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    try:
        for _ in range(3):
            with duckdb.connect(str(publisher.publish()), read_only=True) as db:
                found = db.execute(
                    "SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM instance),"
                    " (SELECT count(DISTINCT instance_id) FROM tag SEMI JOIN instance"
                    " USING (instance_id))"
                ).fetchall()[0]
            assert len(set(found)) == 1
            assert found[0] % 64 == 0
            counts.append(found[0])
    finally:
        stop.set()
        writer.join()
    assert counts == sorted(counts)


def test_a_copy_that_a_checkpoint_came_into_is_no_copy(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.write(batch(file("a")), now=NOW)
    catalog.checkpoint()
    pour = snapshot.pour

    def slow(source: int, target: int, size: int) -> int:
        catalog.write(batch(file("b", "2.2")), now=NOW)
        catalog.checkpoint()
        return pour(source, target, size)

    monkeypatch.setattr(snapshot, "pour", slow)
    with pytest.raises(snapshot.Disturbed):
        snapshot.copied(catalog.state / "catalog.duckdb", tmp_path / "copy")


def test_without_copy_file_range_the_bytes_are_the_same(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.write(batch(file("a")), now=NOW)
    catalog.checkpoint()

    def unknown(*_: int) -> int:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "copy_file_range", unknown)
    source = catalog.state / "catalog.duckdb"
    snapshot.copied(source, tmp_path / "copy")
    assert paths(tmp_path / "copy") == ["a"]


def test_without_room_there_is_none_and_nothing_is_left(catalog: Catalog) -> None:
    catalog.write(batch(file("a")), now=NOW)
    with pytest.raises(IngestError, match="disk_full"):
        snapshots(catalog, min_free_bytes=1 << 62).publish()
    assert list((catalog.state / "tmp").iterdir()) == []


def test_what_somebody_wrote_beside_it_is_taken_away(catalog: Catalog) -> None:
    catalog.write(batch(file("a")), now=NOW)
    log = catalog.state / "snapshot.duckdb.wal"
    log.write_bytes(b"of another file")
    assert paths(snapshots(catalog).publish()) == ["a"]
    assert not log.exists()


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [
        pytest.param(1.0, 600.0, id="a short one: as often as was asked"),
        pytest.param(100.0, 900.0, id="a long one: a tenth of the time, no more"),
    ],
)
def test_snapshots_take_a_tenth_of_the_time_at_most(took_s: float, expected: float) -> None:
    assert rest_s(took_s, every_s=600.0) == expected
