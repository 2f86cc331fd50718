"""Cut off at a step: the daemon, its workers or both are killed, and nothing is lost or doubled.

strace stops or kills whoever makes the N-th call of a kind, so each cut lies between two steps of
the corridor: a folder made, a picture published, a batch committed, a volume published.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from daemons import COMMAND, FAST, Running, everything, settled, wait_for

STRACE = shutil.which("strace")

#: What is called at a step, and at which of its calls the run is cut. strace counts them for each
#: thread: of the 22 that sync volumes two workers make 11 each, or one of them makes more.
STEPS = {
    "mkdir": (1, 3, 9, 14, 20),  # a folder of pictures or of volumes
    "rename": (1, 2, 7, 20, 33, 45, 51),  # a picture or a volume gets its name
    "fsync": (1, 2, 3, 5, 8, 11),  # a volume is on the disk, and so is its name
    "fdatasync": (1, 2, 3, 4, 5, 6, 7, 8),  # a transaction is on the disk
}
SHORT = [("all", "rename", 33)]
#: A whole group of processes is stopped after the call and killed; or who makes it, before it.
CUTS = [
    pytest.param(
        (how, call, number),
        id=f"{how} at {call} {number}",
        marks=[] if (how, call, number) in SHORT else [pytest.mark.long],
    )
    for how in ("all", "one")
    for call, numbers in STEPS.items()
    for number in numbers
]


@contextmanager
def running_all(drop: Path, state: Path, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon, below what comes before it, in a group of its own; end all of the group."""
    with (state.parent / "cut.log").open("w") as log:
        running = subprocess.Popen(
            [*before, *COMMAND, "run", "--root", str(drop), "--state", str(state)],
            env=os.environ | FAST,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        kill_all(running.pid)
        running.wait(10)


def members(group: int) -> dict[int, str]:
    """The processes of a group and the state of each (proc(5)); those that ended are not there."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                state, _, its_group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
                if int(its_group) == group and state != "Z":
                    found[int(entry.name)] = state
    return found


def kill_all(group: int) -> None:
    """Kill a whole group and wait until nobody of it is left."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    wait_for(lambda: not members(group), within_s=10)


def recover(drop: Path, state: Path) -> None:
    """Start again, undisturbed, until all is done; print the seconds that this took."""
    start_s = time.monotonic()
    daemon = Running(drop, state)
    wait_for(lambda: settled(daemon), within_s=120)
    print(f"recovered in {time.monotonic() - start_s:.1f} s")  # noqa: T201 - pytest -rP shows it
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log.read_text()


@pytest.mark.skipif(STRACE is None, reason="needs strace to stop between two steps")
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_between_two_steps_leaves_what_an_undisturbed_run_leaves(
    study: Path, scanned: Path, tmp_path: Path, cut: tuple[str, str, int]
) -> None:
    how, call, number = cut
    drop, state = tmp_path / "drop", tmp_path / "state"
    shutil.copytree(study, drop)
    what = "SIGSTOP" if how == "all" else "SIGKILL"
    trace = tmp_path / "trace"
    trace.touch()
    # Without --seccomp-bpf, which is faster: strace 6.1 injects no signals with it.
    inject = f"inject={call}:signal={what}:when={number}"
    strace = (str(STRACE), "-f", "-q", "-o", str(trace), "-e", f"trace={call}", "-e", inject)
    with running_all(drop, state, *strace):
        done = "--- stopped by" if how == "all" else "+++ killed by"
        wait_for(lambda: done in trace.read_text())
    recover(drop, state)

    assert everything(state) == everything(scanned)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_a_cut_at_any_moment_leaves_what_an_undisturbed_run_leaves(
    study: Path, scanned: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - to be the same each time is the point
    drop, state = tmp_path / "drop", tmp_path / "state"
    shutil.copytree(study, drop)
    for _ in range(3):
        with running_all(drop, state) as running:
            time.sleep(rng.uniform(0.5, 6))  # The moment is what is tried, not waited for.
            if rng.random() < 0.5:  # A worker first, then all.
                os.kill(rng.choice(list(members(running.pid))), signal.SIGKILL)
                time.sleep(rng.uniform(0, 1))
    recover(drop, state)

    assert everything(state) == everything(scanned)
