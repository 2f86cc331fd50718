"""Free space, on a small disk of its own."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import PATIENCE
from test_catalog import NOW, batch, file

from ingestd import config
from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason
from ingestd.files import free_bytes
from ingestd.space import Space

MIB = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def catalog(small: Path) -> Iterator[Catalog]:
    with Catalog(small / "state", memory_bytes=1 << 29, patience=PATIENCE) as opened:
        yield opened


def works(catalog: Catalog, *, min_free_bytes: int) -> Any:
    """What `Space` sees of all that is at work."""
    return SimpleNamespace(
        catalog=catalog,
        state=catalog.state,
        settings=config.Config(space=config.Space(min_free_bytes=min_free_bytes)),
        takers=SimpleNamespace(places=(), halted=None),
        conductor=SimpleNamespace(paused=False, halted=None),
        series=SimpleNamespace(tick=lambda: None),
    )


def fill(small: Path, left_bytes: int) -> Path:
    """Leave so much room."""
    path = small / "fill"
    path.write_bytes(bytes(max(0, free_bytes(small) - left_bytes)))
    return path


def events(catalog: Catalog) -> list[str]:
    return [kind for (kind,) in catalog.rows("SELECT kind FROM event ORDER BY at_utc")]


def test_below_the_limit_no_work_is_taken_until_there_is_room(
    catalog: Catalog, small: Path
) -> None:
    at_work = works(catalog, min_free_bytes=10 * MIB)
    space = Space(at_work)
    space.look()
    assert (at_work.conductor.paused, events(catalog)) == (False, [])
    filled = fill(small, 5 * MIB)
    space.look()
    space.look()
    assert (at_work.conductor.paused, events(catalog)) == (True, ["disk_full"])
    filled.unlink()
    space.look()
    assert (at_work.conductor.paused, events(catalog)) == (False, ["disk_full", "disk_free"])


def test_series_are_not_stacked_while_a_disk_is_nearly_full(catalog: Catalog, small: Path) -> None:
    ticks: list[int] = []
    at_work = works(catalog, min_free_bytes=10 * MIB)
    at_work.series.tick = lambda: ticks.append(1)
    space = Space(at_work)
    space.look()
    space.stack()
    fill(small, 5 * MIB)
    space.look()
    space.stack()
    assert ticks == [1]


def test_one_series_is_stacked_after_the_other_while_there_are_some(catalog: Catalog) -> None:
    told: list[str] = []
    at_work = works(catalog, min_free_bytes=0)
    at_work.series.tick = lambda: [told.append("begun"), len(told) < 6][1]
    at_work.series.wait_for_room = lambda _: told.append("room")
    space = Space(at_work)
    space.stack()
    assert told == ["begun"]
    space.stack_s = 60.0
    space.stack()
    assert told == ["begun"] + ["begun", "room"] * 2 + ["begun"]


def test_series_that_cannot_be_judged_are_told_of_until_they_are(catalog: Catalog) -> None:
    def full() -> None:
        raise IngestError(Reason.DISK_FULL, "no space left for the catalog")

    at_work = works(catalog, min_free_bytes=0)
    space = Space(at_work)
    at_work.series.tick = full
    with pytest.raises(IngestError):
        space.stack()
    assert space.halted is Reason.DISK_FULL
    at_work.series.tick = lambda: None
    space.stack()
    assert space.halted is None


def test_a_catalog_that_a_full_disk_ended_while_nobody_wrote_is_opened_again(
    catalog: Catalog, small: Path
) -> None:
    for number in range(20):
        catalog.write(batch(*(file(f"{number}-{at}", f"1.{number}.{at}") for at in range(50))))
    space = Space(works(catalog, min_free_bytes=MIB))
    filled = fill(small, 0)
    with pytest.raises(IngestError) as full:
        catalog.checkpoint()
    with pytest.raises(IngestError):  # All of it is invalid by now, to DuckDB.
        catalog.rows("SELECT count(*) FROM file")
    filled.unlink()
    space.look()

    assert full.value.reason is Reason.DISK_FULL
    assert catalog.rows("SELECT count(*) FROM file") == [(1000,)]
    catalog.write(batch(file("after", "9.9")), now=NOW)
    catalog.checkpoint()


def test_what_cannot_be_told_on_a_full_disk_is_told_later(catalog: Catalog, small: Path) -> None:
    at_work = works(catalog, min_free_bytes=MIB)
    space = Space(at_work)
    os.sync()
    fill(small, 0)
    for _ in range(3):
        try:
            catalog.checkpoint()
            break
        except IngestError:
            continue
    with pytest.raises(IngestError):
        space.look()
    assert at_work.conductor.paused
    (small / "fill").write_bytes(bytes(fillable(small)))
    catalog.reopen()
    space.look()
    assert events(catalog) == ["disk_full"]


def fillable(small: Path) -> int:
    """How much may lie there so that half a MiB is free."""
    return max(0, (small / "fill").stat().st_size + free_bytes(small) - MIB // 2)
