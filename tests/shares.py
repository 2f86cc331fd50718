"""A share that fails as it is told: a folder shown by FUSE."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from daemons import ENDS_S, wait_for

FAULTFS = Path(__file__).with_name("faultfs.py")


class Share:
    """A folder that is shown by FUSE."""

    def __init__(self, place: Path) -> None:
        self.inside, self.mountpoint = place / "inside", place / "share"
        self._control = place / "control"
        self.inside.mkdir()
        self.mountpoint.mkdir()
        self._control.touch()

    def mount(self) -> None:
        command = [sys.executable, FAULTFS, self.inside, self.mountpoint, self._control]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.mountpoint.is_mount() or self.process.poll() is not None)
        if not self.mountpoint.is_mount():
            pytest.skip("needs the right to mount by FUSE")

    def fails(self, *lines: str) -> None:
        whole = self._control.with_name("whole")
        whole.write_text("".join(f"{line}\n" for line in lines))
        whole.replace(self._control)

    def unmount(self) -> None:
        self.fails()
        device = os.stat(self.mountpoint).st_dev
        subprocess.run(["umount", "-l", self.mountpoint], check=True)
        try:
            self.process.wait(ENDS_S)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still in use: {holders(device)}") from error


def holders(device: int) -> list[str]:
    """Say who has something open on a file system that is not in any folder any more."""
    found = []
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.major(device) == 0 and place.stat().st_dev == device:
                words = place.parents[1].joinpath("cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{place.parents[1].name} {words[-80:]!r}: {place.readlink()}")
    return found
