"""All elements of a header: ours beside pydicom's, one process, one core.

    python bench/header.py --files 2000 --runs 5
    python bench/header.py --folder /data/export

Each way runs as a process of its own, in turn. The ratio is that of the work, which the process
times itself; the whole process, with its imports, stands beside it. Ours does more than the loop:
there are nested elements, typed columns and problems; in the second line Arrow tables, and in the
third, as in a worker, the whole file is read for its digest.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from mmap import PROT_READ, mmap
from pathlib import Path
from statistics import median

from made import KINDS, listed, make
from timing import folder_for, machine, spread, table

LOOP = "loop"
CHUNK = 64  # [workers] chunk_files
TEXT_BYTES = 16_384  # [catalog] text_bytes
MOST_BYTES = 1 << 32


def loop(paths: Sequence[str]) -> int:
    """The plain loop over the elements at the top."""
    from pydicom import dcmread  # noqa: PLC0415 -- each process imports what it measures

    count = 0
    for path in paths:
        rows = []
        for element in dcmread(path, stop_before_pixels=True):
            rows.append((element.tag, element.keyword, element.VR, element.value))  # noqa: PERF401
        count += len(rows)
    return count


def nested(paths: Sequence[str]) -> int:
    """The same with file meta, nested elements, and text for each value, as a table needs it."""
    from pydicom import dcmread  # noqa: PLC0415

    count = 0
    for path in paths:
        ds = dcmread(path, stop_before_pixels=True)
        rows = [
            (str(element.tag), element.keyword, element.VR, element.VM, str(element.value))
            for part in (ds.file_meta.iterall(), ds.iterall())
            for element in part
        ]
        count += len(rows)
    return count


def as_json(paths: Sequence[str]) -> int:
    """pydicom's own JSON; it refuses some values of some files."""
    from pydicom import dcmread  # noqa: PLC0415

    count = 0
    for path in paths:
        with suppress(Exception):
            count += len(dcmread(path, stop_before_pixels=True).to_json_dict())
    return count


def elements(paths: Sequence[str]) -> int:
    """Our rows and columns, from the pages of the header alone."""
    return _elements(paths, in_tables=False)


def tables(paths: Sequence[str]) -> int:
    """The same, and Arrow tables of them."""
    return _elements(paths, in_tables=True)


def _elements(paths: Sequence[str], *, in_tables: bool) -> int:
    from ingestd import parse  # noqa: PLC0415
    from ingestd.dicom import header  # noqa: PLC0415
    from ingestd.dicom.memory import Memory  # noqa: PLC0415
    from ingestd.model import Arrival  # noqa: PLC0415

    count, memory = 0, Memory(TEXT_BYTES)
    for at in range(0, len(paths), CHUNK):
        parsed = []
        for seq, path in enumerate(paths[at : at + CHUNK]):
            with open(path, "rb") as file, mmap(file.fileno(), 0, prot=PROT_READ) as content:
                view = memoryview(content)
                found = header.read(view, memory, most_bytes=MOST_BYTES)
                found.walk.view.release()
            arrival = Arrival(seq=seq, root="/", path=path[1:], size_bytes=0, mtime_ns=0)
            parsed.append(
                parse.Parsed(
                    arrival=arrival,
                    digest="",
                    instance=found.instance,
                    tags=found.walk.rows,
                    problems=found.problems,
                    header=None,
                )
            )
        if in_tables:
            count += parse.to_tables(parsed, {})[2].num_rows
        else:
            count += sum(len(one.tags) for one in parsed)
    return count


def ours(paths: Sequence[str]) -> int:
    """What a worker does with a file that has no pixels: digest, rows, columns, Arrow tables."""
    from ingestd import parse  # noqa: PLC0415
    from ingestd.errors import IngestError  # noqa: PLC0415
    from ingestd.model import Arrival  # noqa: PLC0415

    count = 0
    for at in range(0, len(paths), CHUNK):
        parsed = []
        for seq, path in enumerate(paths[at : at + CHUNK]):
            seen = Path(path).stat()
            arrival = Arrival(
                seq=seq, root="/", path=path[1:], size_bytes=seen.st_size, mtime_ns=seen.st_mtime_ns
            )
            with suppress(IngestError):
                one = parse.read(arrival, max_file_bytes=MOST_BYTES, text_bytes=TEXT_BYTES)
                parsed.append(one.without_dataset())
        count += parse.to_tables(parsed, {})[2].num_rows
    return count


WAYS: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "elements": ("ingestd: all elements, columns", elements),
    "tables": ("ingestd: and Arrow tables of them", tables),
    "ours": ("ingestd: and the whole file, with its digest", ours),
    LOOP: ("`for element in dcmread(...)`, top level only", loop),
    "nested": ("pydicom `iterall()`, values as text", nested),
    "json": ("pydicom `to_json_dict()`", as_json),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--files", type=int, default=2000)
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--kinds", nargs="+", choices=KINDS, default=["ct", "mr"])
    asked.add_argument("--folder", type=Path, help="files of your own instead")
    asked.add_argument("--keep", type=Path, help="folder for the sets, to use them again")
    asked.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.way:
        _measure(options.way, options.folder)
        return
    print(f"{machine()}\n")
    if options.folder:
        _race(options.folder.resolve(), options.runs)
        return
    with folder_for(options.keep) as room:
        for kind in options.kinds:
            _race(make(kind, room / kind, options.files), options.runs)


def _measure(way: str, folder: Path) -> None:
    """Do it in this process, and print what it took."""
    paths = listed(folder)
    WAYS[way][1]([])  # The imports.
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    rows = WAYS[way][1](paths)
    took = time.perf_counter() - wall_s, time.process_time() - cpu_s
    print(json.dumps({"rows": rows, "wall_s": took[0], "cpu_s": took[1]}))


def _race(folder: Path, runs: int) -> None:
    files = len(listed(folder))
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(runs):
        for way, taken in found.items():
            command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
            started_s = time.perf_counter()
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            whole_s = time.perf_counter() - started_s
            taken.append(json.loads(done.stdout) | {"whole_s": whole_s})
    middle = {
        way: {key: median(one[key] for one in taken) for key in taken[0]}
        for way, taken in found.items()
    }
    rows = [
        (
            WAYS[way][0],
            f"{middle[way]['rows'] / files:.0f}",
            spread([one["wall_s"] for one in taken]),
            spread([one["cpu_s"] for one in taken]),
            spread([one["whole_s"] for one in taken]),
            f"{files / middle[way]['wall_s']:,.0f}",
            f"{middle[LOOP]['wall_s'] / middle[way]['wall_s']:.1f}",
            f"{middle[LOOP]['cpu_s'] / middle[way]['cpu_s']:.1f}",
        )
        for way, taken in found.items()
    ]
    head = ("", "rows a file", "s", "CPU s", "whole process, s", "files/s", "times", "by CPU")
    print(f"{files:,} files of {folder.name}; median of {runs}\n")
    print(table(head, rows), flush=True)


if __name__ == "__main__":
    main()
