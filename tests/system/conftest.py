"""Fixtures of the tests that run the daemon as a process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemons import Running
from shares import Share


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Running]]:
    """Start daemons on `drop` and `state` below tmp_path; end what is left of them."""
    started: list[Running] = []
    (tmp_path / "drop").mkdir()

    def begin() -> Running:
        started.append(Running(tmp_path / "drop", tmp_path / "state"))
        return started[-1]

    yield begin
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """A folder that is shown by FUSE, and fails as it is told."""
    if not Path("/dev/fuse").exists():
        pytest.skip("needs /dev/fuse")
    made = Share(tmp_path)
    made.mount()
    yield made
    made.fails()  # Else what looks at it now would hang.
    if made.mountpoint.is_mount():
        made.unmount()
