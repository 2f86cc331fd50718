"""Edge: is a root still what it was? Asked before anything that it says is believed."""

import errno
import os
from collections.abc import Callable
from typing import Literal

from ingestd.watch import Mount, mount_of

State = Literal["healthy", "degraded", "unreachable"]


class Health:
    """How a root is, and why it is not healthy; whoever cares is told when that changes."""

    def __init__(self, root: str, changed: Callable[[str, State, str], None]) -> None:
        self.state: State = "healthy"
        self.why = ""
        self._root, self._changed = root, changed

    def set(self, state: State, why: str = "") -> None:
        """Say how it is now."""
        before, self.state, self.why = self.state, state, why
        if before != state:
            self._changed(self._root, state, why)

    def better(self, than: State) -> None:
        """Say that what made it so is over."""
        if self.state == than:
            self.set("healthy")


class RootCheck:
    """Remembers device, folder and mount of one root."""

    def __init__(self, root: str, sentinel: str) -> None:
        self._root, self._sentinel = root, sentinel
        self.identity: tuple[int, int] | None = None
        self._mount: Mount | None = None

    def look(self) -> bool:
        """Look at the root; True when it is another folder than at the last look, or the first.

        raises  OSError when it is not there, or its sentinel is not, or its mount went away
        """
        status = os.stat(self._root)
        mount = mount_of(self._root, mountinfo())
        if self._mount and len(mount.place) < len(self._mount.place):
            # An unmounted share leaves an empty folder behind, which looks like a great deletion.
            was = f"{self._mount.kind} at {self._mount.place}"
            raise OSError(errno.ENODEV, f"{was} is not mounted; mount it, or start ingestd anew")
        if self._sentinel and not os.path.exists(f"{self._root}/{self._sentinel}"):
            raise OSError(errno.ENOENT, f"the sentinel {self._sentinel} is not there")
        os.scandir(self._root).close()
        identity = (status.st_dev, status.st_ino)
        changed = identity != self.identity
        self.identity, self._mount = identity, mount
        return changed

    def forget(self) -> None:
        """Take the root for another one at the next look; its mount must still be the same."""
        self.identity = None


def mountinfo() -> str:
    """Read what is mounted here (proc(5))."""
    with open("/proc/self/mountinfo", errors="surrogateescape") as text:
        return text.read()
