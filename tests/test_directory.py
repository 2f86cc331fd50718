"""Media directories: what they list, and which are not believed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest
from dicomdirs import Record, directory, element, written
from pydicom.data import get_testdata_file
from test_catalog import NOW, batch, file

from ingestd import parse, sql, tables, tasks
from ingestd.catalog import Catalog
from ingestd.config import Config
from ingestd.dicom import directory as room
from ingestd.dicom.directory import MediaDirectory
from ingestd.errors import Reason
from ingestd.model import Arrival
from ingestd.tables import Batch
from ingestd.tasks import Reading

SERIES = {"1.2.1": ["1.1.1", "1.1.2", "1.1.3"], "1.2.2": ["1.1.9"]}


def arrival(path: Path) -> Arrival:
    look = path.stat()
    return Arrival(
        seq=1,
        root=str(path.parent),
        path=path.name,
        size_bytes=look.st_size,
        mtime_ns=look.st_mtime_ns,
    )


def read(path: Path) -> MediaDirectory:
    with pytest.raises(MediaDirectory) as caught:
        parse.read(arrival(path), max_file_bytes=1 << 30, text_bytes=1000)
    assert caught.value.reason is Reason.DICOMDIR
    return caught.value


def listed(tmp_path: Path, content: bytes) -> MediaDirectory:
    path = tmp_path / "DICOMDIR"
    path.write_bytes(content)
    return read(path)


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters and icons"])
def test_a_directory_lists_the_instances_of_each_series(tmp_path: Path, undefined: bool) -> None:
    found = listed(tmp_path, directory(SERIES, undefined=undefined))
    assert found.listed == [
        ("1.2.1", "1.1.1", "A/I0"),
        ("1.2.1", "1.1.2", "A/I1"),
        ("1.2.1", "1.1.3", "A/I2"),
        ("1.2.2", "1.1.9", "A/I0"),
    ]
    assert "it lists 4 instances" in found.detail


@pytest.mark.parametrize(
    "name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-reordered"]
)
def test_a_real_directory_lists_what_pydicom_finds(name: str) -> None:
    path = Path(str(get_testdata_file("dicomdirtests/DICOMDIR"))).with_name(name)
    expected = {
        str(record.ReferencedSOPInstanceUIDInFile): "/".join(record.ReferencedFileID)
        for record in pydicom.dcmread(path).DirectoryRecordSequence
        if record.DirectoryRecordType == "IMAGE"
    }
    found = read(path).listed
    assert {one.SOPInstanceUID: one.file for one in found} == expected
    assert len({one.SeriesInstanceUID for one in found}) == 13


def change(**values: object) -> Callable[[list[Record]], None]:
    """Change the last record of the first series; the records are P, S, series, 1, 2, 3, ..."""

    def bend(records: list[Record]) -> None:
        for name, value in values.items():
            setattr(records[5], name, value)

    return bend


def cut_chain(records: list[Record]) -> None:
    records[3].next = None


def share(records: list[Record]) -> None:
    records[6].lower = 3


@pytest.mark.parametrize(
    ("bend", "doubt"),
    [
        pytest.param(change(next=3), "in a circle", id="a record that points back"),
        pytest.param(change(next=5), "in a circle", id="a record that points to itself"),
        pytest.param(share, "belong to two series", id="two series with one instance"),
        pytest.param(change(wild=7), "where no record is", id="an offset into nothing"),
        pytest.param(change(wild=0xFFFFFFFE), "where no record is", id="an offset out of the file"),
        pytest.param(cut_chain, "belong to no series", id="a chain that ends too early"),
        pytest.param(
            change(more=element(4, 0x1511, "UI", "1.1.1")), "lists one instance twice", id="a twin"
        ),
        pytest.param(
            change(more=element(4, 0x1511, "UI", "../../etc")), "no UIDs", id="a UID that is a path"
        ),
        pytest.param(
            change(more=element(4, 0x1511, "UI", "1..2")), "no UIDs", id="a UID with an empty part"
        ),
    ],
)
def test_a_bent_directory_is_no_evidence_and_says_why(
    tmp_path: Path, bend: Callable[[list[Record]], None], doubt: str
) -> None:
    found = listed(tmp_path, directory(SERIES, bend))
    assert found.listed == []
    assert "not used as evidence" in found.detail
    assert doubt in found.detail


def test_what_the_directory_has_deleted_is_not_missed(tmp_path: Path) -> None:
    found = listed(tmp_path, directory(SERIES, change(in_use=0)))
    assert [one.SOPInstanceUID for one in found.listed] == ["1.1.1", "1.1.2", "1.1.9"]


def test_a_hanging_protocol_belongs_to_no_series(tmp_path: Path) -> None:
    def add(records: list[Record]) -> None:
        records.append(Record("HANGING PROTOCOL", element(4, 0x1511, "UI", "1.7")))

    assert len(listed(tmp_path, directory(SERIES, add)).listed) == 4


def test_a_directory_cut_anywhere_lists_all_or_nothing(tmp_path: Path) -> None:
    content = directory(SERIES, undefined=True)
    for end in range(content.index(b"PATIENT"), len(content) - 8, 7):
        assert listed(tmp_path, content[:end]).listed == [], end


def test_too_many_records_or_too_deep_ones_are_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_RECORDS", 1000)
    many = written([Record("PATIENT")] * 1001)
    deep = element(0x88, 0x200, "SQ", b"")[:8] + b"\xff\xff\xff\xff"
    deep += (b"\xfe\xff\x00\xe0" + b"\xff" * 4 + deep) * 50
    assert "more than 1000 records" in listed(tmp_path, many).detail
    nested = written([Record("PATIENT", deep)], undefined=True)
    assert "not used as evidence" in listed(tmp_path, nested).detail


@pytest.mark.long
def test_ten_million_records_are_refused_before_they_are_all_read(tmp_path: Path) -> None:
    one = written([Record("PATIENT")] * 2)
    item = one[-((len(one) - one.index(b"\x04\x00\x20\x12") - 12) // 2) :]
    head = one[: one.index(b"\x04\x00\x20\x12")] + element(4, 0x1220, "SQ", b"")[:8]
    monstrous = head + b"\xff\xff\xff\xff" + item * 7_500_000  # As many as are worth a look.
    assert "not used as evidence" in listed(tmp_path, monstrous).detail


# In the catalog


def with_list(rows: Batch, *names: tuple[str, str], path: str = "DICOMDIR") -> Batch:
    listing = tables.listed([("/drop", path, *name, "A/I1") for name in names])
    return replace(rows, listed=listing)


def media(path: str = "DICOMDIR") -> dict[str, object]:
    return file(path, reason=Reason.DICOMDIR, attempts=1)


def states(catalog: Catalog) -> list[tuple[str, str, int]]:
    return catalog.rows("SELECT SeriesInstanceUID, state, revision FROM series_state ORDER BY ALL")


def judged(catalog: Catalog) -> None:
    with catalog.transaction() as db:
        db.execute("UPDATE series_state SET state = 'unknown', found = 1")


def test_a_worker_gives_what_a_directory_lists(tmp_path: Path) -> None:
    path = tmp_path / "DICOMDIR"
    path.write_bytes(directory(SERIES))
    found = tasks.ingest([arrival(path)], state=tmp_path, reading=Reading.of(Config()))
    assert found.listed.num_rows == 4
    assert found.file["reason"].to_pylist() == ["dicomdir"]


def test_a_series_of_which_nothing_came_is_a_series_once_it_is_listed(catalog: Catalog) -> None:
    written_to = catalog.write(with_list(batch(media()), ("1.2", "1.1"), ("1.3", "1.9")), now=NOW)
    assert written_to.series == {"1.2", "1.3"}
    assert states(catalog) == [("1.2", "receiving", 1), ("1.3", "receiving", 1)]
    assert catalog.rows(sql.AUDIT["state_without_instances"]) == []


def test_a_directory_reopens_what_was_judged_once_and_not_for_a_copy_of_it(
    catalog: Catalog,
) -> None:
    catalog.write(batch(file("a", "1.1")), now=NOW)
    judged(catalog)
    first = catalog.write(with_list(batch(media()), ("1.2", "1.1"), ("1.2", "1.8")), now=NOW)
    assert (first.series, states(catalog)) == ({"1.2"}, [("1.2", "receiving", 2)])
    judged(catalog)
    names = ("1.2", "1.1"), ("1.2", "1.8")
    copy = catalog.write(with_list(batch(media("copy")), *names, path="copy"), now=NOW)
    assert (copy.series, states(catalog)) == (frozenset(), [("1.2", "unknown", 2)])
    kinds = catalog.rows("SELECT kind FROM event ORDER BY event_id")
    assert kinds == [("series_receiving",), ("series_reopened",)]


@pytest.mark.parametrize(
    ("again", "left", "touched"),
    [
        pytest.param(media(), [], {"1.2"}, id="a directory that lists nothing any more"),
        pytest.param(file("DICOMDIR", "5.5", series="9"), [], {"1.2", "9"}, id="an image"),
        pytest.param(
            file("DICOMDIR", reason=Reason.TRANSIENT_IO, attempts=1),
            [("1.1",)],
            set(),
            id="what cannot be read just now says nothing new",
        ),
    ],
)
def test_a_directory_that_is_rewritten_says_it_anew(
    catalog: Catalog, again: dict[str, object], left: list[tuple[str]], touched: set[str]
) -> None:
    catalog.write(with_list(batch(media()), ("1.2", "1.1")), now=NOW)
    found = catalog.write(batch(again), now=NOW + timedelta(seconds=1))
    assert catalog.rows("SELECT SOPInstanceUID FROM listed") == left
    assert found.series == touched


def test_the_first_instance_of_a_listed_series_tells_that_it_is_received_once(
    catalog: Catalog,
) -> None:
    catalog.write(with_list(batch(media()), ("1.2", "1.1")), now=NOW)
    catalog.write(batch(file("a", "1.1")), now=NOW + timedelta(seconds=1))
    assert catalog.rows("SELECT kind, detail FROM event") == [
        ("series_receiving", "a media directory lists it")
    ]
