"""Edge: is a root still what it was? Asked before anything that it says is believed."""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ingestd.catalog import Catalog, utc_now
from ingestd.files import as_path
from ingestd.watch import Mount, mount_of, mounts_below

State = Literal["healthy", "degraded", "unreachable"]

SAMPLE = 20  #: so many files of the ledger tell whether a folder is the one it was

SOME_FILES = f"""
    SELECT path, size_bytes FROM file
    WHERE root = $1 AND state IN ('cataloged', 'duplicate', 'refused')
      AND ($2 = '' OR starts_with(path, $2 || '/'))
    ORDER BY hash(path) LIMIT {SAMPLE}
"""


class Health:
    """How a root is, and why it is not healthy; whoever cares is told when that changes."""

    def __init__(self, root: str, changed: Callable[[str, State, str], None]) -> None:
        self.state: State = "healthy"
        self.why = ""
        self._root, self._changed = root, changed
        self._told: State = "healthy"
        self._lost = ""
        self._complaints: dict[str, str] = {}
        self._lock = threading.Lock()

    def lose(self, why: str) -> None:
        """It cannot be reached; nothing else is known of it then."""
        with self._lock:
            self._lost = why
            self._complaints.clear()
        self._tell()

    def found(self) -> None:
        """It can be reached again."""
        with self._lock:
            self._lost = ""
        self._tell()

    def complain(self, about: str, why: str) -> None:
        """Say what is wrong about one side of it; no words: nothing is, any more."""
        with self._lock:
            if why:
                self._complaints[about] = why
            else:
                self._complaints.pop(about, None)
        self._tell()

    def _tell(self) -> None:
        """Tell of a change; when that fails, since the catalog halts, the next time."""
        with self._lock:
            now: State = "degraded" if self._complaints else "healthy"
            self.state = now = "unreachable" if self._lost else now
            self.why = why = self._lost or "; ".join(self._complaints.values())
            before, self._told = self._told, now
        if before == now:
            return
        try:
            self._changed(self._root, now, why)
        except BaseException:
            self._told = before
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class RootLook:
    """What one look at a root showed."""

    identity: tuple[int, int]  #: device and number of the folder
    real: str  #: its path without symbolic links
    mount: Mount  #: what it lies on
    below: tuple[Mount, ...]  #: what is mounted in it


def look_at_root(root: str, sentinel: str) -> RootLook:
    """Look at a root.

    raises  OSError when it cannot be listed, or its sentinel is not there
    """
    real = os.path.realpath(root)
    status = os.stat(root)
    if sentinel:
        try:
            os.stat(f"{root}/{sentinel}")
        except FileNotFoundError as error:
            words = f"the sentinel {sentinel} is not there"
            raise OSError(errno.ENOENT, words) from error
    with os.scandir(root) as entries:
        next(entries, None)  # Some shares fail here and nowhere before.
    mounts = mountinfo()
    return RootLook(
        identity=(status.st_dev, status.st_ino),
        real=real,
        mount=mount_of(real, mounts),
        below=mounts_below(real, mounts),
    )


class RootMemory:
    """What was mounted at a root and below it; kept in the catalog, for the next start."""

    def __init__(self, catalog: Catalog, root: str) -> None:
        self._catalog, self._root = catalog, root
        rows = catalog.rows("SELECT place, kind FROM mount WHERE root = ?", root)
        self._known = {place: Mount(place=place, kind=kind) for place, kind in rows}

    def missing(self, seen: RootLook) -> list[Mount]:
        """Name what was mounted, and is not."""
        there = {seen.mount.place, *(mount.place for mount in seen.below)}
        return [
            mount
            for place, mount in self._known.items()
            # What lies above the present mount is covered by it, and not missed.
            if place not in there and not covers(seen.mount.place, place)
        ]

    def keep(self, seen: RootLook, missing: Sequence[Mount]) -> None:
        """Remember what is mounted now, and what is missed."""
        now = {mount.place: mount for mount in (seen.mount, *seen.below, *missing)}
        if now.keys() == self._known.keys():
            return
        with self._catalog.transaction() as db:
            db.execute("DELETE FROM mount WHERE root = ?", [self._root])
            for mount in now.values():
                values = [self._root, mount.place, mount.kind, utc_now()]
                db.execute("INSERT INTO mount VALUES (?, ?, ?, ?)", values)
        self._known = now

    def some_files(self, below: str) -> list[tuple[str, int]]:
        """Name some files that the ledger knows, with their sizes."""
        return [(path, size) for path, size in self._catalog.rows(SOME_FILES, self._root, below)]


def covers(deeper: str, place: str) -> bool:
    """Whether a mount at `deeper` lies below one at `place`, and so hides it."""
    return deeper != place and deeper.startswith(place.rstrip("/") + "/")


def relative(root: str, place: str) -> str:
    """Give the path below a root of what is mounted there; empty at the root and above it."""
    return place[len(root) + 1 :] if place.startswith(root + "/") else ""


def are_there(root: str, files: Sequence[tuple[str, int]]) -> bool:
    """Whether most of these files are there, so that a folder is the one it was."""
    found = 0
    for path, size_bytes in files:
        try:
            found += os.lstat(as_path(root, path)).st_size == size_bytes
        except OSError:
            continue
    return found * 2 > len(files)


def mountinfo() -> str:
    """Read what is mounted here (proc(5))."""
    with open("/proc/self/mountinfo", errors="surrogateescape") as text:
        return text.read()
