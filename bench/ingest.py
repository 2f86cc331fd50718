"""Folders of files, all the way: `ingestd scan` beside what people do without it.

    python bench/ingest.py --files 2000 --runs 5

Whole processes with their start-up, in turn. All of them read warm files. Orthanc and dcmqridx
come along when they are installed (Debian: orthanc, dcmtk), the tutorial with matplotlib.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from made import KINDS, listed, make
from timing import Contestant, Took, folder_for, machine, race, ratios

HERE = Path(__file__).parent
SCRIPT = "pydicom + Pool(2) + sqlite3, SHA-256, no thumbnails"
TUTORIAL_FILES = 200

#: What `scan` is told by environment; its other settings are the defaults.
NO_VOLUMES = {"INGESTD_VOLUME__ENABLED": "false", "INGESTD_WORKERS__PROCESSES": "2"}
NO_THUMBNAILS = NO_VOLUMES | {"INGESTD_THUMBNAIL__LEVEL": "off"}
ALL = {"INGESTD_WORKERS__PROCESSES": "2"}


def scan(name: str, folder: Path, files: int, env: dict[str, str]) -> Contestant:
    """`ingestd scan` into a new state folder."""

    def command(place: Path) -> Sequence[str]:
        return [sys.executable, "-m", "ingestd", "scan", str(folder), "--state", str(place)]

    return Contestant(name=name, command=command, files=files, env=env)


def rival(name: str, which: str, folder: Path, files: int) -> Contestant:
    """One of rivals.py."""

    def command(place: Path) -> Sequence[str]:
        more = [which, str(folder), str(place), "--files", str(files)]
        return [sys.executable, str(HERE / "rivals.py"), *more]

    return Contestant(name=name, command=command, files=files)


def dcmqridx(folder: Path, files: int) -> Contestant:
    """DCMTK's index of a query/retrieve server: a few keys of each file."""

    def command(place: Path) -> Sequence[str]:
        return ["dcmqridx", "-q", str(place), *listed(folder)]

    return Contestant(name="DCMTK dcmqridx, a few keys", command=command, files=files)


def contestants(kind: str, folder: Path, files: int) -> list[Contestant]:
    """Who takes part; who is not installed is told of."""
    found = [
        scan("ingestd scan: tags, digest, thumbnails", folder, files, NO_VOLUMES),
        rival(SCRIPT, "script", folder, files),
        scan("ingestd scan: tags, digest", folder, files, NO_THUMBNAILS),
    ]
    if kind != "ct":
        return found
    found.append(scan("ingestd scan: all of it, volumes too", folder, files, ALL))
    if find_spec("matplotlib"):
        few = min(files, TUTORIAL_FILES)
        found.append(rival("tutorial: Pool(2) + matplotlib savefig", "tutorial", folder, few))
    else:
        print("skipped: the tutorial way; matplotlib is not installed\n")
    if shutil.which("dcmqridx"):
        found.append(dcmqridx(folder, files))
    else:
        print("skipped: dcmqridx; Debian's package dcmtk is not installed\n")
    if shutil.which("Orthanc"):
        name = "Orthanc, REST, two clients (stores a copy)"
        found.append(rival(name, "orthanc", folder, files))
    else:
        print("skipped: Orthanc; Debian's package orthanc is not installed\n")
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--files", type=int, default=2000)
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    asked.add_argument("--keep", type=Path, help="folder for the sets, to use them again")
    options = asked.parse_args()
    with folder_for(options.keep) as room:
        print(f"{machine()}\n")
        for kind in options.kinds:
            folder = make(kind, room / kind, options.files)
            _warm(folder)
            found = race(contestants(kind, folder, options.files), options.runs, room)
            print(f"{options.files:,} files, {kind}; median of {options.runs}\n")
            print(ratios(found, SCRIPT), flush=True)
            _verdicts(found)


def _warm(folder: Path) -> None:
    for path in listed(folder):
        Path(path).read_bytes()


def _verdicts(found: dict[str, tuple[Contestant, list[Took]]]) -> None:
    """Print the tutorial's ratio, which is about other files a process."""
    names = [name for name in found if name.startswith("tutorial")]
    for name in names:
        print(ratios({key: found[key] for key in (name, next(iter(found)))}, name))


if __name__ == "__main__":
    main()
