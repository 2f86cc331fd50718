"""However files arrive, each is cataloged, and none from half of its bytes."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import pydicom
import pytest
from blake3 import blake3
from daemons import Running, wait_for
from pydicom.data import get_testdata_file

ONE_CT = Path(str(get_testdata_file("CT_small.dcm", download=False)))


def make(folder: Path, files: int) -> None:
    """Write a tree of instances with a UID each: two levels of folders, ten files in each."""
    dataset = pydicom.dcmread(ONE_CT)
    for number in range(files):
        name = folder / f"{number // 100}" / f"{number % 100 // 10}" / f"{number}.dcm"
        name.parent.mkdir(parents=True, exist_ok=True)
        uid = f"1.2.826.0.1.{crc32(folder.name.encode())}.{number}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.InstanceNumber = number
        dataset.save_as(name)


def files_of(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file())


def run(*command: object, **more: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, **more)  # type: ignore[call-overload]


def needs(tool: str) -> str:
    found = shutil.which(tool)
    if not found:
        pytest.skip(f"needs {tool}")
    return found


def cp_files(tree: Path, drop: Path) -> None:
    (drop / "x").mkdir()
    run("cp", *files_of(tree), drop / "x")


def cp_r(tree: Path, drop: Path) -> None:
    run("cp", "-r", tree, drop / "x")


def cp_a(tree: Path, drop: Path) -> None:
    run("cp", "-a", tree, drop / "x")


def cp_r_four(tree: Path, drop: Path) -> None:
    """Four trees at once, each a quarter of the files."""
    parts = [tree.with_name(f"{tree.name}-{part}") for part in range(4)]
    for number, file in enumerate(files_of(tree)):
        target = parts[number % 4] / file.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    (drop / "x").mkdir()
    copies = [subprocess.Popen(["cp", "-r", str(part), str(drop / "x")]) for part in parts]
    assert [copy.wait() for copy in copies] == [0, 0, 0, 0]


def mv_tree(tree: Path, drop: Path) -> None:
    tree.rename(drop / "x")


def mv_files(tree: Path, drop: Path) -> None:
    (drop / "x").mkdir()
    for file in files_of(tree):
        file.rename(drop / "x" / file.name)


def hard_links(tree: Path, drop: Path) -> None:
    run("cp", "-rl", tree, drop / "x")


def rsync(tree: Path, drop: Path) -> None:
    run(needs("rsync"), "-a", f"{tree}/", drop / "x")


def rsync_inplace(tree: Path, drop: Path) -> None:
    run(needs("rsync"), "-a", "--inplace", f"{tree}/", drop / "x")


def tar(tree: Path, drop: Path) -> None:
    run(needs("tar"), "-czf", tree.with_suffix(".tgz"), "-C", tree, ".")
    (drop / "x").mkdir()
    run("tar", "-xzf", tree.with_suffix(".tgz"), "-C", drop / "x")


def unzip(tree: Path, drop: Path) -> None:
    unzip = needs("unzip")
    shutil.make_archive(str(tree), "zip", tree)
    run(unzip, "-q", tree.with_suffix(".zip"), "-d", drop / "x")


def in_groups(tree: Path) -> Iterator[list[Path]]:
    """Give the files in groups so small that a pause of one is a pause of each of its files."""
    files = files_of(tree)
    for first in range(0, len(files), 50):
        yield files[first : first + 50]


def in_bursts(tree: Path, drop: Path, bursts: int = 5, pause_s: float = 0.1) -> None:
    """Grow the files of a group together, a burst each, with pauses below the quiet time."""
    (drop / "x").mkdir()
    for group in in_groups(tree):
        contents = [(drop / "x" / file.name, file.read_bytes()) for file in group]
        for burst in range(bursts):
            for target, content in contents:
                size = len(content)
                with target.open("ab") as out:
                    out.write(content[burst * size // bursts : (burst + 1) * size // bursts])
            time.sleep(pause_s)


def preallocated(tree: Path, drop: Path) -> None:
    """Take the room first and fill it later, as copies over SMB do."""
    (drop / "x").mkdir()
    for group in in_groups(tree):
        handles = []
        for file in group:
            out = (drop / "x" / file.name).open("wb", buffering=0)
            os.posix_fallocate(out.fileno(), 0, file.stat().st_size)
            handles.append((out, file))
        time.sleep(0.1)
        for out, file in handles:
            content = file.read_bytes()
            out.write(content[: len(content) // 2])
            out.write(content[len(content) // 2 :])
            out.close()


def closed_and_reopened(tree: Path, drop: Path) -> None:
    (drop / "x").mkdir()
    for group in in_groups(tree):
        contents = [(drop / "x" / file.name, file.read_bytes()) for file in group]
        for target, content in contents:
            target.write_bytes(content[: len(content) // 2])
        time.sleep(0.1)
        for target, content in contents:
            with target.open("ab") as out:
                out.write(content[len(content) // 2 :])


def hidden_then_renamed(tree: Path, drop: Path) -> None:
    run("cp", "-r", tree, drop / ".x")
    (drop / ".x").rename(drop / "x")


def folders_made_deeper(tree: Path, drop: Path) -> None:
    """Make folders ever deeper while files land in them."""
    folder = drop / "x"
    for number, file in enumerate(files_of(tree)):
        if number % 5 == 0 and number < 500:
            folder /= f"d{number}"
            folder.mkdir(parents=True)
        shutil.copyfile(file, folder / file.name)


WAYS = [
    cp_files,
    cp_r,
    cp_a,
    cp_r_four,
    mv_tree,
    mv_files,
    hard_links,
    rsync,
    rsync_inplace,
    tar,
    unzip,
    in_bursts,
    preallocated,
    closed_and_reopened,
    hidden_then_renamed,
    folders_made_deeper,
]


class Arrival:
    """One way for files to arrive, gone: what came, and when it was last written to."""

    def __init__(self, daemon: Running, way: Callable[[Path, Path], None], files: int) -> None:
        self._daemon, self._files = daemon, files
        self._drop = daemon.drop / way.__name__
        self._where = f"path LIKE '{way.__name__}/x/%'"
        tree = daemon.drop.parent / way.__name__
        make(tree, files)
        self._whole = {file.name: blake3(file.read_bytes()).hexdigest() for file in files_of(tree)}
        self._drop.mkdir()
        self._began_s = datetime.now(UTC).timestamp()
        way(tree, self._drop)

    def rows(self) -> list[dict[str, Any]]:
        """Wait until each file has an outcome, and that of the bytes that are there now."""
        query = f"SELECT path, state, digest, attempts, state_utc FROM file WHERE {self._where}"

        def all_of_them() -> list[dict[str, Any]]:
            rows = self._daemon.rows(query)
            found = {Path(row["path"]).name: row["digest"] for row in rows}
            return rows if found == self._whole else []

        rows: list[dict[str, Any]] = wait_for(all_of_them)
        assert {row["state"] for row in rows} == {"cataloged"}
        assert self._daemon.one(f"SELECT count(*) FROM problem WHERE {self._where}") == 0
        return rows

    def never_from_half(self) -> None:
        """See that no instance was made from other bytes before."""
        query = f"SELECT count(*) FROM instance WHERE {self._where} AND revision = 1"
        assert self._daemon.one(query) == self._files

    def took_s(self) -> list[float]:
        """Give for each file the seconds from its last write to its row."""
        # A link and a move keep their time; then it came when the link count changed.
        written_s = {
            str(file.relative_to(self._daemon.drop)): max(self._began_s, file.stat().st_ctime)
            for file in files_of(self._drop)
        }
        return sorted(
            row["state_utc"].replace(tzinfo=UTC).timestamp() - written_s[row["path"]]
            for row in self.rows()
        )


@pytest.fixture
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Running]:
    def start(**settings: str) -> Running:
        (tmp_path / "drop").mkdir()
        settings = {"INGESTD_THUMBNAIL__LEVEL": "off"} | settings
        daemon = Running(tmp_path / "drop", tmp_path / "state", **settings)
        request.addfinalizer(daemon.kill)
        return daemon

    return start


def test_files_are_cataloged_whole_however_they_arrive(begin: Callable[..., Running]) -> None:
    daemon = begin()
    arrivals = [Arrival(daemon, way, files=12) for way in WAYS]
    for arrival in arrivals:
        arrival.rows()


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_thousand_files_are_cataloged_whole_however_they_arrive(
    begin: Callable[..., Running], way: Callable[[Path, Path], None]
) -> None:
    """With the quiet time of the default config; INGESTD_TEST_TIMES names a file for the times."""
    arrival = Arrival(begin(INGESTD_SETTLE__QUIET_S="2"), way, files=1000)
    took_s = arrival.took_s()
    arrival.never_from_half()
    with (Path(os.environ.get("INGESTD_TEST_TIMES", os.devnull))).open("a") as out:
        middle, most = took_s[len(took_s) // 2], took_s[int(len(took_s) * 0.95)]
        out.write(json.dumps({"way": way.__name__, "p50_s": middle, "p95_s": most}) + "\n")


@pytest.mark.long
def test_a_file_that_grows_for_ten_seconds_is_read_once_and_whole(
    begin: Callable[..., Running],
) -> None:
    """A thousand files with the quiet time of the default config, in bursts a second apart."""
    daemon = begin(INGESTD_SETTLE__QUIET_S="2")
    make(daemon.drop.parent / "slow", 1000)
    tree = files_of(daemon.drop.parent / "slow")
    (daemon.drop / "x").mkdir()
    contents = [(daemon.drop / "x" / file.name, file.read_bytes()) for file in tree]
    for burst in range(10):
        for target, content in contents:
            size = len(content)
            with target.open("ab") as out:
                out.write(content[burst * size // 10 : (burst + 1) * size // 10])
        time.sleep(1)
        assert daemon.one("SELECT count(*) FROM file") == 0
    wait_for(lambda: daemon.one("SELECT count(*) FROM file WHERE attempts = 0") == len(tree))
    assert daemon.one("SELECT count(*) FROM instance WHERE revision = 1") == len(tree)
    assert daemon.one("SELECT count(*) FROM problem") == 0
