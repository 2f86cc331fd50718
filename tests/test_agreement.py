from dataclasses import replace

import pytest
from test_catalog import NOW, batch, file

from ingestd import agreement
from ingestd.catalog import Catalog
from ingestd.tables import Batch


def with_values(rows: Batch, keyword: str, values: list[str | None]) -> Batch:
    import pyarrow as pa  # noqa: PLC0415

    table = rows.instance
    at = table.column_names.index(keyword)
    column = pa.array(values, pa.string())
    return replace(rows, instance=table.set_column(at, keyword, column))


@pytest.mark.parametrize(
    ("keyword", "values", "expected"),
    [
        pytest.param("PatientID", ["A", "A", "A"], [], id="one patient"),
        pytest.param("PatientID", ["A", None, "A"], [], id="an absent value says nothing"),
        pytest.param("PatientID", ["A", "B", "B"], [("B", "b")], id="two patients in one study"),
        pytest.param(
            "PatientID", ["A", "B", "C"], [("B", "b"), ("C", "c")], id="each further value"
        ),
        pytest.param("Modality", ["CT", "MR", "CT"], [("MR", "b")], id="two modalities"),
        pytest.param("FrameOfReferenceUID", ["1", "1", "2"], [("2", "c")], id="two frames"),
    ],
)
def test_what_should_agree_and_does_not_is_a_problem_once(
    catalog: Catalog, keyword: str, values: list[str | None], expected: list[tuple[str, str]]
) -> None:
    rows = batch(*(file(name, f"1.{name}") for name in "abc"))
    catalog.write(with_values(rows, keyword, values), now=NOW)
    for _ in range(2):
        with catalog.transaction() as db:
            agreement.note(db, ["1.2"], NOW)
    found = catalog.rows("SELECT raw, path FROM problem WHERE kind = 'disagreement' ORDER BY path")
    assert found == expected


def test_patients_are_compared_over_all_series_of_a_study(catalog: Catalog) -> None:
    rows = batch(file("a", "1.a"), file("b", "1.b", series="1.3"))
    catalog.write(with_values(rows, "PatientID", ["A", "B"]), now=NOW)
    with catalog.transaction() as db:
        agreement.note(db, ["1.3"], NOW)
    assert catalog.rows("SELECT keyword, raw, path FROM problem") == [("PatientID", "B", "b")]


def test_several_series_are_each_compared_with_themselves(catalog: Catalog) -> None:
    names = {"a": "1.2", "b": "1.3", "c": "1.2", "d": "1.3"}
    rows = batch(*(file(name, f"1.{name}", series=uid) for name, uid in names.items()))
    catalog.write(with_values(rows, "Modality", ["CT", "MR", "CT", "PT"]), now=NOW)
    with catalog.transaction() as db:
        agreement.note(db, ["1.2", "1.3"], NOW)
    assert catalog.rows("SELECT keyword, raw, path FROM problem") == [("Modality", "PT", "d")]
