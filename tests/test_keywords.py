"""The table of columns agrees with the dictionary of the standard."""

from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from ingestd import tables
from ingestd.dicom.keywords import KEPT

ASKED_FOR_FIRST = {
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientAge",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "InstitutionName",
    "Manufacturer",
    "StudyDescription",
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "SliceThickness",
    "WindowCenter",
    "WindowWidth",
    "ImagePositionPatient",
    "ImageOrientationPatient",
}

BASE = {
    "DA": "DATE",
    "TM": "TIME",
    "DS": "DOUBLE",
    "FD": "DOUBLE",
    "FL": "DOUBLE",
    "IS": "INTEGER",
    "US": "INTEGER",
}


def by_the_rules(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None, f"{keyword} is no keyword of the standard"
    vr, several = dictionary_VR(tag), dictionary_VM(tag) != "1"
    base = BASE.get(vr, "VARCHAR")
    return f"{base}[]" if several and (base != "VARCHAR" or vr == "CS") else base


def test_each_keyword_is_standard_and_has_the_type_that_follows_from_it() -> None:
    expected = {kept.keyword: by_the_rules(kept.keyword) for kept in KEPT}
    assert {kept.keyword: kept.sql_type for kept in KEPT} == expected


def test_no_keyword_is_there_twice_even_for_a_database_that_ignores_case() -> None:
    names = [name.lower() for name in tables.INSTANCE.names]
    assert sorted(set(names)) == sorted(names)


def test_what_everybody_asks_for_first_is_a_column() -> None:
    assert not ASKED_FOR_FIRST - {kept.keyword for kept in KEPT}


def test_the_three_uids_come_first_and_they_alone_are_required() -> None:
    first = [kept.keyword for kept in KEPT[:3]]
    assert first == ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    assert [kept.keyword for kept in KEPT if kept.required] == first


def test_the_migrations_name_each_keyword() -> None:
    folder = Path(tables.__file__).parent / "sql" / "migrations"
    if not any(folder.glob("*.sql")):
        pytest.skip("there are no migrations yet")
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.sql")))
    assert [kept.keyword for kept in KEPT if kept.keyword not in text] == []
