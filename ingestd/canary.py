"""Edge: whether the kernel's watches still are: they end with a mount, and there are only so many."""

import ctypes
import os
import struct
import threading
from collections.abc import Sequence

IN_DELETE_SELF = 0x400  #: inotify(7)


class Canary:
    """Watches of our own, that end with the others.

    When a file system is unmounted, the kernel ends all watches in it, and watchdog does not say
    so; when it is mounted again at once, everything looks as before, and no event ever comes.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = int(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._lock = threading.Lock()
        self._roots: dict[int, str] = {}  # by watch
        self._dead: set[str] = set()

    def add(self, root: str, places: Sequence[str]) -> None:
        """Watch some places of a root; where the kernel gives no watch, nothing is said."""
        with self._lock:
            for place in places:
                path = os.fsencode(place)
                watch = int(self._libc.inotify_add_watch(self._handle, path, IN_DELETE_SELF))
                if watch >= 0:
                    self._roots[watch] = root

    def is_dead(self, root: str) -> bool:
        """Whether a watch of a root has ended."""
        with self._lock:
            while ended := self._read():
                self._dead |= {self._roots.pop(watch) for watch in ended if watch in self._roots}
            return root in self._dead

    def _read(self) -> list[int]:
        """Name the watches that the kernel says anything of: it is their end."""
        try:
            events = os.read(self._handle, 1 << 16)
        except OSError:  # Nothing was said, or there is no inotify for us.
            return []
        watches, at = [], 0
        while at < len(events):
            watch, _, _, length = struct.unpack_from("iIII", events, at)
            watches.append(watch)
            at += struct.calcsize("iIII") + length
        return watches

    def remove(self, root: str) -> None:
        """Watch a root no more."""
        with self._lock:
            for watch in [watch for watch, other in self._roots.items() if other == root]:
                del self._roots[watch]
                self._libc.inotify_rm_watch(self._handle, watch)
            self._dead.discard(root)

    def close(self) -> None:
        """Watch none."""
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = -1


def watches_left(root: str) -> bool:
    """Whether the kernel still gives watches: watchdog is silent about folders it got none for."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_CLOEXEC)
    if handle < 0:
        return False
    try:
        return int(libc.inotify_add_watch(handle, os.fsencode(root), IN_DELETE_SELF)) >= 0
    finally:
        os.close(handle)
