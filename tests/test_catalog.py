import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from conftest import PATIENCE
from disks import block_at, blocks_of, damage

from ingestd import batches, derived, engine, sql, tables
from ingestd.catalog import Catalog
from ingestd.dicom.keywords import KEPT
from ingestd.errors import IngestError, Reason, StateError
from ingestd.files import CATALOG_NAME, staged
from ingestd.model import Sighting
from ingestd.tables import Batch

NOW = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 -- the catalog's times have no zone
ROOT = "/drop"


def file(
    path: str,
    uid: str | None = "1.1",
    digest: str | None = "aa" * 16,
    *,
    series: str = "1.2",
    reason: Reason | None = None,
    attempts: int = 0,
    mtime_ns: int = 1,
) -> dict[str, object]:
    """One file as a worker gives it."""
    return {
        "root": ROOT,
        "path": path,
        "size_bytes": 10,
        "mtime_ns": mtime_ns,
        "reason": reason and str(reason),
        "known": True,
        "attempts": attempts,
        "digest": None if reason else digest,
        "SOPInstanceUID": None if reason else uid,
        "series": series,
    }


def batch(*files: dict[str, object]) -> Batch:
    """Files as one batch; each instance with one tag."""
    ledger = [dict(row, seq=seq) for seq, row in enumerate(files)]
    parsed = [row for row in ledger if row["reason"] is None]
    return Batch(
        file=pa.Table.from_pylist(ledger, schema=tables.FILE),
        instance=pa.Table.from_pylist(
            [
                dict(row, StudyInstanceUID="1", SeriesInstanceUID=row["series"], has_pixels=False)
                for row in parsed
            ],
            schema=tables.INSTANCE,
        ),
        attribute=pa.Table.from_pylist(
            [{"attribute": 0, "path": "00080018", "tag": "00080018"}], schema=tables.ATTRIBUTE
        ),
        element=pa.Table.from_pylist(
            [{"seq": row["seq"], "attribute": 0, "value": row["digest"]} for row in parsed],
            schema=tables.ELEMENT,
        ),
        problem=tables.PROBLEM.empty_table(),
    )


def states(catalog: Catalog) -> dict[str, str]:
    return dict(catalog.rows("SELECT path, state FROM file ORDER BY path"))


A, B, C = "aa" * 16, "bb" * 16, "cc" * 16


@pytest.mark.parametrize(
    ("batches", "expected", "digests"),
    [
        pytest.param([[file("a")]], {"a": "cataloged"}, [A], id="a new file"),
        pytest.param(
            [[file("a")], [file("a")]], {"a": "cataloged"}, [A], id="the same batch twice"
        ),
        pytest.param(
            [[file("a"), file("b")]],
            {"a": "cataloged", "b": "duplicate"},
            [A],
            id="two copies in one batch",
        ),
        pytest.param(
            [[file("a")], [file("b")]],
            {"a": "cataloged", "b": "duplicate"},
            [A],
            id="a copy that comes later",
        ),
        pytest.param(
            [[file("a"), file("b", digest=B)]],
            {"a": "cataloged", "b": "conflict"},
            [A],
            id="one UID with other bytes in one batch: the first stays",
        ),
        pytest.param(
            [[file("a")], [file("b", digest=B)]],
            {"a": "cataloged", "b": "conflict"},
            [A],
            id="one UID with other bytes later: the first stays",
        ),
        pytest.param(
            [[file("a")], [file("a", digest=B)]],
            {"a": "cataloged"},
            [B],
            id="a file rewritten in place takes its own place",
        ),
        pytest.param(
            [[file("a", reason=Reason.NOT_DICOM, attempts=1)]],
            {"a": "refused"},
            [],
            id="a refused file has a row and no instance",
        ),
        pytest.param(
            [[file("a", reason=Reason.TRANSIENT_IO, attempts=1)], [file("a")]],
            {"a": "cataloged"},
            [A],
            id="a file that could be read at the second try",
        ),
        pytest.param(
            [[file("a", reason=Reason.TRANSIENT_IO, attempts=PATIENCE.attempts)]],
            {"a": "refused"},
            [],
            id="a file that could not be read often enough",
        ),
    ],
)
@pytest.mark.parametrize("always", [True, False], ids=["", "known when it is"])
def test_what_becomes_of_files(
    catalog: Catalog,
    batches: list[list[dict[str, object]]],
    expected: dict[str, str],
    digests: list[str],
    always: bool,
) -> None:
    for rows in batches:
        known = states(catalog)
        told = [dict(row, known=always or row["path"] in known) for row in rows]
        catalog.write(batch(*told), now=NOW)

    assert states(catalog) == expected
    assert catalog.rows("SELECT digest FROM instance") == [(digest,) for digest in digests]
    assert catalog.rows("SELECT value FROM tag") == [(digest,) for digest in digests]


def test_a_file_rewritten_in_place_bumps_its_revision_and_keeps_its_number(
    catalog: Catalog,
) -> None:
    catalog.write(batch(file("a")), now=NOW)
    before = catalog.rows("SELECT instance_id, revision FROM instance")
    catalog.write(batch(file("a", digest=B)), now=NOW)
    assert catalog.rows("SELECT instance_id, revision FROM instance") == [(before[0][0], 2)]


def test_one_file_under_two_roots_is_one_instance_with_two_locations(catalog: Catalog) -> None:
    catalog.write(batch(file("a"), dict(file("a"), root="/other")), now=NOW)
    assert catalog.rows("SELECT root, path FROM instance") == [(ROOT, "a")]
    assert catalog.rows("SELECT root, state, is_source FROM location ORDER BY root") == [
        (ROOT, "cataloged", True),
        ("/other", "duplicate", False),
    ]


def test_a_file_that_moved_is_one_instance_at_its_new_place(catalog: Catalog) -> None:
    catalog.write(batch(file("old")), now=NOW)
    with catalog.transaction() as db:
        db.execute("UPDATE file SET state = 'gone'")
    catalog.write(batch(file("new")), now=NOW)
    assert catalog.rows("SELECT path, revision FROM instance") == [("new", 1)]
    assert states(catalog) == {"new": "cataloged", "old": "gone"}


def test_a_conflict_is_an_event_once_however_often_it_is_read(catalog: Catalog) -> None:
    catalog.write(batch(file("a"), file("b", digest=B)), now=NOW)
    catalog.write(batch(file("b", digest=B)), now=NOW)
    conflicts = "SELECT detail FROM event WHERE kind = 'file_conflict'"
    named = "SELECT 'path ' || left(sha256('b'), 12)"
    assert catalog.rows(conflicts) == catalog.rows(named)


def test_tries_come_later_and_later_up_to_a_limit(catalog: Catalog) -> None:
    waits = []
    for attempts in (1, 2):
        catalog.write(batch(file("a", reason=Reason.TRANSIENT_IO, attempts=attempts)), now=NOW)
        waits.append(catalog.rows("SELECT not_before_utc FROM file")[0][0] - NOW)
    assert waits == [timedelta(seconds=5), timedelta(seconds=10)]


def test_a_copy_of_what_was_rewritten_in_place_is_a_conflict_from_then_on(
    catalog: Catalog,
) -> None:
    catalog.write(batch(file("a"), file("copy")), now=NOW)
    catalog.write(batch(file("a", digest=B)), now=NOW)
    assert states(catalog) == {"a": "cataloged", "copy": "conflict"}
    assert catalog.rows("SELECT path, digest FROM instance") == [("a", B)]


def test_an_overwritten_file_leaves_its_instance_to_a_copy(catalog: Catalog) -> None:
    catalog.write(batch(file("a", "1.1"), file("copy", "1.1")), now=NOW)
    catalog.write(batch(file("a", "2.2", B)), now=NOW)
    assert catalog.rows("SELECT SOPInstanceUID, path FROM instance ORDER BY 1") == [
        ("1.1", "copy"),
        ("2.2", "a"),
    ]
    assert states(catalog) == {"a": "cataloged", "copy": "cataloged"}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(file("a", "2.2", B), id="by another instance"),
        pytest.param(file("a", reason=Reason.NOT_DICOM, attempts=1), id="by something else"),
    ],
)
def test_an_instance_whose_only_file_was_overwritten_says_so(
    catalog: Catalog, other: dict[str, object]
) -> None:
    catalog.write(batch(file("a", "1.1")), now=NOW)
    catalog.write(batch(other), now=NOW)
    assert catalog.rows("SELECT SOPInstanceUID, kind FROM problem") == [("1.1", "source_lost")]
    assert ("source_lost",) in catalog.rows("SELECT kind FROM event")
    doubted = "SELECT found FROM series_state WHERE SeriesInstanceUID = '1.2'"
    assert catalog.rows(doubted) == [(-1,)], "it is judged again"
    assert catalog.rows("SELECT count(*) FROM location WHERE SOPInstanceUID = '1.1'") == [(0,)]


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        pytest.param(file("b", "1.1"), [("b", A)], id="the same bytes elsewhere"),
        pytest.param(
            file("b", "1.1", C), [("b", C)], id="other bytes: the only ones that are left"
        ),
        pytest.param(file("a", "1.1"), [("a", A)], id="the same bytes in their own place"),
    ],
)
def test_an_image_that_was_overwritten_is_found_again(
    catalog: Catalog, back: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    catalog.write(batch(file("a", "1.1")), now=NOW)
    catalog.write(batch(file("a", "2.2", B)), now=NOW)
    catalog.write(batch(file("a", "3.3", "dd" * 16)), now=NOW)
    lost = "SELECT SOPInstanceUID FROM problem WHERE kind = 'source_lost' ORDER BY ALL"
    assert catalog.rows(lost) == [("1.1",), ("2.2",)]
    catalog.write(batch(back), now=NOW)
    at = "SELECT path, digest FROM instance WHERE SOPInstanceUID = '1.1'"
    assert catalog.rows(at) == expected
    assert states(catalog)[str(back["path"])] == "cataloged"
    assert ("1.1",) not in catalog.rows(lost)
    wrong = sql.AUDIT["instance_of_another_file"]
    with catalog.cursor() as cursor:
        assert cursor.execute(wrong, {"parts": 1, "part": 0}).fetchall() == []


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param(B, "duplicate", id="the same bytes"),
        pytest.param(A, "conflict", id="the bytes that were lost"),
    ],
)
@pytest.mark.parametrize("where", ["a", "b"], ids=["in place", "in another file"])
def test_of_two_files_in_one_batch_the_second_is_held_against_the_first(
    catalog: Catalog, where: str, second: str, expected: str
) -> None:
    catalog.write(batch(file("a", "1.1")), now=NOW)
    if where == "b":
        with catalog.transaction() as db:
            db.execute("UPDATE file SET state = 'gone'")
    catalog.write(batch(file(where, "1.1", B), file("c", "1.1", second)), now=NOW)
    assert states(catalog) == {"a": "gone", where: "cataloged", "c": expected}
    assert catalog.rows("SELECT path, digest FROM instance") == [(where, B)]


def test_a_conflict_whose_rival_was_overwritten_is_the_instance(catalog: Catalog) -> None:
    catalog.write(batch(file("a", "1.1"), file("b", "1.1", B)), now=NOW)
    catalog.write(batch(file("a", "2.2", "cc" * 16)), now=NOW)
    due = "SELECT path, state FROM file WHERE not_before_utc <= ?"
    assert catalog.rows(due, NOW) == [("b", "retry")]
    catalog.write(batch(file("b", "1.1", B)), now=NOW)
    assert states(catalog) == {"a": "cataloged", "b": "cataloged"}
    assert catalog.rows("SELECT path FROM instance WHERE SOPInstanceUID = '1.1'") == [("b",)]


@pytest.mark.parametrize("back", ["a", "b"], ids=["where it was", "elsewhere"])
@pytest.mark.parametrize(
    ("built_s", "expected"),
    [
        pytest.param(-1, ("incomplete", 1), id="stacked with it"),
        pytest.param(1, ("receiving", 2), id="stacked without it"),
    ],
)
def test_a_series_is_stacked_again_when_what_it_was_stacked_without_is_back(
    catalog: Catalog, back: str, built_s: float, expected: tuple[str, int]
) -> None:
    catalog.write(batch(file("a", "1.1"), file("c", "1.3")), now=NOW)
    with catalog.transaction() as db:
        db.execute("UPDATE file SET state = 'gone', state_utc = ? WHERE path = 'a'", [NOW])
        db.execute("UPDATE series_state SET state = 'incomplete', evidence = 'gone: 1 of 2'")
        db.execute(
            "INSERT INTO volume (SeriesInstanceUID, stack, reason, revision, built_utc)"
            " VALUES ('1.2', 0, 'missing_slices', 1, ?)",
            [NOW + timedelta(seconds=built_s)],
        )
    written = catalog.write(batch(file(back, "1.1")), now=NOW + timedelta(seconds=2))
    assert catalog.rows("SELECT state, revision FROM series_state") == [expected]
    assert written.series == ({"1.2"} if expected[0] == "receiving" else set())


def test_a_file_that_cannot_be_read_just_now_has_not_lost_its_instance(catalog: Catalog) -> None:
    catalog.write(batch(file("a")), now=NOW)
    catalog.write(batch(file("a", reason=Reason.TRANSIENT_IO, attempts=1)), now=NOW)
    assert catalog.rows("SELECT count(*) FROM problem") == [(0,)]


def test_a_new_instance_reopens_a_series_that_was_judged(catalog: Catalog) -> None:
    catalog.write(batch(file("a", "1.1")), now=NOW)
    with catalog.transaction() as db:
        db.execute("UPDATE series_state SET state = 'complete'")
    catalog.write(batch(file("b", "1.3")), now=NOW)
    assert catalog.rows("SELECT state, revision FROM series_state") == [("receiving", 2)]
    assert catalog.rows("SELECT kind, detail FROM event ORDER BY event_id") == [
        ("series_receiving", "its first instances have come"),
        ("series_reopened", "1 new after it was complete"),
    ]


def test_a_copy_of_a_known_file_does_not_reopen_its_series(catalog: Catalog) -> None:
    catalog.write(batch(file("a")), now=NOW)
    with catalog.transaction() as db:
        db.execute("UPDATE series_state SET state = 'complete'")
    catalog.write(batch(file("b")), now=NOW)
    assert catalog.rows("SELECT state FROM series_state") == [("complete",)]


def seen(path: str, *, size_bytes: int = 10, mtime_ns: int = 1) -> Sighting:
    return Sighting(root=ROOT, path=path, size_bytes=size_bytes, mtime_ns=mtime_ns, seen_s=0.0)


@pytest.mark.parametrize(
    ("look", "prepare", "expected"),
    [
        pytest.param(seen("new"), "SELECT 1", [0], id="a new file must be read"),
        pytest.param(seen("a"), "SELECT 1", [], id="a known file need not"),
        pytest.param(seen("a", size_bytes=11), "SELECT 1", [0], id="a file that grew must"),
        pytest.param(seen("a", mtime_ns=2), "SELECT 1", [0], id="a file that was rewritten must"),
        pytest.param(
            seen("a"), "UPDATE file SET state = 'gone'", [0], id="a file that is back must"
        ),
        pytest.param(
            seen("a"),
            "UPDATE file SET state = 'retry', reason = 'transient_io', attempts = 2,"
            " not_before_utc = TIMESTAMP '2026-01-02 03:04:05'",
            [2],
            id="a file whose next try is due must, with its attempts",
        ),
        pytest.param(
            seen("a"),
            "UPDATE file SET state = 'retry', reason = 'transient_io', attempts = 2,"
            " not_before_utc = TIMESTAMP '2026-01-02 03:04:06'",
            [],
            id="a file whose next try is not due need not",
        ),
        pytest.param(
            seen("a", mtime_ns=2),
            "UPDATE file SET state = 'retry', reason = 'transient_io', attempts = 2,"
            " not_before_utc = TIMESTAMP '2027-01-01'",
            [0],
            id="a file that changed meanwhile starts again",
        ),
    ],
)
def test_unknown(catalog: Catalog, look: Sighting, prepare: str, expected: list[int]) -> None:
    catalog.write(batch(file("a")), now=NOW)
    with catalog.transaction() as db:
        db.execute(prepare)
    assert [past.attempts for _, past in catalog.unknown([look], now=NOW)] == expected


def test_a_batch_that_fails_half_way_leaves_nothing(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(derived, "publish_thumbnails", fail)
    with pytest.raises(OSError, match="No space left"):
        catalog.write(batch(file("a")), now=NOW)
    counts = [catalog.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]
    assert counts == [0] * len(TABLES)


TABLES = ("file", "instance", "tag", "volume", "volume_slice", "series_state", "problem", "event")


def columns(catalog: Catalog, table: str) -> dict[str, str]:
    return dict(
        catalog.rows(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", table
        )
    )


def test_every_kept_keyword_is_a_column_of_that_type(catalog: Catalog) -> None:
    ours = {"instance_id", "root", "path", "digest", "size_bytes", "frames", "has_pixels"}
    ours |= {"thumbnail_path", "window_source", "revision", "ingested_utc"}
    found = columns(catalog, "instance")
    assert {kept.keyword: kept.sql_type for kept in KEPT} == {
        name: kind for name, kind in found.items() if name not in ours
    }


@pytest.mark.parametrize(
    ("table", "schema", "catalogs_own"),
    [
        ("instance", tables.INSTANCE, {"instance_id", "revision", "ingested_utc"}),
        ("attribute", tables.ATTRIBUTE, {"attribute_id"}),
        ("element", tables.ELEMENT, {"instance_id", "attribute_id"}),
        ("problem", tables.PROBLEM, {"at_utc"}),
        ("volume", tables.VOLUME, {"built_utc"}),
        ("volume_slice", tables.VOLUME_SLICE, set()),
    ],
)
def test_what_workers_hand_over_is_what_the_table_holds(
    catalog: Catalog, table: str, schema: pa.Schema, catalogs_own: set[str]
) -> None:
    handed = {
        field.name: sql
        for field in schema
        if field.name not in {"seq", "attribute"}
        for sql, arrow in tables.ARROW_TYPES.items()
        if arrow == (field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
    }
    found = columns(catalog, table)
    assert handed == {name: kind for name, kind in found.items() if name not in catalogs_own}


def test_a_catalog_newer_than_the_program_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "newer"
    with Catalog(state, memory_bytes=1 << 28, patience=PATIENCE) as made:
        newer = len(sql.migrations()) + 1
        with made.transaction() as db:
            db.execute("INSERT INTO migration VALUES (?, 'later', ?)", [newer, NOW])
    with pytest.raises(StateError, match=f"at migration {newer}"):
        Catalog(state, memory_bytes=1 << 28, patience=PATIENCE)


def test_a_damaged_catalog_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "catalog.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(StateError, match="Nothing was changed"):
        Catalog(tmp_path, memory_bytes=1 << 28, patience=PATIENCE)
    assert (tmp_path / "catalog.duckdb").read_bytes() == b"not a database" * 1000


def test_damage_that_somebody_meets_ends_all_writing_and_what_is_whole_is_read(
    tmp_path: Path,
) -> None:
    def opened() -> Catalog:
        return Catalog(tmp_path, memory_bytes=1 << 28, patience=PATIENCE)

    with opened() as catalog:
        catalog.write(batch(*(file(str(at), f"1.{at}") for at in range(20))), now=NOW)
    at = blocks_of(tmp_path / "catalog.duckdb", "instance")[0]
    damage(tmp_path / "catalog.duckdb", block_at(at))
    with opened() as catalog:
        catalog.tell("before")
        with pytest.raises(IngestError, match=r"catalog_broken: .*Corrupt database file"):
            catalog.rows("SELECT bit_xor(hash(i)) FROM instance AS i")
        for write in (
            lambda: catalog.tell("after"),
            lambda: catalog.write(batch(file("later", "2.1")), now=NOW),
            catalog.checkpoint,
        ):
            with pytest.raises(IngestError, match="`ingestd restore`"):
                write()
        told = "SELECT kind FROM event WHERE SeriesInstanceUID IS NULL"
        assert catalog.rows(told) == [("before",)]


def test_no_question_is_taken_for_damage(catalog: Catalog) -> None:
    for question in ("SELECT error('Corrupt database file')", "SELECT 'Corrupt database'::INT"):
        with pytest.raises(IngestError):
            catalog.rows(question)
    catalog.tell("after")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("pwrite64", id="while its file is begun"),
        pytest.param("rename", id="before it has its name"),
    ],
)
def test_a_catalog_that_was_killed_while_it_was_made_is_made_again(
    tmp_path: Path, call: str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace to kill it there")
    make = (
        "import sys; from pathlib import Path; from ingestd.catalog import Catalog;"
        "from ingestd.model import Patience;"
        "Catalog(Path(sys.argv[1]), memory_bytes=1 << 28,"
        " patience=Patience(attempts=1, first_s=1, limit_s=1)).close()"
    )
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when=1"]
    words = [strace, "-f", "-qq", "-o", "/dev/null", *inject, sys.executable, "-B", "-c", make]
    killed = subprocess.run([*words, str(tmp_path)], capture_output=True, check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "catalog.duckdb").exists() or call == "rename"
    with Catalog(tmp_path, memory_bytes=1 << 28, patience=PATIENCE) as catalog:
        catalog.tell("made")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_owner_of_a_state_folder_is_named_to_the_second(
    catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="owns this state folder"):
        Catalog(tmp_path / "state", memory_bytes=1 << 28, patience=PATIENCE)
    assert catalog.rows("SELECT 1") == [(1,)]


def test_a_reader_sees_whole_transactions_only(catalog: Catalog) -> None:
    with catalog.transaction() as db:
        db.execute("INSERT INTO event (at_utc, kind) VALUES (?, 'x')", [NOW])
        inside = catalog.rows("SELECT count(*) FROM event")
    assert (inside, catalog.rows("SELECT count(*) FROM event")) == ([(0,)], [(1,)])


def picture(catalog: Catalog, name: str, digest: str) -> Callable[[], bytes]:
    """Put a thumbnail beside its place, as a worker does."""
    final = catalog.state / "thumbnails" / name
    final.parent.mkdir(exist_ok=True)
    Path(staged(str(final), digest)).write_bytes(digest.encode())
    return final.read_bytes


def pictured(rows: Batch, name: str) -> Batch:
    table = rows.instance
    column = pa.array([f"thumbnails/{name}"] * table.num_rows, pa.string())
    at = table.column_names.index("thumbnail_path")
    return replace(rows, instance=table.set_column(at, "thumbnail_path", column))


def test_a_checkpoint_waits_for_a_question_that_began_before_the_last_commit(
    catalog: Catalog,
) -> None:
    catalog.write(batch(file("a")), now=NOW)
    with catalog.cursor() as reader:
        reader.execute("BEGIN TRANSACTION READ ONLY")
        reader.execute("SELECT digest FROM instance").fetchall()
        catalog.write(batch(file("a", digest=B)), now=NOW)
        answered = threading.Timer(0.5, lambda: reader.execute("COMMIT"))
        answered.start()
        catalog.checkpoint()
        answered.join()
    log_file = catalog.state / "catalog.duckdb.wal"
    assert not log_file.exists() or log_file.stat().st_size == 0


def test_the_thumbnail_of_a_conflicting_file_never_takes_the_name(catalog: Catalog) -> None:
    first, second = picture(catalog, "x.jpg", A), picture(catalog, "x.jpg", B)
    catalog.write(pictured(batch(file("a")), "x.jpg"), now=NOW)
    catalog.write(pictured(batch(file("b", digest=B)), "x.jpg"), now=NOW)
    assert (first(), second()) == (A.encode(), A.encode())
    assert [path.name for path in (catalog.state / "thumbnails").iterdir()] == ["x.jpg"]


def test_a_copy_that_comes_first_in_a_batch_does_not_take_the_thumbnail_along(
    catalog: Catalog,
) -> None:
    read = picture(catalog, "x.jpg", A)
    rows = batch(file("a"), file("copy"))
    backwards = pa.concat_tables([rows.instance.slice(1), rows.instance.slice(0, 1)])
    turned = pictured(replace(rows, instance=backwards), "x.jpg")
    catalog.write(turned, now=NOW)
    assert read() == A.encode()


def test_a_thumbnail_that_is_lost_is_said_to_be_and_not_promised(catalog: Catalog) -> None:
    catalog.write(pictured(batch(file("a")), "nothing.jpg"), now=NOW)
    assert catalog.rows("SELECT thumbnail_path FROM instance") == [(None,)]
    assert catalog.rows("SELECT kind FROM problem") == [("thumbnail_lost",)]


def test_a_batch_whose_commit_failed_comes_again_with_its_thumbnails(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = picture(catalog, "x.jpg", A)
    rows = pictured(batch(file("a")), "x.jpg")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(batches, "account", fail)
        with pytest.raises(OSError, match="No space left"):
            catalog.write(rows, now=NOW)
    catalog.write(rows, now=NOW)
    assert read() == A.encode()
    assert catalog.rows("SELECT thumbnail_path FROM instance") == [("thumbnails/x.jpg",)]
    assert catalog.rows("SELECT count(*) FROM problem") == [(0,)]


def test_thumbnails_that_cannot_be_taken_back_just_now_are_before_anything_else(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = picture(catalog, "x.jpg", A)
    rows = pictured(batch(file("a", digest=A)), "x.jpg")
    waiting = Path(staged(f"{catalog.state}/thumbnails/x.jpg", A))

    def fail(*_: object) -> None:
        waiting.mkdir()  # Like a disk that is read-only by now, it lets nothing take its place.
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(batches, "account", fail)
        with pytest.raises(OSError, match="No space left"):
            catalog.write(rows, now=NOW)
    with pytest.raises(IsADirectoryError):
        catalog.write(rows, now=NOW)
    waiting.rmdir()
    catalog.write(rows, now=NOW)
    assert read() == A.encode()
    assert catalog.rows("SELECT count(*) FROM problem") == [(0,)]


def test_events_of_an_older_catalog_get_their_numbers_and_new_ones_follow(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / CATALOG_NAME)) as db:
        for number, (name, script) in enumerate(sql.migrations()[:3], start=1):
            db.execute(script)
            db.execute("INSERT INTO migration VALUES (?, ?, ?)", [number, name, NOW])
        for kind in ("a", "b"):
            db.execute("INSERT INTO event VALUES (?, ?, NULL, NULL, NULL)", [NOW, kind])
    for kind in ("c", "d"):
        with Catalog(tmp_path, memory_bytes=1 << 29, patience=PATIENCE) as catalog:
            catalog.tell(kind)
            found = catalog.rows("SELECT kind, event_id FROM event ORDER BY event_id")
    assert found == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_elements_of_an_older_catalog_are_what_they_were(tmp_path: Path) -> None:
    rows = [
        (1, "00080018", "00080018", "SOPInstanceUID", None, "UI", 1, "1.1", None, 4),
        (2, "00080018", "00080018", "SOPInstanceUID", None, "UI", 1, "1.2", None, 4),
        (1, "00091001", "00091001", None, "ACME", "DS", 1, "7", 7.0, 2),
        (2, "00091001", "00091001", None, "OTHER", "UN", 1, None, None, 2),
        (2, "00091002", "00091002", None, None, None, None, None, None, None),
        (2, "00081140[1].00080018", "00080018", "SOPInstanceUID", None, "UI", 1, "1.9", None, 4),
    ]
    with duckdb.connect(str(tmp_path / CATALOG_NAME)) as db:
        for number, (name, script) in enumerate(sql.migrations()[:4], start=1):
            db.execute(script)
            db.execute("INSERT INTO migration VALUES (?, ?, ?)", [number, name, NOW])
        for row in rows:
            db.execute(f"INSERT INTO tag VALUES ({', '.join('?' * len(row))})", row)
    with Catalog(tmp_path, memory_bytes=1 << 29, patience=PATIENCE) as catalog:
        assert sorted(catalog.rows("FROM tag"), key=str) == sorted(rows, key=str)
        assert catalog.rows("SELECT count(*) FROM attribute") == [(5,)]
        catalog.write(batch(file("a", "1.3")), now=NOW)
        assert catalog.rows("SELECT count(*), max(attribute_id) FROM attribute") == [(6, 6)]


def elements(*held: tuple[str, str, str | None], seq: int = 0) -> dict[str, pa.Table]:
    """Tables of the elements of one file: path, VR, value."""
    said = [
        {"attribute": at, "path": path, "tag": path[-8:], "vr": vr}
        for at, (path, vr, _) in enumerate(held)
    ]
    values = [{"seq": seq, "attribute": at, "value": value} for at, (*_, value) in enumerate(held)]
    return {
        "attribute": pa.Table.from_pylist(said, schema=tables.ATTRIBUTE),
        "element": pa.Table.from_pylist(values, schema=tables.ELEMENT),
    }


def test_what_an_element_is_stands_once_for_all_that_have_it(catalog: Catalog) -> None:
    first = [("00080018", "UI", "1.1"), ("00091001", "DS", "1"), ("00091001", "LO", "twice")]
    second = [("00091001", "LO", "2"), ("00100010", "PN", "x"), ("00080018", "UI", "1.2")]
    both = Batch.of(
        [
            replace(batch(file("a", "1.1")), **elements(*first)),
            replace(_numbered(batch(file("b", "1.2", B)), 1), **elements(*second, seq=1)),
        ]
    )
    catalog.write(both, now=NOW)
    catalog.write(replace(batch(file("c", "1.3", C)), **elements(*first, *second)), now=NOW)
    asked = "SELECT path, vr, value FROM tag WHERE instance_id = ?"
    for number, held in ((1, first), (2, second), (3, first + second)):
        assert sorted(catalog.rows(asked, number)) == sorted(held)
    assert catalog.rows("SELECT count(*) FROM attribute") == [(4,)]


def _numbered(rows: Batch, seq: int) -> Batch:
    """The same one file under another number."""
    column = pa.array([seq], pa.int64())
    changed = {
        name: table.set_column(0, "seq", column)
        for name in ("file", "instance")
        if (table := getattr(rows, name)).column_names[0] == "seq"
    }
    return replace(rows, **changed)


def test_more_attributes_than_are_looked_up_at_once_are_all_met_again(catalog: Catalog) -> None:
    many = [(f"52009230[{at}].00189005", "CS", str(at)) for at in range(2 * batches.LOOK_UP + 1)]
    for uid in ("1.1", "1.2"):
        catalog.write(replace(batch(file(uid, uid)), **elements(*many)), now=NOW)
    counts = "SELECT (SELECT count(*) FROM attribute), (SELECT count(*) FROM tag)"
    assert catalog.rows(counts) == [(len(many), 2 * len(many))]


def test_attributes_of_a_batch_that_was_rolled_back_are_not_taken_for_known(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = replace(batch(file("a")), **elements(("00100010", "PN", "x")))
    with monkeypatch.context() as patch:
        patch.setattr(batches, "account", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            catalog.write(rows, now=NOW)
    assert catalog.rows("FROM attribute") == []
    catalog.write(rows, now=NOW)
    assert catalog.rows("SELECT path, value FROM tag") == [("00100010", "x")]


@pytest.mark.parametrize("tries", [1, PATIENCE.attempts], ids=["once", "till it was given up"])
@pytest.mark.parametrize("has_copy", [True, False], ids=["with a copy", "without"])
def test_a_file_that_was_overwritten_and_could_not_be_read_at_first_has_lost_its_instance(
    catalog: Catalog, tries: int, *, has_copy: bool
) -> None:
    catalog.write(batch(file("a", "1.1", A)), now=NOW)
    if has_copy:
        catalog.write(batch(file("b", "1.1", A)), now=NOW)
    catalog.write(batch(file("a", reason=Reason.TRANSIENT_IO, attempts=tries)), now=NOW)
    places = "SELECT SOPInstanceUID, path FROM instance ORDER BY ALL"
    assert catalog.rows(places) == [("1.1", "a")]
    catalog.write(batch(file("a", "1.2", B)), now=NOW)
    assert catalog.rows(places) == [("1.1", "b" if has_copy else "a"), ("1.2", "a")]
    lost = catalog.rows("SELECT SOPInstanceUID, path FROM problem WHERE kind = 'source_lost'")
    assert lost == ([] if has_copy else [("1.1", "a")])
    assert set(states(catalog).values()) == {"cataloged"}


def test_a_transaction_that_could_not_be_rolled_back_is_not_in_the_way(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with catalog.transaction() as db:
            db.execute("SELECT error('x')")

    with monkeypatch.context() as full:
        full.setattr(engine, "rollback", lambda _: None)  # As when DuckDB's memory is used up.
        with pytest.raises(IngestError, match="catalog_broken"):
            fail()
    catalog.write(batch(file("a")), now=NOW)
    assert catalog.rows("SELECT path FROM file") == [("a",)]
