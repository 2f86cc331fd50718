"""Very many small files at once while people ask: all are cataloged, and what it takes meanwhile.

    python bench/load.py --files 100000 --way mv --picture load.svg

Folders of a hundred small images are dropped at once, by one `mv` of a tree or by `cp -r`. Clients
ask SQL all the while, and each second one more file is dropped and asked for until SQL knows it.
The config is the default, or that with `watch = "poll"`.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from curves import svg
from small import IMAGE, content, made_uid
from sql import Client
from timing import folder_for, machine
from tree import Tree

import ingestd
from ingestd.errors import SqlError, StateError

SLICES = 100  # of a series: a folder
ALONE = 900_000  # number of the first series of one file
LOOK_S = 0.5
ASK_S = 0.1
LIMIT_S = 3600.0
DONE = "SELECT count(*) AS n FROM file"
#: Where single files come meanwhile.
PLACES = {
    "in a folder of its own": "alone",
    "in a folder that is known": "before",
    "in a folder of the flood": "all/series00007",
}
#: What must hold of the catalog in the end, as numbers.
SAYS = {
    "files": DONE,
    "cataloged": "SELECT count(*) AS n FROM file WHERE state = 'cataloged'",
    "instances": "SELECT count(*) AS n FROM instance",
    "UIDs": "SELECT count(DISTINCT SOPInstanceUID) AS n FROM instance",
    "pictures": "SELECT count(thumbnail_path) AS n FROM instance",
    "doubled elements": "SELECT count(*) - count(DISTINCT (instance_id, path)) AS n FROM tag"
    " WHERE tag IN ('00080018', '00200032', '00080100')",
    "series complete": "SELECT count(*) AS n FROM series_state WHERE state = 'complete'",
    "volumes": "SELECT count(path) AS n FROM volume",
    "slices of volumes": "SELECT count(*) AS n FROM volume_slice",
    "problems": "SELECT count(*) AS n FROM problem",
}


def make(folder: Path, files: int) -> None:
    """Fill a folder with series, a folder each."""
    for series in range(files // SLICES):
        place = folder / f"series{series:05d}"
        place.mkdir(parents=True)
        for at in range(SLICES):
            (place / f"{at:03d}.dcm").write_bytes(content(series, at, slices=SLICES))


def moved(made: Path, drop: Path) -> None:
    made.rename(drop / "all")


def copied(made: Path, drop: Path) -> None:
    subprocess.run(["cp", "-r", made, drop / "all"], check=True)


WAYS: dict[str, Callable[[Path, Path], None]] = {"mv": moved, "cp": copied}


class Alone(threading.Thread):
    """Drops one file after the other, each second, and notes when SQL knows it.

    By turns they come into a folder of their own, into one that was there before, and into one of
    those that are dropped.
    """

    def __init__(self, drop: Path, state: Path, enough: threading.Event) -> None:
        super().__init__()
        self._drop, self._client, self._enough = drop, ingestd.open(state), enough
        self._waiting: dict[str, tuple[str, float]] = {}
        self.took_s: dict[str, list[float]] = {place: [] for place in PLACES}
        self.dropped = self.errors = 0

    def run(self) -> None:
        next_s = time.monotonic() + 1.0
        while self._waiting or not self._enough.is_set():
            if time.monotonic() >= next_s and not self._enough.is_set():
                self._drop_one()
                next_s += 1.0
            self._look()
            time.sleep(ASK_S)

    def _drop_one(self) -> None:
        place = list(PLACES)[self.dropped % len(PLACES)]
        folder = self._drop / PLACES[place]
        if place == "in a folder of the flood" and not folder.is_dir():
            return
        folder.mkdir(exist_ok=True)
        number, self.dropped = ALONE + self.dropped, self.dropped + 1
        (folder / f"alone{number}.dcm").write_bytes(content(number, 0, slices=1))
        self._waiting[made_uid(IMAGE, number * 1000)] = place, time.monotonic()

    def _look(self) -> None:
        uids = ", ".join(f"'{uid}'" for uid in self._waiting) or "''"
        query = f"SELECT SOPInstanceUID AS uid FROM instance WHERE SOPInstanceUID IN ({uids})"
        try:
            rows = self._client.rows(query)
        except SqlError:
            self.errors += 1
            return
        for row in rows:
            place, since_s = self._waiting.pop(row["uid"])
            self.took_s[place].append(time.monotonic() - since_s)


def load(room: Path, files: int, way: str, clients: int, watch: str = "auto") -> dict[str, Any]:
    """Drop so many files; give what came of it, and all looks at the processes."""
    made, drop, state = room / "made", room / "drop", room / "state"
    make(made, files)
    (drop / "before").mkdir(parents=True)
    config = room / "ingestd.toml"
    config.write_text(f'[[root]]\npath = "{drop}"\nwatch = "{watch}"\n')
    command = [sys.executable, "-m", "ingestd", "run", "--config", str(config)]
    command += ["--state", str(state)]
    with (room / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: status(state).get("roots"))
        with Tree(daemon.pid, LOOK_S) as tree:
            found = dropped(drop, state, lambda: WAYS[way](made, drop), files, clients)
    finally:
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(120)
    words = (room / "log").read_text()
    found |= {"exit_code": code, "tracebacks": words.count("Traceback"), "looks": tree.looks}
    found["thumbnails"] = sum(len(names) for _, _, names in os.walk(state / "thumbnails"))
    found["catalog_mb"] = (state / "catalog.duckdb").stat().st_size / 1e6
    return found


def dropped(
    drop: Path, state: Path, arrive: Callable[[], None], files: int, clients: int
) -> dict[str, Any]:
    """Have the files dropped, ask meanwhile, and wait for the end of it."""
    enough = threading.Event()
    askers = [Client(state, at, 1.0, enough) for at in range(clients)]
    alone = Alone(drop, state, enough)
    began_s = time.monotonic()
    for thread in (alone, *askers):
        thread.start()
    arrive()
    arrived_s = time.monotonic() - began_s
    known = f"{DONE} WHERE starts_with(path, 'all/') AND NOT contains(path, 'alone')"
    until(lambda: ask(state, known) >= files)
    cataloged_s = time.monotonic() - began_s
    enough.set()
    for thread in (alone, *askers):
        thread.join()
    until(lambda: ask(state, DONE) == files + alone.dropped)
    until(lambda: not status(state)["open_series"])
    judged_s = time.monotonic() - began_s
    time.sleep(5 * LOOK_S)  # What it holds when all is done.
    return {
        "dropped": files,
        "alone": alone.dropped,
        "arrived_s": arrived_s,
        "cataloged_s": cataloged_s,
        "judged_s": judged_s,
        "alone_s": {place: sorted(took_s) for place, took_s in alone.took_s.items()},
        "answers_s": sorted(took_s for one in askers for _, took_s in one.took_s),
        "errors": alone.errors + sum(sum(one.errors.values()) for one in askers),
        "back": sum(one.back for one in askers),
        "says": {name: ask(state, query) for name, query in SAYS.items()},
    }


def ask(state: Path, query: str) -> int:
    """Ask for one number."""
    return int(ingestd.open(state).rows(query)[0]["n"])


def status(state: Path) -> dict[str, Any]:
    """Say how the daemon is; nothing before it is."""
    try:
        return ingestd.open(state).status() or {}
    except StateError:
        return {}


def until(what: Callable[[], Any]) -> None:
    """Wait until `what()` is true."""
    limit_s = time.monotonic() + LIMIT_S
    while not what():
        if time.monotonic() > limit_s:
            raise TimeoutError
        time.sleep(0.5)


def p95(values: list[float]) -> float:
    """The value that 95 of 100 are below; of sorted ones."""
    return values[int(len(values) * 0.95)]


def told(found: dict[str, Any]) -> str:
    """Say in a few lines what came of it."""
    looks = found["looks"]
    work = [look for look in looks if look.at_s <= found["cataloged_s"]]
    halves = work[len(work) // 4 : len(work) // 2], work[3 * len(work) // 4 :]
    rate = found["dropped"] / found["cataloged_s"]
    answers = found["answers_s"]
    lines = [
        (
            f"dropped in {found['arrived_s']:.1f} s, cataloged in {found['cataloged_s']:.0f} s"
            f" ({rate:,.0f} files/s), series judged and stacked after {found['judged_s']:.0f} s"
        ),
        *(
            f"time to SQL of {len(took_s)} single files meanwhile, {place}: p50"
            f" {median(took_s):.1f} s, p95 {p95(took_s):.1f} s, most {took_s[-1]:.1f} s"
            for place, took_s in found["alone_s"].items()
        ),
        (
            f"{len(answers):,} answers: p50 {median(answers) * 1e3:.0f} ms,"
            f" p95 {p95(answers) * 1e3:.0f} ms, most {answers[-1] * 1e3:.0f} ms;"
            f" errors {found['errors']}, counts that went back {found['back']}"
        ),
        *(
            f"{name}: second quarter {median(get(look) for look in halves[0]):.0f} MiB, last"
            f" quarter {median(get(look) for look in halves[1]):.0f}, most"
            f" {max(get(look) for look in looks):.0f}, in the end {get(looks[-1]):.0f}"
            for name, get in (
                ("the daemon", lambda look: look.mib),
                ("its workers", lambda look: look.others_mib),
            )
        ),
        (
            f"open files at most {max(look.files for look in looks)}, threads"
            f" {max(look.threads for look in looks)}, processes"
            f" {max(look.processes for look in looks)}; catalog {found['catalog_mb']:.0f} MB"
        ),
        json.dumps(found["says"]),
    ]
    return "\n".join(lines)


def picture(found: dict[str, Any]) -> str:
    """Draw the memory over time."""
    looks = found["looks"]
    words = f"{found['dropped']:,} files dropped at once: memory, proportional (PSS)"
    return svg(
        words,
        "MiB",
        {
            "the daemon": [(look.at_s, look.mib) for look in looks],
            "its workers, together": [(look.at_s, look.others_mib) for look in looks],
        },
    )


def main() -> None:
    """Measure, and tell."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--files", type=int, default=100_000)
    asked.add_argument("--way", choices=tuple(WAYS), default="mv")
    asked.add_argument("--watch", choices=("auto", "poll"), default="auto")
    asked.add_argument("--clients", type=int, default=4)
    asked.add_argument("--picture", type=Path, help="file for the picture of memory, an SVG")
    options = asked.parse_args()
    print(f"{machine()}\n")
    with folder_for(None) as room:
        found = load(room, options.files, options.way, options.clients, options.watch)
        shutil.rmtree(room, ignore_errors=True)
    print(told(found))
    if options.picture:
        options.picture.write_text(picture(found))


if __name__ == "__main__":
    main()
