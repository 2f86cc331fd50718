"""Edge: the catalog is copied while it is written to; the copy is whole, or is not there.

A catalog is its file and the write-ahead log. The log is folded into the file, and the file copied
while the writer goes on. If nothing was written meanwhile, that is it. Else it is done once more
while the writer waits: what waits to be read stays in its folder, and questions are answered. Then
the copy is opened and read to its last value, which proves that it can be; it is synced, and gets
its name last.

No file of the catalog is opened here by this process: to close one would let DuckDB's lock go.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingestd.catalog import Catalog, utc_now
from ingestd.errors import ConfigError, IngestError, Reason, StateError
from ingestd.files import CATALOG_NAME, fsync_folder
from ingestd.model import Patience
from ingestd.owner import OWNER, READERS

WAL_NAME = f"{CATALOG_NAME}.wal"
PREFIX, PART = "ingestd-", ".part"
OURS = re.compile(rf"{PREFIX}(\d{{8}}T\d{{6}}Z)(?:-(\d+))?")  #: as `free_name` makes them
LOCK = ".ingestd-backup.lock"
PROVE_BYTES = 512 << 20  #: memory for opening the copy
GLANCE_S = 0.25

Tell = Callable[[str, int, int | None], None]


def backup(
    catalog: Catalog,
    place: Path,
    *,
    keep: int | None,
    tell: Tell,
    stopping: Callable[[], bool],
) -> dict[str, Any]:
    """Put a copy of the catalog into a folder of its own in `place`.

    keep    delete older backups in `place`, but for so many, once the new one is there
    return  where it is, how large it is, what it holds, and which older ones went
    raises  ConfigError for a place that cannot be; IngestError disk_full; OSError; StateError when
            the copy cannot be opened
    """
    if not place.is_absolute():
        raise ConfigError(f"backup {place}: the folder must be given as an absolute path")
    place.mkdir(mode=0o750, parents=True, exist_ok=True)
    with (place / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"backup {place}: another backup is made there just now") from None
        for part in place.glob(f".{PREFIX}*{PART}"):  # What a crash left: nobody else is here.
            shutil.rmtree(part)
        target = free_name(place)
        part = place / f".{target.name}{PART}"
        try:
            part.mkdir(mode=0o750)
            copy(catalog, part, tell, stopping)
            holds = proven(part)
            sync(part)
            part.rename(target)
            fsync_folder(place)
        except OSError as error:
            raise trouble(error, place) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        gone = older(place, target, keep)
        for old in gone:
            shutil.rmtree(old)
    size = (target / CATALOG_NAME).stat().st_size
    return {"path": str(target), "size_bytes": size, **holds, "deleted": [str(old) for old in gone]}


def free_name(place: Path) -> Path:
    """Name a backup by its time, and by a number when one of this second is there."""
    name = f"{PREFIX}{utc_now():%Y%m%dT%H%M%SZ}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(place / one for one in names if not (place / one).exists())


def older(place: Path, newest: Path, keep: int | None) -> list[Path]:
    """Name the backups that are to go, the oldest first.

    Only what has a name of ours, and nobody ever used as a state folder: that one is no copy.
    """
    if keep is None:
        return []
    there = {
        (name[1], int(name[2] or 1)): one
        for one in place.iterdir()
        if (name := OURS.fullmatch(one.name)) and one != newest
        if one.is_dir() and not one.is_symlink()
        if (one / CATALOG_NAME).is_file() and not (one / OWNER).exists()
    }
    return [there[at] for at in sorted(there)][: max(0, len(there) - (keep - 1))]


def copy(catalog: Catalog, part: Path, tell: Tell, stopping: Callable[[], bool]) -> None:
    """Copy the file of a catalog that is open, as it is at one moment.

    raises  OSError; IngestError when the catalog halts
    """
    source, target = catalog.state / CATALOG_NAME, part / CATALOG_NAME
    catalog.checkpoint()
    copy_file(source, target, tell, stopping)
    with catalog.still():
        # A byte in the log, and a batch may have put blocks into the file that we have not.
        if log_bytes(catalog.state):
            catalog.checkpoint()
            copy_file(source, target, tell, stopping)
        if log_bytes(catalog.state):
            raise StateError("the log of the catalog cannot be folded into it just now; try again")


def log_bytes(state: Path) -> int:
    """Say how long the write-ahead log is."""
    try:
        return (state / WAL_NAME).stat().st_size
    except FileNotFoundError:
        return 0


def copy_file(source: Path, target: Path, tell: Tell, stopping: Callable[[], bool]) -> None:
    """Copy a file by another process, sharing its blocks where the file system can.

    raises  OSError
    """
    size = source.stat().st_size
    words = ["cp", "--reflink=auto", "--sparse=auto", "--", str(source), str(target)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as copying:  # noqa: S603
        while True:
            try:
                copying.wait(GLANCE_S)
                break
            except subprocess.TimeoutExpired:
                done = target.stat().st_size if target.exists() else 0
                tell("copying", done, size)
                if stopping():
                    copying.kill()
                    raise StateError("the backup was stopped before its end") from None
        if copying.returncode:
            said = copying.stderr.read().strip() if copying.stderr else ""
            full = shutil.disk_usage(target.parent).free < size
            if full:
                raise IngestError(Reason.DISK_FULL, f"no space left in {target.parent.parent}")
            raise StateError(f"the catalog cannot be copied: {said}")


def proven(part: Path) -> dict[str, int]:
    """Open the copy as after a crash, so that its log is folded in; read it; say what it holds.

    raises  StateError when it cannot be opened, or is damaged
    """
    patience = Patience(attempts=1, first_s=1, limit_s=1)
    with Catalog(part, memory_bytes=PROVE_BYTES, patience=patience) as found:
        read_all(found)
        ((files, instances),) = found.rows(
            "SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM instance)"
        )
    for name in (OWNER, READERS):
        (part / name).unlink()
    shutil.rmtree(part / "tmp")
    if (part / WAL_NAME).exists():
        raise StateError(f"{part}: the log of the copy could not be folded into it")
    return {"files": files, "instances": instances}


def read_all(catalog: Catalog) -> None:
    """Read every value, so that DuckDB holds each block against its checksum.

    raises  StateError when one is damaged
    """
    for (table,) in catalog.rows("SELECT table_name FROM duckdb_tables() WHERE NOT temporary"):
        try:
            catalog.rows(f"SELECT bit_xor(hash(t)) FROM {table} AS t")
        except IngestError as error:
            raise StateError(f"table {table} of the catalog is damaged: {error.detail}") from error


def sync(part: Path) -> None:
    """Make the copy survive a power cut."""
    handle = os.open(part / CATALOG_NAME, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    fsync_folder(part)


def trouble(error: OSError, place: Path) -> Exception:
    """Say what is wrong with the place of a backup."""
    import errno  # noqa: PLC0415

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return IngestError(Reason.DISK_FULL, f"no space left in {place}; older backups stay")
    return error
