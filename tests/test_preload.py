"""The server of the workers has what the config asks for, before anybody has read the config."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BEGUN = """
import sys
from multiprocessing import forkserver
from ingestd import preload
preload.early(sys.argv[1:])
server = forkserver._forkserver
print(server._forkserver_pid is not None, "ingestd.thumbnail" in server._preload_modules)
"""
WITH, WITHOUT, NONE = "True True", "True False", "False False"


def begun(*arguments: str, **more: str) -> str:
    """Begin in a process of its own: whether there is a server, and whether it makes pictures."""
    done = subprocess.run(
        [sys.executable, "-c", BEGUN, *arguments],
        env=os.environ | more,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """A config without pictures."""
    path = tmp_path / "plain.toml"
    path.write_text('[thumbnail]\nlevel = "off"\n')
    return str(path)


def test_it_goes_by_the_config_wherever_that_is_named(plain: str) -> None:
    assert begun("drop") == WITH
    assert begun("drop", "--config", plain) == WITHOUT
    assert begun(f"--config={plain}", "drop", "--json") == WITHOUT
    assert begun("drop", INGESTD_CONFIG=plain) == WITHOUT
    assert begun("drop", INGESTD_THUMBNAIL__LEVEL="off") == WITHOUT


def test_what_is_wrong_is_left_to_the_command(tmp_path: Path) -> None:
    assert begun("drop", "--config", str(tmp_path / "missing.toml")) == NONE
    assert begun("--help") == NONE
    (long := tmp_path / ("x" * 100)).mkdir()
    assert begun("drop", TMPDIR=str(long)) == "False True"  # Too long for the path of a socket.


def test_what_comes_through_a_pipe_is_left_for_the_command() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"[thumbnail]")
    os.close(theirs)
    assert begun("drop", "--config", f"/proc/{os.getpid()}/fd/{ours}") == NONE
    assert os.read(ours, 99) == b"[thumbnail]"
    os.close(ours)
