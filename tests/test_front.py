"""What a share that hangs does to it, tests/system/test_shares.py shows."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, subprocess, sys, time
from ingestd.front import behind

def work():
    {work}

sys.exit(behind(work))
"""


def begin(work: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    script = SCRIPT.format(work=work)
    return subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize(
    ("work", "code", "out", "error"),
    [
        pytest.param("print('done')", 0, "done\n", "", id="it returns"),
        pytest.param("sys.exit(2)", 2, "", "", id="it exits with a code"),
        pytest.param("sys.exit('no')", 1, "", "no\n", id="it exits with words"),
        pytest.param("1 / 0", 1, "", "ZeroDivisionError: division by zero\n", id="it fails"),
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", 139, "", "", id="it is killed"),
        pytest.param(
            "subprocess.Popen(['sleep', '100'])", 0, "", "", id="a child holds its output"
        ),
    ],
)
def test_the_end_of_the_work_is_the_end_of_the_command(
    work: str, code: int, out: str, error: str
) -> None:
    with begin(work) as process:
        given, told = process.communicate(timeout=60)
    assert (process.returncode, given) == (code, out)
    assert told.endswith(error)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 1), (signal.SIGHUP, 129)]
)
def test_a_signal_is_passed_on(number: int, code: int) -> None:
    work = "print('ready', flush=True)\n    while True: time.sleep(0.1)"
    with begin(work) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(60) == code


def test_who_kills_it_kills_the_work_too() -> None:
    with begin("print(os.getpid(), flush=True); time.sleep(100)") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        assert process.stdout.read() == ""  # The end: nobody holds it any more.
