"""Edge: the whole catalog as files of a folder: Parquet by modality and month, or CSV.

It reads what others may read, too: with a daemon its newest snapshot, which is published for this,
else the catalog's file. One statement writes one file, so that no value of a header ever is a
path unless it was looked at here, and memory does not grow with the catalog.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

import duckdb

from ingestd import profile, research
from ingestd.client import STARTING_S, Client, ask_daemon, quoted
from ingestd.errors import ConfigError, StateError
from ingestd.files import CATALOG_NAME, SNAPSHOT_NAME, fsync_folder
from ingestd.owner import reading

Form = Literal["parquet", "csv"]

TABLES = (
    "instance", "tag", "file", "volume", "volume_slice", "series_state", "problem", "event",
    "series", "study", "patient",
)  # fmt: skip
PARTED = ("instance", "tag")

MEMORY = "1GiB"
NOTHING = "__HIVE_DEFAULT_PARTITION__"  #: what Hive, Spark, Arrow and DuckDB read as NULL
OTHER = "_other"  #: of a Modality that is no code string, or beyond the first MOST
MOST = 100

#: Which part each instance goes to. A date that no scanner can have written has no month.
PARTS = """
    CREATE TEMP TABLE parted AS
    WITH known AS (
        SELECT Modality FROM {schema}.instance
        WHERE regexp_full_match(Modality, '[A-Za-z0-9_ ]{{1,16}}')
        GROUP BY Modality ORDER BY count(*) DESC, Modality LIMIT {most}
    )
    SELECT i.instance_id,
        CASE WHEN i.Modality IS NULL THEN NULL WHEN k.Modality IS NULL THEN '{other}'
            ELSE k.Modality END AS part,
        {month} AS month
    FROM {schema}.instance AS i LEFT JOIN known AS k USING (Modality)
    ORDER BY part, month, instance_id
"""
MONTH = "CASE WHEN year(i.StudyDate) BETWEEN 1970 AND 2100 THEN strftime(i.StudyDate, '%Y-%m') END"

#: Each part: how many instances, and between which numbers, so that the rest is not read.
LISTED = """
    SELECT part, month, min(instance_id), max(instance_id) FROM parted GROUP BY ALL ORDER BY ALL
"""
OF_PART = """
    SELECT t.* FROM {schema}.{table} AS t
    WHERE t.instance_id BETWEEN {low} AND {high} AND t.instance_id IN (
        SELECT instance_id FROM parted
        WHERE part IS NOT DISTINCT FROM {part} AND month IS NOT DISTINCT FROM {month})
"""
COLUMNS = """
    SELECT column_name, data_type FROM duckdb_columns()
    WHERE database_name = ? AND schema_name = 'main' AND table_name = ? ORDER BY column_index
"""


class Source(NamedTuple):
    """Where to read."""

    db: duckdb.DuckDBPyConnection
    database: str  #: in it

    @property
    def schema(self) -> str:
        """Name the place of its tables."""
        return f"{self.database}.main"


def export(client: Client, target: Path, form: Form) -> dict[str, int]:
    """Write every table to a folder, which appears when it is whole.

    target  a new folder
    return  how many rows of each table
    raises  ConfigError when there is something at `target`; StateError; OSError
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target}: is there already; name a new folder")
    final = Path(os.path.abspath(target))
    part = final.with_name(f".{final.name[:200]}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        with opened(client.state, part) as source:
            rows = {name: write(source, name, part, form) for name in TABLES}
        shutil.rmtree(part / ".tmp", ignore_errors=True)
        sync(part)
        part.replace(final)
        fsync_folder(final.parent)
    except duckdb.Error as error:
        raise StateError(f"{target}: could not be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return rows


@contextmanager
def opened(state: Path, room: Path) -> Iterator[Source]:
    """Open what there is to read: a snapshot of now, or the catalog when nobody owns it.

    room    for what does not fit into memory
    raises  StateError
    """
    until_s = time.monotonic() + STARTING_S
    while True:
        reply = ask_daemon(state, "POST", "/snapshot", b"")
        if reply is not None:
            path = state / json.loads(reply.content)["path"]
            with connected(path, room) as db:
                yield Source(db, SNAPSHOT_NAME.removesuffix(".duckdb"))
            return
        with reading(state) as allowed:
            if allowed:
                with connected(state / CATALOG_NAME, room) as db:
                    yield under_profile(db, state)
                return
        if time.monotonic() > until_s:
            raise StateError(f"{state}: a process owns the catalog and does not answer; ask again")
        time.sleep(0.2)


def under_profile(db: duckdb.DuckDBPyConnection, state: Path) -> Source:
    """Read no more than the profile of the state folder shows."""
    if profile.read(state) == "full":
        return Source(db, "catalog")
    research.install(db, profile.key(state))
    return Source(db, research.DATABASE)


@contextmanager
def connected(path: Path, room: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file of DuckDB for reading, to write files elsewhere."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "temp_directory": str(room / ".tmp"),
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    try:
        db = duckdb.connect(str(path), read_only=True, config=config)
    except duckdb.Error as error:
        raise StateError(f"{path}: DuckDB cannot open it: {error}") from error
    with db:
        db.execute("SET preserve_insertion_order = false")
        yield db


def write(source: Source, table: str, room: Path, form: Form) -> int:
    """Write one table; say how many rows."""
    columns = dict(source.db.execute(COLUMNS, [source.database, table]).fetchall())
    if not columns:
        return 0
    if form == "csv":
        texts = ", ".join(
            f"array_to_string({name}, '\\') AS {name}" if kind.endswith("[]") else name
            for name, kind in columns.items()
        )
        question = f"SELECT {texts} FROM {source.schema}.{table}"
        return copy(source, question, room / f"{table}.csv", "FORMAT csv, HEADER")
    if table not in PARTED:
        question = f"FROM {source.schema}.{table}"
        return copy(source, question, room / f"{table}.parquet", PARQUET)
    return sum(write_parts(source, table, room, dated="StudyDate" in columns))


PARQUET = "FORMAT parquet, COMPRESSION zstd"


def write_parts(source: Source, table: str, room: Path, *, dated: bool) -> Iterator[int]:
    """Write `instance` or `tag` by modality and month; say how many rows each file has.

    dated   whether `instance` has StudyDate, which decides of `tag` as well
    """
    if table == PARTED[0]:
        month = MONTH if dated else "NULL::VARCHAR"
        source.db.execute(PARTS.format(schema=source.schema, most=MOST, other=OTHER, month=month))
    for part, month, low, high in source.db.execute(LISTED).fetchall():
        folder = room / table / f"Modality={as_name(part)}" / f"month={as_name(month)}"
        folder.mkdir(parents=True)
        question = OF_PART.format(
            schema=source.schema,
            table=table,
            low=low,
            high=high,
            part="NULL" if part is None else quoted(part),
            month="NULL" if month is None else quoted(month),
        )
        yield copy(source, question, folder / f"{table}.parquet", PARQUET)


def as_name(value: str | None) -> str:
    """Write a value as a part of a path, as Hive does."""
    return NOTHING if value is None else quote(value, safe="")


def copy(source: Source, question: str, target: Path, options: str) -> int:
    """Write the answer to a question to one file; say how many rows."""
    done = source.db.execute(f"COPY ({question}) TO {quoted(str(target))} ({options})")
    return int(done.fetchall()[0][0])


def sync(folder: Path) -> None:
    """Make a folder and all in it survive a power cut."""
    for place, _, names in os.walk(folder):
        for name in names:
            with open(f"{place}/{name}", "rb") as file:
                os.fsync(file.fileno())
        fsync_folder(Path(place))
