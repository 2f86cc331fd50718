"""Series to volumes: `ingestd volume` beside SimpleITK, dicom2nifti and dcm2niix.

    pip install -c constraints.txt -e ".[bench]"
    python bench/volume.py --runs 5

Whole processes, in turn, on 200 x 512 x 512 int16, native and JPEG 2000; then stacking alone, in
one warm process. The catalog is there before: `ingestd volume` asks it which files are the series,
the others list a folder. All of them read warm files and write to one disk.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from statistics import median

from timing import Contestant, Took, folder_for, machine, race, spread, table

SLICES = 200
SETS = ("native", "jpeg2000")
FORMS = ("nii", "nii.gz")

#: What others do, each as a process of its own: `python -c RIVAL FOLDER FILE`.
SIMPLEITK = """
import sys, SimpleITK as sitk
reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
sitk.WriteImage(reader.Execute(), sys.argv[2], useCompression=sys.argv[2].endswith(".gz"))
"""
DICOM2NIFTI = """
import sys, dicom2nifti
dicom2nifti.dicom_series_to_nifti(sys.argv[1], sys.argv[2], reorient_nifti=False)
"""
QUIET = {"INGESTD_VOLUME__ENABLED": "false", "INGESTD_THUMBNAIL__LEVEL": "off"}


def listed(folder: Path) -> list[str]:
    """All files in a folder, in order."""
    return sorted(str(path) for path in folder.iterdir())


def contents(kind: str) -> Iterator[bytes]:
    """Write a CT of signed 16 bit."""
    import imagecodecs  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    import pydicom  # noqa: PLC0415
    from made import ct_files  # noqa: PLC0415
    from pydicom import uid  # noqa: PLC0415
    from pydicom.encaps import encapsulate  # noqa: PLC0415

    packed: dict[bytes, bytes] = {}
    for content in ct_files(SLICES):
        ds = pydicom.dcmread(BytesIO(content))
        pixels = ds.pixel_array.astype(np.int16) - 1024
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit, ds.RescaleIntercept = 1, 16, 15, 0
        for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
            del ds[keyword]
        raw = pixels.tobytes()
        if kind == "native":
            ds.PixelData = raw
            ds["PixelData"].VR = "OW"
        else:
            if raw not in packed:
                packed[raw] = imagecodecs.jpeg2k_encode(
                    pixels, level=0, codecformat="j2k", reversible=True
                )
            ds.PixelData = encapsulate([packed[raw]])
            ds["PixelData"].VR = "OB"
            ds["PixelData"].is_undefined_length = True
            ds.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
        out = BytesIO()
        ds.save_as(out)
        yield out.getvalue()


def make(kind: str, room: Path) -> None:
    """Write the slices and the catalog, and see that all contestants make the same volume."""
    import nibabel  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    folder, state = room / kind, room / f"{kind}-state"
    if not folder.is_dir():
        folder.mkdir()
        for index, content in enumerate(contents(kind)):
            (folder / f"IM{index:04d}.dcm").write_bytes(content)
        command = [sys.executable, "-m", "ingestd", "scan", str(folder), "--state", str(state)]
        subprocess.run(command, check=True, env=os.environ | QUIET, stdout=sys.stderr)
    arrays = []
    for one in contestants(folder, state, "nii"):
        place = room / "equal"
        place.mkdir()
        subprocess.run(one.command(place), check=True, stdout=sys.stderr)
        image = nibabel.load(place / "v.nii")
        arrays.append(np.array(nibabel.as_closest_canonical(image).dataobj))
        shutil.rmtree(place)
    assert all(np.array_equal(arrays[0], other) for other in arrays[1:]), "they differ"


def contestants(folder: Path, state: Path, form: str) -> list[Contestant]:
    """Who takes part."""
    binary = subprocess.check_output(
        [sys.executable, "-c", "import dcm2niix; print(dcm2niix.bin)"], text=True
    ).strip()
    question = "SELECT DISTINCT SeriesInstanceUID AS uid FROM instance"
    asked = [sys.executable, "-m", "ingestd", "sql", question, "--format", "json"]
    series = json.loads(subprocess.check_output([*asked, "--state", str(state)]))[0]["uid"]

    def ours(place: Path) -> Sequence[str]:
        out = str(place / f"v.{form}")
        return [sys.executable, "-m", "ingestd", "volume", series, "-o", out, *known]

    def script(text: str) -> Callable[[Path], Sequence[str]]:
        return lambda place: [sys.executable, "-c", text, str(folder), str(place / f"v.{form}")]

    def niix(place: Path) -> Sequence[str]:
        packing = ["-z", "i" if form == "nii.gz" else "n", "-f", "v", "-o", str(place)]
        return [binary, *packing, str(folder)]

    known = ["--state", str(state)]
    option = "-z i" if form == "nii.gz" else "-z n"
    return [
        Contestant(name="ingestd volume", command=ours, files=SLICES),
        Contestant(name="SimpleITK ImageSeriesReader", command=script(SIMPLEITK), files=SLICES),
        Contestant(name="dicom2nifti", command=script(DICOM2NIFTI), files=SLICES),
        Contestant(name=f"dcm2niix {option}", command=niix, files=SLICES),
    ]


def ratios(found: dict[str, tuple[Contestant, list[Took]]]) -> str:
    """Make a table: how many times our time each of them takes."""
    base = median(one.wall_s for one in found["ingestd volume"][1])
    rows = [
        (
            name,
            spread([one.wall_s for one in took]),
            spread([one.cpu_s for one in took]),
            f"{median(one.peak_mib for one in took):.0f}",
            f"{median(one.wall_s for one in took) / base:.2f}",
        )
        for name, (_, took) in found.items()
    ]
    return table(("", "s", "CPU s", "peak MiB", "times ours"), rows)


def warm(folder: Path, state: Path, runs: int) -> str:
    """Stack native slices in this process, as a warm worker does; nothing is written."""
    import numpy as np  # noqa: PLC0415
    import pydicom  # noqa: PLC0415
    import SimpleITK  # noqa: PLC0415

    import ingestd  # noqa: PLC0415
    from ingestd.ondemand import NoLimit, job_of  # noqa: PLC0415
    from ingestd.volume import fill, headers  # noqa: PLC0415

    rows = ingestd.open(state).rows(
        "SELECT i.*, f.size_bytes, f.mtime_ns FROM instance AS i JOIN file AS f USING (root, path)"
        " ORDER BY SOPInstanceUID"
    )
    job = job_of(rows[0]["SeriesInstanceUID"], rows)
    paths = listed(folder)

    def ours() -> object:
        read = headers(job)
        (stack,) = read.outcomes(allow_missing=False)
        return fill(stack, read, NoLimit(format="nii"), beat=lambda _: None).content.array

    def plain() -> object:
        slices = [pydicom.dcmread(path) for path in paths]
        slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
        return np.stack([one.pixel_array for one in slices])

    def itk() -> object:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(paths)
        return reader.Execute()

    ways = {"ingestd": ours, "pydicom stack": plain, "SimpleITK ImageSeriesReader": itk}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            started_s = time.perf_counter()
            way()
            took[name].append((time.perf_counter() - started_s) * 1000)
    base = median(took["ingestd"])
    lines = [(name, spread(each), f"{median(each) / base:.1f}") for name, each in took.items()]
    return table(("", "ms", "times ours"), lines)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    asked.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    asked.add_argument("--keep", type=Path, help="folder for the sets, to use them again")
    asked.add_argument("--make", choices=SETS, help=argparse.SUPPRESS)
    asked.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    options = asked.parse_args()
    rivals = ", ".join(
        f"{name} {version(name)}" for name in ("SimpleITK", "dicom2nifti", "dcm2niix")
    )
    with folder_for(options.keep) as room:
        folder, state = room / "native", room / "native-state"
        if options.make:
            make(options.make, room)
        elif options.warm:
            print(f"stacking alone, warm, native; median of {options.runs}\n")
            print(warm(folder, state, options.runs))
        else:
            print(f"{machine()}\n\n{rivals}\n", flush=True)
            processes(options, room)


def processes(options: argparse.Namespace, room: Path) -> None:
    """Measure whole processes, and send one to measure stacking alone."""
    again = [sys.executable, __file__, "--keep", str(room), "--runs", str(2 * options.runs)]
    for kind in options.sets:
        subprocess.run([*again, "--make", kind], check=True)
        for form in options.forms:
            rivals = contestants(room / kind, room / f"{kind}-state", form)
            found = race(rivals, options.runs, room)
            print(f"{kind}, {SLICES} x 512 x 512 to .{form}; median of {options.runs}\n")
            print(ratios(found), flush=True)
        if kind == "native":
            subprocess.run([*again, "--warm"], check=True)


if __name__ == "__main__":
    main()
