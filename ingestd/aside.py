"""Edge: the copy of a catalog that is made before it is migrated.

Nobody may have the file open meanwhile in this process: when one of its handles is closed, the
kernel drops DuckDB's lock with it.
"""

import errno
import os
from pathlib import Path

from ingestd.errors import StateError
from ingestd.files import fsync_folder


def copy_aside(catalog: Path, number: int) -> Path:
    """Copy a catalog as it is at migration `number`, beside it; whole and synced, or not at all.

    raises  StateError when there is no room for it, or it cannot be written
    """
    target = catalog.with_name(f"{catalog.name}.migration-{number:04d}")
    part = target.with_name(f".{target.name}.part")
    try:
        with catalog.open("rb") as old, part.open("wb") as new:
            # Where the file system can, both share their blocks, and it takes no time.
            while os.copy_file_range(old.fileno(), new.fileno(), 1 << 30):
                pass
            os.fsync(new.fileno())
        part.replace(target)
        fsync_folder(target.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        size = catalog.stat().st_size
        room = f"; it needs {size} bytes" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise StateError(
            f"{catalog}: before it is migrated it is copied to {target}, and that failed:"
            f" {error.strerror}{room}. Nothing was changed."
        ) from error
    return target
