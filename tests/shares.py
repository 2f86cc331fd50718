"""A share that fails as it is told: a folder shown by FUSE."""

import subprocess
import sys
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
        subprocess.run(["umount", "-l", self.mountpoint], check=True)
        self.process.wait(ENDS_S)
