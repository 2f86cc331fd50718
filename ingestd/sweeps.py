"""Wiring. When a root is listed, how far that is, and what a whole listing says of who is gone."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ingestd import config
from ingestd.cadence import HALF, RARELY, SELDOM, Hot, next_part_s, next_sweep_s
from ingestd.log import get_logger
from ingestd.reach import Reach, beat
from ingestd.rollcall import RollCall
from ingestd.sweep import (
    SHARE_DOUBT,
    SHARE_GONE,
    Ignored,
    Seen,
    everywhere,
    left,
    not_listed,
    sweep,
)

log = get_logger()

STRETCH = 2_000  #: how many entries between two glances at the hints
DOUBTS = 20  #: so many folders of one sweep that give EIO or ESTALE: the share is the trouble
AGAIN_S = 60.0  #: the latest that a root with folders that cannot be listed is listed again


@dataclass(slots=True)
class _Listing:
    """A sweep under way, of all of a root or of its hot folders."""

    stretches: Iterator[Seen]
    since_s: float
    folders: set[int] = field(default_factory=set)  #: hashes of the folders it went into
    fresh: list[str] = field(default_factory=list)  #: folders that were not known before
    files: int = 0
    unlisted: list[str] = field(default_factory=list)
    unreadable: int = 0  #: of these, how many are there all the same
    doubts: int = 0
    is_glance: bool = False  #: at all of the root, while there is no room for what was found


class Sweeps:
    """The sweeps of one root: all of it, and its hot folders in between when it is polled.

    found  given all that a stretch saw
    """

    def __init__(
        self,
        root: str,
        settings: config.Sweep,
        *,
        ignored: Ignored,
        reach: Reach,
        roll: RollCall,
        found: Callable[[Seen], None],
    ) -> None:
        self.files = 0  #: that the last whole sweep saw
        self.took_s = 0.0  #: how long it took
        self.polled = False  #: nobody tells of changes in it
        self.not_mounted: Sequence[str] = ()  #: folders of whose files nothing can be said
        self._root, self._settings, self._ignored = root, settings, ignored
        self._reach, self._roll, self._found = reach, roll, found
        self._hot = Hot()
        self._known: set[int] = set()
        self._whole: _Listing | None = None
        self._part: _Listing | None = None
        self._next_s = 0.0
        self._next_part_s = self._next_glance_s = 0.0
        self._wanted = False

    def begin_anew(self) -> None:
        """Take the root for another one: list all of it now."""
        self.drop()
        self._roll.forget()
        self._next_s = 0.0

    def drop(self) -> None:
        """Give up what is under way; it says nothing."""
        self._whole = self._part = None

    def soon(self) -> None:
        """List all of it, once what is under way is done."""
        self._next_s, self._wanted = 0.0, True

    def changed(self, path: str) -> None:
        """Something is new at this path: its folder is hot."""
        self._hot.note(path.rpartition("/")[0], time.monotonic())

    def busy(self, room: int) -> bool:
        """Whether there is something to list at once."""
        return self._part is not None or (self._whole is not None and room > 2 * STRETCH)

    @property
    def missed(self) -> str:
        """How much of the root is missed, and not believed gone yet, in words."""
        return self._roll.missed

    @property
    def is_listing(self) -> bool:
        """Whether all of the root is being listed."""
        return self._whole is not None

    @property
    def is_listing_part(self) -> bool:
        """Whether some folders are being listed, also without room."""
        return self._part is not None

    @property
    def due_s(self) -> float:
        """When the next listing begins, on our monotonic clock."""
        part_s = self._next_part_s if self.polled else float("inf")
        return min(part_s, float("inf") if self._whole else self._next_s)

    def advance(self, room: int, still_same: Callable[[], bool]) -> str | None:
        """Go on a stretch, as far as there is room.

        still_same  looks whether the root is what it was when the sweep began
        return      when a whole sweep has ended: what could not be listed, in words
        """
        now_s = time.monotonic()
        if self._whole is None and now_s >= self._next_s:
            self._begin(now_s)
        elif self._part is None and self._waits(room) and now_s >= self._next_glance_s:
            self._part = _Listing(self._list_all(everywhere), now_s, is_glance=True)
        elif self.polled and self._part is None and now_s >= self._next_part_s:
            self._begin_part(now_s)
        if self._part is not None:
            self._go_on_part(self._part, room)
        elif self._whole is not None and room > 2 * STRETCH:
            return self._go_on(self._whole, still_same)
        return None

    def _waits(self, room: int) -> bool:
        """Whether all of the root is listed, and that cannot go on."""
        return self._whole is not None and room <= 2 * STRETCH

    def _list_all(self, enter: Callable[[str], bool]) -> Iterator[Seen]:
        return sweep(self._root, self._ignored, stretch=STRETCH, enter=enter, beat=beat)

    def _begin(self, now_s: float) -> None:
        self._roll.begin()
        self._wanted = False
        names: set[int] = set()

        def enter(folder: str) -> bool:
            names.add(hash(folder))
            return True

        self._whole = _Listing(self._list_all(enter), now_s, folders=names)
        self._next_part_s = self._next_glance_s = now_s + self._settings.hot_s

    def _begin_part(self, now_s: float) -> None:
        known, names, fresh = self._known, set[int](), list[str]()

        def enter(folder: str) -> bool:
            new = hash(folder) not in known and hash(folder) not in names
            if new:
                names.add(hash(folder))
                fresh.append(folder)
            return new

        hot = self._hot.folders(now_s)
        self._part = _Listing(self._list_parts(hot, enter), now_s, folders=names, fresh=fresh)
        self._next_part_s = now_s + self._settings.hot_s

    def _list_parts(self, folders: Sequence[str], enter: Callable[[str], bool]) -> Iterator[Seen]:
        listed = partial(sweep, self._root, self._ignored, stretch=STRETCH, enter=enter, beat=beat)
        for folder in folders:
            try:
                yield from listed(below=folder)
            except OSError as error:
                seen = Seen()
                not_listed(self._root, folder, error, seen)
                yield seen

    def _next(self, listing: _Listing) -> Seen | None:
        """Take the next stretch, and judge what could not be listed.

        raises  OSError when it is the share that is the trouble
        """
        seen: Seen | None = self._reach.call(lambda: next(listing.stretches, None))
        for path, error in seen.unlisted if seen is not None else ():
            listing.doubts += error.errno in SHARE_DOUBT
            if error.errno in SHARE_GONE or listing.doubts > DOUBTS:
                raise error
            if not left(error):
                log.warning("not_listed", root=self._root, path=path, why=error.strerror)
        return seen

    def _go_on_part(self, part: _Listing, room: int) -> None:
        seen = self._next(part)
        if seen is not None:
            self._found(seen)
            return
        now_s = time.monotonic()
        self._known |= part.folders
        for folder in part.fresh:
            self._hot.note(folder, now_s)
        self._part = None
        next_s = next_part_s(
            part.since_s, now_s, self._settings.hot_s, rest=HALF if room else SELDOM
        )
        if part.is_glance:
            self._next_glance_s = next_part_s(
                part.since_s, now_s, self._settings.hot_s, rest=RARELY
            )
        self._next_part_s = max(self._next_part_s, next_s)

    def _go_on(self, whole: _Listing, still_same: Callable[[], bool]) -> str | None:
        seen = self._next(whole)
        if seen is not None:
            whole.files += len(seen.sightings)
            whole.unlisted += [path for path, _ in seen.unlisted]
            bad_names = {fault.path for fault in seen.faults}
            whole.unreadable += sum(
                not left(error) and path not in bad_names for path, error in seen.unlisted
            )
            self._roll.note(
                [*(look.path for look in seen.sightings), *(fault.path for fault in seen.faults)]
            )
            self._found(seen)
            return None
        self._whole = None
        return self._end(whole) if still_same() else None

    def _end(self, done: _Listing) -> str:
        """Say who is gone, and when the next sweep is."""
        now_s = time.monotonic()
        self._roll.end([*done.unlisted, *self.not_mounted], now_s)
        self._known = done.folders if self.polled else set()
        self.files, self.took_s = done.files, now_s - done.since_s
        self._next_s = next_sweep_s(
            done.since_s,
            now_s,
            polled=self.polled,
            hot_s=self._settings.hot_s,
            full_sweep_s=self._settings.full_sweep_s,
            chance=random.random(),  # noqa: S311 -- no secret
        )
        if self._wanted:
            self._next_s = now_s
        log.debug("swept", root=self._root, files=self.files, took_s=round(self.took_s, 3))
        if not done.unreadable:
            return ""
        self._next_s = min(self._next_s, now_s + max(AGAIN_S, self.took_s))
        return f"{done.unreadable} folders or files cannot be listed"
