"""Edge: DuckDB itself: started with what nobody may change later, and shut while others read."""

import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import duckdb

from ingestd.errors import StateError
from ingestd.files import CATALOG_NAME
from ingestd.sqlgate import LOCKED_DOWN

#: The write-ahead log grows so far before it is folded into the file: with DuckDB's 16 MB a large
#: catalog spends half its time on that. To read so much again after a crash takes some seconds.
CHECKPOINT_BYTES = 256_000_000

#: Of a new file. DuckDB fills a block with columns of one batch only, and leaves the rest empty:
#: with its 262,144 a catalog is a sixth larger. Smaller ones hold shorter dictionaries.
BLOCK_BYTES = 65_536

READER_S = 15.0  #: how long another program may have the catalog's file open
SHUT_S = 3.0  #: how long readers have to heed an interrupt, when the file is to be closed
SPILL_SHARE = 8  #: one part in so many of what is free


def start(state: Path, *, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """Open the catalog of a state folder, for writing.

    raises  StateError
    """
    path = state / CATALOG_NAME
    # Large questions may take so much of the disk for a while: files need the rest.
    spill_bytes = shutil.disk_usage(state).free // SPILL_SHARE
    until_s = time.monotonic() + READER_S
    while True:
        try:
            return duckdb.connect(
                str(path),
                config={
                    **LOCKED_DOWN,
                    "checkpoint_threshold": f"{CHECKPOINT_BYTES}B",
                    "default_block_size": str(BLOCK_BYTES),
                    "memory_limit": f"{memory_bytes}B",
                    "temp_directory": str(state / "tmp"),
                    "max_temp_directory_size": f"{spill_bytes}B",
                },
            )
        except duckdb.Error as error:
            # Some other tool has the file open for reading: it may soon be done.
            if "lock" in str(error) and time.monotonic() < until_s:
                time.sleep(0.2)
                continue
            raise StateError(
                f"{path}: DuckDB cannot open the catalog: {error}. Nothing was changed. If the"
                " file is damaged, put it aside and restore a backup, or scan the folders again."
            ) from error


def shut(db: duckdb.DuckDBPyConnection, readers: Collection[duckdb.DuckDBPyConnection]) -> None:
    """Close the catalog; whoever reads in it is interrupted, and given a moment.

    raises  StateError when somebody does not heed it
    """
    until_s = time.monotonic() + SHUT_S
    while True:
        for reader in tuple(readers):
            with suppress(duckdb.Error):  # It has just closed.
                reader.interrupt()
        try:
            db.close()
        except duckdb.Error as error:
            if time.monotonic() > until_s:
                words = "a question that heeds no interrupt holds the catalog"
                raise StateError(f"{words}: {error}") from error
            time.sleep(0.05)
        else:
            return
