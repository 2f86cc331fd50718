"""Print docs/columns.md from the comments of the catalog itself: python docs/columns.py."""

import sys
import tempfile
from pathlib import Path

from ingestd import comments
from ingestd.catalog import Catalog
from ingestd.model import Patience

HEAD = """\
# Tables and columns

Made from the catalog's own comments by `python docs/columns.py`; in SQL they are
`SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'instance'`.

Names in CamelCase are DICOM keywords, letter for letter, and hold what the file says. Names in
snake_case are ours, with the unit at the end. DuckDB does not mind upper or lower case. Times are
UTC. `root || '/' || path` is a file; paths of thumbnails and volumes begin at the state folder.
"""

TABLE_HEAD = "| column | type | meaning |\n|---|---|---|\n"

#: `tag` is what people ask, so it stands among the tables.
TABLES = """
    WITH made AS (FROM duckdb_tables() WHERE NOT internal)
    SELECT name, comment FROM (
        SELECT table_name AS name, comment, table_oid AS place FROM made
        UNION ALL
        SELECT view_name, comment, (SELECT table_oid FROM made WHERE table_name = 'instance')
        FROM duckdb_views() WHERE NOT internal AND comment IS NOT NULL)
    ORDER BY place, name
"""
COLUMNS = """
    SELECT column_name, data_type, comment FROM duckdb_columns()
    WHERE table_name = ? AND NOT internal ORDER BY column_index
"""
VIEWS = """
    SELECT view_name, string_agg(column_name, '`, `' ORDER BY column_index)
    FROM duckdb_views() JOIN duckdb_columns() ON table_name = view_name
    WHERE NOT duckdb_views.internal AND duckdb_views.comment IS NULL
    GROUP BY view_name, view_oid ORDER BY view_oid
"""


def page() -> str:
    """Write the page."""
    parts = [HEAD]
    patience = Patience(attempts=1, first_s=1, limit_s=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        Catalog(Path(folder), memory_bytes=1 << 28, patience=patience) as catalog,
    ):
        comments.say(catalog)
        for table, comment in catalog.rows(TABLES):
            parts.append(f"\n## {table}\n\n{sentence(comment)}\n\n{TABLE_HEAD}")
            for name, kind, meaning in catalog.rows(COLUMNS, table):
                parts.append(f"| `{name}` | {kind} | {meaning.replace('|', '/')} |\n")
        parts.append("\n## Views\n\n")
        parts.extend(f"- **{view}**: `{columns}`\n" for view, columns in catalog.rows(VIEWS))
    return "".join(parts)


def sentence(comment: str) -> str:
    """Begin with a capital, end with a stop."""
    return f"{comment[0].upper()}{comment[1:]}."


if __name__ == "__main__":
    sys.stdout.write(page())
