import time
from pathlib import Path

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
