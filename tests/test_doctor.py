import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestd import doctor
from ingestd.config import Config, Root


def found(tmp_path: Path, **more: object) -> dict[str, list[doctor.Finding]]:
    """Diagnose one root; findings by what they are about."""
    settings = Config(root=(Root(path=tmp_path / "drop", **more),))
    by_what: dict[str, list[doctor.Finding]] = {}
    for finding in doctor.diagnose(settings, tmp_path / "state"):
        by_what.setdefault(finding.what, []).append(finding)
    return by_what


def test_each_root_says_how_it_is_watched_and_why_and_that_it_was_tried(tmp_path: Path) -> None:
    (tmp_path / "drop" / "below").mkdir(parents=True)
    (tmp_path / "drop" / "below" / "file").write_text("x")
    watched, read, *_ = found(tmp_path, watch="poll")[str(tmp_path / "drop")]
    assert watched.detail == "poll, because the config says so; listed about every 10 s"
    assert read.detail == "1 files in 2 folders were listed, and one was read"
    assert (watched.state, read.state) == ("good", "good")


def test_a_root_that_is_not_there_is_bad_and_says_so(tmp_path: Path) -> None:
    (finding,) = found(tmp_path)[str(tmp_path / "drop")]
    assert (finding.state, "No such file" in finding.detail) == ("bad", True)


def test_a_low_limit_comes_with_the_line_that_raises_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "LIMITS", (("fs.inotify.max_user_watches", 1 << 40, "folders"),))
    (finding,) = doctor.limits()
    assert finding.advice.startswith(f"sysctl -w fs.inotify.max_user_watches={1 << 40}; echo ")
    assert finding.state == "warning"


def test_the_command_tries_as_the_user_that_runs_it(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs to become another user")
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "secret").touch(mode=0)
    command = [sys.executable, "-m", "ingestd", "doctor", "--json", "--root", str(drop)]
    done = subprocess.run(
        [*command, "--state", str(tmp_path / "state")],
        capture_output=True,
        check=False,
        preexec_fn=drop_root_rights,
    )
    said = json.loads(done.stdout)
    findings = [one for one in said["findings"] if one["what"] == str(drop)]
    assert (done.returncode, said["state"]) == (1, "bad")
    assert "a file cannot be read: Permission denied" in findings[1]["detail"]


def test_root_is_told_that_it_looks_for_somebody_else(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    assert list(doctor.stand_in(tmp_path)) == []
    os.chown(tmp_path, 611, 611)
    (finding,) = doctor.stand_in(tmp_path)
    assert (finding.state, "--reuid=611" in finding.advice) == ("warning", True)


def test_no_drop_folder_is_bad(tmp_path: Path) -> None:
    found = doctor.diagnose(Config(), tmp_path / "state")
    assert [one.what for one in found if one.state == "bad"] == ["drop folders"]


def drop_root_rights() -> None:
    """Give up the right to read everything, so that modes count (capabilities(7))."""
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
