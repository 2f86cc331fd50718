"""What `ingestd.open()` gives."""

import subprocess
import sys
from pathlib import Path

import pytest

import ingestd
from ingestd.client import Client
from ingestd.errors import SqlError

HEAVY = ("typer", "pyarrow", "numpy", "pydantic", "duckdb", "http.client", "pydicom")


@pytest.fixture(scope="module")
def catalog(scanned: Path) -> Client:
    return ingestd.open(scanned)


def one(catalog: Client, question: str) -> str:
    return str(catalog.sql(question).to_pylist()[0]["uid"])


@pytest.mark.parametrize(
    ("columns", "where"),
    [
        pytest.param({}, "true", id="all"),
        pytest.param({"Modality": "CT"}, "Modality = 'CT'", id="a text"),
        pytest.param({"Modality": ["CT", "MR"]}, "Modality IN ('CT', 'MR')", id="one of several"),
        pytest.param({"instances": 40}, "instances = 40", id="a number"),
        pytest.param({"expected": None}, "expected IS NULL", id="nothing"),
        pytest.param({"PatientID": "it's"}, "false", id="a quote"),
        pytest.param({"Modality": []}, "false", id="none of nothing"),
        pytest.param(
            {"Modality": "MR", "state": "complete"},
            "Modality = 'MR' AND state = 'complete'",
            id="two",
        ),
    ],
)
def test_series_are_found_by_their_columns(
    catalog: Client, columns: dict[str, object], where: str
) -> None:
    found = catalog.series(**columns)["SeriesInstanceUID"].to_pylist()
    wanted = catalog.sql(f"SELECT SeriesInstanceUID FROM series WHERE {where}")
    assert sorted(found) == sorted(wanted["SeriesInstanceUID"].to_pylist())


def test_a_column_that_is_not_there_is_named(catalog: Client) -> None:
    with pytest.raises(SqlError, match="Colour"):
        catalog.series(Colour="red")


def test_a_thumbnail_of_an_instance_and_of_a_series(catalog: Client) -> None:
    question = "SELECT SeriesInstanceUID AS uid FROM volume WHERE shape[3] = 256"
    series = one(catalog, question)
    image = one(
        catalog,
        f"SELECT SOPInstanceUID AS uid FROM instance WHERE SeriesInstanceUID = '{series}'",
    )
    assert max(catalog.thumbnail(series).size) == max(catalog.thumbnail(image).size) == 256


def test_why_there_is_no_thumbnail_is_said(catalog: Client) -> None:
    with pytest.raises(SqlError, match="no instance and no series"):
        catalog.thumbnail("1.2.3")
    blind = one(catalog, "SELECT SOPInstanceUID AS uid FROM instance WHERE NOT has_pixels")
    with pytest.raises(SqlError, match="no pixels"):
        catalog.thumbnail(blind)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_an_answer_goes_to_other_libraries(catalog: Client, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    frame = catalog.sql("SELECT 1 AS a, ['x'] AS b, DATE '2026-01-02' AS c", to=library)
    assert type(frame).__module__.startswith(library)
    assert frame.shape == (1, 3)


def test_a_library_that_nobody_knows_is_refused(catalog: Client) -> None:
    with pytest.raises(ValueError, match="arrow, pandas, polars"):
        catalog.sql("SELECT 1", to="excel")


def test_a_small_question_imports_nothing_large() -> None:
    code = f"import sys, ingestd.sqlcommand as _; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_small_question_without_a_daemon_imports_duckdb_and_nothing_else_that_is_large(
    scanned: Path,
) -> None:
    large = [name for name in HEAVY if name != "duckdb"]
    code = (
        "import sys, contextlib, ingestd.sqlcommand as it\n"
        "with contextlib.suppress(SystemExit):\n"
        f"    it.main(['SELECT 1', '--state', {str(scanned)!r}])\n"
        f"sys.stderr.write(str([m for m in {large} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("1\n")
    assert done.stderr == "[]"
