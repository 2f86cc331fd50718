"""Edge: what tables and columns mean, said in the catalog itself, where people look for it.

There are hundreds of them, and DuckDB takes half a millisecond for each: a new catalog gets them
while the first files are read.
"""

import re
import threading

from ingestd import sql
from ingestd.catalog import Catalog
from ingestd.errors import IngestError
from ingestd.log import get_logger

log = get_logger()

STATEMENT = re.compile(r"^COMMENT ON \w+ (?P<name>\S+) IS '(?P<text>.*)';$", re.MULTILINE)

#: Under the research profile there is another database, with namesakes that say nothing.
SAID = """
    SELECT table_name, comment FROM duckdb_tables() WHERE database_name = current_database()
    UNION ALL
    SELECT view_name, comment FROM duckdb_views() WHERE database_name = current_database()
    UNION ALL
    SELECT table_name || '.' || column_name, comment FROM duckdb_columns()
    WHERE database_name = current_database()
"""


def begin(catalog: Catalog) -> threading.Thread:
    """Say them in a thread of their own; what cannot be said now is said at the next start."""

    def work() -> None:
        try:
            say(catalog)
        except IngestError as error:
            log.warning("comments_not_written", why=error.detail)

    thread = threading.Thread(target=work, name="comments", daemon=True)
    thread.start()
    return thread


def say(catalog: Catalog) -> None:
    """Say what the catalog does not say yet, or says otherwise.

    raises  IngestError
    """
    with catalog.transaction() as db:
        said = dict(db.execute(SAID).fetchall())
        for found in STATEMENT.finditer(sql.COMMENTS):
            if said[found["name"]] != found["text"].replace("''", "'"):
                db.execute(found[0])
