"""Hostile files: each has an outcome, and nothing else happens."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from daemons import COMMAND, FAST, scan
from mutants import mutants
from pydicom.data import get_testdata_files

import ingestd

#: Whatever moves a cursor, rings, or ends a line early (ECMA-48), UTF-8's C1 controls included.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def real_files() -> list[Path]:
    """Small files that come with pydicom, and those of the corpus when it is there."""
    folders = [Path(file) for file in get_testdata_files()]
    if corpus := os.environ.get("INGESTD_TEST_CORPUS"):
        folders += sorted(Path(corpus).rglob("*"))
    return [file for file in sorted(folders) if file.is_file() and 200 < file.stat().st_size < 1e6]


def below(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file there with size and time."""
    return {
        str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize(
    ("count", "seed"),
    [
        pytest.param(1000, 1, id="1,000"),
        *(
            pytest.param(4000, seed, id=f"4,000 of seed {seed}", marks=pytest.mark.long)
            for seed in range(2, 7)
        ),
    ],
)
@pytest.mark.timeout(900)
def test_each_hostile_file_has_an_outcome_and_does_nothing_else(
    tmp_path: Path, count: int, seed: int
) -> None:
    drop, state = tmp_path / "around" / "drop", tmp_path / "around" / "state"
    drop.mkdir(parents=True)
    (tmp_path / "around" / "bystander").write_text("not ours")
    for name, content in mutants(real_files(), seed=seed, count=count):
        (drop / name).write_bytes(content)
    before = below(tmp_path)
    done = subprocess.run(
        [*COMMAND, "scan", str(drop), "--state", str(state)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | FAST,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert CONTROLS.findall(done.stdout + done.stderr) == []
    after = {path: at for path, at in below(tmp_path).items() if "/state/" not in f"/{path}"}
    assert after == before

    client = ingestd.open(state)
    rows = client.sql("SELECT path, state, reason FROM file").to_pylist()
    assert sorted(row["path"] for row in rows) == sorted(file.name for file in drop.iterdir())
    assert [row for row in rows if row["state"] == "refused" and not row["reason"]] == []
    assert [row for row in rows if (row["reason"] or "").startswith("worker_")] == []
    without = client.sql(
        "FROM instance WHERE has_pixels AND thumbnail_path IS NULL AND SOPInstanceUID NOT IN"
        " (SELECT SOPInstanceUID FROM problem WHERE SOPInstanceUID IS NOT NULL)"
    )
    assert without.select(["path"]).to_pylist() == []
    made = client.sql("SELECT thumbnail_path AS p FROM instance WHERE p IS NOT NULL").to_pylist()
    assert [at["p"] for at in made if not (state / at["p"]).resolve().is_relative_to(state)] == []
    assert scan(drop, state=state)["unchanged"] == count
    shown(state)


def shown(state: Path) -> None:
    """What people look at is free of control characters, whatever the files say."""
    for words in (
        ("sql", "FROM instance LIMIT 300"),
        ("sql", "SELECT * FROM tag WHERE keyword IN ('PatientName', 'StudyDescription')"),
        ("sql", "FROM problem LIMIT 300"),
        ("status",),
    ):
        done = subprocess.run(
            [*COMMAND, *words, "--state", str(state)], capture_output=True, text=True, check=True
        )
        assert CONTROLS.findall(done.stdout) == [], words
