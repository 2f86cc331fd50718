"""`ingestd volume`, as a process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from daemons import COMMAND, Running, scan, wait_for
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate
from test_volume import SERIES, filled, slices

import ingestd
from ingestd import nifti
from ingestd.client import Client

OFF = {"INGESTD_VOLUME__ENABLED": "false"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of one series of two echoes, the second with a hole; without volumes."""
    room = tmp_path_factory.mktemp("ondemand")
    (room / "in").mkdir()
    each = {
        "EchoNumbers": [1] * 4 + [2] * 4,
        "ImagePositionPatient": [[0, 0, 3.0 * z] for z in (0, 1, 2, 3, 0, 1, 3, 4)],
    }
    for k, one in enumerate(filled(slices(8, each=each, PatientName="Doe^Jane"))):
        one.save_as(room / "in" / f"{k}.dcm")
    os.environ |= OFF
    try:
        scan(room / "in", state=room / "state")
    finally:
        del os.environ[next(iter(OFF))]
    return room / "state"


Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ask(state: Path, tmp_path: Path) -> Iterator[Ask]:
    """Run the command in an empty folder."""

    def run(*arguments: str, where: Path = state) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*COMMAND, "volume", *arguments, "--state", str(where)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    yield run
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("form", ["nii.gz", "nii", "npy"])
def test_a_series_is_written_in_the_format_of_its_name(ask: Ask, tmp_path: Path, form: str) -> None:
    done = ask(SERIES, "-o", f"head.{form}")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"head.{form}\n", "")
    assert nifti.read(tmp_path / f"head.{form}")[:, 0, 0].tolist() == [10, 20, 30, 40]
    about = json.loads((tmp_path / "head.json").read_text())
    assert about["SplitBy"] == "EchoNumbers=1"
    assert "Doe" not in (tmp_path / "head.json").read_text()


def test_without_a_name_it_takes_that_of_the_series(ask: Ask, tmp_path: Path) -> None:
    assert ask(SERIES).stdout == f"{SERIES}_0.nii.gz\n"
    assert sorted(os.listdir(tmp_path)) == [f"{SERIES}_0.json", f"{SERIES}_0.nii.gz"]


def test_a_hole_is_filled_only_when_asked(ask: Ask, tmp_path: Path) -> None:
    refused = ask(SERIES, "--stack", "1", "-o", "second.nii")
    assert refused.returncode == 1
    assert refused.stderr.startswith("ingestd: missing_slices: 1 slice is missing")
    assert not os.listdir(tmp_path)
    done = ask(SERIES, "--stack", "1", "-o", "second.nii", "--allow-missing")
    assert done.returncode == 0
    assert nifti.read(tmp_path / "second.nii")[:, 0, 0].tolist() == [50, 60, 50, 70, 80]
    assert json.loads((tmp_path / "second.json").read_text())["MissingSlicesMm"] == [6.0]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["9.9.9"], 1, "no files of such a series", id="a series that is not there"),
        pytest.param([SERIES, "--stack", "7"], 2, "the series has 2", id="a stack too many"),
        pytest.param([SERIES, "-o", "head.mha"], 2, "must end with one of", id="another format"),
        pytest.param([], 2, "required: SERIESUID", id="no series"),
        pytest.param(
            [SERIES, "-o", "/proc/none/head.nii"], 1, "No such file", id="a place that cannot be"
        ),
    ],
)
def test_what_goes_wrong_is_one_line(ask: Ask, arguments: list[str], code: int, words: str) -> None:
    done = ask(*arguments)
    assert (done.returncode, words in done.stderr.splitlines()[-1]) == (code, True), done.stderr


def test_plain_series_need_few_imports(state: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "volume", SERIES, "-o", "v.nii.gz"]
    done = subprocess.run(
        [*command, "--state", str(state)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    slow = {"pydicom", "pydantic", "pyarrow", "nibabel", "typer", "PIL", "http.client"}
    assert found & slow == set()
    assert {"numpy", "duckdb", "ingestd.ondemand"} <= found


def test_help_of_all_commands_names_it_and_its_own_tells_the_options(ask: Ask) -> None:
    every = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "Write the volume of a series to a file" in every.stdout
    through_typer = subprocess.run(
        [sys.executable, "-c", "from ingestd.cli import app; app()", "volume", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert through_typer.stdout == ask("--help").stdout
    assert "--allow-missing" in through_typer.stdout


@pytest.mark.long
def test_while_the_daemon_runs_it_gives_what_the_daemon_built(tmp_path: Path, ask: Ask) -> None:
    drop, place = tmp_path / "drop", tmp_path / "state"
    drop.mkdir()
    for k, one in enumerate(filled(slices(4))):
        one.save_as(drop / f"{k}.dcm")
    daemon = Running(drop, place)
    try:
        wait_for(lambda: daemon.one("SELECT count(*) FROM volume"))
        wait_for(lambda: daemon.one("SELECT count(*) FROM series_state WHERE state <> 'quiet'"))
        kept = place / daemon.one("SELECT path FROM volume")
        assert ask(SERIES, "-o", "stored.nii.gz", where=place).returncode == 0
        assert (tmp_path / "stored.nii.gz").read_bytes() == kept.read_bytes()
        assert ask(SERIES, "-o", "built.nii", where=place).returncode == 0
        array = ingestd.open(place).volume(SERIES).array
        np.testing.assert_array_equal(nifti.read(tmp_path / "built.nii"), array)
        for file in drop.iterdir():
            file.unlink()
        assert ask(SERIES, "-o", "away.nii.gz", where=place).returncode == 0
        away = ask(SERIES, "-o", "away.nii", where=place)
        assert (away.returncode, "transient_io" in away.stderr) == (1, True)
    finally:
        daemon.kill()


def test_a_volume_that_is_built_anew_while_it_is_opened_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k, one in enumerate(filled(slices(3))):
        (tmp_path / "in").mkdir(exist_ok=True)
        one.save_as(tmp_path / "in" / f"{k}.dcm")
    scan(tmp_path / "in", state=tmp_path / "state")
    client = ingestd.open(tmp_path / "state")
    asked: list[str] = []
    answer = Client.sql

    def first_one_is_old(self: Client, query: str) -> object:
        asked.append(query)
        found = answer(self, query)
        if len(asked) > 1:
            return found
        old = ["volumes/1/old.nii.gz"] * len(found)
        return found.set_column(found.schema.get_field_index("path"), "path", [old])

    monkeypatch.setattr(Client, "sql", first_one_is_old)
    assert client.volume(SERIES).array[:, 0, 0].tolist() == [10, 20, 30]
    assert len(asked) == 2


#: Stacks a series in a process of its own and prints how much more memory it took than before.
PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from ingestd import config, volume
from test_volume import job_of

def build(folder):
    job = job_of(sorted(Path(folder).iterdir()))
    options = config.Volume().stacking
    return volume.build(job, state=Path(sys.argv[3]), options=options)[0].to_pylist()

def peak_kib():
    line = next(x for x in open("/proc/self/status") if x.startswith("VmHWM"))
    return int(line.split()[1])

build(sys.argv[1])  # Imports, codecs and pools are not the volume's.
Path("/proc/self/clear_refs").write_text("5")
before = peak_kib()
(row,) = build(sys.argv[2])
assert row["reason"] is None, row
print(peak_kib() - before)
"""


def packed(one: Dataset, pixels: np.ndarray) -> None:
    """Give a slice pixels in JPEG 2000."""
    one.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    frame = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True)
    one.PixelData = encapsulate([frame])
    one["PixelData"].VR, one["PixelData"].is_undefined_length = "OB", True
    one.Rows, one.Columns = pixels.shape


@pytest.mark.parametrize(
    "syntax",
    [uid.JPEG2000Lossless, pytest.param(uid.RLELossless, marks=pytest.mark.long), None],
)
def test_stacking_takes_at_most_one_and_a_half_volumes(tmp_path: Path, syntax: str | None) -> None:
    edge, many = 512, 128
    for folder, count in (("few", 3), ("many", many)):
        (tmp_path / folder).mkdir()
        made = slices(count, Rows=edge, Columns=edge)
        for k, one in enumerate(made):
            pixels = (np.arange(edge * edge, dtype="<i2") // 900 + k).reshape(edge, edge)
            one.PixelData = pixels.tobytes()
            if syntax == uid.JPEG2000Lossless:
                packed(one, pixels)
            elif syntax is not None:
                one.compress(syntax, generate_instance_uid=False)
            one.save_as(tmp_path / folder / f"{k:03}.dcm")
    paths = [str(tmp_path / name) for name in ("few", "many", "state")]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *paths, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    one_kib = many * edge * edge * 2 / 1024
    assert one_kib <= int(done.stdout) <= 1.5 * one_kib


def test_a_volume_for_which_there_is_no_memory_is_a_reason(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; sys.path.insert(0, sys.argv[3]);"
        "from ingestd import config, volume; from test_volume import job_of;"
        "pages = int(open('/proc/self/statm').read().split()[0]) * 4096;"
        "resource.setrlimit(resource.RLIMIT_AS, (pages + (400 << 20),) * 2);"
        "job = job_of(sorted(Path(sys.argv[1]).iterdir()));"
        "print(*volume.build(job, state=Path(sys.argv[2]), options=config.Volume().stacking)[0]"
        "['reason'].to_pylist())"
    )
    here = str(Path(__file__).parent)
    (tmp_path / "in").mkdir()
    for k, one in enumerate(slices(3)):
        one.save_as(tmp_path / "in" / f"{k}.dcm")
    for k, one in enumerate(slices(20, EchoNumbers=2)):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.5.{k}"
        one.InstanceNumber = 4 + k
        if k == 0:
            packed(one, np.zeros((4096, 4096), np.int16))  # 640 MiB in all
            first = one
        one.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
        one.Rows, one.Columns, one.PixelData = first.Rows, first.Columns, first.PixelData
        one["PixelData"].VR, one["PixelData"].is_undefined_length = "OB", True
        one.save_as(tmp_path / "in" / f"large{k}.dcm")
    done = subprocess.run(
        [sys.executable, "-c", script, *(str(tmp_path / name) for name in ("in", "state")), here],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["None", "worker_memory"], done.stderr
