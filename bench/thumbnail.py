"""Small pictures: ours beside what people use, one process, one core.

    python bench/thumbnail.py --files 300 --runs 3

Each way runs as a process of its own, in turn, and writes a JPEG of at most 256 pixels for each
file, which it reads first. The time is CPU time of the work without the imports, with that of
processes it starts. DCMTK's dcm2img or dcmj2pnm comes along when it is installed (Debian: dcmtk),
matplotlib from the extra `bench`. Ways that cannot read a set are told of.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from made import KINDS, listed, make
from timing import folder_for, machine, spread, table

EDGE_PX, QUALITY = 256, 80
BASE = "pydicom, apply_voi_lut, Pillow LANCZOS"
Paths = Sequence[str]


def ours(paths: Paths, out: Path) -> None:
    """As in a worker, but for the rows: the header is read too."""
    from ingestd import config, thumbnail  # noqa: PLC0415 -- each imports what it measures
    from ingestd.dicom import header  # noqa: PLC0415
    from ingestd.dicom.memory import Memory  # noqa: PLC0415

    memory, options = Memory(16_384), config.Thumbnail(edge_px=EDGE_PX, quality=QUALITY).picturing
    for index, path in enumerate(paths):
        view = memoryview(Path(path).read_bytes())
        found = header.read(view, memory, most_bytes=1 << 32)
        made = thumbnail.render_header(found, options)
        assert isinstance(made, thumbnail.Picture), made
        (out / f"{index}.jpg").write_bytes(made.content)


def ours_alone(paths: Paths, out: Path) -> None:
    """Our picture of a data set that pydicom read."""
    from pydicom import dcmread  # noqa: PLC0415

    from ingestd import config, thumbnail  # noqa: PLC0415

    options = config.Thumbnail(edge_px=EDGE_PX, quality=QUALITY).picturing
    for index, path in enumerate(paths):
        made = thumbnail.render(dcmread(path), options)
        assert isinstance(made, thumbnail.Picture), made
        (out / f"{index}.jpg").write_bytes(made.content)


def lanczos(paths: Paths, out: Path) -> None:
    """What most scripts do."""
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415
    from pydicom import dcmread  # noqa: PLC0415
    from pydicom.pixels import apply_modality_lut, apply_voi_lut  # noqa: PLC0415

    for index, path in enumerate(paths):
        ds = dcmread(path)
        grey = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds).astype(float)
        low, high = grey.min(), grey.max()
        image = Image.fromarray(((grey - low) / (high - low) * 255).astype(np.uint8))
        image.thumbnail((EDGE_PX, EDGE_PX), Image.Resampling.LANCZOS)
        image.save(out / f"{index}.jpg", quality=QUALITY)


def savefig(paths: Paths, out: Path) -> None:
    """What tutorials do."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from pydicom import dcmread  # noqa: PLC0415

    for index, path in enumerate(paths):
        figure = plt.figure(figsize=(EDGE_PX / 100, EDGE_PX / 100), dpi=100)
        plt.axis("off")
        plt.imshow(dcmread(path).pixel_array, cmap="gray")
        plt.savefig(out / f"{index}.jpg", bbox_inches="tight", pad_inches=0)
        plt.close(figure)


def dcmtk(paths: Paths, out: Path) -> None:
    """A process for each picture: there is no other way to ask."""
    tool = shutil.which("dcm2img") or "dcmj2pnm"
    for index, path in enumerate(paths):
        size = ["+Sxv", str(EDGE_PX)]
        command = [tool, "+oj", "+Jq", str(QUALITY), "+Wi", "1", *size, path, f"{out}/{index}.jpg"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


WAYS: dict[str, tuple[Callable[[Paths, Path], None], int]] = {
    "ingestd, header and picture": (ours, 1),
    "ingestd, picture of a pydicom data set": (ours_alone, 1),
    BASE: (lanczos, 1),
    "DCMTK dcm2img or dcmj2pnm, a process each": (dcmtk, 4),
    "matplotlib savefig": (savefig, 10),
}  # With the share of the files that it gets: one in so many.


def missing(name: str) -> str:
    """Say why somebody does not take part; "" when nothing is missing."""
    if name.startswith("DCMTK") and not (shutil.which("dcm2img") or shutil.which("dcmj2pnm")):
        return "Debian's package dcmtk is not installed"
    if name.startswith("matplotlib") and not find_spec("matplotlib"):
        return "matplotlib is not installed"
    return ""


def work(name: str, paths: Paths) -> None:
    """Be one contestant: print CPU ms for each picture; the first one is not counted."""
    way, share = WAYS[name]
    with folder_for(None) as out:
        way(paths[:1], out)
        paths = paths[:: share or 1]
        started_s = cpu_s()
        way(paths, out)
        took_s = cpu_s() - started_s
        assert len(list(out.iterdir())) == len(paths), "a picture is missing"
    print(json.dumps(took_s / len(paths) * 1000))


def cpu_s() -> float:
    """CPU time of this process and of those that it started."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def race(kind: str, folder: Path, runs: int) -> None:
    """Let all run in turn, and print."""
    took: dict[str, list[float]] = {name: [] for name in WAYS if not missing(name)}
    for name in WAYS:
        if missing(name):
            print(f"skipped: {name}; {missing(name)}\n")
    for _ in range(runs):
        for name in list(took):
            command = [sys.executable, __file__, "--work", name, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"cannot: {name}: {(done.stderr.strip().splitlines() or ['?'])[-1]}\n")
                del took[name]
                continue
            took[name].append(json.loads(done.stdout))
    base = median(took[BASE]) if took.get(BASE) else float("nan")
    rows = [(name, spread(ms), f"{base / median(ms):.2f}") for name, ms in took.items()]
    print(f"{kind}, {len(listed(folder)):,} files; median of {runs}\n")
    print(table(("", "CPU ms a picture", "times"), rows), flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--files", type=int, default=300)
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    asked.add_argument("--folder", type=Path, help="files of your own instead of made ones")
    asked.add_argument("--work", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.work:
        work(options.work, listed(options.folder)[: options.files])
        return
    print(f"{machine()}\n")
    if options.folder:
        race(options.folder.name, options.folder, options.runs)
        return
    with folder_for(None) as room:
        for kind in options.kinds:
            race(kind, make(kind, room / kind, options.files), options.runs)


if __name__ == "__main__":
    main()
