"""What we read of pydicom's collections is what pydicom says itself."""

import subprocess
import sys

import pytest
from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries
from pydicom.charset import convert_encodings
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from ingestd.dicom import charsets, dictionary, encoding

PUBLIC = [
    *DicomDictionary,
    *(int(name.replace("x", digit), 16) for name in RepeatersDictionary for digit in "02e"),
    *range(0, 1 << 32, 858_993),
]


def said(question: object, *values: object) -> str | None:
    try:
        return question(*values)  # type: ignore[operator]
    except KeyError:
        return None


def test_keywords_and_vrs_of_public_elements() -> None:
    ours = [(dictionary.keyword(tag), dictionary.public_vr(tag)) for tag in PUBLIC]
    theirs = [
        (datadict.keyword_for_tag(tag) or None, said(datadict.dictionary_VR, tag)) for tag in PUBLIC
    ]
    assert ours == theirs


def test_vrs_of_private_elements() -> None:
    known = [
        (int(name.replace("x", "1"), 16), creator)
        for creator, elements in private_dictionaries.items()
        for name in elements
    ]
    asked = [*known, *((tag ^ 1, creator) for tag, creator in known[::7])]
    ours = [dictionary.private_vr(tag, creator) for tag, creator in asked]
    assert ours == [said(datadict.private_dictionary_VR, tag, creator) for tag, creator in asked]


def test_vrs_by_the_length_of_their_length() -> None:
    assert set(encoding.SHORT.values()) == set(map(str, EXPLICIT_VR_LENGTH_16))
    assert set(encoding.LONG.values()) == set(map(str, EXPLICIT_VR_LENGTH_32))


@pytest.mark.parametrize("value", charsets.COMMON)
def test_character_sets_that_are_met_every_day(value: str) -> None:
    assert charsets.COMMON[value] == tuple(convert_encodings([value]))


def test_a_worker_without_pictures_imports_little() -> None:
    slow = {"pydicom", "PIL", "imagecodecs", "pydantic", "rich", "duckdb"}
    code = "import sys; from ingestd import parse, tasks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert slow.isdisjoint(done.stdout.split())
