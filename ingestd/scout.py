"""Wiring. The eyes on one root: hints and sweeps in, files whose sender has finished out.

One thread a root, and what it asks of the root itself is asked by a thread that can be left behind
(reach.py): a share that hangs holds back nobody else, and is tried again later.
"""

import errno
import threading
import time
from collections.abc import Callable, Sequence

from ingestd import config, watch
from ingestd.catalog import Catalog
from ingestd.errors import IngestError
from ingestd.folders import Folders
from ingestd.footing import Footing
from ingestd.hints import Hint, Hints
from ingestd.later import Held
from ingestd.lobby import Lobby
from ingestd.log import get_logger
from ingestd.meters import Meters
from ingestd.model import Fault, Past, Sighting
from ingestd.reach import Reach, beat
from ingestd.rollcall import RollCall
from ingestd.rootcheck import Health
from ingestd.sweep import SHARE_GONE, Ignored, Seen, look_at
from ingestd.sweeps import STRETCH, Sweeps

log = get_logger()

HINTS = 50_000  #: how many hints may wait; beyond that a sweep takes their place
HEALTH_S = 5.0  #: how often the root itself is looked at
BACK_OFF_S = 60.0  #: the longest wait between two looks at an unreachable root


class Scout:
    """Looks after one root until it is told to stop."""

    def __init__(
        self,
        root: config.Root,
        settings: config.Config,
        *,
        ledger: Catalog,
        roll: RollCall,
        kernel: watch.KernelWatch,
        offer: Callable[[Sighting, Past], bool],
        refuse: Callable[[Sequence[Fault]], object],
        health: Health,
        meters: Meters,
    ) -> None:
        self.root, self.name = root.key, root.name or root.key
        self.health = health
        self._root, self._settings = root, settings
        self._take, self._refuse = offer, refuse
        self._ignored = Ignored.of(root.ignore)
        self._reach = Reach(self.root, deadline_s=settings.sweep.deadline_s)
        self._footing = Footing(root, ledger, kernel=kernel, reach=self._reach, health=health)
        self.sweeps = Sweeps(
            self.root,
            settings.sweep,
            ignored=self._ignored,
            reach=self._reach,
            roll=roll,
            found=lambda seen: meters.found_by_sweep(self.name, self._found(seen)),
        )
        quiet_s = settings.settle.quiet_polled_s
        self._lobby = Lobby(ledger, quiet_s=quiet_s, offer=self._offer, meters=meters)
        self._hints = Hints(HINTS)
        self._folders = Folders(
            self.root,
            ignored=self._ignored,
            reach=self._reach,
            found=self._found,
            lost=self._hints.lose,
        )
        self._next_health_s, self._back_off_s = 0.0, 1.0
        self._held = Held(limit_s=BACK_OFF_S)
        self._fault = ""
        self._alive_s = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"scout {self.root}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, soon."""
        self._stopping.set()
        self._reach.close()
        self._footing.close()
        self._hints.wake()

    def join(self, within_s: float) -> None:
        """Wait for the end; a thread that hangs in the kernel is left to itself."""
        self._thread.join(max(0.0, within_s))

    @property
    def silent_s(self) -> float:
        """How long ago this scout last got anywhere."""
        return time.monotonic() - self._alive_s

    @property
    def waiting(self) -> int:
        """How many files are settling."""
        return self._lobby.settling

    @property
    def hanging(self) -> int:
        """How many looks at the root have not returned, and were given up."""
        return self._reach.hanging + self._footing.hanging

    @property
    def means(self) -> watch.Means:
        """How the root is watched, and why."""
        return self._footing.means

    @property
    def room(self) -> int:
        """How many more files may settle or wait for a worker."""
        return self._lobby.room

    def hint(self, paths: Sequence[str]) -> None:
        """Ask for a look at these files."""
        for path in paths:
            self._hints.put(Hint(path=path, is_folder=False))

    def lost_hints(self) -> None:
        """The kernel dropped events: sweep."""
        self._hints.lose()

    def done(self, paths: Sequence[str]) -> None:
        """They have an outcome; what was said of them meanwhile counts now."""
        self.hint(self._lobby.done(paths))

    def held_up(self, paths: Sequence[str], why: str) -> None:
        """A worker hangs with a file of this root; these others were given back unread."""
        self._lobby.give_back(paths)
        self._held.why = why
        self._hints.wake()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._alive_s = time.monotonic()
            try:
                try:
                    self._round()
                except OSError as error:
                    if not self._stopping.is_set():  # Else it is we who gave up.
                        self._unreachable(error.strerror or type(error).__name__)
            except IngestError as error:  # The catalog halts; the folder keeps everything.
                self._lose_round()
                log.warning("scout_waits", root=self.root, reason=str(error.reason))
                self._stopping.wait(self._back_off_s)
            except Exception as error:
                self._lose_round()
                if not self._stopping.is_set():
                    log.exception("scout_failed", root=self.root)
                    self._fault = f"a fault of ours: {type(error).__name__}"
                    self._rest()

    def _round(self) -> None:
        """One turn: the root, the hints, a stretch of a sweep, what has settled."""
        if self._fault:
            self.health.complain("scout", self._fault)
        if self._held.why:
            why, away_s = self._held.take(time.monotonic())
            self._back_off_s = max(self._back_off_s, away_s)
            raise TimeoutError(errno.ETIMEDOUT, f"files cannot be read: {why}")
        if time.monotonic() >= self._next_health_s:
            self._check_root()
        self._follow(self._next_hints())
        self._folders.advance(lambda: self.room)
        ended = self.sweeps.advance(self.room, self._still_same)
        if not self.sweeps.is_listing_part and self._lobby.admit():
            self.sweeps.soon()
        if ended is not None:
            self.health.complain("listing", ended)
            self.health.complain("gone", self.sweeps.missed)
        self._settle()
        if self._fault:
            self._fault = ""
            self.health.complain("scout", "")

    def _next_hints(self) -> list[Hint]:
        room = self.room
        hints: list[Hint] = []
        if room:
            hints = self._hints.take(self._idle_s(room), min(STRETCH, room))
        elif not self.sweeps.busy(room):
            self._stopping.wait(0.1)
        if self._hints.lost:
            self._hints.lost = False
            self.sweeps.soon()
        return hints

    def _idle_s(self, room: int) -> float:
        """How long a round may wait for hints."""
        if self.sweeps.busy(room) or len(self._folders):
            return 0.0
        now_s = time.monotonic()
        due = [self._next_health_s, self.sweeps.due_s, now_s + 1.0]
        if (settled := self._lobby.next_due_s()) is not None:
            due.append(settled)
        return max(0.0, min(due) - now_s)

    def _check_root(self) -> None:
        """Look at the root itself. Another device or folder in its place is swept from scratch.

        raises  OSError when it is not there, or its sentinel or its mount is not
        """
        news = self._footing.check(self._hints.put)
        self.sweeps.polled = self.means.polled
        self.sweeps.not_mounted = self._footing.not_mounted
        if news == "another":
            settle = self._settings.settle
            quiet_s = settle.quiet_polled_s if self.means.polled else settle.quiet_s
            self._forget_all(self._root.quiet_s or quiet_s)
            self.sweeps.begin_anew()
        elif news == "unheard":
            self.sweeps.soon()
        self._next_health_s = time.monotonic() + min(HEALTH_S, self._settings.sweep.hot_s)
        self._back_off_s = 1.0
        self.health.found()

    def _still_same(self) -> bool:
        """Look whether the root is what it was, and not only reachable."""
        before = self._footing.seen
        self._check_root()
        return self._footing.seen == before

    def _unreachable(self, why: str) -> None:
        """Believe nothing the root says until it is back; then begin from scratch."""
        self.sweeps.drop()
        self._forget_all()
        self._footing.lose(why)
        self._rest()
        self._next_health_s = 0.0

    def _lose_round(self) -> None:
        """Hints that were taken may have come to nothing: a sweep finds what they were about."""
        self.sweeps.drop()
        self.sweeps.soon()

    def _rest(self) -> None:
        """Wait, each time for longer."""
        self._stopping.wait(self._back_off_s)
        self._back_off_s = min(BACK_OFF_S, self._back_off_s * 2)

    def _forget_all(self, quiet_s: float | None = None) -> None:
        """Nobody looked for a while, or it is another root: files settle anew."""
        self._lobby.begin_anew(quiet_s)
        self._folders.drop()

    def _follow(self, hints: Sequence[Hint]) -> None:
        """Look where the hints point."""
        hints = [hint for hint in hints if not self._ignored.path(hint.path)]
        if files := [hint.path for hint in hints if not hint.is_folder]:
            self._found(self._look(files))
        for hint in hints:
            if hint.is_folder:
                self._folders.put(hint.path)

    def _found(self, seen: Seen) -> int:
        """Take what was seen into account; say how many files are new."""
        if seen.faults:
            self._refuse(seen.faults)
        return self._lobby.enter(seen.sightings, self.sweeps.changed)

    def _offer(self, sighting: Sighting, past: Past) -> bool:
        return not self._stopping.is_set() and self._take(sighting, past)

    def _settle(self) -> None:
        """Look again at what should have settled by now."""
        due = self._lobby.due(STRETCH)
        if not due:
            return
        seen = self._look(due)
        bad = [fault.path for fault in seen.faults] + [path for path, _ in seen.unlisted]
        for path in [*seen.absent, *bad]:
            self._lobby.forget(path)
        if seen.faults:
            self._refuse(seen.faults)
        for sighting in seen.sightings:
            self._lobby.look(sighting)

    def _look(self, paths: Sequence[str]) -> Seen:
        """Look at some files.

        raises  OSError when it is the share that is the trouble
        """
        seen = self._reach.call(lambda: look_at(self.root, paths, beat))
        for path, error in seen.unlisted:
            if error.errno in SHARE_GONE:
                raise error
            log.warning("not_looked_at", root=self.root, path=path, why=error.strerror)
        return seen
