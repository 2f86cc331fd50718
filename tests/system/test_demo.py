"""The demo, as a person runs it: at a terminal, and into a pipe."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

from daemons import COMMAND

import ingestd

WIDE = {"COLUMNS": "150", "LINES": "50", "TERM": "xterm-256color"}


COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def at_a_terminal(*words: str, within_s: float) -> tuple[int, str]:
    """Run a command on a terminal of its own; give its exit code and the text that it showed."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [*COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | WIDE
    )
    os.close(theirs)
    shown = b""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if not select.select([ours], [], [], 0.5)[0]:
            continue
        try:
            shown += os.read(ours, 65536)
        except OSError:  # The other end is closed: it has ended.
            break
    os.close(ours)
    return running.wait(10), COLOURS.sub("", shown.decode())


def test_the_demo_ends_by_itself_and_shows_what_it_promises(tmp_path: Path) -> None:
    code, shown = at_a_terminal("demo", "--folder", str(tmp_path / "demo"), within_s=60)
    client = ingestd.open(tmp_path / "demo" / "state")

    assert code == 0, shown
    assert re.search(r"incomplete.*Chest|Chest.*incomplete", shown, re.DOTALL)
    assert "Demo^Hanako=試験^花子" in shown
    assert "not_dicom" in shown
    assert client.sql("FROM late_arrival").num_rows == 1
    assert client.sql("FROM file").num_rows == 127
    assert not (tmp_path / "demo" / "state" / "ingestd.sock").exists()
    assert "Traceback" not in (tmp_path / "demo" / "daemon.log").read_text()


def test_a_second_demo_in_one_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    done = subprocess.run(
        [*COMMAND, "demo", "--folder", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "a demo was here before" in done.stderr) == (1, True)


def test_scan_shows_a_bar_at_a_terminal_and_a_summary(study: Path, tmp_path: Path) -> None:
    words = ("scan", str(study), "--state", str(tmp_path / "state"))
    code, shown = at_a_terminal(*words, within_s=60)
    assert code == 0
    assert re.search(r"reading.*\d+/127.*files/s", shown)
    assert re.search(r"stacking.*19/19.*series/s", shown)
    assert "124 cataloged" in shown


def test_scan_draws_no_bar_into_a_pipe(study: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "scan", str(study / "us-heart"), "--state", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert "1 cataloged" in done.stdout
