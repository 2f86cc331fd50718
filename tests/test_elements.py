"""Each element of a header: path, VR, multiplicity, text, number; and as pydicom sees it."""

import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import IS, DSfloat

from ingestd.dicom import charsets, columns, header, values
from ingestd.dicom.directory import MediaDirectory
from ingestd.dicom.elements import Element
from ingestd.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG,
    Dialect,
)
from ingestd.dicom.memory import Memory
from ingestd.dicom.walk import Walk
from ingestd.errors import IngestError, Reason

UNDEFINED = 0xFFFFFFFF
LIMIT = 1 << 20


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR little endian; `length` is what it claims."""
    size = len(value) if length is None else length
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
    if vr.encode("latin-1") in LONG:
        return start + struct.pack("<HL", 0, size) + value
    return start + struct.pack("<H", size) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, size) + value


def item(*parts: bytes, open_end: bool = False) -> bytes:
    inside = b"".join(parts)
    if open_end:
        return implicit(0xFFFEE000, inside, UNDEFINED) + implicit(0xFFFEE00D, b"")
    return implicit(0xFFFEE000, inside)


def open_sequence(tag: int, *items: bytes, vr: str = "SQ") -> bytes:
    return element(tag, vr, b"".join(items), UNDEFINED) + implicit(0xFFFEE0DD, b"")


def walked(data: bytes, dialect: Dialect = EXPLICIT_LITTLE, memory: Memory | None = None) -> Walk:
    walk = Walk(memoryview(data), memory or Memory(16_384))
    walk.data_set(0, dialect)
    return walk


def rows(data: bytes, dialect: Dialect = EXPLICIT_LITTLE) -> dict[str, Element]:
    return {row.path: row for row in walked(data, dialect).rows}


def kinds(data: bytes, dialect: Dialect = EXPLICIT_LITTLE) -> list[str]:
    return [problem.kind for problem in walked(data, dialect).problems]


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        pytest.param("DS", b"1.5\\ -2e3 \\", (3, "1.5\\-2e3\\", None, ""), id="several decimals"),
        pytest.param("DS", b" 0.5 ", (1, "0.5", 0.5, ""), id="one decimal with padding"),
        pytest.param("DS", b"1,5 ", (1, "1,5", None, "bad_value"), id="a decimal comma"),
        pytest.param("DS", b"nan ", (1, "nan", None, "bad_value"), id="not a number"),
        pytest.param("DS", b"1e999 ", (1, "1e999", None, "bad_value"), id="beyond a double"),
        pytest.param("DS", b"1_0 ", (1, "1_0", None, "bad_value"), id="Python would take it"),
        pytest.param("IS", b"12\0", (1, "12", 12.0, ""), id="an integer padded with NUL"),
        pytest.param("IS", b"1.0 ", (1, "1.0", 1.0, ""), id="an integer written as decimal"),
        pytest.param("US", b"\1\0\2\0", (2, "1\\2", None, ""), id="two words"),
        pytest.param("SS", b"\xff\xff", (1, "-1", -1.0, ""), id="a signed word"),
        pytest.param("US", b"\1\0\2", (1, None, None, "bad_length"), id="a word and a half"),
        pytest.param("FD", struct.pack("<d", 0.1), (1, "0.1", 0.1, ""), id="a double"),
        pytest.param("FL", struct.pack("<f", 0.5), (1, "0.5", 0.5, ""), id="a float"),
        pytest.param("UV", b"\xff" * 8, (1, str(2**64 - 1), float(2**64 - 1), ""), id="64 bits"),
        pytest.param("AT", b"\x08\0\x18\0", (1, "00080018", None, ""), id="a tag"),
        pytest.param("AT", b"\x08\0\x18", (1, None, None, "bad_length"), id="three bytes of a tag"),
        pytest.param("UI", b"1.2\0", (1, "1.2", None, ""), id="a UID padded with NUL"),
        pytest.param("CS", b" A\\B ", (2, "A\\B", None, ""), id="outer spaces of a code"),
        pytest.param("CS", b"  ", (0, None, None, ""), id="nothing but padding is empty"),
        pytest.param("LO", b" A ", (1, " A", None, ""), id="leading spaces of text are kept"),
        pytest.param("LT", b"A\\B ", (1, "A\\B", None, ""), id="a backslash in prose"),
        pytest.param("PN", b"A^B=\xc3\xa9", (1, "A^B=é", None, ""), id="a name in UTF-8"),
        pytest.param("LO", b"\xc3(", (1, "\ufffd(", None, "bad_text"), id="broken UTF-8"),
        pytest.param("LO", b"A\0B ", (1, "A␀B", None, "bad_text"), id="a NUL inside"),
        pytest.param("OB", b"\1\2", (1, None, None, ""), id="binary"),
        pytest.param("UN", b"", (0, None, None, ""), id="empty"),
    ],
)
def test_a_value(
    vr: str, value: bytes, expected: tuple[int, str | None, float | None, str]
) -> None:
    found = values.read(vr, value, little=True, encodings=("utf-8",), text_bytes=64)
    assert found[:4] == expected


def test_text_without_a_character_set_is_read_as_latin_1_and_doubted() -> None:
    found = values.read("LO", b"\xe9", little=True, encodings=charsets.DEFAULT, text_bytes=64)
    assert (found.text, found.kind) == ("é", "bad_text")


def test_long_text_is_cut_between_characters_and_keeps_its_length() -> None:
    walk = Walk(
        memoryview(
            element(0x00080005, "CS", b"ISO_IR 192")
            + element(0x00104000, "LT", ("é" * 50).encode())
            + element(0x0028_1201, "US", b"\1\0" * 50)
        ),
        Memory(65),
    )
    walk.data_set(0, EXPLICIT_LITTLE)
    cut, table = walk.rows[1:]
    assert (cut.value, cut.size_bytes) == ("é" * 32, 100)
    assert (table.vm, table.size_bytes, len(table.value or "")) == (50, 100, 65)


def test_paths_of_nested_sequences_whatever_their_lengths() -> None:
    inner = element(0x00080104, "LO", b"x ")
    data = open_sequence(
        0x0040A730,
        item(),
        item(element(0x0040A043, "SQ", item(inner) + item(inner, open_end=True)), open_end=True),
    )
    found = rows(data)
    assert list(found) == [
        "0040A730",
        "0040A730[1].0040A043",
        "0040A730[1].0040A043[0].00080104",
        "0040A730[1].0040A043[1].00080104",
    ]
    assert (found["0040A730"].vm, found["0040A730"].value) == (2, None)
    assert found["0040A730[1].0040A043"].size_bytes == 8 + 10 + 8 + 10 + 8


def test_private_elements_carry_their_creator_and_its_vr() -> None:
    data = (
        implicit(0x00290010, b"SIEMENS CSA HEADER")
        + implicit(0x00291008, b"IMAGE NUM 4 ")
        + implicit(0x00291108, b"somebody")
    )
    known, unknown = list(rows(data, IMPLICIT_LITTLE).values())[1:]
    assert known[2:7] == (None, "SIEMENS CSA HEADER", "CS", 1, "IMAGE NUM 4")
    assert unknown[2:7] == (None, None, "UN", 1, None)


def test_the_same_bytes_of_another_creator_are_another_element() -> None:
    memory = Memory(64)
    for creator, expected in ((b"SIEMENS CSA HEADER", "CS"), (b"WHO KNOWS", "UN")):
        data = implicit(0x00290010, creator) + implicit(0x00291008, b"IMAGE NUM 4 ")
        assert walked(data, IMPLICIT_LITTLE, memory).rows[1].vr == expected


def test_the_character_set_changes_in_an_item_and_back_after_it() -> None:
    greek, cyrillic = "Διονυσιος".encode("iso8859_7"), "Люк".encode("iso8859_5")
    data = (
        element(0x00080005, "CS", b"ISO_IR 126")
        + element(
            0x00081110,
            "SQ",
            item(element(0x00080005, "CS", b"ISO_IR 144"), element(0x00100010, "PN", cyrillic))
            + item(element(0x00100010, "PN", greek)),
        )
        + element(0x00100010, "PN", greek)
    )
    found = rows(data)
    assert found["00081110[0].00100010"].value == "Люк"
    assert found["00081110[1].00100010"].value == "Διονυσιος"
    assert found["00100010"].value == "Διονυσιος"


@pytest.mark.parametrize(
    ("signed", "expected"), [(b"\0\0", ("US", "65535")), (b"\1\0", ("SS", "-1"))]
)
def test_us_or_ss_goes_by_the_pixel_representation_that_comes_later(
    signed: bytes, expected: tuple[str, str]
) -> None:
    nested = implicit(0x00289145, item(implicit(0x00280120, b"\xff\xff")))
    data = implicit(0x00189810, b"\xff\xff") + nested.replace(
        b"\x28\x00\x45\x91", b"\x18\x00\x14\x91"
    )
    data += implicit(0x00280103, signed)
    found = rows(data, IMPLICIT_LITTLE)
    assert found["00189810"][4:7:2] == expected
    assert found["00189114[0].00280120"][4:7:2] == expected


def test_a_large_lookup_table_has_a_positive_number_of_entries() -> None:
    found = rows(element(0x00283002, "SS", struct.pack("<hhh", -1, -5, 16)))
    assert found["00283002"].value == "65535\\-5\\16"


LEAF = element(0x00080060, "CS", b"CT")


@pytest.mark.parametrize(
    ("data", "path", "expected"),
    [
        pytest.param(
            b"\x10\0\x20\0ZZ\0\0\2\0\0\0AB" + LEAF, "00100020", "LO",
            id="two capitals: a VR of the future with a long length",
        ),
        pytest.param(
            element(0x00100020, "??", b"AB") + LEAF, "00100020", "LO",
            id="?? with a length of two bytes",
        ),
        pytest.param(
            element(0x00100020, "\0\0", b"AB") + LEAF, "00100020", "LO",
            id="00 with a length of two bytes",
        ),
        pytest.param(
            implicit(0x00100020, b"AB") + LEAF, "00100020", "LO", id="an element without VR"
        ),
    ],
)  # fmt: skip
def test_an_odd_vr_costs_one_element_and_not_the_rest(
    data: bytes, path: str, expected: str
) -> None:
    prefix = element(0x00080016, "UI", b"1.2\0")
    found = rows(prefix + data)
    assert (found[path].vr, found[path].size_bytes) == (expected, 2)
    assert found["00080060"].value == "CT"
    assert kinds(prefix + data)[0] == "unknown_vr"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(LEAF + b"\0" * 40, ["trailing_bytes"], id="padded with NUL"),
        pytest.param(LEAF + b"\0\0\0", ["trailing_bytes"], id="three NULs"),
        pytest.param(LEAF + LEAF, ["duplicate_element"], id="a tag twice"),
        pytest.param(
            element(0x00081110, "SQ", LEAF + b"\0\0"), ["bad_sequence"], id="no item in a sequence"
        ),
        pytest.param(
            element(0x00081110, "SQ", item(LEAF) + b"\xfe\xff\x00"),
            ["bad_sequence"],
            id="rubbish after the last item",
        ),
        pytest.param(
            element(0x00081110, "SQ", item(element(0x00080060, "CS", b"CT", 90))),
            ["bad_length"],
            id="a value longer than its sequence",
        ),
        pytest.param(
            element(0x00081110, "SQ", implicit(0xFFFEE000, LEAF, 90)),
            ["bad_length"],
            id="an item longer than its sequence",
        ),
        pytest.param(
            element(0x7FE00010, "OW", b"\1\0") + b"\1\2\3", ["trailing_bytes"],
            id="rubbish after the pixel data",
        ),
        pytest.param(
            element(0x7FE00010, "OW", b"\1\0") + element(0xFFFCFFFC, "OB", b"\0", 99),
            ["trailing_bytes"],
            id="an element cut off after the pixel data",
        ),
    ],
)  # fmt: skip
def test_damage_that_costs_no_file_is_a_problem(data: bytes, expected: list[str]) -> None:
    assert kinds(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(element(0x00080060, "CS", b"C", 2), id="inside a value"),
        pytest.param(LEAF + LEAF[:7], id="inside a tag"),
        pytest.param(LEAF + element(0x00081110, "SQ", b"")[:10], id="inside a long length"),
        pytest.param(open_sequence(0x00081110, item(LEAF))[:-8], id="before the delimiter"),
        pytest.param(open_sequence(0x00081110, item(LEAF))[:-12], id="inside an item"),
        pytest.param(element(0x00081110, "SQ", item(LEAF), 99), id="inside a sequence"),
        pytest.param(element(0x00091010, "OB", b"\1\2", UNDEFINED), id="inside fragments"),
    ],
)
def test_a_header_that_ends_early_is_truncated(data: bytes) -> None:
    with pytest.raises(IngestError) as caught:
        walked(data)
    assert caught.value.reason is Reason.TRUNCATED


def test_sequences_within_sequences_have_a_limit() -> None:
    data = LEAF
    for _ in range(60):
        data = open_sequence(0x0040A730, item(data, open_end=True))
    with pytest.raises(IngestError) as caught:
        walked(data)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_sequence_larger_than_the_window_is_read_whole() -> None:
    items = [item(element(0x00100020, "LO", b"%08d" % at)) for at in range(9000)]
    found = rows(open_sequence(0x00081110, *items) + LEAF)
    assert found["00081110"].vm == 9000
    assert found["00081110[8999].00100020"].value == "00008999"
    assert found["00080060"].value == "CT"


def test_what_repeats_is_worked_out_once() -> None:
    memory = Memory(64)
    data = LEAF + open_sequence(0x00081110, item(LEAF))
    first, second = walked(data, memory=memory), walked(data, memory=memory)
    assert first.rows == second.rows
    assert [id(row) for row in first.rows] == [id(row) for row in second.rows]


@pytest.mark.parametrize(
    ("sql_type", "text", "expected"),
    [
        ("DATE", "20240229", "2024-02-29"),
        ("DATE", "2024.02.29", "2024-02-29"),
        ("DATE", "20230229", None),
        ("DATE", "202302", None),
        ("TIME", "12", "12:00:00"),
        ("TIME", "120102.5", "12:01:02.500000"),
        ("TIME", "12:01:02", "12:01:02"),
        ("TIME", "250000", None),
        ("INTEGER", "2147483647", "2147483647"),
        ("INTEGER", "2147483648", None),
        ("INTEGER", "1.5", None),
        ("BIGINT", "2147483648", "2147483648"),
        ("DOUBLE", "1e400", None),
        ("DOUBLE", "inf", None),
        ("DOUBLE[]", "1\\2", "[1.0, 2.0]"),
        ("DOUBLE[]", "1\\", None),
        ("DOUBLE", "1\\2", None),
        ("VARCHAR", "1\\2", "1\\2"),
        ("VARCHAR[]", "A\\B", "['A', 'B']"),
    ],
)
def test_the_typed_value_of_a_column(sql_type: str, text: str, expected: str | None) -> None:
    value = values.Value(text.count("\\") + 1, text, None)
    try:
        found: str | None = str(columns.typed(sql_type, value))
    except ValueError:
        found = None
    assert found == expected


# What pydicom sees, element by element


BINARY = {"OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "US or SS", "US or OW"}
OUTER = {"AE", "AS", "CS", "DA", "DT", "TM", "UI", "DS", "IS"}


def as_text(vr: str, value: Any) -> str | None:
    """What a value of pydicom's is in our spelling."""
    if value is None or vr in BINARY:
        return None
    several = value if isinstance(value, list | MultiValue) else [value]
    if vr == "AT":
        return "\\".join(f"{int(one):08X}" for one in several if one != "") or None
    parts = [
        one.original_string
        if isinstance(one, DSfloat | IS) and hasattr(one, "original_string")
        else str(one)
        for one in several
    ]
    if vr in OUTER:
        parts = [part.strip(" \0") for part in parts]
    return "\\".join(parts).replace("\0", charsets.NUL) or None


def as_pydicom_sees(dataset: Dataset, prefix: str = "") -> Iterator[tuple[Any, ...]]:
    for tag in sorted(dataset.keys()):
        path = f"{prefix}{int(tag):08X}"
        if tag.element == 0 and tag.is_private:
            continue  # A group length; pydicom takes it for UN.
        at = dataset[tag]
        if at.VR == "SQ":
            yield path, "SQ", len(at.value), None
            for index, one in enumerate(at.value):
                yield from as_pydicom_sees(one, f"{path}[{index}].")
        else:
            yield path, str(at.VR), at.VM, as_text(at.VR, at.value)


def as_we_see(rows: list[Element]) -> dict[str, tuple[Any, ...]]:
    """A tag that is there twice counts once, the last one, as in pydicom."""
    return {
        row.path: (row.path, row.vr, row.vm, row.value if row.vr != "PN" else _name(row.value))
        for row in rows
        if not (row.tag.endswith("0000") and int(row.tag[3], 16) & 1)
    }


def _name(value: str | None) -> str | None:
    """Give a name without the empty groups at its end, which pydicom takes away."""
    return value and "\\".join(part.rstrip("=") for part in value.split("\\"))


MEMORY = Memory(1 << 30)  # One for all files, so that what one taught is used for the next.


def check_against_pydicom(data: bytes) -> None:
    walk = Walk(memoryview(data), MEMORY)
    at, _ = header._start(walk)
    try:
        header._data_set(walk, at, 1 << 30)
    except MediaDirectory:
        return  # It has no rows; what it lists is read by test_directory.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        expected = {
            row[0]: row for part in (dataset.file_meta, dataset) for row in as_pydicom_sees(part)
        }
    assert as_we_see(walk.rows) == expected


#: Files that pydicom reads otherwise, and why that is right.
OTHERWISE = {
    "rtplan_truncated.dcm": "cut off inside its header, so we refuse it",
    "no_meta.dcm": "has a byte too much at its start, so we refuse it",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "pydicom loses the header with the pixels",
}
BUNDLED = sorted(
    path
    for path in Path(str(get_testdata_file("CT_small.dcm", download=False))).parent.rglob("*.dcm")
    if path.name not in OTHERWISE
)
CHARSETS = [Path(path) for path in sorted(get_charset_files("*.dcm"))]


@pytest.mark.parametrize("path", BUNDLED + CHARSETS, ids=lambda path: path.name)
def test_a_bundled_file_is_as_pydicom_sees_it(path: Path) -> None:
    check_against_pydicom(path.read_bytes())


def test_the_corpus_is_as_pydicom_sees_it(corpus: Path) -> None:
    checked = 0
    for path in sorted(corpus.rglob("*")):
        if path.name in OTHERWISE or not path.is_file():
            continue
        if path.read_bytes()[128:132] != b"DICM":
            continue
        check_against_pydicom(path.read_bytes())
        checked += 1
    assert checked > 1000


TEXTS = st.text("ABCabc 12.^éß", max_size=12).map(lambda text: text.strip())
MAKERS = {
    "PatientName": TEXTS,
    "PatientID": TEXTS,
    "PatientComments": st.text("AB\\ \n", max_size=20),
    "StudyDate": st.sampled_from(["20240101", "", "19991231"]),
    "Rows": st.integers(0, 65535),
    "PixelSpacing": st.lists(st.integers(1, 9), min_size=2, max_size=2),
    "EchoTime": st.sampled_from([None, "1.5", "-2e3"]),
    "ImageType": st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "X"]), max_size=3),
    "DiffusionBValue": st.floats(allow_nan=False),
    "PixelRepresentation": st.integers(0, 1),
    "SmallestImagePixelValue": st.just(7),
    "FrameIncrementPointer": st.just(0x00181063),
    "PixelPaddingValue": st.just(9),
}
SETS = st.recursive(
    st.fixed_dictionaries({}, optional=MAKERS),
    lambda inside: st.fixed_dictionaries(
        {}, optional=MAKERS | {"ContentSequence": st.lists(inside, max_size=3)}
    ),
    max_leaves=8,
)


def built(found: dict[str, Any], *, open_ends: bool) -> Dataset:
    dataset = Dataset()
    for name, value in found.items():
        if name == "ContentSequence":
            items = [built(one, open_ends=open_ends) for one in value]
            for one in items:
                one.is_undefined_length_sequence_item = open_ends
            dataset.ContentSequence = items
            dataset["ContentSequence"].is_undefined_length = open_ends
        elif name in ("SmallestImagePixelValue", "PixelPaddingValue"):
            dataset.add_new(name, "US", value)
        else:
            setattr(dataset, name, value)
    return dataset


def without_pixel_representation(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [without_pixel_representation(one) for one in value]
        if name == "ContentSequence"
        else value
        for name, value in found.items()
        if name != "PixelRepresentation"
    }


@settings(max_examples=150, deadline=None)
@given(
    found=SETS,
    open_ends=st.booleans(),
    dialect=st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]),
)
def test_what_pydicom_writes_is_as_pydicom_sees_it(
    found: dict[str, Any],
    open_ends: bool,
    dialect: Dialect,
) -> None:
    if open_ends:  # There pydicom does not hand it down, so "US or SS" would differ.
        found = without_pixel_representation(found)
    dataset = built(found, open_ends=open_ends)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(out, dataset, implicit_vr=dialect.implicit, little_endian=dialect.little)
        out.seek(0)
        read = pydicom.dcmread(out, force=True)
        expected = {row[0]: row for row in as_pydicom_sees(read)}
    walk = walked(out.getvalue(), dialect, MEMORY)
    assert as_we_see(walk.rows) == expected
