"""Edge: DuckDB itself: started with what nobody may change later, and shut while others read."""

import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import duckdb

from ingestd.errors import BrokenStateError, IngestError, Reason, StateError
from ingestd.files import CATALOG_NAME, fsync_folder
from ingestd.sqlgate import LOCKED_DOWN

#: The write-ahead log grows so far before it is folded into the file: with DuckDB's 16 MB a large
#: catalog spends half its time on that. To read so much again after a crash takes some seconds.
CHECKPOINT_BYTES = 256_000_000

#: Of a new file. DuckDB fills a block with columns of one batch only, and leaves the rest empty:
#: with its 262,144 a catalog is a sixth larger. Smaller ones hold shorter dictionaries.
BLOCK_BYTES = 65_536

DAMAGE = "Corrupt database file"  #: DuckDB's words for a block that does not fit its checksum
#: What else it says of a file that no new start will open.
UNREADABLE = (
    DAMAGE,
    "not a valid DuckDB database file",
    "Could not read enough bytes",
    "Trying to read a database file with version number",
)
#: The kernel's words for it, which DuckDB repeats.
NOT_WRITABLE = "Read-only file system", "Permission denied"

READER_S = 15.0  #: how long another program may have the catalog's file open
SHUT_S = 3.0  #: how long readers have to heed an interrupt, when the file is to be closed
SPILL_SHARE = 8  #: one part in so many of what is free


def start(state: Path, *, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """Open the catalog of a state folder, for writing.

    raises  StateError
    """
    path = state / CATALOG_NAME
    try:
        if not path.exists():
            begin(path)
    except (duckdb.Error, OSError) as error:
        raise unusable(path, error) from error
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
            raise unusable(path, error) from error


def begin(path: Path) -> None:
    """Make an empty catalog, whole or not at all: half a file would be taken for a damaged one.

    raises  duckdb.Error; OSError
    """
    part = path.parent / "tmp" / f"{path.name}.part"
    part.unlink(missing_ok=True)
    try:
        config = {**LOCKED_DOWN, "default_block_size": str(BLOCK_BYTES)}
        duckdb.connect(str(part), config=config).close()
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    fsync_folder(path.parent)


def applied(db: duckdb.DuckDBPyConnection) -> int:
    """Say how many migrations a catalog has seen."""
    known = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'migration'"
    if not db.execute(known).fetchall()[0][0]:
        return 0
    row = db.execute("SELECT coalesce(max(number), 0) FROM migration").fetchall()[0]
    return int(row[0])


def unusable(path: Path, error: Exception) -> StateError:
    """Say why the catalog's file cannot be used, and what to do."""
    text = str(error)
    if "no space left" in text.lower() or "Disk quota" in text:
        advice = "Make room on its disk, and start again."
    elif any(words in text for words in NOT_WRITABLE):
        advice = "Give this user the right to write there, and start again."
    else:
        advice = (
            "If the file is damaged, `ingestd restore` puts a backup in its place and keeps the"
            " file; without a backup, put the file aside and scan the folders again."
        )
    words = f"{path}: DuckDB cannot use the catalog: {text}. Nothing was changed. {advice}"
    is_broken = any(said in text for said in UNREADABLE)
    return BrokenStateError(words) if is_broken else StateError(words)


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


def is_damage(error: Exception) -> bool:
    """Whether a block of the file does not fit its checksum. DuckDB 2 has no class for it.

    What others ask cannot look like it: the errors that SQL can raise have classes of their own.
    """
    kinds = {duckdb.Error, duckdb.FatalException, duckdb.IOException}
    return type(error) in kinds and DAMAGE in str(error)


def halting(error: Exception) -> IngestError:
    """Name what keeps us from writing, without the values that DuckDB's words may quote."""
    text = str(error)
    if "No space left" in text or "Disk quota" in text:
        return IngestError(Reason.DISK_FULL, "no space left for the catalog")
    if said := next((words for words in NOT_WRITABLE if words in text), ""):
        words = f"the catalog cannot be written: {said}"
        return IngestError(Reason.STATE_NOT_WRITABLE, words)
    if isinstance(error, duckdb.OutOfMemoryException):
        return IngestError(Reason.CATALOG_MEMORY, "DuckDB's memory is used up; it is tried again")
    about_files = isinstance(error, duckdb.IOException | duckdb.FatalException | StateError)
    words = f": {text.splitlines()[0]}" if about_files or is_damage(error) else ""
    advice = "; if it stays so, put a backup in its place with `ingestd restore`"
    return IngestError(Reason.CATALOG_BROKEN, f"{type(error).__name__}{words}{advice}")


def leave_transaction(db: duckdb.DuckDBPyConnection) -> None:
    """Be in no transaction: to roll one back takes memory, and may have failed for want of it.

    raises  duckdb.Error when that is so still
    """
    with suppress(duckdb.TransactionException):  # As a rule there is none.
        db.execute("ROLLBACK")


def rollback(db: duckdb.DuckDBPyConnection) -> None:
    """Roll back, unless the transaction or the whole database is gone already."""
    try:
        db.execute("ROLLBACK")
    except duckdb.Error:  # The error that brought us here is the one to tell.
        return


def unregister(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """Take a view away, unless the database is gone already."""
    try:
        db.unregister(name)
    except duckdb.Error:  # As above.
        return
