"""Whole processes, timed side by side: A B C A B C, so that a noisy machine is unfair to all."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one process cost, with all that it started."""

    wall_s: float
    cpu_s: float  #: user and system
    peak_mib: float  #: of its largest process


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to do the work."""

    name: str
    command: Callable[[Path], Sequence[str]]  #: for a folder of its own, empty at the start
    files: int  #: how many it handles
    env: dict[str, str] | None = None


def run(contestant: Contestant, room: Path) -> Took:
    """Run one process to its end, and wait for all that it leaves behind."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    place = Path(tempfile.mkdtemp(dir=room))
    errors = place.with_suffix(".err")
    command = contestant.command(place)
    started_s = time.perf_counter()
    with errors.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=_environment() | (contestant.env or {})
        )
        _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started_s
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu_s, peak_kib = used.ru_utime + used.ru_stime, used.ru_maxrss
    while True:  # The orphans are ours now: servers and their workers.
        try:
            _, _, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu_s += used.ru_utime + used.ru_stime
        peak_kib = max(peak_kib, used.ru_maxrss)
    if process.returncode:
        raise SystemExit(f"{contestant.name}: {errors.read_text()[-2000:]}")
    shutil.rmtree(place)
    errors.unlink()
    return Took(wall_s=wall_s, cpu_s=cpu_s, peak_mib=peak_kib / 1024)


def _environment() -> dict[str, str]:
    """Ours, but bytecode is kept, as where a package is installed."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def race(
    contestants: Sequence[Contestant], runs: int, room: Path
) -> dict[str, tuple[Contestant, list[Took]]]:
    """Run all of them in turn, `runs` times, each time from the next one on.

    Who comes first finds libraries that nobody has read for a while, and what the last one left.
    """
    found: dict[str, tuple[Contestant, list[Took]]] = {one.name: (one, []) for one in contestants}
    for number in range(runs):
        first = number % len(contestants)
        for one in [*contestants[first:], *contestants[:first]]:
            took = run(one, room)
            found[one.name][1].append(took)
            print(f"run {number + 1}: {one.name}: {took.wall_s:.2f} s", file=sys.stderr, flush=True)
    return found


def ratios(found: dict[str, tuple[Contestant, list[Took]]], base: str) -> str:
    """Make a table: files a second, and how many times as fast as `base`."""
    files_s, files_cpu = _rates(*found[base])
    rows = []
    for one, took in found.values():
        wall, cpu = _rates(one, took)
        rows.append(
            (
                one.name,
                f"{one.files:,}",
                spread([each.wall_s for each in took]),
                spread([each.cpu_s for each in took]),
                f"{wall:,.0f}",
                f"{wall / files_s:.2f}",
                f"{cpu / files_cpu:.2f}",
            )
        )
    return table(("", "files", "s", "CPU s", "files/s", "times", "times by CPU"), rows)


def _rates(one: Contestant, took: Sequence[Took]) -> tuple[float, float]:
    """Files a second, of the clock and of CPU; of the median run."""
    return (
        one.files / median(each.wall_s for each in took),
        one.files / median(each.cpu_s for each in took),
    )


def spread(values: Sequence[float]) -> str:
    """Median, and in brackets the least and the most."""
    return f"{_short(median(values))} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table in Markdown: text to the left, numbers to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def machine() -> str:
    """Say where and with what this was measured."""
    packages = ("ingestd", "duckdb", "pydicom", "pyarrow", "numpy", "pillow")
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory} GiB, Linux"
        f" {platform.release()}, Python {platform.python_version()}; {versions}; load before the"
        f" bench: {load:.1f}"
    )


def _version(name: str) -> str:
    if name == "ingestd":
        from ingestd import __version__  # noqa: PLC0415 -- no distribution in a source tree

        return __version__
    return version(name)


@contextmanager
def folder_for(keep: Path | None) -> Iterator[Path]:
    """Give the folder that was asked for, or one that is gone afterwards."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="ingestd-bench-") as made:
        yield Path(made)
