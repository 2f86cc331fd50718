"""Edge: hints from the kernel, and which roots can have them.

A hint says "look there". It may come twice and it may not come at all: the sweep makes up for
what is missing, so nothing here is ever the only way to a file.
"""

import errno
import logging
import os
import threading
from collections.abc import Callable, Sequence
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
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver

from ingestd.canary import Canary
from ingestd.files import as_text
from ingestd.hints import Hint

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


SYSCTL = "raise it with: sysctl -w fs.inotify.max_user_watches=1048576"
#: What helps when the kernel gives no watch, by what it says.
ADVICE = {
    errno.ENOSPC: SYSCTL,
    errno.EMFILE: "raise it with: sysctl -w fs.inotify.max_user_instances=1024",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How a root is watched, and why."""

    how: Literal["events", "poll"]
    why: str
    polled_too: bool = False  #: a part of it sends no events, or the kernel has no more watches

    @property
    def polled(self) -> bool:
        """Whether it changes without our being told."""
        return self.how == "poll" or self.polled_too


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What a path lies on."""

    place: str  #: where it is mounted
    kind: str  #: type of the file system, as the kernel names it


def choose(
    wish: Literal["auto", "events", "poll"], mount: Mount, below: Sequence[Mount] = ()
) -> Means:
    """Decide for one root.

    mount  what it lies on
    below  what is mounted in it
    """
    if wish != "auto":
        return Means(how=wish, why="the config says so")
    if mount.kind not in LOCAL:
        return Means(how="poll", why=f"{mount.kind} may change without this kernel's knowing")
    shares = [f"{one.kind} at {one.place}" for one in below if one.kind not in LOCAL]
    if shares:
        more = f"; {', '.join(shares)} is polled"
        return Means(how="events", why=f"{mount.kind} is local{more}", polled_too=True)
    return Means(how="events", why=f"{mount.kind} is local")


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


def mounts_below(path: str, mountinfo: str) -> tuple[Mount, ...]:
    """Name what is mounted in a folder, each place once, the uppermost of several at one place."""
    found: dict[str, Mount] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        place = unescaped(left.split(" ")[4])
        if place.startswith(path.rstrip("/") + "/"):
            found[place] = Mount(place=place, kind=right.split(" ")[0])
    return tuple(found.values())


def unescaped(field: str) -> str:
    r"""Read a field of mountinfo, where blanks are written \040."""
    for code in ("040", "011", "012", "134"):
        field = field.replace(f"\\{code}", chr(int(code, 8)))
    return field


class Emitter(InotifyEmitter):
    """Says of a folder that was moved here no more than that: what is in it, a listing says.

    watchdog would make an event for each file in it, without a limit.
    """

    def queue_event(self, event: FileSystemEvent) -> None:
        """Pass on what the kernel said."""
        if not event.is_synthetic:
            super().queue_event(event)


class Observer(InotifyObserver):
    """watchdog's, with our emitters."""

    def __init__(self) -> None:
        super().__init__()
        self._emitter_class = Emitter


class KernelWatch:
    """An inotify observer for each root: one that hangs in its share holds up no other."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        self._observers: dict[str, BaseObserver] = {}
        self._canary = Canary()
        self._lock = threading.Lock()
        self._listener = OverflowListener(overflowed)
        logging.getLogger("watchdog.observers").addHandler(self._listener)

    def add(self, root: str, hint: Callable[[Hint], None], below: Sequence[str] = ()) -> None:
        """Send hints for everything under `root`, from now on.

        below   where other file systems are mounted in it
        raises  OSError; ENOSPC when the kernel has no watches left (fs.inotify.max_user_watches),
                EMFILE when it has no observers left (fs.inotify.max_user_instances),
                ENAMETOOLONG when there are folders in folders, a thousand deep
        """
        self.remove(root)
        self._canary.add(root, [root, *below])
        observer = Observer()
        observer.start()
        try:
            observer.schedule(Handler(root, hint), root, recursive=True, event_filter=EVENTS)
        except OSError:
            observer.stop()
            raise
        except RecursionError as error:  # os.walk, before Python 3.12.
            observer.stop()
            words = "its folders are too deep for watchdog"
            raise OSError(errno.ENAMETOOLONG, words) from error
        with self._lock:
            self._observers[root] = observer

    def alive(self, root: str) -> bool:
        """Whether hints for `root` can still come: all its threads live, and its watches."""
        with self._lock:
            observer = self._observers.get(root)
        if observer is None or not observer.is_alive() or self._canary.is_dead(root):
            return False
        reader = getattr(observer, "_inotify_fd", observer)
        return bool(reader.is_alive()) and all(one.is_alive() for one in observer.emitters)

    def remove(self, root: str) -> None:
        """Stop the hints for `root`, if there are any."""
        self._canary.remove(root)
        with self._lock:
            observer = self._observers.pop(root, None)
        if observer is not None:
            observer.stop()

    def stop(self) -> None:
        """Send no more hints."""
        logging.getLogger("watchdog.observers").removeHandler(self._listener)
        with self._lock:
            observers = list(self._observers.values())
            self._observers.clear()
        for observer in observers:
            observer.stop()
        for observer in observers:
            observer.join(2.0)
        self._canary.close()


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
