"""Edge: files that are to be read again: how many, why, when, and at whose wish."""

import time
from collections.abc import Sequence

import pyarrow as pa

from ingestd.catalog import Catalog, utc_now
from ingestd.later import Later

#: `file.detail` of a file whose rows are to be written anew, though its bytes are known. The
#: ledger remembers the wish; write_batch.sql knows the words.
ANEW = "is to be read anew"

NAMED_FILES = 20_000  #: so many that stay due are remembered; then all have their turn again

DUE_RETRIES = """
    SELECT path FROM file
    WHERE root = $1 AND not_before_utc IS NOT NULL
      AND (not_before_utc <= $2 OR not_before_utc > $3)
      AND path NOT IN (SELECT unnest($4::VARCHAR[]))
    ORDER BY not_before_utc LIMIT 5000
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

#: A file on its way to a store keeps its words, by which that way is found again after a crash.
READ_AGAIN = """
    UPDATE file SET not_before_utc = $1, attempts = 0
    FROM again AS a
    WHERE file.root = a.root AND file.path = a.path
      AND file.state IN ('cataloged', 'duplicate', 'conflict', 'refused', 'retry')
"""
READ_ANEW = f"""
    UPDATE file SET not_before_utc = $1, attempts = 0, detail = '{ANEW}'
    FROM again AS a
    WHERE file.root = a.root AND file.path = a.path
      AND file.state IN ('cataloged', 'duplicate', 'conflict')
      AND (file.detail IS NULL OR NOT starts_with(file.detail, 'is being moved'))
"""


def due_retries(catalog: Catalog, root: str, not_yet: Sequence[str] = ()) -> list[str]:
    """Name the files of a root whose time to be tried again has come.

    not_yet  those that were named just before
    """
    times = catalog.patience.due(utc_now())
    return [path for (path,) in catalog.rows(DUE_RETRIES, root, *times, list(not_yet))]


class Due:
    """The files of one root that are due, each named no more often than later and later.

    One whose folder cannot be read stays due; it must not keep others from their turn.
    """

    def __init__(self, catalog: Catalog, root: str) -> None:
        self.root = root
        self._catalog = catalog
        self._named = self._later()

    def _later(self) -> Later:
        patience = self._catalog.patience
        return Later(first_s=patience.first_s, limit_s=patience.limit_s)

    def take(self) -> list[str]:
        """Name those that are due now."""
        now_s = time.monotonic()
        if len(self._named) > NAMED_FILES:
            self._named = self._later()
        paths = due_retries(self._catalog, self.root, self._named.not_yet(now_s))
        for path in paths:
            self._named.leave(path, now_s)
        self._named.went_through(now_s)
        return paths


def unread(catalog: Catalog, root: str) -> str:
    """Say how many files of a root its share does not give; nothing when it gives all."""
    ((count, detail),) = catalog.rows(UNREAD, root)
    return f"{count} files cannot be read ({detail}); they are tried again" if count else ""


def retry_now(catalog: Catalog, root: str) -> None:
    """A root is back: what its share did not give is tried at once."""
    with catalog.transaction() as db:
        db.execute(RETRY_NOW, [root, utc_now()])


def read_again(catalog: Catalog, files: Sequence[tuple[str, str]], *, anew: bool = False) -> None:
    """Let files, each by root and path, be due now, though the ledger knows them as they are.

    anew  write all their rows anew, also when the bytes are those that were cataloged
    """
    again = pa.table(
        {
            "root": pa.array([root for root, _ in files], pa.string()),
            "path": pa.array([path for _, path in files], pa.string()),
        }
    )
    with catalog.transaction(again=again) as db:
        db.execute(READ_ANEW if anew else READ_AGAIN, [utc_now()])
