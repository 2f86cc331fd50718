"""Edge: the files of volumes, and whether each of them has its row.

A file is there before its row is committed, and leaves after. So a crash may leave files without
a row, and never a row whose file is another one.
"""

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

FOLDER = "volumes"
CHUNK = 1 << 20
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


def is_as_named(place: Path, beat: Callable[[], None] = lambda: None) -> bool:
    """Read a volume; say whether its content is what the digest in its name says.

    A `.npy` holds rescaled values, which the digest is not of: it must be whole.
    raises  FileNotFoundError
    """
    import numpy as np  # noqa: PLC0415 -- names are enough for most
    from blake3 import blake3  # noqa: PLC0415
    from isal import igzip, isal_zlib  # noqa: PLC0415

    not_packed: Any = isal_zlib.error
    form = next(form for form in ("nii.gz", "nii", "npy") if place.name.endswith(f".{form}"))
    stem = place.name.removesuffix(f".{form}")
    try:
        if form == "npy":
            return bool(np.load(place, mmap_mode="r").size)
        digest = blake3()
        unpacked: Callable[[Path], Any] = igzip.IGzipFile
        with unpacked(place) if form == "nii.gz" else place.open("rb") as content:
            while block := content.read(CHUNK):
                digest.update(block)
                beat()
        digest.update((place.parent / f"{stem}.json").read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, not_packed):
        return False
    named = stem.rpartition(".")[2]
    if not re.fullmatch(r"[0-9a-f]{16}", named):  # Of a program before names had one.
        return True
    return digest.hexdigest(len(named) // 2) == named
