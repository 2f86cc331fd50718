"""Edge: files that could not be read just now: how many, why, and when they are tried again."""

from ingestd.catalog import Catalog, utc_now

DUE_RETRIES = """
    SELECT path FROM file
    WHERE root = $1 AND not_before_utc IS NOT NULL
      AND (not_before_utc <= $2 OR not_before_utc > $3)
    ORDER BY not_before_utc LIMIT 1000
"""

#: What its share is to blame for; a file that left between two looks is not.
UNREAD = """
    SELECT count(*), min(detail) FROM file
    WHERE root = $1 AND reason = 'transient_io' AND state <> 'gone' AND detail NOT LIKE 'ENOENT%'
"""
RETRY_NOW = """
    UPDATE file SET not_before_utc = $2
    WHERE root = $1 AND reason = 'transient_io' AND not_before_utc > $2
"""


def due_retries(catalog: Catalog, root: str) -> list[str]:
    """Name the files of a root whose time to be tried again has come."""
    return [path for (path,) in catalog.rows(DUE_RETRIES, root, *catalog.patience.due(utc_now()))]


def unread(catalog: Catalog, root: str) -> str:
    """Say how many files of a root its share does not give; nothing when it gives all."""
    ((count, detail),) = catalog.rows(UNREAD, root)
    return f"{count} files cannot be read ({detail}); they are tried again" if count else ""


def retry_now(catalog: Catalog, root: str) -> None:
    """A root is back: what its share did not give is tried at once."""
    with catalog.transaction() as db:
        db.execute(RETRY_NOW, [root, utc_now()])
