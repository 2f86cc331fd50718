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
from collections.abc import Callable
from pathlib import Path
from statistics import median

from catalog import fresh, opened, read
from made import make
from timing import folder_for, machine, table

from ingestd.snapshots import Snapshots

REST_S = 5.0
HEAD = ("all, s", "of it a checkpoint, s", "batches", "a batch, s p50 / max")

Span = tuple[float, float]


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
    snapshots, batches, checkpoints = [], [], []  # each: when it began, and when it ended
    with opened(state) as catalog:
        publisher = Snapshots(catalog, state, every_s=0, min_free_bytes=0)
        checkpoint, stop = catalog.checkpoint, threading.Event()
        catalog.checkpoint = lambda: timed(checkpoint, checkpoints)

        def write() -> None:
            while not stop.is_set():
                (batch,) = fresh(first, 1, f"snap{time.time_ns()}")
                timed(lambda: catalog.write(batch), batches)  # noqa: B023 -- called at once
                stop.wait(0.05)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(runs):
            time.sleep(REST_S)
            timed(publisher.publish, snapshots)
        time.sleep(REST_S)
        stop.set()
        writer.join()
    print(f"{os.path.getsize(state / 'snapshot.duckdb') / 1e9:.2f} GB\n")
    print(table(HEAD, [row(one, batches, checkpoints) for one in snapshots]))
    alone = [batch for batch in batches if not any(meet(batch, one) for one in snapshots)]
    print(f"\n{len(alone)} batches while none was made: {middle_and_most(alone)} s")


def row(snapshot: Span, batches: list[Span], checkpoints: list[Span]) -> tuple[str, ...]:
    during = [batch for batch in batches if meet(batch, snapshot)]
    (checkpoint,) = (one for one in checkpoints if meet(one, snapshot))
    return (
        f"{lasted(snapshot):.2f}",
        f"{lasted(checkpoint):.3f}",
        str(len(during)),
        middle_and_most(during),
    )


def timed(what: Callable[[], object], spans: list[Span]) -> None:
    began_s = time.perf_counter()
    what()
    spans.append((began_s, time.perf_counter()))


def lasted(span: Span) -> float:
    return span[1] - span[0]


def meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def middle_and_most(spans: list[Span]) -> str:
    taken_s = [lasted(span) for span in spans]
    return f"{median(taken_s):.3f} / {max(taken_s):.3f}"


if __name__ == "__main__":
    main()
