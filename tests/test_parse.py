"""One file, read once: its rows, or the one word that says why there are none."""

import errno
import os
import socket
import struct
import zlib
from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from ingestd import parse, tables
from ingestd.dicom import header
from ingestd.dicom.encoding import LONG
from ingestd.dicom.memory import Memory
from ingestd.errors import IngestError, Reason
from ingestd.model import Arrival

BIG = 1 << 30
IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, JPEG = (
    f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".4.50")
)


def element(tag: int, vr: str, value: bytes, *, order: str = "<", length: int = -1) -> bytes:
    size = len(value) if length < 0 else length
    start = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr.encode() in LONG:
        return start + struct.pack(f"{order}HL", 0, size) + value
    return start + struct.pack(f"{order}H", size) + value


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def meta(syntax: str = EXPLICIT, uid: bytes = b"1.2.3.4\0", sop: bytes = b"") -> bytes:
    inside = element(0x00020003, "UI", uid)
    if sop:
        inside = element(0x00020002, "UI", sop) + inside
    if syntax:
        inside += element(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<L", len(inside))) + inside


CLASS = element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0")
SOP = element(0x00080018, "UI", b"1.2.3.4\0")
STUDY = element(0x0020000D, "UI", b"1.2.3\0")
SERIES = element(0x0020000E, "UI", b"1.2.3.5\0")
UIDS = CLASS + SOP + STUDY + SERIES
SHAPE = (
    element(0x00280002, "US", b"\1\0")
    + element(0x00280010, "US", b"\2\0")
    + element(0x00280011, "US", b"\3\0")
    + element(0x00280100, "US", b"\x10\0")
)
PIXELS = element(0x7FE00010, "OW", bytes(12))

TAGS = {0x00080016: b"1.2.840.10008.5.1.4.1.1.2\0", 0x00080018: b"1.2.3.4\0"}
TAGS |= {0x00080060: b"CT", 0x0020000D: b"1.2.3\0", 0x0020000E: b"1.2.3.5\0"}
AS_IMPLICIT = b"".join(implicit(tag, value) for tag, value in TAGS.items())
AS_BIG = b"".join(
    element(tag, "CS" if tag == 0x00080060 else "UI", value, order=">")
    for tag, value in TAGS.items()
)


def inside(data: bytes) -> header.Header:
    return header.read(memoryview(data), Memory(16_384), most_bytes=BIG)


def deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(meta() + UIDS, [], id="explicit little endian"),
        pytest.param(meta(IMPLICIT) + AS_IMPLICIT, [], id="implicit"),
        pytest.param(meta(BIG_ENDIAN) + AS_BIG, [], id="explicit big endian"),
        pytest.param(meta(DEFLATED) + deflate(UIDS), [], id="deflated"),
        pytest.param(meta("") + UIDS, ["no_file_meta"], id="file meta without a syntax"),
        pytest.param(
            bytes(128) + b"DICM" + AS_IMPLICIT, ["no_file_meta"], id="a preamble, no file meta"
        ),
        pytest.param(meta()[132:] + UIDS, ["no_preamble"], id="file meta without a preamble"),
        pytest.param(b"DICM" + meta()[132:] + UIDS, ["no_preamble"], id="DICM at byte 0"),
        pytest.param(
            UIDS + element(0x00080060, "CS", b"CT"),
            ["no_preamble", "no_file_meta"],
            id="nothing but explicit elements",
        ),
        pytest.param(
            AS_IMPLICIT, ["no_preamble", "no_file_meta"], id="nothing but implicit elements"
        ),
        pytest.param(
            AS_BIG, ["no_preamble", "no_file_meta"], id="nothing but big endian elements"
        ),
        pytest.param(
            meta(EXPLICIT) + AS_IMPLICIT, ["syntax_mismatch"], id="implicit, called explicit"
        ),
        pytest.param(
            meta(IMPLICIT) + UIDS, ["syntax_mismatch"], id="explicit, called implicit"
        ),
        pytest.param(
            meta(EXPLICIT) + AS_BIG, ["syntax_mismatch"], id="big endian, called little"
        ),
        pytest.param(
            meta(uid=b"1.9\0") + UIDS, ["meta_mismatch"], id="the file meta has another UID"
        ),
        pytest.param(meta() + UIDS + SHAPE, ["pixels_absent"], id="a shape, no pixels"),
        pytest.param(meta() + UIDS + SHAPE + PIXELS, [], id="an image"),
        pytest.param(
            meta() + UIDS + SHAPE + PIXELS[:-2], ["truncated"], id="the file ends in the pixels"
        ),
        pytest.param(
            meta() + UIDS + SHAPE + element(0x7FE00010, "OW", bytes(10)), ["truncated"],
            id="pixels for fewer rows",
        ),
        pytest.param(
            meta() + UIDS + element(0x00280008, "IS", b"2 ") + SHAPE + PIXELS, ["truncated"],
            id="pixels for fewer frames",
        ),
        pytest.param(
            meta(JPEG) + UIDS + SHAPE + element(0x7FE00010, "OB", b"", length=0xFFFFFFFF)
            + implicit(0xFFFEE000, b"") + implicit(0xFFFEE000, b"\xff\xd8\xff\xd9")
            + implicit(0xFFFEE0DD, b""), [],
            id="one fragment for one frame",
        ),
        pytest.param(
            meta(JPEG) + UIDS + SHAPE + element(0x7FE00010, "OB", b"", length=0xFFFFFFFF)
            + implicit(0xFFFEE000, b"") + implicit(0xFFFEE0DD, b""), ["truncated"],
            id="no fragment at all",
        ),
        pytest.param(
            meta(JPEG) + UIDS + SHAPE + element(0x7FE00010, "OB", b"", length=0xFFFFFFFF)
            + implicit(0xFFFEE000, b"") + implicit(0xFFFEE000, b"\xff\xd8\xff\xd9"),
            ["truncated"],
            id="no delimiter after the fragments",
        ),
        pytest.param(
            meta() + UIDS + element(0x00100030, "DA", b"19991"), ["bad_value"],
            id="a birth date that is none",
        ),
        pytest.param(
            meta() + UIDS + element(0x00280030, "DS", b"1\\x "), ["bad_value"],
            id="a spacing that is none, said once",
        ),
        pytest.param(
            meta() + UIDS + element(0x00200013, "IS", b"99999999999 "), ["bad_value"],
            id="an integer beyond 32 bits",
        ),
    ],
)  # fmt: skip
def test_what_is_cataloged_and_what_is_said_of_it(data: bytes, expected: list[str]) -> None:
    found = inside(data)
    assert found.instance["SOPInstanceUID"] == "1.2.3.4"
    assert [problem.kind for problem in found.problems] == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", Reason.NOT_DICOM, id="nothing"),
        pytest.param(b"Patient,Name\n" * 99, Reason.NOT_DICOM, id="a table"),
        pytest.param(b"PK\3\4" + bytes(400), Reason.NOT_DICOM, id="an archive"),
        pytest.param(b"\x5c\1\0\0" + bytes(400), Reason.NOT_DICOM, id="a NIfTI header"),
        pytest.param(bytes(1000), Reason.NOT_DICOM, id="zeros"),
        pytest.param(b"\x08\0\x16\0UI\4\0ab\0\0" + b"rubbish " * 40, Reason.NOT_DICOM,
                     id="one good element and then rubbish"),
        pytest.param(b"\x08\0\x16\0\4\0\0\0ab\0\0", Reason.NOT_DICOM, id="one element and no UIDs"),
        pytest.param(meta() + CLASS + STUDY + SERIES, Reason.MISSING_UID, id="no SOPInstanceUID"),
        pytest.param(meta() + SOP + element(0x0020000D, "UI", b"") + SERIES, Reason.MISSING_UID,
                     id="an empty StudyInstanceUID"),
        pytest.param(meta(), Reason.MISSING_UID, id="a file meta and nothing else"),
        pytest.param(meta() + SOP + element(0x0020000D, "UI", b"../../etc ") + SERIES,
                     Reason.BAD_UID, id="a UID that is a path"),
        *(
            pytest.param(meta() + SOP + element(0x0020000D, "UI", uid) + SERIES, Reason.BAD_UID,
                         id=f"a UID with a number left out: {uid.decode()}")
            for uid in (b"..", b". ", b"1..2", b".1", b"1.2.")
        ),
        pytest.param(meta() + SOP + element(0x0020000D, "UI", b"1" * 66) + SERIES,
                     Reason.BAD_UID, id="a UID of 66 digits"),
        pytest.param(meta() + SOP + element(0x0020000D, "UI", b"1.2\\1.3 ") + SERIES,
                     Reason.BAD_UID, id="two UIDs where one must be"),
        pytest.param(meta() + SOP + element(0x0020000D, "UI", "1.2.³".encode("latin-1")) + SERIES,
                     Reason.BAD_UID, id="a digit that is not of ASCII"),
        pytest.param(meta() + UIDS + STUDY[:-2], Reason.TRUNCATED, id="the end of a value is gone"),
        pytest.param(meta(DEFLATED) + deflate(UIDS)[:-9], Reason.TRUNCATED, id="deflated, cut off"),
        pytest.param(meta(DEFLATED) + b"\xff" * 40, Reason.TRUNCATED, id="deflated, damaged"),
        pytest.param(meta(sop=b"1.2.840.10008.1.3.10") + element(0x00041130, "CS", b"A "),
                     Reason.DICOMDIR, id="a media directory"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(data: bytes, expected: Reason) -> None:
    with pytest.raises(IngestError) as caught:
        inside(data)
    assert caught.value.reason is expected


def test_a_deflated_file_may_not_grow_beyond_the_limit() -> None:
    data = meta(DEFLATED) + deflate(UIDS + element(0x7FE00010, "OW", bytes(1 << 20)))
    with pytest.raises(IngestError) as caught:
        header.read(memoryview(data), Memory(64), most_bytes=1 << 19)
    assert caught.value.reason is Reason.TOO_LARGE


def test_columns_have_their_types() -> None:
    data = meta() + UIDS + element(0x00080005, "CS", b"ISO_IR 192")
    data += element(0x00080008, "CS", b"ORIGINAL\\PRIMARY") + element(0x00080020, "DA", b"20240131")
    data += element(0x00080030, "TM", b"123059.25 ") + element(0x00100010, "PN", "É^A".encode())
    data += element(0x00200013, "IS", b"7 ") + element(0x00280030, "DS", b"0.5\\0.25")
    data += element(0x00181120, "DS", b"") + element(0x00189087, "FD", struct.pack("<d", 1000))
    found = inside(data).instance
    expected: dict[str, Any] = {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "StudyDate": date(2024, 1, 31),
        "StudyTime": time(12, 30, 59, 250_000),
        "PatientName": "É^A",
        "InstanceNumber": 7,
        "PixelSpacing": [0.5, 0.25],
        "GantryDetectorTilt": None,
        "DiffusionBValue": 1000.0,
        "TransferSyntaxUID": EXPLICIT,
        "SpecificCharacterSet": ["ISO_IR 192"],
        "has_pixels": False,
        "frames": None,
    }
    assert {name: found[name] for name in expected} == expected


def group(sequence: int, *inside: bytes) -> bytes:
    item = implicit(0xFFFEE000, b"".join(inside))
    return element(sequence, "SQ", item)


def test_columns_of_a_multi_frame_image_are_filled_when_all_frames_agree() -> None:
    def frame(position: bytes, thickness: bytes = b"") -> bytes:
        return implicit(
            0xFFFEE000,
            group(0x00209113, element(0x00200032, "DS", position))
            + (group(0x00289110, element(0x00180050, "DS", thickness)) if thickness else b"")
            + group(0x00189114, element(0x00189082, "FD", struct.pack("<d", 30))),
        )

    shared = group(0x00289110, element(0x00280030, "DS", b"2\\3 "))
    data = meta() + UIDS + element(0x00280008, "IS", b"2 ")
    data += element(0x52009229, "SQ", implicit(0xFFFEE000, shared))
    data += element(0x52009230, "SQ", frame(b"0\\0\\0 ", b"5 ") + frame(b"0\\0\\1 "))
    found = inside(data).instance
    names = ("PixelSpacing", "EchoTime", "ImagePositionPatient", "SliceThickness")
    assert [found.get(name) for name in names] == [[2.0, 3.0], 30.0, None, None]


# The file itself


def arrival(path: Path, seq: int = 1) -> Arrival:
    seen = path.stat()
    return Arrival(
        seq=seq,
        root=str(path.parent),
        path=path.name,
        size_bytes=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
    )


def read(at: Arrival, max_file_bytes: int = BIG) -> parse.Parsed:
    return parse.read(at, max_file_bytes=max_file_bytes, text_bytes=16_384)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(meta() + UIDS + SHAPE + PIXELS)
    return path


def test_the_digest_is_that_of_all_bytes(image: Path) -> None:
    assert read(arrival(image)).digest == blake3(image.read_bytes()).hexdigest()


def reason_of(at: Arrival, max_file_bytes: int = BIG) -> Reason:
    with pytest.raises(IngestError) as caught:
        read(at, max_file_bytes)
    assert at.path not in caught.value.detail
    return caught.value.reason


def test_a_folder_that_became_a_link_to_other_files_is_not_followed(
    image: Path, tmp_path: Path
) -> None:
    for folder in (tmp_path / "root" / "study", tmp_path / "secret"):
        folder.mkdir(parents=True)
        (folder / "image").hardlink_to(image)
    study = tmp_path / "root" / "study"
    seen = replace(arrival(study / "image"), root=str(tmp_path / "root"), path="study/image")
    assert read(seen).digest
    study.rename(tmp_path / "study")
    study.symlink_to(tmp_path / "secret")
    assert reason_of(seen) is Reason.OUTSIDE_ROOT


def test_a_file_that_changed_since_it_arrived_is_still_changing(image: Path) -> None:
    at = arrival(image)
    image.write_bytes(image.read_bytes() + b"\0\0")
    os.utime(image, ns=(at.mtime_ns, at.mtime_ns))
    longer = reason_of(at)
    at = arrival(image)
    os.utime(image, ns=(0, at.mtime_ns + 1))
    assert (longer, reason_of(at)) == (Reason.STILL_CHANGING, Reason.STILL_CHANGING)


def test_a_file_that_changes_under_our_hands_is_still_changing(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_readv = os.readv

    def touch_and_read(handle: int, buffers: list[memoryview]) -> int:
        os.utime(image, ns=(0, 0))
        return true_readv(handle, buffers)

    monkeypatch.setattr(os, "readv", touch_and_read)
    assert reason_of(arrival(image)) is Reason.STILL_CHANGING


def test_a_file_that_shrinks_under_our_hands_is_still_changing(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "readv", lambda *_: 0)
    assert reason_of(arrival(image)) is Reason.STILL_CHANGING


def test_a_file_that_comes_in_small_pieces_is_read_whole(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_readv = os.readv
    monkeypatch.setattr(os, "readv", lambda handle, to: true_readv(handle, [to[0][:7]]))
    assert read(arrival(image)).digest == blake3(image.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOENT, Reason.TRANSIENT_IO),
        (errno.ESTALE, Reason.TRANSIENT_IO),
        (errno.EIO, Reason.TRANSIENT_IO),
        (errno.EHOSTDOWN, Reason.TRANSIENT_IO),
        (errno.ENOTCONN, Reason.TRANSIENT_IO),
        (errno.ETIMEDOUT, Reason.TRANSIENT_IO),
        (errno.EACCES, Reason.NOT_READABLE),
        (errno.EPERM, Reason.NOT_READABLE),
    ],
    ids=lambda value: errno.errorcode.get(value, str(value)) if isinstance(value, int) else value,
)
@pytest.mark.parametrize("call", ["open", "readv"])
def test_an_error_of_the_share_has_its_reason(
    image: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, expected: Reason
) -> None:
    at = arrival(image)

    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code), str(image))

    monkeypatch.setattr(os, call, fail)
    assert reason_of(at) is expected


def test_a_file_that_left_between_two_looks_is_looked_for_again(image: Path) -> None:
    at = arrival(image)
    image.unlink()
    assert reason_of(at) is Reason.TRANSIENT_IO


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder"])
def test_what_is_no_file_does_not_hang(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    assert reason_of(arrival(path)) is Reason.NOT_A_FILE


def test_a_file_above_the_limit_is_too_large(image: Path) -> None:
    size = image.stat().st_size
    assert reason_of(arrival(image), max_file_bytes=size - 1) is Reason.TOO_LARGE
    assert read(arrival(image), max_file_bytes=size).instance["Rows"] == 2


def test_a_name_that_is_not_utf_8_is_opened(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(meta() + UIDS)
    seen = (tmp_path / os.fsdecode(b"caf\xe9")).stat()
    at = Arrival(
        seq=1,
        root=str(tmp_path),
        path="caf//xe9",
        size_bytes=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
    )
    assert read(at).instance["StudyInstanceUID"] == "1.2.3"


# What is handed on


IMAGES = [
    "CT_small.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "JPEG2000.dcm",
    "examples_palette.dcm",
    "ExplVR_BigEndNoMeta.dcm",
    "SC_rgb_rle_2frame.dcm",
]


@pytest.mark.parametrize("name", IMAGES)
def test_the_data_set_is_that_of_pydicom(name: str) -> None:
    path = Path(str(get_testdata_file(name, download=False)))
    made = read(arrival(path)).dataset
    expected = pydicom.dcmread(path, force=True)
    assert made == expected
    if "TransferSyntaxUID" in expected.file_meta and name != "JPEG2000.dcm":
        np.testing.assert_array_equal(made.pixel_array, expected.pixel_array)


def test_the_pixels_of_one_file_are_never_those_of_the_next(image: Path) -> None:
    first = read(arrival(image))
    read(arrival(image))
    with pytest.raises(ValueError, match="released memoryview"):
        first.dataset  # noqa: B018 (asking is the test)


def test_pixels_that_were_given_up_leave_the_rows(image: Path) -> None:
    parsed = read(arrival(image))
    problem = parse.Problem("decoder_failed", "PixelData", None, "because")
    left = parsed.without_dataset(problem)
    assert (left.dataset, left.problems, left.tags) == (None, [problem], parsed.tags)


def test_truncated_pixels_are_known_as_such(image: Path) -> None:
    whole = read(arrival(image)).is_truncated
    image.write_bytes(image.read_bytes()[:-1])
    assert (whole, read(arrival(image)).is_truncated) == (False, True)


def bundled(name: str, seq: int) -> parse.Parsed:
    path = Path(str(get_testdata_file(name, download=False)))
    return read(arrival(path, seq)).without_dataset()


def test_tables_have_the_schemas_of_the_catalog() -> None:
    parsed = [bundled("CT_small.dcm", 5), bundled("MR_small.dcm", 3), bundled("CT_small.dcm", 9)]
    made = parse.to_tables(parsed, {3: ("thumbnails/x.jpg", "window")})
    schemas = (tables.INSTANCE, tables.ATTRIBUTE, tables.ELEMENT, tables.PROBLEM)
    assert tuple(table.schema for table in made) == schemas
    instance = made[0]
    assert instance["seq"].to_pylist() == [5, 3, 9]
    assert instance["thumbnail_path"].to_pylist() == [None, "thumbnails/x.jpg", None]
    assert instance["window_source"].to_pylist() == [None, "window", None]
    assert instance["Modality"].to_pylist() == ["CT", "MR", "CT"]
    assert instance["frames"].to_pylist() == [1, 1, 1]


def test_each_element_belongs_to_its_file_and_they_are_sorted_by_path() -> None:
    parsed = [bundled("CT_small.dcm", 5), bundled("MR_small.dcm", 3), bundled("CT_small.dcm", 9)]
    _, attribute, element, _ = parse.to_tables(parsed, {})
    said = {number: what for number, *what in zip(*attribute.to_pydict().values(), strict=True)}
    assert len(set(map(tuple, said.values()))) == len(said)
    rows = zip(*element.to_pydict().values(), strict=True)
    found = [(seq, *said[number], *held) for seq, number, *held in rows]
    assert [row[1] for row in found] == sorted(row[1] for row in found)
    assert sorted(found, key=str) == sorted(
        ((one.arrival.seq, *row) for one in parsed for row in one.tags), key=str
    )


def test_problems_name_the_file_and_the_instance(image: Path) -> None:
    image.write_bytes(meta(uid=b"1.9\0") + UIDS)
    *_, problem = parse.to_tables([read(arrival(image, seq=4))], {})
    assert problem.to_pylist() == [
        {
            "seq": 4,
            "SOPInstanceUID": "1.2.3.4",
            "root": str(image.parent),
            "path": "image",
            "kind": "meta_mismatch",
            "keyword": "SOPInstanceUID",
            "raw": "1.9",
            "detail": "the file meta has another one",
        }
    ]


def test_no_files_make_empty_tables() -> None:
    assert [table.num_rows for table in parse.to_tables([], {})] == [0] * 4


def test_problems_have_a_limit() -> None:
    many = b"".join(element(0x00280030, "DS", b"x ") for _ in range(500))
    found = inside(meta() + UIDS + many).problems
    assert (len(found), found[-1].kind) == (header.MOST_PROBLEMS + 1, "too_many_problems")


# Nothing but an IngestError ever comes out, and what comes in fits the tables


SEEDS = [
    Path(str(get_testdata_file(name, download=False))).read_bytes()[:6000]
    for name in ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "test-SR.dcm",
                 "nested_priv_SQ.dcm", "UN_sequence.dcm", "liver_1frame.dcm")
]  # fmt: skip


WARM = Memory(16_384)  # What was learned from other files must not change what this one says.


def mutate(data: bytes, changes: list[tuple[int, bytes]], end: int) -> bytes:
    changed = bytearray(data)
    for place, put in changes:
        at = 132 + place % (len(data) - 132)
        changed[at : at + len(put)] = put
    return bytes(changed[: max(end, 1)])


ODD = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.sampled_from(
        [b"\xff" * 4, b"SQ", b"UN", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0",
         b"\0\0\0\0", b"\x08\0\x05\0CS\x08\0unicode_", b"\x1b$B", b"\x28\0\x20\x01\2\0\0\0"]
    ),
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 6000), ODD), max_size=6),
    end=st.integers(100, 6000),
)
def test_a_damaged_header_gives_rows_or_a_reason(
    seed: bytes, changes: list[tuple[int, bytes]], end: int
) -> None:
    data = mutate(seed, changes, end)
    try:
        found = inside(data)
    except IngestError:
        return
    again = header.read(memoryview(data), WARM, most_bytes=BIG)
    assert (again.walk.rows, again.problems) == (found.walk.rows, found.problems)
    parsed = parse.Parsed(
        arrival=Arrival(seq=1, root="/in", path="x", size_bytes=len(data), mtime_ns=0),
        digest="",
        instance=found.instance,
        tags=found.walk.rows,
        problems=found.problems,
        header=None,
    )
    made = parse.to_tables([parsed], {})
    assert [table.validate(full=True) for table in made] == [None] * 4
    assert made[2].num_rows == len(found.walk.rows)
