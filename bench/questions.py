"""How long the worked questions of docs/queries.md take on a large catalog.

    python bench/questions.py --instances 2000000 --keep /srv/big

The catalog starts from the demo's studies, which are read for real; SQL writes them again and
again under other UIDs, patients and dates, in the order in which batches would have come. Then
each question is asked three times, from the file, within the limits that the daemon sets.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import duckdb
from timing import folder_for, machine, table

from ingestd import phantom
from ingestd.sqlgate import LOCKED_DOWN

PAGE = Path(__file__).parents[1] / "docs" / "queries.md"
AT_ONCE = 64  # copies of the demo in one transaction
BATCH = 8  # copies of the demo in one batch of the daemon: 992 files
MEMORY_BYTES = 2 << 30  # [catalog] memory_bytes

RENAMED = "CREATE TEMP MACRO renamed(uid, k) AS '1.3.6.1.4.1.99999.' || hash(uid, k)"


def renamed(*names: str) -> str:
    return ", ".join(f"renamed({name}, k) AS {name}" for name in names)


#: What makes another row of each row of the demo; `k` is the number of the copy, $n how many
#: instances the demo has.
COPIES = {
    "file": "'copy' || k || '/' || path AS path, mtime_ns + k AS mtime_ns,"
    " md5(digest || k) || md5(k || digest) AS digest, renamed(SOPInstanceUID, k) AS SOPInstanceUID",
    "instance": "instance_id + k * $n AS instance_id, 'copy' || k || '/' || path AS path,"
    " PatientID || '-' || k // 4 AS PatientID, StudyDate - (k % 3650)::INTEGER AS StudyDate,"
    " md5(digest || k) || md5(k || digest) AS digest, "
    + renamed("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    "element": "instance_id + k * $n AS instance_id,"
    " CASE WHEN attribute_id IN (SELECT attribute_id FROM demo.attribute WHERE vr = 'UI')"
    " AND value NOT LIKE '1.2.840.10008.%' THEN renamed(value, k)"
    " WHEN attribute_id IN (SELECT attribute_id FROM demo.attribute WHERE path = '00100020')"
    " THEN value || '-' || k // 4 ELSE value END AS value",
    "volume": renamed("SeriesInstanceUID"),
    "volume_slice": renamed("SeriesInstanceUID", "SOPInstanceUID"),
    "series_state": renamed("SeriesInstanceUID"),
    "problem": renamed("SOPInstanceUID"),
    "event": f"{renamed('SeriesInstanceUID')}, at_utc - to_hours(k::INTEGER) AS at_utc",
}

#: In `element` a batch is sorted, as `write_batch.sql` does it.
ORDER = {"element": f" ORDER BY k // {BATCH}, attribute_id, instance_id"}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--instances", type=int, default=2_000_000)
    asked.add_argument("--keep", type=Path, help="folder for the catalog")
    asked.add_argument("--only-make", action="store_true")
    options = asked.parse_args()
    with folder_for(options.keep) as room:
        state = grown(room, options.instances)
        if not options.only_make:
            print(f"{machine()}\n")
            ask(state)


def grown(room: Path, instances: int) -> Path:
    """Give a state folder with such a catalog, unless it is there already; goes on where it was."""
    state, first = room / f"asked-{instances}", room / "first"
    if (state / "whole").exists():
        return state
    if not state.exists():
        phantom.write(room / "demo")
        command = [
            sys.executable,
            "-m",
            "ingestd",
            "scan",
            str(room / "demo"),
            "--state",
            str(first),
        ]
        subprocess.run(command, check=True)
        shutil.copytree(first, state)
    started_s = time.monotonic()
    config = {"memory_limit": f"{MEMORY_BYTES}B", "checkpoint_threshold": "1GB"}
    with duckdb.connect(str(state / "catalog.duckdb"), config=config) as db:
        db.execute(f"ATTACH '{first}/catalog.duckdb' AS demo (READ_ONLY)")
        db.execute(RENAMED)
        n = db.execute("SELECT max(instance_id) FROM demo.instance").fetchall()[0][0]
        done = db.execute("SELECT max(instance_id) FROM instance").fetchall()[0][0] // n
        for at in range(done, instances // n, AT_ONCE):
            until = min(at + AT_ONCE, instances // n)
            db.execute("BEGIN")
            for name, new in COPIES.items():
                db.execute(
                    f"INSERT INTO {name} BY NAME SELECT old.* REPLACE ({new})"
                    f" FROM demo.{name} AS old, range({at}, {until}) AS copies(k)"
                    + ORDER.get(name, ""),
                    {"n": n} if "$n" in new else None,
                )
            db.execute("COMMIT")
            print(f"copy {until}, {time.monotonic() - started_s:.0f} s", flush=True)
        db.execute("CHECKPOINT")
    (state / "whole").touch()
    return state


def ask(state: Path) -> None:
    """Time each question; the first answer may have to read the disk."""
    questions = re.findall(
        r"^## (?P<title>.*?)\n.*?```sql\n(?P<sql>.*?)```",
        PAGE.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    config = {**LOCKED_DOWN, "memory_limit": f"{MEMORY_BYTES}B"}
    rows = []
    with duckdb.connect(str(state / "catalog.duckdb"), read_only=True, config=config) as db:
        counts = [
            db.execute(f"SELECT count(*) FROM {t}").fetchall()[0][0] for t in ("instance", "tag")
        ]
        for title, sql in questions:
            took_s = []
            for _ in range(4):
                at_s = time.perf_counter()
                found = db.sql(sql).to_arrow_table()
                took_s.append(time.perf_counter() - at_s)
            rows.append(
                (title, f"{found.num_rows:,}", f"{took_s[0]:.2f}", f"{median(took_s[1:]):.2f}")
            )
    size = os.path.getsize(state / "catalog.duckdb")
    print(f"{counts[0]:,} instances, {counts[1]:,} rows in `tag`, {size / 1e9:.2f} GB\n")
    print(table(("question", "rows", "first, s", "then, s"), rows))


if __name__ == "__main__":
    main()
