"""Series from their last arrival to their judgement, with real workers and a real catalog."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guilty
import numpy as np
import pytest
from daemons import scan
from test_catalog import batch, file
from test_volume import filled, slices

import ingestd
from ingestd import config, judging, reconcile, volumefiles
from ingestd.catalog import Catalog
from ingestd.errors import Reason
from ingestd.model import SeriesFile, SeriesJob
from ingestd.scan import Scan
from ingestd.trouble import CRASHES, HARMS, Trouble


@pytest.fixture
def signals() -> Iterator[None]:
    """Give the signals back that a scan takes."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Unseen:
    """A progress bar that nobody looks at."""

    def show(self, **_: object) -> None:
        return


def two_echoes(folder: Path, names: dict[int, str] | None = None) -> None:
    """Write six slices, the last three of a second echo; `names` renames files by their number."""
    folder.mkdir(parents=True)
    each = {
        "EchoNumbers": [1, 1, 1, 2, 2, 2],
        "ImagePositionPatient": [[0, 0, 3.0 * (k % 3)] for k in range(6)],
    }
    for k, one in enumerate(filled(slices(6, each=each))):
        one.save_as(folder / (names or {}).get(k, f"{k}.dcm"))


def test_a_series_of_two_studies_is_kept_with_its_first_image(catalog: Catalog) -> None:
    catalog.write(batch(file("a", "1.1"), file("b", "1.3"), file("c", "1.1")))
    with catalog.transaction() as db:
        db.execute("UPDATE instance SET StudyInstanceUID = '2' WHERE SOPInstanceUID = '1.3'")
    (job,) = judging.jobs(catalog, {"1.2": 7})
    places = [[one.path, *(copy.path for copy in one.copies)] for one in job.files]
    assert (job.StudyInstanceUID, places) == ("1", [["a", "c"], ["b"]])


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        pytest.param("hang in pixels", "worker_timeout", id="a slice that takes too long"),
        pytest.param("die in pixels", "worker_crashed", id="a slice that kills its worker"),
    ],
)
def test_a_slice_that_harms_its_worker_costs_its_own_stack_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, expected: str
) -> None:
    two_echoes(tmp_path / "in", {4: deed})
    monkeypatch.setattr(reconcile.tasks, "stack", guilty.stack_badly)
    settings = config.Config(
        root=(config.Root(path=tmp_path / "in"),),
        workers=config.Workers(processes=1, deadline_s=2.0),
        space=config.Space(min_free_bytes=0),
    )
    Scan(settings, tmp_path / "state", Unseen()).run()
    rows = ingestd.open(tmp_path / "state").sql("FROM volume ORDER BY stack").to_pylist()
    assert [(row["split_by"], row["reason"]) for row in rows] == [
        ("EchoNumbers=1", None),
        ("EchoNumbers=2", expected),
    ]
    assert "1.2.3.4.5 frame 0 (number 5)" in rows[1]["detail"]
    assert rows[1]["path"] is None


@pytest.mark.usefixtures("signals")
def test_a_header_that_kills_workers_costs_all_stacks_that_it_may_belong_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_echoes(tmp_path / "in", {4: "die in header"})
    monkeypatch.setattr(reconcile.tasks, "stack", guilty.stack_badly)
    settings = config.Config(
        root=(config.Root(path=tmp_path / "in"),),
        workers=config.Workers(processes=1),
        space=config.Space(min_free_bytes=0),
    )
    Scan(settings, tmp_path / "state", Unseen()).run()
    rows = ingestd.open(tmp_path / "state").sql("FROM volume ORDER BY stack").to_pylist()
    assert [(row["split_by"], row["reason"]) for row in rows] == [
        ("EchoNumbers=1", "worker_crashed"),
        ("EchoNumbers=2", "worker_crashed"),
        (None, "worker_crashed"),
    ]
    assert "1.2.3.4.5" in rows[0]["detail"]


def test_pixels_cut_short_cost_their_own_stack_only(tmp_path: Path) -> None:
    two_echoes(tmp_path / "in")
    content = (tmp_path / "in" / "5.dcm").read_bytes()
    (tmp_path / "in" / "5.dcm").write_bytes(content[:-1000])
    scan(tmp_path / "in", state=tmp_path / "state")
    rows = ingestd.open(tmp_path / "state").sql("FROM volume ORDER BY stack").to_pylist()
    assert [row["reason"] for row in rows] == [None, "decoder_failed"]
    assert "1.2.3.4.6 frame 0" in rows[1]["detail"]


#: Scans until the rows of a volume are about to be committed, or just were; then it is gone.
KILLED = """
import os, signal, sys
from pathlib import Path
from ingestd import judging, reconcile
from ingestd.cli import app

when, folder, state = sys.argv[1:]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if when == "before the commit":
    judging.evidence.judge = die
else:
    reconcile.remove = die
app(["scan", folder, "--state", state])
"""


def agree(state: Path) -> list[dict[str, Any]]:
    """Give the rows of volumes, each of which is what its file holds."""
    client = ingestd.open(state)
    rows = client.sql("FROM volume ORDER BY stack").to_pylist()
    for row in rows:
        array = client.volume(row["SeriesInstanceUID"], stack=row["stack"]).array
        assert list(array.shape) == row["shape"]
        numbers = client.sql(
            "SELECT InstanceNumber FROM volume_slice JOIN instance USING (SOPInstanceUID)"
            f" WHERE stack = {row['stack']} ORDER BY slice"
        ).to_pylist()
        expected = [10 * one["InstanceNumber"] for one in numbers]
        np.testing.assert_array_equal(array[:, 0, 0], expected)
        assert all((state / name).exists() for name in volumefiles.companions(row["path"]))
    return rows


@pytest.mark.parametrize(
    "when", ["before the commit", pytest.param("after the commit", marks=pytest.mark.long)]
)
def test_kill_9_while_a_volume_is_replaced_leaves_row_and_file_as_one(
    tmp_path: Path, when: str
) -> None:
    drop, state = tmp_path / "in", tmp_path / "state"
    drop.mkdir()
    *early, late = filled(slices(5))
    for k, one in enumerate(early):
        one.save_as(drop / f"{k}.dcm")
    scan(drop, state=state)
    before = agree(state)
    late.save_as(drop / "late.dcm")
    gone = subprocess.run(
        [sys.executable, "-c", KILLED, when, str(drop), str(state)],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert gone.returncode == -signal.SIGKILL
    rows = agree(state)
    assert rows[0]["shape"] == ([4, 64, 64] if when == "before the commit" else [5, 64, 64])
    assert (rows == before) is (when == "before the commit")
    assert len(list(state.glob("volumes/*/*"))) == 6, "the other volume is still there"

    scan(drop, state=state)
    told = "SELECT kind FROM event WHERE SeriesInstanceUID IS NOT NULL ORDER BY event_id"
    life = ["series_quiet", "volume_built", "series_unknown"]
    assert [row["kind"] for row in ingestd.open(state).sql(told).to_pylist()] == [
        *("series_receiving", *life),
        *("series_reopened", *life),
    ]
    assert agree(state)[0]["shape"] == [5, 64, 64]
    assert len(list(state.glob("volumes/*/*"))) == 3, "its orphan is not"


def test_a_volume_whose_file_is_lost_is_built_again(tmp_path: Path) -> None:
    two_echoes(tmp_path / "in")
    scan(tmp_path / "in", state=tmp_path / "state")
    before = agree(tmp_path / "state")
    (tmp_path / "state" / before[1]["path"]).unlink()
    scan(tmp_path / "in", state=tmp_path / "state")
    after = agree(tmp_path / "state")
    assert [row["path"] for row in after] == [row["path"] for row in before]


def test_only_what_is_ours_is_healed_away(tmp_path: Path) -> None:
    folder = tmp_path / "volumes" / "1.2"
    folder.mkdir(parents=True)
    ours = ["1.3_0.0123456789abcdef.nii.gz", "1.3_0.json", ".1.3_0.0123456789abcdef.nii.77.part"]
    others = ["notes.txt", "1.3_0.nii.gz.bak", "mask_1.3_0.nii.gz"]
    known = ["1.3_1.0123456789abcdef.npy", "1.3_1.0123456789abcdef.jpg"]
    for name in (*ours, *others, *known):
        (folder / name).touch()
    row = f"volumes/1.2/{known[0]}"
    assert volumefiles.heal(tmp_path, [row, "volumes/1.2/lost.nii"]) == (
        3,
        ["volumes/1.2/lost.nii"],
    )
    assert sorted(os.listdir(folder)) == sorted([*others, *known])


RETRY = config.Retry(attempts=3, first_s=2.0, limit_s=3.0)
JOB = SeriesJob(
    StudyInstanceUID="1",
    SeriesInstanceUID="1.2",
    revision=1,
    files=tuple(
        SeriesFile(SOPInstanceUID=f"1.2.{k}", root="", path="", size_bytes=1, mtime_ns=k)
        for k in range(20)
    ),
)


def tried(reasons: list[tuple[Reason, int | None]]) -> tuple[list[bool], Trouble]:
    trouble = Trouble()
    return [
        trouble.again(trouble.without_harm(JOB), why, "", at=at, retry=RETRY, now_s=100.0)
        for why, at in reasons
    ], trouble


@pytest.mark.parametrize(
    ("reasons", "expected", "harmed"),
    [
        pytest.param([(Reason.WORKER_TIMEOUT, 3)], [True], ["1.2.3"], id="a header that hangs"),
        pytest.param([(Reason.WORKER_MEMORY, 24)], [True], ["1.2.4"], id="pixels too large"),
        pytest.param([(Reason.WORKER_TIMEOUT, 40)], [False], [], id="no file was in hand"),
        pytest.param([(Reason.WORKER_TIMEOUT, None)], [False], [], id="nothing was in hand"),
        pytest.param(
            [(Reason.WORKER_CRASHED, 5)] * CRASHES, [True] * 3, ["1.2.5"], id="crashes at one file"
        ),
        pytest.param(
            [(Reason.WORKER_CRASHED, at) for at in range(CRASHES)],
            [True, True, False],
            [],
            id="crashes here and there are somebody else's",
        ),
        pytest.param(
            [(Reason.TRANSIENT_IO, None)] * 3, [True, True, False], [], id="a share that is away"
        ),
        pytest.param([(Reason.DISK_FULL, None)] * 9, [True] * 9, [], id="a full disk, for long"),
        pytest.param(
            [(Reason.WORKER_TIMEOUT, at) for at in range(HARMS + 1)],
            [True] * HARMS + [False],
            [f"1.2.{k}" for k in range(HARMS)],
            id="too many bad files",
        ),
    ],
)
def test_what_becomes_of_a_series_in_trouble(
    reasons: list[tuple[Reason, int | None]], expected: list[bool], harmed: list[str]
) -> None:
    again, trouble = tried(reasons)
    marked = [file.SOPInstanceUID for file in trouble.without_harm(JOB).files if file.harm]
    assert (again, marked) == (expected, harmed)


def test_waits_double_up_to_their_limit() -> None:
    trouble = Trouble()
    waits = []
    for _ in range(2):
        trouble.again(JOB, Reason.NOT_READABLE, "", at=None, retry=RETRY, now_s=100.0)
        waits.append(trouble.next_s - 100.0)
    assert waits == [2.0, 3.0]
