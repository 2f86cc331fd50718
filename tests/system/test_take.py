"""Files leave the drop folder for the archive, and nothing is lost or doubled on the way."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from blake3 import blake3
from daemons import COMMAND, Running, oracle, scan, wait_for
from pydicom.data import get_testdata_file

import ingestd
from ingestd.store import MARKER


class Place:
    """A drop folder, an archive and a quarantine, and the config that says so."""

    def __init__(self, folder: Path, take: str = "move", archive: Path | None = None) -> None:
        self.folder, self.drop, self.aside = folder, folder / "drop", folder / "aside"
        self.archive = archive or folder / "archive"
        self.drop.mkdir(exist_ok=True)
        self.config = folder / "ingestd.toml"
        self.config.write_text(
            f'[[root]]\npath = "{self.drop}"\ntake = "{take}"\nquarantine = "{self.aside}"\n'
            f'[archive]\npath = "{self.archive}"\n[retry]\nfirst_s = 0.3\nlimit_s = 1\n'
        )
        self.daemons: list[Running] = []

    def start(self) -> Running:
        self.daemons.append(Running(self.drop, self.folder / "state", config=self.config))
        return self.daemons[-1]

    def stored(self) -> Counter[str]:
        """Digests of what is in the archive and the quarantine; of the notes and parts, not."""
        return digests(self.archive) + digests(self.aside)

    def left(self) -> int:
        return sum(path.is_file() for path in self.drop.rglob("*"))


def digests(folder: Path) -> Counter[str]:
    return Counter(
        blake3(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER and path.suffix not in {".json", ".part"}
    )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    made: list[Place] = []

    def make(**options: str | Path) -> Place:
        made.append(Place(tmp_path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        for daemon in one.daemons:
            if daemon.process.poll() is None:
                daemon.kill()


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    mounted: list[Path] = []

    def do(folder: Path, *command: str) -> None:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *command, str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("nothing can be mounted here: that needs root")
        mounted.append(folder)

    yield do
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three series of small images, a copy of one image, and a file that is none: 302 files."""
    folder = tmp_path_factory.mktemp("small")
    one = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    x, y, _ = one.ImagePositionPatient
    for number in range(300):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        one.StudyInstanceUID, one.SeriesInstanceUID = f"1.{number % 3}", f"1.2.{number % 3}"
        one.PatientID = ("../.." if number % 3 else "A^B") + str(number % 3)
        one.ImagePositionPatient = [x, y, number]
        one.InstanceNumber = number
        (folder / str(number % 7)).mkdir(exist_ok=True)
        one.save_as(folder / str(number % 7) / f"{number}.dcm")
    shutil.copy(folder / "0" / "0.dcm", folder / "copy.dcm")
    (folder / "README.txt").write_text("no DICOM\n")
    for file in folder.rglob("*"):  # Of two copies any may come first: they must look the same.
        os.utime(file, (1e9, 1e9))
    return folder


def fill(drop: Path, study: Path) -> None:
    shutil.copytree(study, drop, dirs_exist_ok=True)


def settled(daemon: Running) -> bool:
    open_series = "SELECT count(*) FROM series_state WHERE state IN ('receiving', 'quiet')"
    return daemon.one("SELECT count(*) FROM series_state") and not daemon.one(open_series)


@pytest.mark.long
def test_a_study_is_moved_and_its_catalog_is_that_of_a_study_that_stays(
    place: Callable[..., Place], study: Path, tmp_path: Path
) -> None:
    here = place()
    daemon = here.start()
    fill(here.drop, study)
    wait_for(lambda: not here.left())
    wait_for(lambda: settled(daemon))
    (root,) = ingestd.open(daemon.state).status()["roots"]
    files = digests(study)
    scan(study, state=tmp_path / "stayed")
    moved, stayed = oracle(daemon.state), oracle(tmp_path / "stayed")
    copies = sum(files.values()) - len(files)

    assert here.stored() == Counter(set(files))
    assert root["archived"] + root["quarantined"] == sum(files.values())
    assert len(files) == sum(files.values()) - copies
    for table in ("instance", "tag", "volume", "volume_slice", "series_state", "problem"):
        assert moved[table] == stayed[table], table
    assert daemon.one("SELECT count(*) FROM event WHERE kind = 'gone_brake'") == 0
    assert daemon.stop() == 0
    text = subprocess.run(
        [*COMMAND, "status", "--state", str(daemon.state)], capture_output=True, check=True
    ).stdout.decode()
    assert "moved to the archive" in text


@pytest.mark.long
@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([1, 150], id="twice"),
        pytest.param([*range(1, 290, 25)], id="a dozen times"),
    ],
)
def test_kill_9_while_files_are_moved_loses_and_doubles_nothing(
    place: Callable[..., Place], small: Path, tmp_path: Path, moments: list[int]
) -> None:
    here = place()
    files = digests(small)
    fill(here.drop, small)
    for moment in moments:
        daemon = here.start()
        wait_for(lambda moment=moment: sum(digests(here.archive).values()) >= moment)
        daemon.kill()
        assert set(files) <= set(here.stored()) | set(digests(here.drop))
        assert max(digests(here.archive).values()) == 1
    assert here.left() > 0
    daemon = here.start()
    wait_for(lambda: not here.left())
    wait_for(lambda: settled(daemon))
    assert daemon.stop() == 0
    assert here.stored() == Counter(set(files))
    assert list(here.archive.rglob("*.part")) == []
    found = oracle(daemon.state)

    for folder in (here.archive, here.aside):
        shutil.rmtree(folder)
    shutil.rmtree(here.drop)
    here.drop.mkdir()
    fill(here.drop, small)
    scan(here.drop, state=tmp_path / "undisturbed", config=here.config)
    assert here.left() == 0
    assert found == oracle(tmp_path / "undisturbed")


@pytest.mark.long
def test_a_full_archive_halts_and_goes_on_when_there_is_room(
    place: Callable[..., Place], mount: Callable[..., None], small: Path, tmp_path: Path
) -> None:
    mount(tmp_path / "small", "-t", "tmpfs", "-o", "size=4m", "tmpfs")
    here = place(archive=tmp_path / "small" / "archive")
    files = digests(small)
    daemon = here.start()
    fill(here.drop, small)
    client = ingestd.open(daemon.state)
    wait_for(lambda: client.status()["halted"] == "disk_full")
    assert here.left() > 0
    assert set(files) <= set(here.stored()) | set(digests(here.drop))
    subprocess.run(["mount", "-o", "remount,size=300m", str(tmp_path / "small")], check=True)
    wait_for(lambda: not here.left(), within_s=90)
    wait_for(lambda: client.status()["halted"] is None)
    assert here.stored() == Counter(set(files))


@pytest.mark.long
def test_a_root_that_is_read_only_is_cataloged_and_moved_once_it_may_be(
    place: Callable[..., Place], mount: Callable[..., None], small: Path, tmp_path: Path
) -> None:
    here = place()
    files = digests(small)
    fill(tmp_path / "share", small)
    mount(here.drop, "--bind", str(tmp_path / "share"))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(here.drop)], check=True)
    daemon = here.start()
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == sum(files.values()))
    held = "SELECT count(*) FROM event WHERE kind = 'take_held'"
    wait_for(lambda: daemon.one(held) == 1)
    (root,) = ingestd.open(daemon.state).status()["roots"]
    assert "read-only" in root["not_taken_why"]
    assert digests(here.drop) == files
    assert not here.stored()
    subprocess.run(["mount", "-o", "remount,bind,rw", str(here.drop)], check=True)
    wait_for(lambda: not here.left())
    assert here.stored() == Counter(set(files))
    assert daemon.one(held) == 1


def test_a_scan_copies_by_the_rules_of_the_root_and_a_second_one_does_nothing(
    place: Callable[..., Place], small: Path, tmp_path: Path
) -> None:
    here = place(take="copy")
    files = digests(small)
    fill(here.drop, small)
    first, second = (
        scan(here.drop, state=tmp_path / "state", config=here.config) for _ in range(2)
    )
    refused = sum(first["refused"].values())
    assert here.stored() == Counter(set(files))
    assert (first["archived"], first["quarantined"]) == (sum(files.values()) - refused, refused)
    assert here.left() == first["archived"]
    assert (second["archived"], second["quarantined"], second["unchanged"]) == (
        0,
        0,
        second["files"],
    )
