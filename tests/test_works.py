"""The parts of the works as the watchdog sees them."""

import shutil
import time
from pathlib import Path

from daemons import wait_for
from pydicom.data import get_testdata_file

from ingestd import config, files
from ingestd.model import Past
from ingestd.works import Works


def settings(drop: Path, **workers: int) -> config.Config:
    return config.Config(root=({"path": drop},), workers={"processes": 1, **workers})


def copied(drop: Path, name: str) -> str:
    """Put a small CT into a folder."""
    drop.mkdir(exist_ok=True)
    shutil.copy(str(get_testdata_file("CT_small.dcm", download=False)), drop / name)
    return name


def test_only_the_part_that_stands_still_is_named_and_only_while_it_does(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    copied(drop, "one.dcm")
    done: list[str] = []
    with Works(
        settings(drop),
        tmp_path / "state",
        done=lambda _, paths: done.extend(paths),
        failed=lambda error: done.append(repr(error)),
    ) as works:
        with works.catalog._writing:  # As a checkpoint holds it, for ever.
            works.offer(files.look(str(drop), "one.dcm"), Past())
            wait_for(lambda: works.conductor._writer._results.empty() and works.conductor.waiting)
            time.sleep(1.5)  # The writer has taken the result up, if there was one, and waits.
            wait_for(lambda: silent_for_a_while(works) == {"writer"})
        wait_for(lambda: done)
        assert silent_for_a_while(works) == set()
    assert done == ["one.dcm"]


def silent_for_a_while(works: Works) -> set[str]:
    """Name the parts that do not go round within two and a half seconds."""
    works.pulse.look(0.0)
    time.sleep(2.5)
    return set(works.pulse.look(10_000.0))


def test_the_pool_grows_and_shrinks_while_it_works(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    paths = [copied(drop, f"{number:02}.dcm") for number in range(60)]
    done: list[str] = []
    with Works(
        settings(drop, chunk_files=2),
        tmp_path / "state",
        done=lambda _, those: done.extend(those),
        failed=lambda error: done.append(repr(error)),
    ) as works:
        for number, path in enumerate(paths):
            works.offer(files.look(str(drop), path), Past())
            if number % 15 == 7:
                processes = (3, 1, 2, 1)[number // 15]
                changed = settings(
                    drop, chunk_files=1 + number % 3, memory_bytes=(1 << 30) + number
                )
                workers = changed.workers.model_copy(update={"processes": processes})
                works.configure(changed.model_copy(update={"workers": workers}), retaken=[])
        works.conductor.drain()
        wait_for(lambda: len(works.pulse._parts) == 3)  # sender, writer, the one keeper left
        assert works.pool.deaths == 0
    assert sorted(done) == paths
