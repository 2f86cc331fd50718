"""How the catalog behaves when it is large: rate of batches, where a batch's time goes, bytes.

    python bench/catalog.py --instances 2000000 --runs 5

The large catalog starts from slices that were read for real, which are written again and again
under other UIDs, paths and digests. The first of them come in batches, as in the daemon, and tell
what an instance weighs; those that SQL adds have no rows in `tag`, which no batch reads. Then
batches are written to it and to an empty one in turn.
"""

import argparse
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import duckdb
from made import listed, make
from timing import folder_for, machine, spread, table

from ingestd import batches, parse
from ingestd import catalog as ingestd_catalog
from ingestd.catalog import Catalog
from ingestd.files import CATALOG_NAME
from ingestd.model import Arrival, Patience
from ingestd.tables import Batch
from ingestd.tasks import file_rows

BATCH = 960  # chunks of 64 files, as many as their rows of `tag` fit into a row group
PATIENCE = Patience(attempts=8, first_s=5, limit_s=3600)
MEMORY_BYTES = 2 << 30

MADE = ("instance", "attribute", "element", "problem")  #: the tables of `parse.to_tables`

#: Other UIDs, as long as those of most machines, with digits that do not repeat.
RENAMED = """
    CREATE TEMP MACRO renamed(uid, k) AS
    '1.3.6.1.4.1.99999.' || hash(uid, k) || '.' || hash(k, uid);
    CREATE TEMP MACRO rehashed(digest, k) AS md5(digest || k) || md5(k || digest)
"""

_PLACE = "'copy' || k || '/' || path AS path, rehashed(digest, k) AS digest"
_UIDS = ", ".join(
    f"renamed({name}, k) AS {name}"
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
)
_VALUE = """
    CASE
        WHEN value LIKE '2.25.%' THEN renamed(value, k)
        WHEN attribute IN (SELECT attribute FROM attributes WHERE path = '00100020')
        THEN value || '-' || k
        ELSE value
    END AS value
"""

#: What makes other files of those that were read.
RENEWED = {
    "file": f"{_PLACE}, renamed(SOPInstanceUID, k) AS SOPInstanceUID",
    "instance": f"{_PLACE}, {_UIDS}, PatientID || '-' || k AS PatientID",
    "element": _VALUE,
}

#: The rows of the template, in the order in which batches bring them.
TEMPLATE = """
    CREATE TEMP TABLE first_instance AS
    FROM instance WHERE instance_id <= {count} ORDER BY instance_id;
    CREATE TEMP TABLE first_file AS
    FROM file SEMI JOIN first_instance USING (SOPInstanceUID) ORDER BY path;
    CREATE TEMP TABLE first_state AS
    FROM series_state SEMI JOIN first_instance USING (SeriesInstanceUID)
"""

#: Copies of the template, numbered k from $first to $last; $n is how many instances it has.
COPIES = "range($first, $last) AS t(k)"
INDEXED = (
    f"""
    INSERT INTO instance BY NAME
    SELECT * EXCLUDE (k) REPLACE (
        instance_id + k * $n AS instance_id, {RENEWED["instance"]},
        'thumbnails/' || renamed(StudyInstanceUID, k) || '/' || renamed(SeriesInstanceUID, k)
            || '/' || renamed(SOPInstanceUID, k) || '.jpg' AS thumbnail_path)
    FROM first_instance, {COPIES} ORDER BY k, instance_id
    """,
    f"""
    INSERT INTO file BY NAME
    SELECT * EXCLUDE (k) REPLACE (mtime_ns + k * $n AS mtime_ns, {RENEWED["file"]})
    FROM first_file, {COPIES} ORDER BY k, path
    """,
    f"""
    INSERT INTO series_state BY NAME
    SELECT * EXCLUDE (k) REPLACE (renamed(SeriesInstanceUID, k) AS SeriesInstanceUID)
    FROM first_state, {COPIES} WHERE $n > 0
    """,
)
AT_ONCE = 20  #: copies in one transaction


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--instances", type=int, default=2_000_000)
    asked.add_argument("--tagged", type=int, default=200_000, help="with all their elements")
    asked.add_argument("--files", type=int, default=2_000, help="slices that are read for real")
    asked.add_argument("--batches", type=int, default=8, help="of 960 files, in a run")
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--keep", type=Path, help="folder for the sets and the large catalog")
    options = asked.parse_args()
    with folder_for(options.keep) as room:
        files = make("ct", room / "ct", options.files)
        first = read(files)
        grown(room, first, options.instances, options.tagged)
        print(f"{machine()}\n")
        _sizes(room / f"tagged-{options.tagged}.duckdb")
        _rates(room, first, options)
        _phases(room, first, options)


def read(folder: Path) -> list[Batch]:
    """Read a set as workers do, in batches as the conductor makes them."""
    arrivals = [_arrival(str(folder), path, seq) for seq, path in enumerate(listed(folder))]
    batches = []
    for at in range(0, len(arrivals), BATCH):
        rows = [
            parse.read(arrival, max_file_bytes=1 << 30, text_bytes=16384).without_dataset()
            for arrival in arrivals[at : at + BATCH]
        ]
        made = zip(MADE, parse.to_tables(rows, {}), strict=True)
        batches.append(Batch(file=file_rows(rows, []), **dict(made)))
    return batches


def _arrival(root: str, path: str, seq: int) -> Arrival:
    seen = Path(path).stat()
    return Arrival(
        seq=seq,
        root=root,
        path=path.removeprefix(root + "/"),
        size_bytes=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
    )


def grown(room: Path, first: list[Batch], instances: int, tagged: int) -> Path:
    """Give a catalog of so many instances; made by SQL, as far as it is not there already."""
    state = room / f"grown-{instances}"
    if (state / "whole").exists():
        return state
    count = sum(batch.file.num_rows for batch in first)
    started_s = time.monotonic()
    with opened(state) as catalog:
        there = catalog.rows("SELECT count(*) FROM instance")[0][0]
        if not there:
            for batch in (*first, *fresh(first, (tagged - count) // BATCH, "tagged")):
                catalog.write(batch)
            there = catalog.rows("SELECT count(*) FROM instance")[0][0]
            catalog.checkpoint()
            shutil.copy(state / CATALOG_NAME, room / f"tagged-{tagged}.duckdb")
            print(f"{there:,} instances, {time.monotonic() - started_s:.0f} s", flush=True)
        with catalog.transaction() as db:
            db.execute(RENAMED)
            db.execute(TEMPLATE.format(count=count))
        for copy in range(-(-there // count), instances // count, AT_ONCE):
            last = min(copy + AT_ONCE, instances // count)
            with catalog.transaction() as db:
                for statement in INDEXED:
                    db.execute(statement, {"first": copy, "last": last, "n": count})
            print(f"{last * count:,} instances, {time.monotonic() - started_s:.0f} s", flush=True)
        with catalog.transaction() as db:
            db.execute(f"SELECT max(nextval('instance_id_seq')) FROM range({instances})").fetchall()
        catalog.checkpoint()
    (state / "whole").touch()
    return state


def opened(state: Path) -> Catalog:
    """Open a catalog, new or not."""
    state.mkdir(parents=True, exist_ok=True)
    return Catalog(state, memory_bytes=MEMORY_BYTES, patience=PATIENCE)


def fresh(first: list[Batch], count: int, name: str) -> Iterator[Batch]:
    """Give so many batches that no catalog has seen: other UIDs, paths and digests."""
    largest = max(batch.file.num_rows for batch in first)
    whole = [batch for batch in first if batch.file.num_rows == largest]
    with duckdb.connect() as db:
        db.execute(RENAMED)
        for at in range(count):
            yield _renewed(db, whole[at % len(whole)], f"{name}-{at}")


def _renewed(db: duckdb.DuckDBPyConnection, batch: Batch, name: str) -> Batch:
    made = {}
    db.register("attributes", batch.attribute)
    for part, columns in RENEWED.items():
        given = getattr(batch, part)
        db.register("given", given)
        given_k = "(SELECT *, $k AS k FROM given)"
        rows = db.sql(
            f"SELECT * EXCLUDE (k) REPLACE ({columns}) FROM {given_k}", params={"k": name}
        )
        made[part] = rows.to_arrow_table().cast(given.schema)
    return replace(batch, **made)


def _sizes(tagged: Path) -> None:
    """Print what a catalog weighs."""
    size_bytes = tagged.stat().st_size
    with duckdb.connect(str(tagged), read_only=True) as db:
        instances = db.execute("SELECT count(*) FROM instance").fetchall()[0][0]
        rows = db.execute("SELECT count(*) FROM tag").fetchall()[0][0]
        free = db.execute("SELECT free_blocks * block_size FROM pragma_database_size()")
        free_bytes = free.fetchall()[0][0]
    print(
        f"{instances:,} instances, {rows:,} rows in `tag` ({rows / instances:.0f} an instance):"
        f" {size_bytes:,} bytes, {size_bytes / instances:.0f} an instance"
        f" ({free_bytes:,} bytes of it free)\n"
    )


def _rates(room: Path, first: list[Batch], options: argparse.Namespace) -> None:
    large = room / f"grown-{options.instances}"
    stamp = datetime.now(UTC).strftime("%H%M%S")
    measured: dict[str, list[tuple[float, float]]] = {"empty": [], "large": []}
    for run in range(options.runs):
        for name, values in measured.items():
            state = large if name == "large" else room / "empty"
            if name == "empty":
                shutil.rmtree(state, ignore_errors=True)
            with opened(state) as catalog:
                batches = list(fresh(first, options.batches, f"{stamp}{run}"))
                wall_s, cpu_s = time.perf_counter(), time.process_time()
                for batch in batches:
                    catalog.write(batch)
                values.append((time.perf_counter() - wall_s, time.process_time() - cpu_s))
    base = median(wall for wall, _ in measured["empty"])
    base_cpu = median(cpu for _, cpu in measured["empty"])
    count = sum(batch.file.num_rows for batch in batches)
    rows = []
    for name, values in measured.items():
        wall, cpu = zip(*values, strict=True)
        rows.append(
            (
                name if name == "empty" else f"{options.instances:,} instances",
                f"{count / median(wall):,.0f}",
                spread(wall),
                spread(cpu),
                f"{base / median(wall):.2f}",
                f"{base_cpu / median(cpu):.2f}",
            )
        )
    head = ("catalog", "files/s", f"s for {count:,} files", "CPU s", "rate", "rate by CPU")
    print(table(head, rows))


def _phases(room: Path, first: list[Batch], options: argparse.Namespace) -> None:
    """Print what each statement of a batch costs, in both catalogs."""
    costs: dict[str, dict[str, list[float]]] = {}
    stamp = datetime.now(UTC).strftime("%H%M%S")
    for name in ("empty", f"grown-{options.instances}"):
        with opened(room / name) as catalog:
            for batch in fresh(first, options.batches, f"p{stamp}"):
                for what, cost_s in _timed(catalog, batch):
                    costs.setdefault(what, {}).setdefault(name, []).append(cost_s)
    rows = [
        (what, *(spread([1000 * cost for cost in by_name[name]]) for name in by_name))
        for what, by_name in costs.items()
    ]
    print(table(("CPU ms for a batch of 960", "empty", f"{options.instances:,} instances"), rows))


def _timed(catalog: Catalog, batch: Batch) -> Iterator[tuple[str, float]]:
    """Write a batch statement by statement, as `Catalog.write` does at once; CPU of each."""
    views = batches.views(batch, PATIENCE, ingestd_catalog.utc_now())
    started_s = time.process_time()
    with catalog.transaction(**views) as db:
        at_s = time.process_time()
        yield "hand over the tables", at_s - started_s
        batches.look_up(db, batch)
        yield "look up what is known", time.process_time() - at_s
        for step in (batches.DECIDE, *batches.NEW):
            for statement in duckdb.extract_statements(step.script):
                at_s = time.process_time()
                db.execute(statement)
                yield _called(statement.query), time.process_time() - at_s
        at_s = time.process_time()
        batches.account(db, batch, 0, frozenset())
        yield "account for it", time.process_time() - at_s
        at_s = time.process_time()
    yield "commit (and checkpoint, when it is due)", time.process_time() - at_s
    yield "all of it", time.process_time() - started_s


def _called(sql: str) -> str:
    """The first line of a statement that is no comment."""
    lines = [line.strip() for line in sql.strip().splitlines()]
    return "`" + next(line for line in lines if line and not line.startswith("--")) + "`"


if __name__ == "__main__":
    main()
