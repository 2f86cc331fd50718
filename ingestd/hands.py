"""Wiring. How audit and retry reach what is at work: the daemon's scouts, or nobody's folders."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingestd import config, watch
from ingestd.foldercheck import Place
from ingestd.lobby import FILES
from ingestd.reach import Reach
from ingestd.rootcheck import RootLook, RootMemory, are_there, look_at_root, relative
from ingestd.scout import Scout
from ingestd.scouts import Scouts
from ingestd.store import MARKER
from ingestd.sweep import Ignored
from ingestd.works import Works

ROOTS = "SELECT DISTINCT root FROM file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Looks at files, has them read, and series done again."""

    works: Works
    scouts: Scouts | None = None  #: of the daemon

    @property
    def _by_root(self) -> Mapping[str, Scout]:
        return self.scouts.by_root if self.scouts is not None else {}

    def look(self, root: str, paths: Sequence[str]) -> None:
        """Have those files read that the ledger does not know as they are, or that are due.

        raises  OSError when nobody looks after their folder, and it is in trouble
        """
        scout = self._by_root.get(root)
        if scout is not None:
            scout.hint(paths)
        else:
            self.works.again.look(root, paths)

    def redo(self, series: Sequence[str]) -> None:
        """Have series stacked and judged again."""
        self.works.series.touched(series, again=True)

    def busy(self, root: str) -> bool:
        """Whether files of a root were seen, or are looked for, that have no outcome yet."""
        scout = self._by_root.get(root)
        if scout is None:
            return self.works.again.is_busy
        return scout.room < FILES or scout.sweeps.is_listing

    def is_watched(self, root: str) -> bool:
        """Whether files of a root may be read: a drop folder, or the archive."""
        if self.scouts is None:
            return True
        return root in self._by_root or root == self.works.archive

    def places(self) -> list[Place]:
        """Name all folders whose files the ledger holds, or should, and how they are."""
        settings = self.works.settings
        known = {root for (root,) in self.works.catalog.rows(ROOTS)}
        own = {root.key: root for root in settings.root}
        return [self._place(key, own.get(key), settings) for key in sorted(known | own.keys())]

    def _place(self, key: str, own: config.Root | None, settings: config.Config) -> Place:
        root = own or config.Root(path=Path(key))
        scout = self._by_root.get(key)
        quiet_s, is_store, unreachable, not_mounted = settings.settle.quiet_s, False, "", []
        if scout is not None and scout.health.state == "unreachable":
            unreachable = scout.health.why
        else:
            reach = Reach(f"audit {key}", deadline_s=settings.sweep.deadline_s)
            try:
                seen = reach.call(partial(look_at_root, key, root.sentinel))
                is_store = reach.call(partial(os.path.exists, f"{key}/{MARKER}"))
                not_mounted = missing(self.works, root, seen, reach)
                if watch.choose(root.watch, seen.mount, seen.below).polled:
                    quiet_s = settings.settle.quiet_polled_s
            except OSError as error:
                unreachable = f"cannot be reached: {error.strerror or type(error).__name__}"
            finally:
                reach.close()
        return Place(
            root=key,
            ignored=Ignored.of(root.ignore),
            quiet_s=root.quiet_s or quiet_s,
            deadline_s=settings.sweep.deadline_s,
            is_store=is_store and own is None,
            unreachable=unreachable,
            not_mounted=not_mounted,
        )


def missing(works: Works, root: config.Root, seen: RootLook, reach: Reach) -> list[str]:
    """Name the folders of a root whose file systems were mounted, and are not.

    raises  OSError when the root itself lies on another file system than it did
    """
    memory = RootMemory(works.catalog, root.key)
    folders = []
    for mount in memory.missing(seen):
        below = relative(seen.real, mount.place)
        files = memory.some_files(below)
        if not below and root.sentinel:
            continue
        if bool(files) and reach.call(partial(are_there, root.key, files)):
            continue  # It has moved to another file system, with all that is in it.
        if not below:
            raise OSError(0, f"{mount.kind} at {mount.place} is not mounted")
        folders.append(below)
    return folders
