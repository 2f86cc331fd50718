"""No room, no right to write, a damaged file: the daemon halts with words, and nothing is lost.

The state folder lies on a small disk that is filled up with a ballast, so that one part of the
corridor after the other runs out of room. Then the ballast goes.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from blake3 import blake3
from daemons import COMMAND, FAST, Running, everything, scan, settled, wait_for
from disks import MIB, Disk, disk
from slices import thick_series

import ingestd

KINDS = "tmpfs", "ext4"
SIZE_BYTES = 64 * MIB
SLICES = 24  #: half a MiB each, in the drop folder and again in their volume or archive

NO_VOLUMES = {"INGESTD_VOLUME__ENABLED": "false"}
NO_PICTURES = {"INGESTD_THUMBNAIL__LEVEL": "off"}


@dataclass(frozen=True)
class Filling:
    """Where room runs out, and how that is brought about."""

    left_bytes: int
    said: str  #: in the log, as a pattern
    is_thick: bool = False  #: what is dropped: large slices, or studies of many kinds
    take: str = "index"
    settings: Mapping[str, str] = field(default_factory=dict)


FILLINGS = {
    "the catalog": Filling(
        MIB // 4,
        'halted reason="disk_full" detail="no space left for the catalog"',
        settings=NO_PICTURES | NO_VOLUMES,
    ),
    # In one chunk, so that the pictures come before any row.
    "the thumbnails": Filling(
        MIB // 4,
        'halted reason="disk_full" detail="no space left in the state folder"',
        settings={"INGESTD_WORKERS__CHUNK_FILES": "200"},
    ),
    "a volume": Filling(
        6 * MIB, 'series_not_stacked .*reason="disk_full"', is_thick=True, settings=NO_PICTURES
    ),
    "the archive": Filling(
        6 * MIB,
        'halted reason="disk_full" detail="no space left in .*/archive"',
        is_thick=True,
        take="copy",
        settings=NO_PICTURES | NO_VOLUMES,
    ),
}
SHORT = [("tmpfs", "the thumbnails")]


class Place:
    """A drop folder on a roomy disk, a state folder on a small one, and the config for them."""

    def __init__(self, folder: Path, small: Disk, take: str = "index") -> None:
        self.drop, self.small, self.state = folder / "drop", small, small.place / "state"
        self.undisturbed = folder / "undisturbed"
        self.config, self._log = folder / "ingestd.toml", folder / "daemon.log"
        self.drop.mkdir()
        self.state.mkdir()
        self._log.touch()
        (small.place / "daemon.log").symlink_to(self._log)  # It needs no room of the small disk.
        self.config.write_text(
            f'[[root]]\npath = "{self.drop}"\ntake = "{take}"\n'
            "[retry]\nfirst_s = 0.5\nlimit_s = 1\n"
        )
        self._running: Running | None = None

    def start(self, **settings: str) -> Running:
        self._running = Running(self.drop, self.state, config=self.config, **settings)
        return self._running

    def ended(self) -> subprocess.CompletedProcess[str]:
        """Run a daemon that is expected to end by itself."""
        return subprocess.run(
            [*COMMAND, "run", "--config", str(self.config), "--state", str(self.state)],
            env=os.environ | FAST,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def end(self) -> None:
        if self._running is not None and self._running.process.poll() is None:
            self._running.kill()

    @property
    def halted(self) -> str | None:
        """What the daemon says of itself."""
        status = ingestd.open(self.state).status()
        return status and status["halted"]

    def has_said(self, pattern: str) -> bool:
        """Whether the log has it."""
        return re.search(pattern, self._log.read_text()) is not None


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place on a small disk of a kind, with a config that takes files so or so."""
    kind, take = request.param
    with disk(kind, tmp_path, SIZE_BYTES) as small:
        made = Place(tmp_path, small, take)
        try:
            yield made
        finally:
            made.end()


def stored(state: Path) -> list[str]:
    """What is in the archive, and the digest of each."""
    return sorted(
        f"{path.relative_to(state)} {blake3(path.read_bytes()).hexdigest()}"
        for path in (state / "archive").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def parts(state: Path) -> list[Path]:
    """What was begun and not finished."""
    return [path for path in state.rglob("*") if ".part" in path.name or path.parent.name == "tmp"]


def same(state: Path, undisturbed: Path) -> None:
    """See that a state folder is as an undisturbed scan leaves one."""
    assert everything(state) == everything(undisturbed)
    assert stored(state) == stored(undisturbed)
    assert parts(state) == []


@pytest.mark.parametrize(
    ("place", "filling"),
    [
        pytest.param(
            (kind, filling.take),
            filling,
            id=f"{kind} is full for {where}",
            marks=[] if (kind, where) in SHORT else [pytest.mark.long],
        )
        for kind in KINDS
        for where, filling in FILLINGS.items()
    ],
    indirect=["place"],
)
def test_with_room_again_all_is_as_if_it_had_never_been_short(
    place: Place, filling: Filling, study: Path, scanned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in filling.settings.items():
        monkeypatch.setenv(name, value)
    daemon = place.start()
    place.small.fill(filling.left_bytes)
    if filling.is_thick:
        thick_series(place.drop / "series", SLICES)
    else:
        shutil.copytree(study, place.drop, dirs_exist_ok=True)
    wait_for(lambda: place.has_said(filling.said))
    wait_for(lambda: place.halted == "disk_full")
    place.small.make_room()
    files = sum(1 for path in place.drop.rglob("*") if path.is_file())
    if filling.take == "copy":
        wait_for(lambda: daemon.root(place.drop)["archived"] == files)
    else:
        wait_for(lambda: settled(daemon))
    wait_for(lambda: place.halted is None)
    assert daemon.stop() == 0
    assert not place.has_said("Traceback")
    if filling is FILLINGS["the thumbnails"]:
        same(place.state, scanned)
    else:
        scan(place.drop, state=place.undisturbed, config=place.config)
        same(place.state, place.undisturbed)


LONG = pytest.mark.long
ON_BOTH = [pytest.param((kind, "index"), id=kind, marks=LONG) for kind in KINDS]


@pytest.mark.parametrize("place", ON_BOTH, indirect=True)
def test_who_ends_while_the_disk_is_full_starts_when_there_is_room(
    place: Place, study: Path, scanned: Path
) -> None:
    daemon = place.start()
    place.small.fill(MIB // 4)
    shutil.copytree(study, place.drop, dirs_exist_ok=True)
    wait_for(lambda: place.halted == "disk_full")
    assert daemon.stop() == 0
    place.small.fill(0)
    for _ in range(2):
        done = place.ended()
        assert done.returncode == 1
        assert "no space left" in done.stderr.lower()
        assert "Traceback" not in done.stderr
    place.small.make_room()
    daemon = place.start()
    wait_for(lambda: settled(daemon))
    daemon.kill()
    assert not place.has_said("Traceback")
    same(place.state, scanned)


@pytest.mark.parametrize("place", ON_BOTH, indirect=True)
def test_a_first_start_on_a_full_disk_leaves_nothing_in_the_way_of_the_next(
    place: Place, scanned: Path, study: Path
) -> None:
    place.small.fill(0)
    done = place.ended()
    assert done.returncode == 1
    assert "no space left" in done.stderr.lower()
    place.small.make_room()
    daemon = place.start()
    shutil.copytree(study, place.drop, dirs_exist_ok=True)
    wait_for(lambda: settled(daemon))
    assert daemon.stop() == 0
    same(place.state, scanned)


@pytest.mark.parametrize("place", ON_BOTH, indirect=True)
def test_below_the_free_space_that_is_asked_for_nothing_is_taken_until_there_is_more(
    place: Place, study: Path, scanned: Path
) -> None:
    place.small.fill(SIZE_BYTES // 4)
    shutil.copytree(study, place.drop, dirs_exist_ok=True)
    daemon = place.start(INGESTD_SPACE__MIN_FREE_BYTES=str(SIZE_BYTES // 2))
    client = ingestd.open(place.state)
    wait_for(lambda: client.status()["waiting"] == 127)
    assert client.status()["paused"]
    assert daemon.one("SELECT count(*) FROM file") == 0
    place.small.make_room()
    wait_for(lambda: settled(daemon))
    kinds = daemon.rows("SELECT kind FROM event WHERE kind LIKE 'disk%' ORDER BY event_id")
    assert [row["kind"] for row in kinds] == ["disk_full", "disk_free"]
    assert daemon.stop() == 0
    same(place.state, scanned)


@pytest.mark.parametrize("place", ON_BOTH[1:], indirect=True)
def test_a_disk_that_the_kernel_turns_read_only_halts_and_loses_nothing(
    place: Place, study: Path, scanned: Path
) -> None:
    daemon = place.start()
    shutil.copytree(study, place.drop, dirs_exist_ok=True)
    wait_for(lambda: daemon.one("SELECT count(*) FROM file"))
    place.small.give_up()
    (place.drop / "late").write_text("no DICOM")
    wait_for(lambda: place.halted == "state_not_writable")
    assert daemon.stop() == 0
    done = place.ended()
    assert (done.returncode, "Read-only file system" in done.stderr) == (1, True)
    place.small.mend()
    (place.drop / "late").unlink()
    # Pictures are not synced, so they went with the disk's cache; they come back.
    daemon = place.start(INGESTD_DERIVED__CHECK_S="0.5", INGESTD_DERIVED__ORPHAN_GRACE_S="1")
    wait_for(lambda: settled(daemon))
    wait_for(lambda: everything(place.state) == everything(scanned))
    assert daemon.stop() == 0
    assert not place.has_said("Traceback")
    same(place.state, scanned)


@pytest.mark.parametrize("place", ON_BOTH[:1], indirect=True)
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to refuse a write")
@pytest.mark.parametrize("error", ["EROFS", "EACCES", "EDQUOT"])
def test_a_catalog_that_cannot_be_written_for_a_while_is_written_afterwards(
    place: Place, study: Path, scanned: Path, error: str
) -> None:
    daemon = place.start()
    catalog = place.state / "catalog.duckdb"
    refusing = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(daemon.process.pid)]
        + [word for file in (catalog, f"{catalog}.wal") for word in ("-P", str(file))]
        + ["-e", "trace=write,pwrite64", "-e", f"inject=write,pwrite64:error={error}"]
    )
    try:
        status = Path(f"/proc/{daemon.process.pid}/status")
        wait_for(lambda: f"TracerPid:\t{refusing.pid}\n" in status.read_text())
        shutil.copytree(study, place.drop, dirs_exist_ok=True)
        reason = "disk_full" if error == "EDQUOT" else "state_not_writable"
        wait_for(lambda: place.halted == reason)
    finally:
        refusing.terminate()
        refusing.wait(60)
    wait_for(lambda: settled(daemon))
    wait_for(lambda: place.halted is None)
    assert daemon.stop() == 0
    assert not place.has_said("Traceback")
    same(place.state, scanned)
