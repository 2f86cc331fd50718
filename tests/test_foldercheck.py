"""A folder against the ledger: what differs, what is arriving, what cannot be said."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from daemons import wait_for
from test_catalog import batch, file

from ingestd import foldercheck
from ingestd.catalog import Catalog
from ingestd.files import look
from ingestd.foldercheck import FolderCheck, Place
from ingestd.sweep import Ignored


class Eyes:
    """Says that a root is busy for as long as it is told to."""

    def __init__(self, busy: Callable[[str], bool] = lambda _: False) -> None:
        self.busy = busy


def check(catalog: Catalog, root: Path, eyes: Eyes | None = None, **about: object) -> FolderCheck:
    words = {"quiet_s": 0.05, "deadline_s": 20.0, **about}
    place = Place(root=str(root), ignored=Ignored.of((".*",)), **words)
    return FolderCheck(
        catalog=catalog,
        place=place,
        eyes=eyes or Eyes(),
        tell=lambda *_: None,
        patience_s=0.3,
    )


def found(one: FolderCheck) -> set[tuple[str, str | None]]:
    return {(two.kind, two.path) for some in one.run() for two in some}


@pytest.fixture
def root(tmp_path: Path, catalog: Catalog) -> Path:
    """A folder of three files that the ledger knows as they are."""
    place = tmp_path / "drop"
    (place / "below").mkdir(parents=True)
    rows = []
    for number, name in enumerate(("a", "b", "below/c")):
        (place / name).write_text(name)
        seen = look(str(place), name)
        row = file(name, f"1.{number}")
        rows.append(
            row | {"root": str(place), "size_bytes": seen.size_bytes, "mtime_ns": seen.mtime_ns}
        )
    catalog.write(batch(*rows))
    return place


def test_a_folder_that_is_as_the_ledger_says_has_no_difference(
    catalog: Catalog, root: Path
) -> None:
    (root / ".hidden").write_text("nobody looks at it")
    one = check(catalog, root)
    assert (found(one), one.files, one.arriving, one.unproven) == (set(), 3, 0, [])


def test_each_way_to_differ(catalog: Catalog, root: Path) -> None:
    (root / "new").write_text("new")
    (root / "a").write_text("longer than it was")
    (root / "below" / "c").unlink()
    one = check(catalog, root)
    assert found(one) == {
        ("file_without_row", "new"),
        ("file_changed", "a"),
        ("row_without_file", "below/c"),
    }


def test_a_file_that_the_ledger_calls_gone_is_back(catalog: Catalog, root: Path) -> None:
    with catalog.transaction() as db:
        db.execute("UPDATE file SET state = 'gone' WHERE path IN ('a', 'below/c')")
    (root / "below" / "c").unlink()
    assert found(check(catalog, root)) == {("file_without_row", "a")}


def test_of_a_store_only_what_has_a_row_is_compared(catalog: Catalog, root: Path) -> None:
    (root / "new.json").write_text("beside a file in quarantine")
    (root / "a").unlink()
    assert found(check(catalog, root, is_store=True)) == {("row_without_file", "a")}


def test_a_file_that_grows_while_it_is_looked_at_is_arriving(catalog: Catalog, root: Path) -> None:
    grows = root / "grows"
    grows.write_text("x")

    def busy(_: str) -> bool:
        with grows.open("a") as out:
            out.write("x")
        return False

    one = check(catalog, root, Eyes(busy))
    assert (found(one), one.arriving) == (set(), 1)


def test_while_a_root_is_busy_what_is_new_is_arriving(catalog: Catalog, root: Path) -> None:
    (root / "new").write_text("new")
    one = check(catalog, root, Eyes(lambda _: True))
    assert (found(one), one.arriving) == (set(), 1)


def test_what_gets_its_row_while_we_wait_is_no_difference(catalog: Catalog, root: Path) -> None:
    (root / "new").write_text("new")
    seen = look(str(root), "new")

    def busy(_: str) -> bool:
        row = file("new", "9.9") | {"root": str(root), "size_bytes": 3, "mtime_ns": seen.mtime_ns}
        catalog.write(batch(row))
        return False

    one = check(catalog, root, Eyes(busy))
    assert (found(one), one.arriving) == (set(), 0)


def test_of_a_folder_that_is_not_mounted_nothing_is_missing(catalog: Catalog, root: Path) -> None:
    (root / "below" / "c").unlink()
    assert found(check(catalog, root, not_mounted=["below"])) == set()


def test_a_root_that_is_not_there_is_unproven(catalog: Catalog, root: Path) -> None:
    root.rename(root.with_name("away"))
    one = check(catalog, root)
    assert (found(one), len(one.unproven)) == (set(), 1)


def test_many_differences_come_in_pages(
    catalog: Catalog, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foldercheck, "PAGE", 7)
    monkeypatch.setattr(foldercheck, "STRETCH", 5)
    monkeypatch.setattr(foldercheck, "LISTING", 3)
    for number in range(50):
        (root / f"new-{number}").write_text("new")
    assert len(found(check(catalog, root))) == 50


@pytest.mark.parametrize("operation", ["readdir", "getattr"])
def test_a_share_that_hangs_is_unproven_in_time(
    catalog: Catalog, root: Path, tmp_path: Path, operation: str
) -> None:
    mount, control = tmp_path / "share", tmp_path / "control"
    mount.mkdir()
    control.write_text("")
    serving = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("faultfs.py"), root, mount, control]
    )
    try:
        try:
            wait_for(mount.is_mount, within_s=20)
        except AssertionError:
            pytest.skip("needs the right to mount by FUSE")
        with catalog.transaction() as db:
            db.execute("UPDATE file SET root = ?", [str(mount)])
        assert found(check(catalog, mount)) == set()
        control.write_text(f"{operation} * hang\n")
        one = check(catalog, mount, deadline_s=0.5)
        answers: list[set[tuple[str, str | None]]] = []
        asking = threading.Thread(target=lambda: answers.append(found(one)), daemon=True)
        asking.start()
        asking.join(60)
        assert answers == [set()]
        assert "it hangs" in one.unproven[0]
    finally:
        serving.kill()
        serving.wait()
        subprocess.run(["umount", "-l", mount], check=False)
