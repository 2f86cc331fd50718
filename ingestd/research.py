"""Edge: SQL without what identifies a person: PS3.15, Table E.1-1, Basic Profile.

Each table and view of the catalog has a namesake in a database in memory, `research`, which comes
first where names are looked up. A column is there when it is known to be harmless, as a keyed hash
when it says what belongs together, and absent otherwise: also one that nobody has judged yet.
"""

import csv
import json
from collections.abc import Iterator
from typing import Any

from ingestd.dicom.keywords import KEPT
from ingestd.sql import BASIC_PROFILE, RESEARCH
from ingestd.sqlgate import EXPLAIN
from ingestd.sqltree import NotAllowed

Db = Any  # A connection of DuckDB, whoever opened it

DATABASE = "research"
BLOCK_BYTES = 64  #: of SHA-256

#: Columns that tell what belongs together
HASHED = frozenset(["PatientID", "AccessionNumber", "digest", "instance_digest"])
UIDS = frozenset(["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"])

#: Our own columns that say nothing of a person, nor when or where one was seen
OURS = """
    instance_id size_bytes frames has_pixels window_source revision state reason attempts stack
    shape dtype spacing_mm affine_lps_mm slice_spacing_mm spacing_deviation_mm tilt_degrees
    missing_slices orientation units timepoint slice frame position_mm expected found kind keyword
    studies series instances modalities is_source has_copy
"""
HARMLESS = frozenset(OURS.split())

#: Columns and elements of the table; those that only hold UIDs of other objects stay, hashed.
PROFILE = [
    (row["tag"], row["keyword"], row["action"])
    for row in csv.DictReader(line for line in BASIC_PROFILE.splitlines() if line[0] != "#")
]
IDENTIFYING = frozenset(keyword for _, keyword, _ in PROFILE)
WITHHELD = [row for row in PROFILE if "U" not in row[2] and row[1] not in HASHED]

#: `tag` has a view of its own, in research.sql; what it is made of has none.
COLUMNS = """
    SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()
    WHERE database_name = ? AND schema_name = 'main' AND NOT internal
      AND table_name NOT IN ('attribute', 'element', 'tag')
    GROUP BY table_name ORDER BY table_name
"""

FUNCTIONS_IN_FROM = frozenset(["range", "generate_series", "unnest"])
DESCRIBED = frozenset(["duckdb_columns", "duckdb_tables", "duckdb_views"])
SHOWN = frozenset(["", '"tables"'])


def is_harmless(column: str) -> bool:
    """Whether a column may be seen as it is."""
    if column[0].isupper():
        return column in STANDARD and column not in IDENTIFYING
    return column in HARMLESS


STANDARD = frozenset(kept.keyword for kept in KEPT)


def install(db: Db, key: bytes, *, database: str = "catalog") -> None:
    """Make the database `research` beside the catalog; before the engine is locked.

    key       of the hashes
    database  the name under which the catalog is attached
    """
    withheld = str([tag for tag, *_ in WITHHELD])
    db.execute(RESEARCH.replace("{database}", database).replace("{withheld}", withheld))
    padded = key.ljust(BLOCK_BYTES, b"\0")
    pads = [bytes(byte ^ mask for byte in padded) for mask in (0x36, 0x5C)]
    db.execute("INSERT INTO research.keep.secret VALUES ($1, $2)", pads)
    for table, columns in db.execute(COLUMNS, [database]).fetchall():
        parts = [part for part in map(column_sql, columns) if part]
        if parts:
            db.execute(
                f"CREATE VIEW research.main.{table} AS SELECT {', '.join(parts)}"
                f" FROM {database}.main.{table} AS t CROSS JOIN research.keep.secret AS s"
            )


def column_sql(column: str) -> str | None:
    """Write how a column is shown; None when it is not."""
    pads = "s.inner_pad, s.outer_pad"
    if column in UIDS:
        return f"{DATABASE}.keep.uid(t.{column}, {pads}) AS {column}"
    if column in HASHED:
        kind = column.removeprefix("instance_")
        return f"{DATABASE}.keep.hashed('{kind}', t.{column}, {pads}) AS {column}"
    return f"t.{column}" if is_harmless(column) else None


def enter(db: Db, sql: str) -> None:
    """Let a connection see the profile only, and let one question pass that stays in it.

    raises  NotAllowed
    """
    names = set(tables(db))
    hidden = {
        name.lower()
        for (name,) in db.execute(
            "SELECT table_name FROM duckdb_columns() WHERE database_name <> 'research'"
            " AND NOT internal GROUP BY ALL"
        ).fetchall()
    }
    question = EXPLAIN.sub("", sql, count=1)  # As the gate has read it.
    answer = db.execute("SELECT json_serialize_sql($1)", [question]).fetchall()[0][0]
    tree = json.loads(answer)
    if tree["error"]:
        raise NotAllowed(tree.get("error_message", "cannot be parsed"))
    nodes = list(walk(tree))
    given = {str(entry["key"]).lower() for node in nodes for entry in cte_entries(node)}
    if clash := given & hidden:
        raise NotAllowed(f"WITH {clash.pop()}: is the name of a table; choose another")
    for node in nodes:
        look(node, names | given)
    db.execute(f"SET search_path = '{DATABASE}'")


def tables(db: Db) -> list[str]:
    """Name the tables that there are under the profile."""
    rows = db.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'research'"
        " AND schema_name = 'main' AND NOT internal ORDER BY ALL"
    ).fetchall()
    return [name for (name,) in rows]


def look(node: dict[str, Any], names: set[str]) -> None:
    """See that a part of a question leads to no table but those of the profile.

    raises  NotAllowed
    """
    kind = node.get("type")
    if kind == "TABLE_FUNCTION" and "function" in node:
        called = str(node["function"].get("function_name", "")).lower()
        if called not in FUNCTIONS_IN_FROM | DESCRIBED:
            raise NotAllowed(f"{called}() may not stand in FROM here")
    if kind not in ("BASE_TABLE", "SHOW_REF"):
        return
    name = str(node.get("table_name", "")).lower()
    known = names | (SHOWN if kind == "SHOW_REF" else DESCRIBED)
    if node.get("catalog_name") or node.get("schema_name") or name not in known:
        raise NotAllowed(
            f"{name or 'this'}: [sql] profile = research: SHOW TABLES names what may be asked for,"
            " without catalog or schema before it"
        )


def cte_entries(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what WITH names at a node."""
    named = node.get("cte_map")
    return list(named.get("map", ())) if isinstance(named, dict) else []


def walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Give every node of a parsed question."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
