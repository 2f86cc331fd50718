"""Edge: hints from the kernel, and which roots can have them.

A hint says "look there". It may come twice and it may not come at all: the sweep makes up for
what is missing, so nothing here is ever the only way to a file.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from ingestd.files import as_text

#: Only what can announce a file. Our own reading makes "opened" and "closed, not written"
#: events; leaving those out is what keeps the kernel's queue from overflowing.
EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]

#: File systems whose changes the kernel here sees because they are made here.
LOCAL = frozenset(
    {
        "bcachefs",
        "btrfs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "jfs",
        "ntfs3",
        "ramfs",
        "reiserfs",
        "tmpfs",
        "vfat",
        "xfs",
        "zfs",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Look at this path below the root; a folder wants to be listed."""

    path: str
    is_folder: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How a root is watched, and why."""

    how: Literal["events", "poll"]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What a path lies on."""

    place: str  #: where it is mounted
    kind: str  #: type of the file system, as the kernel names it


def choose(path: str, wish: Literal["auto", "events", "poll"], mountinfo: str) -> Means:
    """Decide for one root.

    path       absolute path of the root
    mountinfo  the text of /proc/self/mountinfo (proc(5))
    """
    if wish != "auto":
        return Means(how=wish, why="the config says so")
    kind = mount_of(path, mountinfo).kind
    if kind in LOCAL:
        return Means(how="events", why=f"{kind} is local")
    return Means(how="poll", why=f"{kind} may change without this kernel's knowing")


def mount_of(path: str, mountinfo: str) -> Mount:
    """Name the mount that `path` lies on: the longest one above it.

    Of several mounts at one place the last one is on top.
    """
    best = Mount(place="", kind="unknown")
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        place = unescaped(left.split(" ")[4])
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best.place):
            best = Mount(place=place, kind=right.split(" ")[0])
    return best


def unescaped(field: str) -> str:
    r"""Read a field of mountinfo, where blanks are written \040."""
    for code in ("040", "011", "012", "134"):
        field = field.replace(f"\\{code}", chr(int(code, 8)))
    return field


class KernelWatch:
    """One inotify observer for life; roots come and go."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        self._observer: BaseObserver = Observer()
        self._watches: dict[str, ObservedWatch] = {}
        self._lock = threading.Lock()
        self._listener = OverflowListener(overflowed)
        logging.getLogger("watchdog.observers").addHandler(self._listener)
        self._observer.start()

    def add(self, root: str, hint: Callable[[Hint], None]) -> None:
        """Send hints for everything under `root`, from now on.

        raises  OSError; ENOSPC when the kernel has no watches left (fs.inotify.max_user_watches)
        """
        self.remove(root)
        with self._lock:
            self._watches[root] = self._observer.schedule(
                Handler(root, hint), root, recursive=True, event_filter=EVENTS
            )

    def remove(self, root: str) -> None:
        """Stop the hints for `root`, if there are any."""
        with self._lock:
            watch = self._watches.pop(root, None)
            if watch is not None:
                self._observer.unschedule(watch)

    def stop(self) -> None:
        """Send no more hints."""
        logging.getLogger("watchdog.observers").removeHandler(self._listener)
        self._observer.stop()
        self._observer.join(2.0)


class Handler(FileSystemEventHandler):
    """Turns watchdog's events for one root into hints."""

    def __init__(self, root: str, hint: Callable[[Hint], None]) -> None:
        self._prefix = len(root) + 1
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass on where something appeared or changed."""
        moved = event.event_type == "moved"
        path = os.fsdecode(event.dest_path if moved else event.src_path)
        if len(path) > self._prefix:
            self._hint(Hint(path=as_text(path[self._prefix :]), is_folder=event.is_directory))


class OverflowListener(logging.Handler):
    """Hears watchdog say that events were lost; it says so nowhere but in its log."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._overflowed = overflowed

    def emit(self, record: logging.LogRecord) -> None:
        """Ask for a sweep when the record is about the queue."""
        if "overflow" in record.msg:
            self._overflowed()
