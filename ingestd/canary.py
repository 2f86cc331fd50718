"""Edge: whether the kernel still watches: watches end with a mount, and there are so many only."""

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
        self._watches: dict[str, set[int]] = {}  # by root
        self._ended: set[int] = set()

    def add(self, root: str, places: Sequence[str]) -> None:
        """Watch some places of a root; where the kernel gives no watch, nothing is said."""
        for place in places:  # This may hang, and so holds no lock.
            path = os.fsencode(place)
            watch = int(self._libc.inotify_add_watch(self._handle, path, IN_DELETE_SELF))
            with self._lock:
                self._watches.setdefault(root, set()).add(watch)

    def is_dead(self, root: str) -> bool:
        """Whether a watch of a root has ended."""
        with self._lock:
            while ended := self._read():
                self._ended.update(ended)
            return not self._ended.isdisjoint(self._watches.get(root, ()))

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
            for watch in self._watches.pop(root, ()):
                self._libc.inotify_rm_watch(self._handle, watch)

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
