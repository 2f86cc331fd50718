"""Edge: a copy of the catalog's file that others may open, while the catalog is written to.

It runs as a process of its own: to close the file lets go of every lock that a process has on it,
so the daemon must never open it beside DuckDB. What a checkpoint has written stays as it is until
the next one is done, so a copy is whole when none ended meanwhile: when the file's head is the
same before and after. What was committed since is in the log beside it, and in the next copy.
"""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

from ingestd import profile
from ingestd.files import CATALOG_NAME, SNAPSHOT_NAME, fsync_folder

HEAD_BYTES = 3 * 4096  #: DuckDB's own header, and two that checkpoints write in turn
CHUNK = 64 << 20
AGAIN = 75  #: exit code: a checkpoint came in between (sysexits' EX_TEMPFAIL)

#: Where copy_file_range does not go: between file systems, or on those that do not know it.
NO_RANGE = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})

#: So much memory a copy under the research profile may take.
MEMORY = "1GiB"


class Disturbed(Exception):
    """A checkpoint came in between."""


def main() -> None:
    """Publish the snapshot of the state folder that is the one argument."""
    os.nice(10)
    try:
        publish(Path(sys.argv[1]))
    except Disturbed:
        raise SystemExit(AGAIN) from None
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        raise SystemExit(1) from None


def publish(state: Path) -> None:
    """Copy the catalog, take away what the profile withholds, and put it in the old one's place.

    raises  Disturbed; OSError; whoever has the old one open reads on in it
    """
    folder = state / "tmp"
    copy, made = folder / "catalog.copy", folder / "snapshot.part"
    try:
        stamp = copied(state / CATALOG_NAME, copy)
        if profile.read(state) == "research":
            reduce(copy, made, profile.key(state))
        else:
            copy.replace(made)
        seal(made, stamp)
        (state / f"{SNAPSHOT_NAME}.wal").unlink(missing_ok=True)  # Of somebody who wrote to it.
        made.replace(state / SNAPSHOT_NAME)
        fsync_folder(state)
    finally:
        for left in (copy, made, Path(f"{made}.wal")):
            left.unlink(missing_ok=True)


def seal(made: Path, stamp: int) -> None:
    """Let nobody write to a snapshot, and note which state of the catalog it is of."""
    with made.open("rb+") as out:
        os.fsync(out.fileno())
    os.utime(made, ns=(stamp, stamp))
    made.chmod(0o440)


def copied(source: Path, target: Path) -> int:
    """Copy the catalog's file as its last checkpoint left it.

    return  its time of modification when the copy began
    raises  Disturbed; OSError
    """
    target.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    finally:
        os.umask(before)
    handle = os.open(source, os.O_RDONLY)
    try:
        head, status = os.pread(handle, HEAD_BYTES, 0), os.fstat(handle)
        left = status.st_size
        while left > 0 and (some := pour(handle, out, min(left, CHUNK))):
            left -= some
        if os.pread(handle, HEAD_BYTES, 0) != head:
            raise Disturbed
    finally:
        os.close(handle)
        os.close(out)
    return status.st_mtime_ns


def pour(source: int, target: int, size: int) -> int:
    """Copy the next bytes in the kernel; file systems that can share blocks share them."""
    try:
        return os.copy_file_range(source, target, size)
    except OSError as error:
        if error.errno not in NO_RANGE:
            raise
    return os.sendfile(target, source, None, size)


def reduce(copy: Path, made: Path, key: bytes) -> None:
    """Write what the research profile shows of a catalog into another file."""
    import duckdb  # noqa: PLC0415 -- a plain copy does without it

    from ingestd import research  # noqa: PLC0415

    made.unlink(missing_ok=True)
    with duckdb.connect(str(made), config={"memory_limit": MEMORY, "threads": 2}) as db:
        db.execute("SET preserve_insertion_order = false")
        db.execute(f"ATTACH '{str(copy).replace(chr(39), chr(39) * 2)}' AS catalog (READ_ONLY)")
        research.install(db, key)
        for name in research.tables(db):
            db.execute(f"CREATE TABLE main.{name} AS FROM research.main.{name}")
        db.execute("CHECKPOINT")
    with suppress(FileNotFoundError):
        copy.unlink()


if __name__ == "__main__":
    main()
