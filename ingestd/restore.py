"""Edge: `ingestd restore`: a backup becomes the catalog of a state folder that nobody owns.

The catalog that was there stays beside it under another name. Files and pictures that came since
are found by the next sweep and audit.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from ingestd.backup import WAL_NAME, copy_file, proven, sync
from ingestd.catalog import utc_now
from ingestd.errors import StateError
from ingestd.files import CATALOG_NAME, fsync_folder
from ingestd.owner import take_state

__all__ = ["restore"]


def restore(backup: Path, state: Path) -> dict[str, Any]:
    """Put a backup in the place of the catalog of a state folder.

    return  what it holds, and where the catalog is that was there before
    raises  StateError when somebody owns the state folder, or the backup cannot be opened; OSError
    """
    source = backup / CATALOG_NAME
    if not source.is_file():
        raise StateError(f"{backup}: holds no {CATALOG_NAME}; name one folder that backup made")
    lock = take_state(state)
    part = state / ".restore.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o750)
        for name in (CATALOG_NAME, WAL_NAME):
            if (backup / name).exists():
                copy_file(backup / name, part / name, lambda *_: None, lambda: False)
        holds = proven(part)
        sync(part)  # It may take long, and from here on all is quick.
        aside = put_aside(state)
        (part / CATALOG_NAME).rename(state / CATALOG_NAME)
        fsync_folder(state)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        lock.close()
    return {**holds, "before": aside and str(aside)}


def put_aside(state: Path) -> Path | None:
    """Keep the catalog that is there, and its log, in a folder of their own.

    The file stays under its name as well until another one takes its place: at no moment is there
    none, which would be taken for a new state folder.
    """
    if not any((state / name).exists() for name in (CATALOG_NAME, WAL_NAME)):
        return None
    aside = state / f"before-restore-{utc_now():%Y%m%dT%H%M%SZ}"
    aside.mkdir(mode=0o750)
    if (state / CATALOG_NAME).exists():
        os.link(state / CATALOG_NAME, aside / CATALOG_NAME)
    if (state / WAL_NAME).exists():
        (state / WAL_NAME).rename(aside / WAL_NAME)
    fsync_folder(aside)
    return aside
