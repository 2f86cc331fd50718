"""How long a snapshot of a large catalog takes, and how long the writer waits for it.

    python bench/snapshot.py --gigabytes 1 --keep /srv/big

The catalog is made large by rows that do not compress. Then batches are written all the while, by
the same code as in the daemon; what a batch takes while a snapshot is made is held against what it
takes else.
"""

import argparse
import os
import shutil
import threading
import time
from pathlib import Path
from statistics import median

from catalog import fresh, opened, read
from made import make
from timing import folder_for, machine, table

from ingestd.snapshots import Snapshots


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--gigabytes", type=float, default=1.0)
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--keep", type=Path, help="folder to work in")
    options = asked.parse_args()
    with folder_for(options.keep) as room:
        state = room / "snapshots"
        shutil.rmtree(state, ignore_errors=True)
        print(f"{machine()}\n")
        enlarge(state, int(options.gigabytes * 1e9))
        measure(state, read(make("ct", room / "ct", 64)), options.runs)
        shutil.rmtree(state)


def enlarge(state: Path, size_bytes: int) -> None:
    words = " || ".join(f"md5(range::VARCHAR || '{nth}')" for nth in range(8))
    with opened(state) as catalog:
        while os.path.getsize(state / "catalog.duckdb") < size_bytes:
            with catalog.transaction() as db:
                db.execute(
                    f"INSERT INTO problem BY NAME SELECT 'bad_value' AS kind, {words} AS raw,"
                    " now()::TIMESTAMP AS at_utc FROM range(200000)"
                )
            catalog.checkpoint()


def measure(state: Path, first: list, runs: int) -> None:
    rows = []
    with opened(state) as catalog:
        publisher = Snapshots(catalog, state, every_s=0, min_free_bytes=0)
        took: list[tuple[float, float]] = []  # when a batch began, and how long it took
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                (batch,) = fresh(first, 1, f"snap{time.time_ns()}")
                at_s = time.perf_counter()
                catalog.write(batch)
                took.append((at_s, time.perf_counter() - at_s))
                stop.wait(0.2)

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(5)
        for run in range(runs):
            began_s = time.perf_counter()
            at_s = time.perf_counter()
            catalog.checkpoint()
            checkpoint_s = time.perf_counter() - at_s
            publisher.publish()
            ended_s = time.perf_counter()
            during = [s for at, s in took if at + s > began_s and at < ended_s]
            others = [s for at, s in took if at + s <= began_s]
            size = os.path.getsize(state / "snapshot.duckdb")
            rows.append(
                (
                    run + 1,
                    f"{size / 1e9:.2f}",
                    f"{ended_s - began_s:.2f}",
                    f"{checkpoint_s:.3f}",
                    f"{median(during):.3f} / {max(during):.3f}",
                    f"{median(others):.3f} / {max(others):.3f}",
                )
            )
            time.sleep(5)
        stop.set()
        writer.join()
    head = ("run", "GB", "all, s", "checkpoint, s", "a batch during, s p50 / max", "else, s")
    print(table(head, rows))


if __name__ == "__main__":
    main()
