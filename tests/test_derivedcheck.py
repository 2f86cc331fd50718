"""Files that were made against the rows that name them."""

import os
import shutil
import time
from pathlib import Path

import pytest
from test_catalog import NOW, batch, file

from ingestd import rowcheck
from ingestd.catalog import Catalog
from ingestd.derivedcheck import DerivedCheck
from ingestd.mend import delete

NAME = "thumbnails/1/1.2/1.1.jpg"


def check(catalog: Catalog, *, grace_s: float, folder: str = "thumbnails") -> DerivedCheck:
    return DerivedCheck(
        catalog=catalog,
        state=catalog.state,
        folder=folder,
        grace_s=grace_s,
        tell=lambda *_: None,
    )


def found(one: DerivedCheck) -> set[tuple[str, str | None]]:
    return {(two.kind, two.path) for some in one.run() for two in some}


@pytest.fixture
def thumbnail(catalog: Catalog) -> Path:
    """An instance with its thumbnail."""
    catalog.write(batch(file("a")), now=NOW)
    with catalog.transaction() as db:
        db.execute("UPDATE instance SET thumbnail_path = ?", [NAME])
    path = catalog.state / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"jpeg")
    return path


def test_what_is_named_and_there_is_no_difference(catalog: Catalog, thumbnail: Path) -> None:
    assert thumbnail.exists()
    assert found(check(catalog, grace_s=0.001)) == set()


@pytest.mark.parametrize("empty", [True, False])
def test_a_thumbnail_that_is_not_there_or_empty_is_missing(
    catalog: Catalog, thumbnail: Path, empty: bool
) -> None:
    thumbnail.unlink()
    if empty:
        thumbnail.touch()
    assert found(check(catalog, grace_s=100)) == {("thumbnail_missing", "a")}


@pytest.mark.parametrize("has_rows", [True, False], ids=["but rows", "nor rows"])
def test_without_the_folder_every_row_lacks_its_file(
    catalog: Catalog, thumbnail: Path, has_rows: bool
) -> None:
    shutil.rmtree(catalog.state / "thumbnails")
    if not has_rows:
        with catalog.transaction() as db:
            db.execute("UPDATE instance SET thumbnail_path = NULL")
    assert not thumbnail.exists()
    expected = {("thumbnail_missing", "a")} if has_rows else set()
    assert found(check(catalog, grace_s=100)) == expected


def test_a_thumbnail_that_was_lost_on_its_way_is_missing(catalog: Catalog, thumbnail: Path) -> None:
    thumbnail.unlink()
    with catalog.transaction() as db:
        db.execute("UPDATE instance SET thumbnail_path = NULL")
        db.execute(
            "INSERT INTO problem BY NAME SELECT SOPInstanceUID, root, path,"
            " 'thumbnail_lost' AS kind, ingested_utc AS at_utc FROM instance"
        )
    assert found(check(catalog, grace_s=100)) == {("thumbnail_missing", "a")}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("1.3.jpg", "thumbnail_orphan", id="a picture"),
        pytest.param(".1.3.jpg.aaaa.part", "part_left", id="one that waits for its row"),
        pytest.param(".1.3.jpg.aaaa.part.4711", "part_left", id="one that was being written"),
        pytest.param("README", "stranger", id="something else"),
    ],
)
def test_what_no_row_names_counts_once_it_is_old(
    catalog: Catalog, thumbnail: Path, name: str, kind: str
) -> None:
    thumbnail.with_name(name).write_bytes(b"x")
    assert found(check(catalog, grace_s=3600)) == set()
    time.sleep(0.01)
    path = str(thumbnail.with_name(name).relative_to(catalog.state))
    assert found(check(catalog, grace_s=0.001)) == {(kind, path)}


def test_links_are_not_followed(catalog: Catalog, thumbnail: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.9.jpg").write_bytes(b"not ours")
    (thumbnail.parent / "1.8").symlink_to(outside)
    (thumbnail.parent / "1.7.jpg").symlink_to(outside / "1.9.jpg")
    link = str((thumbnail.parent / "1.7.jpg").relative_to(catalog.state))
    assert found(check(catalog, grace_s=0.001)) == {("stranger", link)}
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        delete(catalog.state, "thumbnails/1/1.2/1.8/1.9.jpg", older_s=0)
    assert (outside / "1.9.jpg").exists()


def test_a_folder_of_ours_that_is_a_link_is_unproven(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (catalog.state / "thumbnails").symlink_to(tmp_path / "elsewhere")
    one = check(catalog, grace_s=0.001)
    assert (found(one), len(one.unproven)) == (set(), 1)


def test_what_is_deleted_takes_folders_along_that_it_leaves_empty(
    catalog: Catalog, thumbnail: Path
) -> None:
    other = catalog.state / "thumbnails" / "2" / "3" / "4.jpg"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"x")
    delete(catalog.state, "thumbnails/2/3/4.jpg", older_s=3600)
    assert other.exists()
    delete(catalog.state, "thumbnails/2/3/4.jpg", older_s=0)
    assert os.listdir(catalog.state / "thumbnails") == ["1"]
    assert thumbnail.exists()


def test_views_that_are_missing_or_cannot_be_asked_are_told(catalog: Catalog) -> None:
    assert rowcheck.broken_views(catalog) == []
    with catalog.transaction() as db:
        db.execute("DROP VIEW late_arrival")
        db.execute("CREATE TABLE brief (a INTEGER)")
        db.execute("CREATE OR REPLACE VIEW refused AS FROM brief")
        db.execute("DROP TABLE brief")
    assert [one.path for one in rowcheck.broken_views(catalog)] == ["late_arrival", "refused"]
