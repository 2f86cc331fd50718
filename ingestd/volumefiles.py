"""Edge: the files of volumes, and whether each of them has its row.

A file is there before its row is committed, and leaves after. So a crash may leave files without
a row, and never a row whose file is another one.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

FOLDER = "volumes"
BESIDE = (".json", ".jpg")  #: published beside each volume

#: What is ours in that folder: `<Series>_<stack>.<digest>.<suffix>`, and unfinished ones.
OURS = re.compile(r"\.?[0-9.]+_\d+(\.[0-9a-f]{16})?\.(nii\.gz|nii|npy|json|jpg)(\.\d+\.part)?")


def companions(path: str) -> list[str]:
    """Name the files that were published with a volume, and that leave with it.

    path    that of the volume, relative to the state folder, as the table `volume` has it
    """
    stem = path.removesuffix(".gz").rpartition(".")[0]
    return [stem + suffix for suffix in BESIDE]


def remove(state: Path, path: str) -> None:
    """Delete a volume and what was published with it."""
    for name in (path, *companions(path)):
        (state / name).unlink(missing_ok=True)


def heal(state: Path, paths: Collection[str]) -> tuple[int, list[str]]:
    """Delete the files of volumes that no row names; nobody may be stacking meanwhile.

    paths   those of the rows
    return  how many were deleted; the paths of rows whose file is not there
    """
    known = {name for path in paths for name in (path, *companions(path))}
    there: set[str] = set()
    deleted = 0
    for folder, _, names in os.walk(state / FOLDER):
        study = os.path.relpath(folder, state)
        for name in names:
            if f"{study}/{name}" in known:
                there.add(f"{study}/{name}")
            elif OURS.fullmatch(name):
                os.unlink(f"{folder}/{name}")
                deleted += 1
    return deleted, [path for path in paths if path not in there]
