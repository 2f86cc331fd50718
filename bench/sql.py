"""Ingestion while people ask: the same backlog with nobody asking, and with clients at the socket.

    python bench/sql.py --seconds 60 --clients 8 --pauses 0 1

Each run is a new daemon on a new state folder, with a folder of small files dropped at its start.
The first seconds do not count. Clients ask one after the other from a mix, wait for the answer,
pause, and ask again; each watches that no count goes back.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from made import ct_files, listed
from pydicom import dcmread, uid
from timing import folder_for, machine

import ingestd
from ingestd.errors import SqlError, StateError
from ingestd.phantom.headers import to_bytes

WARM_S = 5.0
SLICES = 200

MIX = {
    "count": "SELECT count(*) AS n FROM instance",
    "states": "SELECT state, count(*) AS n FROM file GROUP BY state",
    "modalities": "SELECT Modality, count(*) AS n, sum(size_bytes) FROM instance GROUP BY ALL",
    "a series": "SELECT SOPInstanceUID, path FROM instance WHERE InstanceNumber = 7 LIMIT 100",
    "series": "FROM series ORDER BY instances DESC LIMIT 20",
    "an element": "SELECT value, count(*) AS n FROM tag WHERE keyword = 'KVP' GROUP BY ALL",
    "echoes": "SELECT SeriesInstanceUID, list(DISTINCT KVP) FROM instance GROUP BY ALL LIMIT 50",
    "describe": "DESCRIBE instance",
    "a mistake": "SELECT nothing FROM file",
}


def make(folder: Path, files: int) -> None:
    """Fill a folder with CT slices of 64 x 64: for the catalog they are as large ones."""
    if folder.is_dir() and sum(len(names) for _, _, names in os.walk(folder)) == files:
        return
    print(f"making {files} files in {folder}", file=sys.stderr, flush=True)
    ds = dcmread(BytesIO(next(ct_files(1))))
    ds.Rows = ds.Columns = 64
    ds.PixelData = bytes(64 * 64 * 2)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{10**20}.{10**9}"
    ds.SeriesInstanceUID = f"1.2.4.{10**20}.{10**9}"
    model = to_bytes(ds, uid.ExplicitVRLittleEndian)
    for at in range(files):
        place = folder / f"series{at // SLICES:04d}"
        if at % SLICES == 0:
            place.mkdir(parents=True, exist_ok=True)
        content = model.replace(
            b"1.2.3.%d.%d" % (10**20, 10**9), b"1.2.3.%d.%d" % (10**20, 10**9 + at)
        )
        series = b"1.2.4.%d.%d" % (10**20, 10**9 + at // SLICES)
        content = content.replace(b"1.2.4.%d.%d" % (10**20, 10**9), series)
        (place / f"IM{at % SLICES:04d}").write_bytes(content)


class Client(threading.Thread):
    """Asks, and notes how long it took."""

    def __init__(self, state: Path, first: int, pause_s: float, enough: threading.Event) -> None:
        super().__init__()
        self._client, self._pause_s, self._enough = ingestd.open(state), pause_s, enough
        names = list(MIX)
        self._names = itertools.cycle(names[first % len(names) :] + names[: first % len(names)])
        self.took_s: list[tuple[str, float]] = []
        self.errors: Counter[str] = Counter()
        self.back = 0

    def run(self) -> None:
        most = 0
        for name in self._names:
            if self._enough.wait(self._pause_s):
                return
            began_s = time.perf_counter()
            try:
                found = self._client.sql(MIX[name])
            except (SqlError, StateError, OSError) as error:
                if name != "a mistake":
                    self.errors[f"{name}: {error}"] += 1
            else:
                if name == "count":
                    count = found.column("n")[0].as_py()
                    self.back += count < most
                    most = max(most, count)
            self.took_s.append((name, time.perf_counter() - began_s))


def asking(state: Path, clients: int, pause_s: float, seconds: float) -> dict[str, Any]:
    """Be so many clients for so long."""
    enough = threading.Event()
    all_of_them = [Client(state, at, pause_s, enough) for at in range(clients)]
    for client in all_of_them:
        client.start()
    time.sleep(seconds)
    enough.set()
    for client in all_of_them:
        client.join()
    return {
        "took_s": [took for client in all_of_them for took in client.took_s],
        "errors": sum((client.errors for client in all_of_them), Counter()),
        "back": sum(client.back for client in all_of_them),
    }


def run(room: Path, made: Path, clients: int, pause_s: float, seconds: float) -> dict[str, Any]:
    """Ingest with so many clients; give files a second, and what the clients say."""
    place = room / "run"
    shutil.rmtree(place, ignore_errors=True)
    drop, state = place / "drop", place / "state"
    drop.mkdir(parents=True)
    command = [sys.executable, "-m", "ingestd", "run", "--root", str(drop), "--state", str(state)]
    env = os.environ | {"INGESTD_SPACE__MIN_FREE_BYTES": "0", "INGESTD_SETTLE__QUIET_S": "0.5"}
    with (place / "log").open("wb") as log:
        daemon = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        for _ in waiting():
            if (state / "ingestd.sock").exists():
                break
        made.rename(drop / "all")  # One move, not as many events as there are files.
        for _ in waiting():
            if files(state) > 0:
                break
        time.sleep(WARM_S)
        mine = [sys.executable, __file__, "--ask", str(state), "--clients", str(clients)]
        mine += ["--pauses", str(pause_s), "--seconds", str(seconds)]
        asker = subprocess.Popen(mine, stdout=subprocess.PIPE) if clients else None
        before, began_s = files(state), time.perf_counter()
        time.sleep(seconds)
        after, took_s = files(state), time.perf_counter() - began_s
        said = json.loads(asker.communicate()[0]) if asker else {}
        wal = state / "catalog.duckdb.wal"
        return {
            "rate": (after - before) / took_s,
            "left": sum(len(names) for _, _, names in os.walk(drop / "all")) - after,
            "wal_bytes": wal.stat().st_size if wal.exists() else 0,
            **said,
        }
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        (drop / "all").rename(made)


def waiting() -> Iterator[None]:
    """Come round again, for a minute at most."""
    for _ in range(600):
        yield
        time.sleep(0.1)
    raise TimeoutError


def files(state: Path) -> int:
    """How many files have an outcome."""
    status = ingestd.open(state).status()
    return int(status["since_start"]["files"]) if status else 0


def told(found: dict[str, Any], without: float) -> None:
    """Print what a run came to."""
    line = f"{found['rate']:8,.0f} files/s  {found['rate'] / without:4.2f} of without"
    line += f"  write-ahead log {found['wal_bytes'] / 1e6:,.0f} MB  left {found['left']:,}"
    print(line)
    took = sorted(took_s for _, took_s in found.get("took_s", ()))
    if not took:
        return
    p95 = took[int(len(took) * 0.95)]
    print(
        f"{len(took):8,} questions  p50 {median(took) * 1e3:,.0f} ms  p95 {p95 * 1e3:,.0f} ms"
        f"  max {took[-1] * 1e3:,.0f} ms  errors {sum(found['errors'].values())}"
        f"  counts that went back {found['back']}"
    )
    for name in MIX:
        each = sorted(took_s for which, took_s in found["took_s"] if which == name)
        if each:
            print(f"    {name:12} p50 {median(each) * 1e3:6,.0f} ms  max {each[-1] * 1e3:6,.0f} ms")
    for error, count in found["errors"].items():
        print(f"    {count} times: {error}")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--files", type=int, default=150_000)
    asked.add_argument("--seconds", type=float, default=60)
    asked.add_argument("--clients", type=int, default=8)
    asked.add_argument("--pauses", type=float, nargs="+", default=[0.0, 1.0], help="seconds")
    asked.add_argument("--keep", type=Path, help="folder for the set, to use it again")
    asked.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.ask:
        said = asking(options.ask, options.clients, options.pauses[0], options.seconds)
        print(json.dumps(said))
        return
    with folder_for(options.keep) as room:
        print(f"{machine()}\n")
        made = room / "small"
        make(made, options.files)
        for path in listed(made):
            Path(path).read_bytes()
        first = run(room, made, 0, 0, options.seconds)
        found = [run(room, made, options.clients, one, options.seconds) for one in options.pauses]
        last = run(room, made, 0, 0, options.seconds)
        without = (first["rate"] + last["rate"]) / 2
        print("nobody asks, at the start and at the end")
        told(first, without)
        told(last, without)
        for pause_s, one in zip(options.pauses, found, strict=True):
            print(f"\n{options.clients} clients, {pause_s:g} s between answer and question")
            told(one, without)


if __name__ == "__main__":
    main()
