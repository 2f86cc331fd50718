"""What is lost on the way is made up for: workers that are killed, folders that go."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from daemons import COMMAND, Running, oracle, scan, wait_for

import ingestd
from ingestd import phantom


def workers_of(pid: int) -> list[int]:
    """Name the processes below `pid` that read files: children of its forkserver."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    return [worker for server in children.get(pid, []) for worker in children.get(server, [])]


def test_workers_killed_again_and_again_cost_no_file(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    for seed in (1, 2):
        phantom.write(drop / str(seed), seed)
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [*COMMAND, "scan", str(drop), "--state", str(tmp_path / "state")],
            stdout=log,
            stderr=log,
        )
    killed = 0
    while running.poll() is None and killed < 12:
        for worker in workers_of(running.pid)[:1]:
            os.kill(worker, signal.SIGKILL)
            killed += 1
        time.sleep(0.15)
    assert running.wait(120) == 0, (tmp_path / "log").read_text()
    scan(drop, state=tmp_path / "undisturbed")

    assert killed >= 3
    assert oracle(tmp_path / "state") == oracle(tmp_path / "undisturbed")


def test_a_root_that_is_deleted_and_made_again_is_watched_again(
    start: Callable[[], Running],
) -> None:
    daemon = start()
    phantom.write(daemon.drop / "one")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == 127)
    shutil.rmtree(daemon.drop)
    client = ingestd.open(daemon.state)
    wait_for(lambda: client.status()["roots"][0]["health"] == "unreachable")
    assert daemon.one("SELECT count(*) FROM file WHERE state = 'gone'") == 0
    phantom.write(daemon.drop / "two", seed=2)
    wait_for(lambda: daemon.one("SELECT count(*) FROM file WHERE path LIKE 'two/%'") == 127)
    assert client.status()["roots"][0]["health"] == "healthy"


def test_a_tree_that_is_moved_in_is_found_whole(
    start: Callable[[], Running], tmp_path: Path
) -> None:
    daemon = start()
    count = phantom.write(tmp_path / "outside" / "deep" / "tree")
    (tmp_path / "outside").rename(daemon.drop / "inside")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == count)
    assert daemon.one("SELECT count(*) FROM file WHERE state = 'refused'") == 2
