"""The commands as a person types them."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from daemons import COMMAND, scan


@pytest.fixture
def command(scanned: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command on the state folder of a scan."""

    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words, "--state", str(scanned)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


Command = Callable[..., subprocess.CompletedProcess[str]]


MIXED = "SELECT 1 AS a, ['x', 'y,z'] AS b, 'say \"hi\"' AS c, INTERVAL 400 DAY AS d, NULL AS e"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(
            ["--format", "csv"],
            'a,b,c,d,e\n1,"x\\y,z","say ""hi""",400 days,\n',
            id="csv joins lists as DICOM does and quotes only where needed",
        ),
        pytest.param(
            ["--format", "json"],
            '[{"a": 1, "b": ["x", "y,z"], "c": "say \\"hi\\"", "d": "400 days", "e": null}]\n',
            id="json keeps lists",
        ),
        pytest.param(
            ["--format", "list"], '1\tx\\y,z\tsay "hi"\t400 days\t\n', id="list is values only"
        ),
        pytest.param(
            [],
            "a  b         c         d         e\n"
            "─  ────────  ────────  ────────  ─\n"
            '1  [x, y,z]  say "hi"  400 days\n',
            id="table",
        ),
    ],
)
def test_sql_formats(command: Command, words: list[str], expected: str) -> None:
    assert command("sql", MIXED, *words).stdout == expected


def test_sql_reads_standard_input(command: Command) -> None:
    assert command("sql", "-", "--format", "csv", stdin="SELECT 7 AS n").stdout == "n\n7\n"


def test_a_plan_is_drawn_and_not_put_into_cells(command: Command) -> None:
    said = command("sql", "EXPLAIN SELECT count(*) FROM file").stdout
    assert len(said.splitlines()) >= 3
    assert "\N{REPLACEMENT CHARACTER}" not in said
    assert "explain_value" not in said
    hostile = command("sql", "EXPLAIN SELECT '\x1b[31mred' FROM file").stdout
    assert "\x1b" not in hostile


@pytest.mark.parametrize("form", ["list", "arrow", "parquet"])
def test_who_reads_no_further_gets_no_error(scanned: Path, form: str) -> None:
    rows = "SELECT range, md5(range::VARCHAR) AS x FROM range(100000)"
    words = [*COMMAND, "sql", rows, "--format", form, "--state", str(scanned)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_sql_writes_parquet_to_a_file(command: Command, tmp_path: Path) -> None:
    import pyarrow.parquet  # noqa: PLC0415

    target = tmp_path / "x.parquet"
    assert command("sql", "SELECT 7 AS n", "--format", "parquet", "-o", str(target)).returncode == 0
    assert pyarrow.parquet.read_table(target).to_pylist() == [{"n": 7}]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["sql", "SELEC"], 1, "syntax error", id="sql that is wrong"),
        pytest.param(["sql", "SELECT 1", "--format", "xml"], 2, "known are table", id="a format"),
        pytest.param(
            ["sql", "SELECT INTERVAL 1 MONTH AS span", "--format", "parquet"],
            1,
            "span: Parquet has no intervals; cast to VARCHAR",
            id="a type that the format does not have",
        ),
        pytest.param(["sql", "-"], 1, "0 statements", id="nothing on standard input"),
        pytest.param(
            ["sql", "SELECT 1", "-o", "/nothing/here.csv"], 1, "/nothing", id="a file nowhere"
        ),
        pytest.param(
            ["sql", "SELECT error('\x1b[31mred')"],
            1,
            "\N{REPLACEMENT CHARACTER}[31mred",
            id="escapes",
        ),
        pytest.param(["show", "1.2.3"], 1, "knows no instance", id="a UID that is not there"),
        pytest.param(["show", "/nothing/here"], 1, "does not know this file", id="a path"),
        pytest.param(["scan", "/nothing/here"], 2, "is not there", id="a folder that is not there"),
        pytest.param(["scan", __file__], 2, "name its folder", id="a file"),
        pytest.param(["run"], 2, "--root", id="no root"),
        pytest.param(["run", "--config", "/nothing"], 2, "cannot be read", id="no config"),
        pytest.param(["run", "--config", "/dev/stdin"], 2, "is a pipe", id="a config in a pipe"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    command: Command, words: list[str], code: int, says: str
) -> None:
    done = command(*words)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_start_that_fails_once_there_is_a_catalog_ends_as_any_other(tmp_path: Path) -> None:
    config = tmp_path / "ingestd.toml"
    config.write_text('[hooks]\nurl = "http://localhost"\ntoken_file = "/nothing"\n')
    (drop := tmp_path / "drop").mkdir()
    words = ["run", "--root", str(drop), "--config", str(config), "--state"]
    done = subprocess.run(
        [*COMMAND, *words, str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "token_file" in done.stderr) == (2, True)


@pytest.mark.parametrize("words", [["scan", "."], ["run", "--root", "."]], ids=["scan", "run"])
def test_a_folder_for_temporary_files_that_is_too_long_is_named(
    tmp_path: Path, words: list[str]
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    done = subprocess.run(
        [*COMMAND, *words, "--state", str(tmp_path / "state")],
        env=os.environ | {"TMPDIR": str(long)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, str(long) in done.stderr, "TMPDIR" in done.stderr) == (1, True, True)
    assert "Traceback" not in done.stderr


def test_status_counts_what_is_there(command: Command) -> None:
    found = json.loads(command("status", "--json").stdout)
    assert found["daemon"] is None
    assert found["catalog"]["files"] == {"cataloged": 124, "duplicate": 1, "refused": 2}
    assert found["catalog"]["refused"] == {"not_dicom": 1, "truncated": 1}
    assert "124 cataloged, 1 duplicate, 2 refused" in command("status").stdout


def test_show_gives_every_element_of_a_file(command: Command, study: Path) -> None:
    file = study / "ct-abdomen" / "IM0017.dcm"
    lines = command("show", str(file)).stdout.splitlines()
    found = json.loads(command("show", str(file), "--json").stdout)
    places = [f"# {one['state']}: {one['root']}/{one['path']}" for one in found["locations"]]
    assert any(place.endswith(f": {file}") for place in places)
    assert lines[-len(places) :] == places
    assert len(lines) - len(places) == len(found["elements"]) > 100
    assert any(line.startswith("00100020 PatientID") for line in lines)


def test_show_of_a_series_names_its_volume(command: Command) -> None:
    question = "SELECT SeriesInstanceUID FROM volume WHERE path IS NOT NULL LIMIT 1"
    uid = command("sql", question, "--format", "list").stdout.strip()
    found = json.loads(command("show", uid, "--json").stdout)
    assert found["kind"] == "series"
    assert found["volumes"][0]["path"].endswith(".nii.gz")


def test_show_of_a_refused_file_says_why(command: Command, study: Path) -> None:
    done = command("show", str(study / "READ ME.txt"))
    assert (done.returncode, "refused: not_dicom" in done.stderr) == (1, True)


def test_check_prints_a_config_in_full() -> None:
    done = subprocess.run(
        [*COMMAND, "check", "--root", "/nothing"], capture_output=True, text=True, check=True
    )
    assert 'path = "/nothing"' in done.stdout
    assert "is not there yet" in done.stderr


def test_version() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ingestd 0.")


def test_scan_json_is_one_object_and_nothing_else(study: Path, tmp_path: Path) -> None:
    for name in ("READ ME.txt", "us-heart/clip 2.dcm", "ct-abdomen/IM0017.dcm"):
        (tmp_path / "drop" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(study / name, tmp_path / "drop" / name)
    summary = scan(tmp_path / "drop", state=tmp_path / "state")
    assert set(summary) == {
        "files",
        "unchanged",
        "cataloged",
        "duplicate",
        "conflict",
        "refused",
        "retry",
        "instances",
        "series",
        "series_open",
        "volumes",
        "thumbnails",
        "problems",
        "archived",
        "quarantined",
        "seconds",
    }
    assert summary["refused"] == {"not_dicom": 1, "truncated": 1}


def test_hostile_header_values_do_not_reach_the_terminal(tmp_path: Path) -> None:
    import pydicom  # noqa: PLC0415
    from pydicom.data import get_testdata_file  # noqa: PLC0415

    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    dataset.SeriesDescription = "\x1b[31mred\x07"
    (tmp_path / "drop").mkdir()
    dataset.save_as(tmp_path / "drop" / "x.dcm")
    scan(tmp_path / "drop", state=tmp_path / "state")
    for words in (
        ["sql", "SELECT SeriesDescription FROM instance"],
        ["show", dataset.SOPInstanceUID],
    ):
        done = subprocess.run(
            [*COMMAND, *words, "--state", str(tmp_path / "state")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "red" in done.stdout
        assert "\x1b" not in done.stdout
        assert "\x07" not in done.stdout
