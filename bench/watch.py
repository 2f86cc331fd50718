"""Watching, measured: sweeps of many files, memory of the daemon, system calls, time to a row.

    python bench/watch.py sweep --files 1000000
    python bench/watch.py calls --files 20000
    python bench/watch.py urgent --files 30000

`sweep` fills a ledger with files that are as they were, starts the daemon, and gives how long it
takes to list them all and the most memory it had. `calls` counts system calls of a sweep for each
file (strace). `urgent` gives how long one new file waits behind many others.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from timing import folder_for, machine

import ingestd
from ingestd.catalog import Catalog, utc_now
from ingestd.errors import StateError
from ingestd.files import look
from ingestd.model import Patience

COMMAND = [sys.executable, "-m", "ingestd", "run"]
PER_FOLDER = 1000
LEDGER = """
    INSERT INTO file BY NAME
    SELECT *, 'refused' AS state, 'not_dicom' AS reason, 0 AS attempts,
        $1 AS first_seen_utc, $1 AS state_utc
    FROM seen
"""


def fill(drop: Path, files: int) -> None:
    """Make a tree of small files."""
    for first in range(0, files, PER_FOLDER):
        folder = drop / f"{first // PER_FOLDER:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, min(files, first + PER_FOLDER)):
            handle = os.open(folder / f"{number}.dcm", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(handle, b"small")
            os.close(handle)


def know(drop: Path, state: Path) -> None:
    """Write into the ledger what is there, as if it had been read."""
    patience = Patience(attempts=8, first_s=5.0, limit_s=3600.0)
    with Catalog(state, memory_bytes=1 << 30, patience=patience) as catalog:
        for folder in sorted(drop.iterdir()):
            looks = [look(str(drop), f"{folder.name}/{name}") for name in os.listdir(folder)]
            columns = ("root", "path", "size_bytes", "mtime_ns")
            rows = {name: [getattr(one, name) for one in looks] for name in columns}
            with catalog.transaction(seen=pa.table(rows)) as db:
                db.execute(LEDGER, [utc_now()])
        catalog.checkpoint()


class Daemon:
    """A daemon on a drop folder."""

    def __init__(self, drop: Path, state: Path, *before: str, **settings: str) -> None:
        self.state = state
        self.process = subprocess.Popen(
            [*before, *COMMAND, "--root", str(drop), "--state", str(state)],
            env=os.environ | {"INGESTD_SPACE__MIN_FREE_BYTES": "0"} | settings,
            stderr=subprocess.DEVNULL,
        )

    def root(self) -> dict[str, Any]:
        """Give what `status` says of its root."""
        try:
            found = ingestd.open(self.state).status()
        except StateError:
            found = None
        return found["roots"][0] if found else {"swept_files": 0}

    def one(self, query: str) -> Any:
        """Ask for one value."""
        return next(iter(ingestd.open(self.state).sql(query).to_pylist()[0].values()))

    def memory(self) -> dict[str, int]:
        """Give the resident memory of the daemon itself, in MB: now, and the most there was."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
        return {key: int(found[key]) // 1024 for key in ("VmRSS", "VmHWM")}

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)


def until(what: Callable[[], Any]) -> float:
    """Wait until `what()` is true, and give how long that took."""
    began_s = time.monotonic()
    while not what():
        time.sleep(0.05)
    return time.monotonic() - began_s


def sweep(room: Path, files: int) -> dict[str, Any]:
    """List files that are all known, twice: at the start and once more."""
    drop, state = room / "drop", room / "state"
    if not drop.exists():
        fill(drop, files)
        know(drop, state)
    daemon = Daemon(drop, state, INGESTD_SWEEP__FULL_SWEEP_S="1")
    until(lambda: daemon.root()["swept_files"] == files)
    first = daemon.root()["sweep_s"]
    memory = daemon.memory()
    until(lambda: daemon.root()["sweep_s"] != first)
    again = daemon.root()["sweep_s"]
    found = {"files": files, "first_s": first, "again_s": again, "MB": memory}
    found["MB_after_two"] = daemon.memory()
    daemon.stop()
    return found


def calls(room: Path, files: int) -> dict[str, Any]:
    """Count the system calls of one sweep of known files, less those of an empty folder."""
    counted = {}
    for name, count in (("none", 1), ("all", files)):
        place = room / f"calls-{name}"
        fill(place / "drop", count)
        know(place / "drop", place / "state")
        trace = place / "trace"
        before = ["strace", "-f", "-c", "-qq", "-o", str(trace)]
        daemon = Daemon(place / "drop", place / "state", *before)
        until(lambda: daemon.root()["swept_files"] == count)  # noqa: B023 -- called at once
        subprocess.run(["pkill", "-TERM", "-P", str(daemon.process.pid)], check=True)
        daemon.process.wait(60)
        lines = [line.split() for line in trace.read_text().splitlines()[2:]]
        counted[name] = {
            line[-1]: int(line[3]) for line in lines if len(line) >= 5 and line[3].isdigit()
        }
    more = {
        name: round((count - counted["none"].get(name, 0)) / files, 3)
        for name, count in counted["all"].items()
        if name != "total" and (count - counted["none"].get(name, 0)) / files >= 0.005
    }
    return {"files": files, "calls_a_file": more, "together": round(sum(more.values()), 2)}


def urgent(room: Path, files: int) -> dict[str, Any]:
    """Let one file arrive behind many others."""
    from pydicom.data import get_testdata_file  # noqa: PLC0415

    image = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    drop, outside = room / "urgent", room / "outside"
    outside.mkdir(parents=True)
    shutil.copy(image, outside / "0")
    for number in range(1, files):
        (outside / str(number)).hardlink_to(outside / "0")
    drop.mkdir()
    daemon = Daemon(drop, room / "urgent-state")
    until(lambda: daemon.root().get("health") == "healthy")
    outside.rename(drop / "many")
    until(lambda: daemon.one("SELECT count(*) FROM file"))
    (drop / "urgent").write_bytes(image.read_bytes() + b"\0\0")
    waited_s = until(lambda: daemon.one("SELECT count(*) FROM file WHERE path = 'urgent'"))
    done = daemon.one("SELECT count(*) FROM file")
    daemon.stop()
    return {"files": files, "urgent_waited_s": round(waited_s, 2), "files_done_by_then": done}


def main() -> None:
    """Measure what was asked for."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("what", choices=("sweep", "calls", "urgent"))
    asked.add_argument("--files", type=int, default=100_000)
    asked.add_argument("--keep", type=Path, help="folder for the files, to use them again")
    options = asked.parse_args()
    print(f"{machine()}\n")
    with folder_for(options.keep) as room:
        found = {"sweep": sweep, "calls": calls, "urgent": urgent}[options.what](
            room, options.files
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
