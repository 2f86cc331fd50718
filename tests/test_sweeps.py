import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestd import config
from ingestd.catalog import Catalog
from ingestd.reach import Reach
from ingestd.rollcall import RollCall
from ingestd.sweep import Ignored, Seen
from ingestd.sweeps import Sweeps


def slowly(_: Seen) -> None:
    time.sleep(0.002)


def test_hot_folders_that_take_long_do_not_keep_the_whole_root_from_being_listed(
    catalog: Catalog, tmp_path: Path
) -> None:
    for number in range(20):
        (tmp_path / "root" / str(number)).mkdir(parents=True)
        (tmp_path / "root" / str(number) / "file").touch()
    root, reach = str(tmp_path / "root"), Reach("root", deadline_s=30)
    sweeps = Sweeps(
        root,
        config.Sweep(hot_s=0.001),
        ignored=Ignored.of(()),
        reach=reach,
        roll=RollCall(catalog, root, brake_percent=20, brake_s=3600),
        found=slowly,
    )
    sweeps.polled = True
    for number in range(20):
        sweeps.changed(f"{number}/file")
    for _ in range(1000):
        sweeps.advance(1_000_000, lambda: True)
        if sweeps.files:
            break
    reach.close()
    assert sweeps.files == 20


@pytest.fixture
def listing(catalog: Catalog, tmp_path: Path) -> Iterator[Callable[..., Sweeps]]:
    """Make the sweeps of a root with two folders, ten files each."""
    for number in range(20):
        (tmp_path / "root" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / "ab"[number % 2] / str(number)).touch()
    root, reach = str(tmp_path / "root"), Reach("root", deadline_s=30)

    def make(found: Callable[[Seen], None]) -> Sweeps:
        roll = RollCall(catalog, root, brake_percent=20, brake_s=3600)
        options = config.Sweep(hot_s=0.001, full_sweep_s=3600)
        return Sweeps(root, options, ignored=Ignored.of(()), reach=reach, roll=roll, found=found)

    yield make
    reach.close()


def begun(
    listing: Callable[..., Sweeps], monkeypatch: pytest.MonkeyPatch
) -> tuple[Sweeps, list[str]]:
    """Begin a sweep in small stretches; give it, and the paths that it has seen."""
    monkeypatch.setattr("ingestd.sweeps.STRETCH", 5)
    seen: list[str] = []
    sweeps = listing(lambda one: seen.extend(look.path for look in one.sightings))
    sweeps.advance(100, lambda: True)
    return sweeps, seen


def test_a_sweep_that_is_asked_for_during_another_follows_it_at_once(
    listing: Callable[..., Sweeps], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps, seen = begun(listing, monkeypatch)
    assert 0 < len(seen) < 20
    sweeps.soon()  # What was lost may lie in a folder that is listed already.
    for _ in range(100):
        sweeps.advance(100, lambda: True)
    assert len(seen) == 40


def test_a_sweep_that_waits_for_room_does_not_keep_what_is_new_from_being_seen(
    listing: Callable[..., Sweeps], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps, seen = begun(listing, monkeypatch)
    del seen[:]
    for _ in range(20):
        time.sleep(0.001)
        sweeps.advance(0, lambda: True)
        if len(seen) >= 20 and not sweeps.is_listing_part:
            break
    assert len(set(seen)) == 20
    assert sweeps.is_listing
