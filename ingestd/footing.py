"""Wiring. What a root stands on: whether it is still itself, what it lies on, how it is watched."""

import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from ingestd import canary, config, watch
from ingestd.catalog import Catalog
from ingestd.hints import Hint
from ingestd.log import get_logger
from ingestd.reach import Reach
from ingestd.rootcheck import (
    Health,
    RootLook,
    RootMemory,
    are_there,
    look_at_root,
    relative,
)
from ingestd.watch import KernelWatch, Means, Mount

log = get_logger()

WATCH_S = 120.0  #: how long the kernel may take to watch all folders of a root

News = Literal["nothing", "another", "unheard"]


class Footing:
    """What one root stands on; looks through `reach`, so that nothing here hangs for long."""

    def __init__(
        self,
        root: config.Root,
        catalog: Catalog,
        *,
        kernel: KernelWatch,
        reach: Reach,
        health: Health,
    ) -> None:
        self.means = Means(how="poll", why="it was not reached yet")
        self.seen: RootLook | None = None
        self.not_mounted: Sequence[str] = ()  #: folders whose file systems are missed
        self._root, self._key = root, root.key
        self._kernel, self._reach, self._health = kernel, reach, health
        self._slowly = Reach(self._key, deadline_s=WATCH_S)
        self._memory = RootMemory(catalog, self._key)

    @property
    def hanging(self) -> int:
        """How many calls have not returned, and were given up."""
        return self._slowly.hanging

    def close(self) -> None:
        """Make no more calls."""
        self._slowly.close()

    def check(self, hint: Callable[[Hint], None]) -> News:
        """Look at the root.

        return  `another`: not the root of the last look, or the first look; `unheard`: hints
                may have been lost
        raises  OSError when it is not there, or its sentinel or its mount is not
        """
        seen = self._reach.call(partial(look_at_root, self._key, self._root.sentinel))
        missing = self._missing(seen)
        self._memory.keep(seen, missing)
        before, self.seen = self.seen, seen
        self.not_mounted = [relative(seen.real, mount.place) for mount in missing]
        gone = ", ".join(f"{mount.kind} at {mount.place}" for mount in missing)
        self._health.complain("mounts", f"{gone} is not mounted" if gone else "")
        if before != seen:
            self.means = watch.choose(self._root.watch, seen.mount, seen.below)
            self._watch_kernel(hint)
            return "another"
        return self._check_kernel(hint)

    def lose(self, why: str) -> None:
        """The root cannot be reached; at the next look it is another one."""
        self.seen = None
        self._health.lose(why)
        try:
            self._slowly.call(partial(self._kernel.remove, self._key))
        except TimeoutError:
            log.warning("observer_left_behind", root=self._key)

    def _missing(self, seen: RootLook) -> list[Mount]:
        """Name what should be mounted below the root and is not.

        raises  OSError (ENODEV) when the root itself should lie on another file system
        """
        missing = []
        for mount in self._memory.missing(seen):
            below = relative(seen.real, mount.place)
            if not below and self._root.sentinel:
                continue  # It is there, so the root is what it should be, whatever it lies on.
            if self._moved(below):
                continue
            if not below:
                # An unmounted share leaves an empty folder behind: like a great deletion.
                words = f"{mount.kind} at {mount.place} is not mounted; mount it, or, if the folder"
                raise OSError(errno.ENODEV, f"{words} itself is meant now, give it a `sentinel`")
            missing.append(mount)
        return missing

    def _moved(self, below: str) -> bool:
        """Whether a folder has moved to another file system, with all that is in it."""
        files = self._memory.some_files(below)
        there = partial(are_there, self._key, files)
        return bool(files) and self._reach.call(there)

    def _watch_kernel(self, hint: Callable[[Hint], None]) -> None:
        if self.means.how != "events":
            return
        try:
            below = [mount.place for mount in self.seen.below] if self.seen else []
            self._slowly.call(partial(self._kernel.add, self._key, hint, below))
        except OSError as error:
            words = [f"no kernel events ({error.strerror})", watch.ADVICE.get(error.errno or 0, "")]
            self._poll(Means(how="poll", why="; ".join(filter(None, words))))

    def _check_kernel(self, hint: Callable[[Hint], None]) -> News:
        """See that hints still come, and from everywhere."""
        if self.means.how != "events":
            return "nothing"
        if not self.means.polled_too and not canary.watches_left(self._key):
            why = f"{self.means.why}, but not all folders have a watch, so it is polled too"
            why = f"{why}; {watch.SYSCTL}"
            self._poll(Means(how="events", why=why, polled_too=True))
        if self._kernel.alive(self._key):
            return "nothing"
        log.warning("hints_lost", root=self._key, detail="the observer died; watching anew")
        self._watch_kernel(hint)
        return "unheard"

    def _poll(self, means: Means) -> None:
        self.means = means
        log.warning("root_polled", root=self._key, why=means.why)
