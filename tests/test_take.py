"""Files are read, cataloged and taken, in this process, and die at every step."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest
from blake3 import blake3
from conftest import PATIENCE
from pydicom.data import get_testdata_file

from ingestd import config, names, source, store, tasks
from ingestd.catalog import Catalog
from ingestd.files import look
from ingestd.model import Arrival, Past
from ingestd.rollcall import RollCall
from ingestd.take import Taker
from ingestd.takers import Takers

CT = Path(str(get_testdata_file("CT_small.dcm", download=False)))
MR = Path(str(get_testdata_file("MR_small.dcm", download=False)))


class Bench:
    """Drop folders, an archive, a quarantine and a catalog, without a daemon."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive, self.aside = folder / "archive", folder / "aside"
        self.seq = 0

    def root(self, name: str, take: str, *, aside: bool = False) -> config.Root:
        (self.folder / name).mkdir(exist_ok=True)
        return config.Root.model_validate(
            {
                "path": self.folder / name,
                "take": take,
                "quarantine": self.aside if aside else None,
            }
        )

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        with Catalog(self.folder / "state", memory_bytes=1 << 29, patience=PATIENCE) as opened:
            yield opened

    def read(self, catalog: Catalog, root: config.Root, *paths: str) -> None:
        """Let the catalog know files as they are now, as the conductor does."""
        looks = [look(root.key, path) for path in paths]
        arrivals = []
        for sighting in looks:
            self.seq += 1
            arrivals.append(Arrival.of(sighting, Past(known=True), seq=self.seq))
        settings = config.Config(thumbnail=config.Thumbnail(level="off"))
        catalog.write(
            tasks.ingest(arrivals, state=self.folder / "state", reading=tasks.Reading.of(settings))
        )

    def taker(self, catalog: Catalog, root: config.Root, *others: config.Root) -> Taker:
        """Make the taker of a root; its rounds are run by hand."""
        settings = config.Config(root=(root, *others), archive=config.Archive(path=self.archive))
        takers = Takers(
            catalog, settings, self.folder / "state", failed=fail, halted=lambda _: None
        )
        return takers._takers[root.key]

    def take(self, catalog: Catalog, root: config.Root) -> Taker:
        """Take what can be taken, as one short life of a taker does."""
        taker = self.taker(catalog, root)
        try:
            taker._round()
        finally:  # As the kernel does at the end of a process, however it ends.
            for lock in {one._lock for one in (taker._archive, taker._quarantine) if one}:
                lock.close()
        return taker

    def archived(self) -> dict[str, str]:
        return digests(self.archive)


def fail(error: BaseException) -> None:
    raise error


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder, but not our own marker."""
    return {
        str(path.relative_to(folder)): blake3(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != store.MARKER
    }


def place(file: Path) -> str:
    one = pydicom.dcmread(file, stop_before_pixels=True)
    return names.in_archive(
        one.PatientID, one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID
    )


def ledger(catalog: Catalog) -> dict[str, tuple[str, str | None]]:
    rows = catalog.rows("SELECT root || '/' || path, state, detail FROM file ORDER BY ALL")
    return {path: (state, detail) for path, state, detail in rows}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_move_leaves_one_file_in_the_archive_and_none_in_the_drop_folder(bench: Bench) -> None:
    root = bench.root("drop", "move")
    shutil.copy2(CT, root.path / "x")
    digest = blake3(CT.read_bytes()).hexdigest()
    with bench.catalog() as catalog:
        bench.read(catalog, root, "x")
        taker = bench.take(catalog, root)
        assert (taker.taken, taker.why) == (1, "")
        assert bench.archived() == {place(CT): digest}
        assert digests(root.path) == {}
        assert ledger(catalog) == {
            f"{bench.archive}/{place(CT)}": ("cataloged", None),
            f"{root.key}/x": ("gone", "moved to the archive"),
        }
        assert catalog.rows("SELECT root, path FROM instance") == [(str(bench.archive), place(CT))]


def test_copy_leaves_both_and_does_it_once(bench: Bench) -> None:
    root = bench.root("drop", "copy")
    shutil.copy2(CT, root.path / "x")
    before = (root.path / "x").stat()
    with bench.catalog() as catalog:
        bench.read(catalog, root, "x")
        assert [bench.take(catalog, root).taken for _ in range(2)] == [1, 0]
        assert list(bench.archived()) == [place(CT)]
        assert (root.path / "x").stat().st_ctime_ns == before.st_ctime_ns
        assert ledger(catalog)[f"{root.key}/x"] == ("duplicate", "a copy is in the archive")
        assert catalog.rows("SELECT root FROM instance") == [(str(bench.archive),)]
        assert catalog.rows("SELECT root, is_source FROM location ORDER BY ALL") == sorted(
            [(str(bench.archive), True), (root.key, False)]
        )


def test_index_is_the_default_and_touches_nothing(bench: Bench) -> None:
    root = config.Root(path=bench.folder)
    takers = Takers(
        None,  # type: ignore[arg-type]
        config.Config(root=(root,)),
        bench.folder / "state",
        failed=fail,
        halted=fail,
    )
    assert (root.take, root.quarantine, takers._takers, takers.places) == ("index", None, {}, ())


def test_a_duplicate_goes_only_when_its_bytes_are_those_of_the_archive(bench: Bench) -> None:
    root = bench.root("drop", "move")
    for name in ("x", "y"):
        shutil.copy2(CT, root.path / name)
    with bench.catalog() as catalog:
        bench.read(catalog, root, "x", "y")
        bench.take(catalog, root)
        assert (list(bench.archived()), digests(root.path)) == ([place(CT)], {})
        # The archive's disk went bad: a third copy is the only good one, and must stay.
        (bench.archive / place(CT)).write_bytes(b"rot")
        shutil.copy2(CT, root.path / "z")
        bench.read(catalog, root, "z")
        taker = bench.take(catalog, root)
        assert list(digests(root.path)) == ["z"]
        assert taker.why == "other bytes stand under its name in the store"
        assert catalog.rows("SELECT kind, detail FROM event WHERE kind = 'store_conflict'") == [
            ("store_conflict", "z")
        ]


def test_one_instance_from_two_roots_is_archived_once_and_leaves_both(bench: Bench) -> None:
    roots = [bench.root("one", "move"), bench.root("two", "move"), bench.root("three", "copy")]
    with bench.catalog() as catalog:
        for root in roots:
            shutil.copy2(CT, root.path / "x")
            bench.read(catalog, root, "x")
        for root in reversed(roots):
            bench.take(catalog, root)
        assert list(bench.archived()) == [place(CT)]
        assert [list(digests(root.path)) for root in roots] == [[], [], ["x"]]
        assert [state for state, _ in ledger(catalog).values()] == [
            "cataloged",
            "gone",
            "duplicate",
            "gone",
        ]


def test_a_copy_root_has_its_duplicate_archived_though_the_first_is_only_indexed(
    bench: Bench,
) -> None:
    first, second = bench.root("first", "index"), bench.root("second", "copy")
    with bench.catalog() as catalog:
        for root in (first, second):
            shutil.copy2(CT, root.path / "x")
            bench.read(catalog, root, "x")
        bench.take(catalog, second)
        assert list(bench.archived()) == [place(CT)]
        assert [state for state, _ in ledger(catalog).values()] == [
            "cataloged",
            "duplicate",
            "duplicate",
        ]


def conflicting(target: Path) -> None:
    one = pydicom.dcmread(CT)
    one.PatientComments = "other bytes, the same UID"
    one.save_as(target)


@pytest.mark.parametrize("aside", [True, False])
def test_a_conflict_is_never_archived_and_goes_to_quarantine_when_there_is_one(
    bench: Bench, aside: bool
) -> None:
    root = bench.root("drop", "move", aside=aside)
    shutil.copy2(CT, root.path / "x")
    conflicting(root.path / "y")
    theirs = blake3((root.path / "y").read_bytes()).hexdigest()
    with bench.catalog() as catalog:
        bench.read(catalog, root, "x", "y")
        bench.take(catalog, root)
        assert bench.archived() == {place(CT): blake3(CT.read_bytes()).hexdigest()}
        kept = digests(bench.aside) if aside else digests(root.path)
        assert theirs in kept.values()
        assert len(digests(root.path)) == (0 if aside else 1)
        (row,) = catalog.rows("SELECT root, instance_root FROM conflict WHERE digest = ?", theirs)
        assert row == (str(bench.aside) if aside else root.key, str(bench.archive))


def test_a_conflict_with_what_is_only_indexed_stays(bench: Bench) -> None:
    root, other = bench.root("drop", "move", aside=True), bench.root("other", "index")
    shutil.copy2(CT, other.path / "x")
    conflicting(root.path / "y")
    with bench.catalog() as catalog:
        bench.read(catalog, other, "x")
        bench.read(catalog, root, "y")
        bench.take(catalog, root)
        assert list(digests(root.path)) == ["y"]


def test_refused_files_go_to_quarantine_with_a_note_and_only_final_ones(bench: Bench) -> None:
    root = bench.root("drop", "index", aside=True)
    (root.path / "deep").mkdir()
    (root.path / "deep" / "../deep/Befund Müller.txt").write_text("no DICOM\n")
    shutil.copy2(CT, root.path / "x")
    with bench.catalog() as catalog:
        bench.read(catalog, root, "deep/Befund Müller.txt", "x")
        with catalog.transaction() as db:
            db.execute(
                "INSERT INTO file BY NAME SELECT root, 'again' AS path, size_bytes, mtime_ns,"
                " 'retry' AS state, 'transient_io' AS reason, 1 AS attempts,"
                " first_seen_utc, state_utc FROM file WHERE path = 'x'"
            )
        (root.path / "again").write_text("to be tried again")
        taker = bench.take(catalog, root)
        note, kept = sorted(digests(bench.aside), key=lambda name: not name.endswith(".json"))
        assert (note, kept.split("/")[0]) == (f"{kept}.json", "not_dicom")
        assert (bench.aside / kept).read_text() == "no DICOM\n"
        words = json.loads((bench.aside / note).read_text())
        assert words.pop("at_utc").endswith("Z")
        assert words == {
            "reason": "not_dicom",
            "detail": words["detail"],
            "root": root.key,
            "path": "deep/Befund Müller.txt",
            "size_bytes": 9,
            "digest": blake3(b"no DICOM\n").hexdigest(),
        }
        assert "DICM" in words["detail"]
        assert list(digests(root.path)) == ["again", "x"]
        assert taker.put_aside == 1
        assert catalog.rows("SELECT root, path, reason FROM refused") == [
            (str(bench.aside), kept, "not_dicom")
        ]


def test_two_refused_files_of_one_name_both_have_their_place(bench: Bench) -> None:
    root = bench.root("drop", "index", aside=True)
    for name in ("a", "b"):
        (root.path / name).mkdir()
        (root.path / name / "x").write_text("no DICOM\n")
    with bench.catalog() as catalog:
        bench.read(catalog, root, "a/x", "b/x")
        bench.take(catalog, root)
        assert len(digests(bench.aside)) == 4
        assert digests(root.path) == {}


def test_the_sentinel_of_a_root_is_not_taken(bench: Bench) -> None:
    root = bench.root("drop", "move", aside=True).model_copy(update={"sentinel": "here"})
    (root.path / "here").write_text("this is the share\n")
    with bench.catalog() as catalog:
        bench.read(catalog, root, "here")
        bench.take(catalog, root)
        assert list(digests(root.path)) == ["here"]


def a_link_to_a_secret(file: Path) -> None:
    secret = file.parent.parent / "secret"
    shutil.copy2(file, secret)
    file.unlink()
    file.symlink_to(secret)


def another_file_with_the_same_look(file: Path) -> None:
    status = file.stat()
    other = file.parent / "tmp"
    other.write_bytes(bytes(status.st_size))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(file)


def a_newer_file(file: Path) -> None:
    file.write_bytes(b"newer, and not read yet")


class OneFile:
    """A file `x` of a root that files are moved from, read and not taken yet."""

    def __init__(self, bench: Bench, catalog: Catalog) -> None:
        self.root = bench.root("drop", "move")
        self.path = self.root.path / "x"
        self.bench, self.catalog = bench, catalog
        shutil.copy2(CT, self.path)
        self.read()
        self.taker = bench.taker(catalog, self.root)

    def read(self) -> None:
        self.bench.read(self.catalog, self.root, "x")

    def before_the_note(self, what: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
        """Do something after the file was copied, before the catalog hears of it."""
        write = self.taker._book.keep

        def do_and_keep(*args: Any, **options: Any) -> set[int]:
            what()
            return write(*args, **options)

        patch.setattr(self.taker._book, "keep", do_and_keep)


@pytest.fixture
def one(bench: Bench) -> Iterator[OneFile]:
    with bench.catalog() as catalog:
        yield OneFile(bench, catalog)


@pytest.mark.parametrize(
    "change", [a_link_to_a_secret, another_file_with_the_same_look, a_newer_file]
)
@pytest.mark.parametrize("when", ["before it is copied", "before it is unlinked"])
def test_a_file_that_was_replaced_stays_as_it_is(
    one: OneFile, change: Callable[[Path], None], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if when == "before it is copied":
        change(one.path)
    else:
        one.before_the_note(lambda: change(one.path), monkeypatch)
    one.taker._round()
    assert one.path.read_bytes() != CT.read_bytes() or one.path.is_symlink()
    assert one.bench.archived() == (
        {} if "copied" in when else {place(CT): blake3(CT.read_bytes()).hexdigest()}
    )
    # What came instead is no DICOM; for its path the ledger says so when it is read.
    if change is a_newer_file:
        one.read()
        assert ledger(one.catalog)[str(one.path)][0] == "refused"


def test_what_was_read_anew_while_it_was_copied_is_not_kept(
    one: OneFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def correct_in_place() -> None:
        conflicting(one.path)
        one.read()

    with monkeypatch.context() as patch:
        one.before_the_note(correct_in_place, patch)
        one.taker._round()
    assert one.bench.archived() == {}
    corrected = blake3(one.path.read_bytes()).hexdigest()
    one.taker._later.went_through(float("inf"))
    one.taker._round()
    assert one.bench.archived() == {place(CT): corrected}
    assert digests(one.root.path) == {}


def test_a_root_without_the_right_to_write_keeps_its_files_and_is_not_tried_in_a_loop(
    one: OneFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = "SELECT kind, detail FROM event WHERE kind LIKE 'take%' ORDER BY event_id"
    held = ("take_held", "its folder cannot be written")
    with monkeypatch.context() as patch:
        patch.setattr(source.os, "access", lambda *_: False)  # We are root: it may write.
        for _ in range(3):
            one.taker._round()
        assert (one.taker.left, one.taker.why) == (1, held[1])
        assert one.bench.archived() == {}
        assert one.catalog.rows(events) == [held]
    one.taker._later.went_through(float("inf"))
    one.taker._round()
    assert (one.taker.why, digests(one.root.path)) == ("", {})
    assert one.catalog.rows(events) == [held, ("take_resumed", "")]


def test_what_was_moved_is_not_called_gone_by_a_sweep_nor_brakes_it(bench: Bench) -> None:
    root = bench.root("drop", "move")
    paths = [f"{number}" for number in range(30)]
    for number, path in enumerate(paths):
        one = pydicom.dcmread(CT)
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        one.save_as(root.path / path)
    with bench.catalog() as catalog:
        bench.read(catalog, root, *paths)
        bench.take(catalog, root)
        roll = RollCall(catalog, root.key, brake_percent=20, brake_s=60)
        for _ in range(6):
            roll.begin()
            roll.end([], now_s=0.0)
        roll.close()
        assert catalog.rows("SELECT count(*) FROM event WHERE kind LIKE 'gone%'") == [(0,)]
        assert catalog.rows("SELECT DISTINCT state, detail FROM file WHERE root = ?", root.key) == [
            ("gone", "moved to the archive")
        ]
        # The same file sent again is a duplicate of the archive's, and goes as well.
        shutil.copy2((bench.archive / place(CT)).with_name("1.2.7.dcm"), root.path / "7")
        bench.read(catalog, root, "7")
        assert ledger(catalog)[f"{root.key}/7"] == ("duplicate", None)
        bench.take(catalog, root)
        assert (len(bench.archived()), digests(root.path)) == (30, {})


class Killed(BaseException):
    """As kill -9: nothing that we would do next is done."""


class Dying:
    """The module `os`, in the hands of a process that dies after its n-th change to a disk."""

    CHANGES = frozenset({"link", "unlink", "rename", "fsync", "mkdir", "write", "utime"})

    def __init__(self, after: int) -> None:
        self.after, self.changes = after, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.CHANGES:
            return real

        def call(*args: Any, **options: Any) -> Any:
            if self.changes >= self.after:
                raise Killed
            made = real(*args, **options)
            self.changes += 1
            if self.changes == self.after:
                raise Killed
            return made

        return call


def prepared(bench: Bench) -> config.Root:
    """Two instances, a copy of one, and a refused file: read, and not yet taken."""
    root = bench.root("drop", "move", aside=True)
    shutil.copy2(CT, root.path / "ct")
    shutil.copy2(CT, root.path / "ct again")
    shutil.copy2(MR, root.path / "mr")
    (root.path / "no dicom").write_text("no DICOM\n")
    with bench.catalog() as catalog:
        bench.read(catalog, root, "ct", "ct again", "mr", "no dicom")
    return root


def outcome(bench: Bench, root: config.Root) -> SimpleNamespace:
    with bench.catalog() as catalog:
        return SimpleNamespace(
            archive=bench.archived(),
            aside=[name for name in digests(bench.aside) if not name.endswith(".json")],
            notes=len(digests(bench.aside)),
            drop=digests(root.path),
            ledger={
                key.removeprefix(str(bench.folder)): value for key, value in ledger(catalog).items()
            },
            instances=catalog.rows("SELECT path FROM instance ORDER BY path"),
        )


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(7, id="after each seventh change"),
        pytest.param(1, id="after each change", marks=pytest.mark.long),
    ],
)
def test_a_crash_between_two_changes_to_a_disk_is_made_good_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    bench = Bench(tmp_path / "work")
    bench.folder.mkdir()
    root = prepared(bench)
    shutil.copytree(bench.folder, tmp_path / "before")
    everything = set(digests(root.path).values())
    expected, after = None, 10**6
    while after > 0:
        dying = Dying(after)
        with monkeypatch.context() as patch, bench.catalog() as catalog:
            patch.setattr(source, "os", dying)
            patch.setattr(store, "os", dying)
            with suppress(Killed):
                bench.take(catalog, root)
        at_death = [*digests(root.path).values(), *bench.archived().values()]
        assert everything <= {*at_death, *digests(bench.aside).values()}, after
        with bench.catalog() as catalog:
            bench.take(catalog, root)
        found = outcome(bench, root)
        expected = expected or found
        assert found == expected, f"it died after change {after}"
        after = (dying.changes if after == 10**6 else after) - step
        shutil.rmtree(bench.folder)
        shutil.copytree(tmp_path / "before", bench.folder)
    assert expected is not None
    assert (len(expected.archive), len(expected.aside), expected.drop) == (2, 1, {})
