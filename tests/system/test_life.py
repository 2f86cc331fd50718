"""The life of a series through the real daemon: each step, each event, and kill -9 in between."""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from daemons import COMMAND, Running, scan, wait_for
from dicomdirs import directory
from pydicom import Dataset
from pydicom.data import get_testdata_file

import ingestd
from ingestd import phantom
from ingestd.phantom import studies

EVENTS = (
    "SELECT kind FROM event WHERE SeriesInstanceUID = '{}' AND"
    " (kind LIKE 'series%' OR kind = 'volume_built') ORDER BY event_id"
)

#: Writes what it is told into a file, one line each.
TELLER = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"

#: A real CT of five slices that comes with pydicom.
CT_FOLDER = Path(str(get_testdata_file("98892001/CT5N/2062", download=False))).parent

Begin = Callable[..., Running]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start daemons on one folder, each with its settings; end what is left of them."""
    (tmp_path / "drop").mkdir()
    command = json.dumps([sys.executable, "-c", TELLER, str(tmp_path / "told")])
    started: list[Running] = []

    def start(**settings: str) -> Running:
        given = {"INGESTD_HOOKS__COMMAND": command} | settings
        started.append(Running(tmp_path / "drop", tmp_path / "state", **given))
        return started[-1]

    yield start
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()


def slices() -> list[tuple[Path, Dataset]]:
    """A real CT of five slices, in the order of their places."""
    read = [(path, pydicom.dcmread(path)) for path in CT_FOLDER.iterdir()]
    return sorted(read, key=lambda one: float(one[1].ImagePositionPatient[2]))


def kinds(daemon: Running, uid: str) -> list[str]:
    return [row["kind"] for row in daemon.rows(EVENTS.format(uid))]


def state(daemon: Running, uid: str) -> dict[str, object]:
    return daemon.rows(f"SELECT * FROM series_state WHERE SeriesInstanceUID = '{uid}'")[0]


def told(daemon: Running, uid: str) -> list[str]:
    """What the hook was told of a series; a repetition after a crash is allowed, and left out."""
    try:
        lines = (daemon.state.parent / "told").read_text().splitlines()
    except FileNotFoundError:
        return []
    each = {one["event"]: one for one in map(json.loads, lines)}
    return [one["kind"] for _, one in sorted(each.items()) if one.get("SeriesInstanceUID") == uid]


def test_a_series_from_its_first_slice_to_its_late_one_with_kill_9_in_each_state(
    begin: Begin,
) -> None:
    every = slices()
    uid = str(every[0][1].SeriesInstanceUID)
    late_path, late = every.pop(2)

    daemon = begin(INGESTD_SERIES__QUIET_S="600")
    for path, _ in every:
        shutil.copy(path, daemon.drop)
    wait_for(lambda: daemon.one("SELECT count(*) FROM instance") == 4)
    assert (state(daemon, uid)["state"], kinds(daemon, uid)) == ("receiving", ["series_receiving"])
    daemon.kill()

    daemon = begin(INGESTD_SERIES__GIVE_UP_S="2")
    wait_for(lambda: "series_given_up" in kinds(daemon, uid))
    lacks = state(daemon, uid)
    place = f"position {late.ImagePositionPatient[2]:.2f} mm"
    between = f"between {every[1][0].name} and {every[2][0].name}"
    assert (lacks["state"], lacks["found"], lacks["revision"]) == ("incomplete", 4, 1)
    assert lacks["missing"][0].startswith(place)
    assert lacks["missing"][0].endswith(between)
    wait_for(lambda: told(daemon, uid) == ["series_incomplete"])
    daemon.kill()

    daemon = begin()
    shutil.copy(late_path, daemon.drop)
    wait_for(lambda: "volume_built" in kinds(daemon, uid))
    wait_for(lambda: state(daemon, uid)["state"] not in {"receiving", "quiet"})
    last = state(daemon, uid)
    assert (last["found"], last["missing"], last["revision"]) == (5, [], 2)
    assert daemon.one("SELECT revision FROM volume") == 2
    assert len(ingestd.open(daemon.state).volume(uid).array) == 5
    assert kinds(daemon, uid) == [
        "series_receiving",
        "series_quiet",
        "series_incomplete",
        "series_given_up",
        "series_reopened",
        "series_quiet",
        "volume_built",
        f"series_{last['state']}",
    ]
    (arrival,) = daemon.rows("FROM late_arrival")
    assert (arrival["SeriesInstanceUID"], arrival["revision"]) == (uid, 2)
    wait_for(lambda: told(daemon, uid)[:2] == ["series_incomplete", "series_reopened"])
    assert daemon.stop() == 0


@pytest.mark.long
def test_a_count_a_directory_and_files_that_go_away(begin: Begin) -> None:
    every = slices()
    uid = str(every[0][1].SeriesInstanceUID)
    daemon = begin(
        INGESTD_SERIES__QUIET_S="600",
        INGESTD_SERIES__COUNTED_QUIET_S="0.5",
        INGESTD_SWEEP__HOT_S="0.5",
        INGESTD_SWEEP__FULL_SWEEP_S="1",
    )
    for path, _ in every:
        shutil.copy(path, daemon.drop)
    other = every[0][1]
    other.SeriesInstanceUID, other.SOPInstanceUID = "1.2.3", "1.2.3.1"
    other.save_as(daemon.drop / "other.dcm")
    listing = {uid: [str(one.SOPInstanceUID) for _, one in every[1:]], "1.2.4": ["1.2.4.1"]}
    part = daemon.drop / ".DICOMDIR"
    part.write_bytes(directory(listing))
    part.rename(daemon.drop / "DICOMDIR")
    wait_for(lambda: daemon.one("SELECT count(*) FROM series_state") == 3)
    wait_for(lambda: state(daemon, uid)["state"] == "complete")
    assert state(daemon, uid)["evidence"] == "DICOMDIR: lists 4, all here"
    assert state(daemon, "1.2.3")["state"] == "receiving", "its quiet time is not over"

    gone = every[2][0].name
    (daemon.drop / gone).unlink()
    wait_for(lambda: state(daemon, uid)["state"] == "incomplete")
    lacks = state(daemon, uid)
    assert lacks["found"] == 4
    assert lacks["missing"][0].endswith(f", was {gone}")
    shutil.copy(every[2][0], daemon.drop)
    wait_for(lambda: state(daemon, uid)["state"] == "complete")
    assert kinds(daemon, uid).count("series_reopened") == 0
    daemon.kill()

    daemon = begin()
    wait_for(lambda: state(daemon, "1.2.4")["state"] == "incomplete")
    (nothing,) = daemon.rows("FROM incomplete_series")
    assert (nothing["found"], nothing["expected"], nothing["roots"]) == (0, 1, [str(daemon.drop)])
    shown = said(daemon, "status")
    assert "incomplete 1.2.4 : 0 of 1 since " in shown
    assert "SOPInstanceUID 1.2.4.1\n" in shown
    for uid in ("1.2.4", "1.2.4.1"):
        shown = said(daemon, "show", uid)
        assert shown.startswith("It has not come: a media directory lists it")
        assert "DICOMDIR: lists 1, 1 missing" in shown
        assert f"{daemon.drop}/DICOMDIR" in shown


def said(daemon: Running, *words: str) -> str:
    """What a command says."""
    return subprocess.run(
        [*COMMAND, *words, "--state", str(daemon.state)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_a_scan_tells_before_it_ends(tmp_path: Path) -> None:
    config = tmp_path / "ingestd.toml"
    command = [sys.executable, "-c", TELLER, str(tmp_path / "told")]
    config.write_text(
        f"[hooks]\ncommand = {json.dumps(command)}\non = ['series_receiving', 'series_unknown',"
        " 'series_complete']\n[space]\nmin_free_bytes = 0\n"
    )
    scan(CT_FOLDER, state=tmp_path / "state", config=config)
    letters = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    assert letters[0]["kind"] == "series_receiving"
    assert letters[-1]["series"]["found"] == 5
    assert letters[-1]["series"]["volumes"][0].startswith("volumes/")


def test_a_slice_withheld_for_longer_than_the_quiet_time_and_then_given(begin: Begin) -> None:
    """The same as below in seconds: a chest that was written from scratch, in a muddle."""
    files = dict(studies.chest(1))
    withheld = files.pop(phantom.LATE_SLICE)
    late = pydicom.dcmread(BytesIO(withheld), stop_before_pixels=True)
    uid = str(late.SeriesInstanceUID)
    daemon = begin(INGESTD_VOLUME__ALLOW_MISSING="true")
    for number in random.Random(1).sample(sorted(files), len(files)):  # noqa: S311
        (daemon.drop / str(number)).write_bytes(files[number])
        time.sleep(0.05)  # The sender is slow.
    lacks = wait_for(lambda: judged(daemon, uid, "incomplete", found=len(files)))
    assert lacks["expected"] == len(files) + 1
    place = f"position {late.ImagePositionPatient[2]:.2f} mm, InstanceNumber {phantom.LATE_SLICE}"
    assert [name.split(", between")[0] for name in lacks["missing"]] == [place]
    revision = lacks["revision"]
    assert daemon.one("SELECT revision FROM volume") == revision
    assert daemon.one("SELECT len(missing_slices) FROM volume") == 1

    (daemon.drop / "late").write_bytes(withheld)
    whole = wait_for(lambda: judged(daemon, uid, "complete", found=len(files) + 1))
    assert (whole["missing"], whole["revision"]) == ([], revision + 1)
    assert daemon.one("SELECT revision FROM volume") == revision + 1
    assert daemon.one("SELECT len(missing_slices) FROM volume") == 0
    lived = kinds(daemon, uid)
    assert lived[0] == "series_receiving"
    assert lived[-7:] == [
        *("series_quiet", "volume_built", "series_incomplete", "series_reopened"),
        *("series_quiet", "volume_built", "series_complete"),
    ]
    last_two = ["series_reopened", "series_complete"]
    wait_for(lambda: told(daemon, uid)[-2:] == last_two)
    assert len(ingestd.open(daemon.state).volume(uid).array) == len(files) + 1
    assert daemon.stop() == 0


def judged(daemon: Running, uid: str, word: str, *, found: int) -> dict[str, Any] | None:
    """What is known of a series, once it is judged so with so many images."""
    rows = daemon.rows(f"SELECT * FROM series_state WHERE SeriesInstanceUID = '{uid}'")
    return next((row for row in rows if (row["state"], row["found"]) == (word, found)), None)


def dropped_slowly(daemon: Running, files: list[Path], seconds: float) -> None:
    """Give files in a muddle, over so many seconds."""
    for file in random.Random(1).sample(files, len(files)):  # noqa: S311
        shutil.copy(file, daemon.drop)
        time.sleep(seconds / len(files))


@pytest.mark.long
def test_a_real_series_over_thirty_seconds_with_one_slice_withheld(
    begin: Begin, corpus: Path, tmp_path: Path
) -> None:
    files = sorted((corpus / "dcm_qa_nih/In/20180918GE/mr_0004").glob("*.dcm"))
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in files}
    withheld = next(path for path in files if headers[path].InstanceNumber == 77)
    uid = str(headers[withheld].SeriesInstanceUID)
    daemon = begin(INGESTD_SERIES__QUIET_S="4")
    dropped_slowly(daemon, [path for path in files if path != withheld], 30.0)
    wait_for(lambda: state(daemon, uid)["state"] == "incomplete")
    lacks = state(daemon, uid)
    assert (lacks["found"], lacks["expected"], lacks["revision"]) == (149, 150, 1)
    assert any("InstanceNumber 77" in name for name in lacks["missing"])
    time.sleep(6)  # Longer than the quiet time: nothing changes by itself.
    assert state(daemon, uid) == lacks
    shutil.copy(withheld, daemon.drop)
    wait_for(lambda: state(daemon, uid)["state"] == "complete")
    assert state(daemon, uid)["revision"] == 2
    assert kinds(daemon, uid)[-4:] == [
        "series_reopened",
        "series_quiet",
        "volume_built",
        "series_complete",
    ]
    wait_for(lambda: told(daemon, uid)[-1:] == ["series_complete"])
    assert told(daemon, uid) == ["series_incomplete", "series_reopened", "series_complete"]
    built = ingestd.open(daemon.state).volume(uid)
    assert daemon.stop() == 0

    once = tmp_path / "once"
    once.mkdir()
    for file in files:
        shutil.copy(file, once)
    scan(once, state=tmp_path / "once-state")
    undisturbed = ingestd.open(tmp_path / "once-state").volume(uid)
    np.testing.assert_array_equal(built.array, undisturbed.array)
    np.testing.assert_array_equal(built.affine, undisturbed.affine)
