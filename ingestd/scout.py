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
from ingestd.footing import Footing
from ingestd.hints import Hints, InFlight
from ingestd.later import Held
from ingestd.log import get_logger
from ingestd.meters import Meters
from ingestd.model import Fault, Past, Sighting
from ingestd.reach import Reach, beat
from ingestd.rollcall import RollCall
from ingestd.rootcheck import Health
from ingestd.settle import Settling
from ingestd.sweep import SHARE_GONE, Ignored, Seen, left, look_at, sweep
from ingestd.sweeps import STRETCH, Sweeps

log = get_logger()

FILES = 20_000  #: how many files of a root may settle or wait for a worker; the rest waits outside
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
        self.health, self._meters = health, meters
        self._root, self._settings = root, settings
        self._ledger, self._offer, self._refuse = ledger, offer, refuse
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
        self._settling = Settling(quiet_s=settings.settle.quiet_polled_s, limit=FILES)
        self._past: dict[str, Past] = {}
        self._hints, self._in_flight = Hints(HINTS), InFlight()
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
        return len(self._settling)

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
        return max(0, FILES - len(self._settling) - len(self._in_flight))

    def hint(self, paths: Sequence[str]) -> None:
        """Ask for a look at these files."""
        for path in paths:
            self._hints.put(watch.Hint(path=path, is_folder=False))

    def lost_hints(self) -> None:
        """The kernel dropped events: sweep."""
        self._hints.lose()

    def done(self, paths: Sequence[str]) -> None:
        """They have an outcome; what was said of them meanwhile counts now."""
        for since_s in self._in_flight.since_s(paths):
            self._meters.arrived(time.monotonic() - since_s)
        self.hint(self._in_flight.done(paths))

    def held_up(self, paths: Sequence[str], why: str) -> None:
        """A worker hangs with a file of this root; these others were given back unread."""
        self._in_flight.done(paths)
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
                self.sweeps.drop()
                log.warning("scout_waits", root=self.root, reason=str(error.reason))
                self._stopping.wait(self._back_off_s)
            except Exception as error:
                self.sweeps.drop()
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
        ended = self.sweeps.advance(self.room, self._still_same)
        if ended is not None:
            self.health.complain("listing", ended)
            self.health.complain("gone", self.sweeps.missed)
        self._settle()
        if self._fault:
            self._fault = ""
            self.health.complain("scout", "")

    def _next_hints(self) -> list[tuple[str, bool]]:
        room = self.room
        if not room:
            self._stopping.wait(0.1)
            return []
        hints = self._hints.take(self._idle_s(room), min(STRETCH, room))
        if self._hints.lost:
            self._hints.lost = False
            self.sweeps.soon()
        return hints

    def _idle_s(self, room: int) -> float:
        """How long a round may wait for hints."""
        if self.sweeps.busy(room):
            return 0.0
        now_s = time.monotonic()
        due = [self._next_health_s, self.sweeps.due_s, now_s + 1.0]
        if (settled := self._settling.next_due_s()) is not None:
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
        self._forget_all(self._settling.quiet_s)
        self._footing.lose(why)
        self._rest()
        self._next_health_s = 0.0

    def _rest(self) -> None:
        """Wait, each time for longer."""
        self._stopping.wait(self._back_off_s)
        self._back_off_s = min(BACK_OFF_S, self._back_off_s * 2)

    def _forget_all(self, quiet_s: float) -> None:
        """Nobody looked for a while, or it is another root: files settle anew."""
        self._settling.begin_anew(quiet_s)
        self._past.clear()

    def _follow(self, hints: Sequence[tuple[str, bool]]) -> None:
        """Look where the hints point."""
        hints = [(path, is_folder) for path, is_folder in hints if not self._ignored.path(path)]
        if files := [path for path, is_folder in hints if not is_folder]:
            self._found(self._look(files))
        for path, is_folder in hints:
            if is_folder:
                self._sweep_below(path)

    def _sweep_below(self, path: str) -> None:
        """List a folder that is new: its files may have come before the kernel watched it."""
        listed = sweep(self.root, self._ignored, below=path, stretch=STRETCH, beat=beat)
        try:
            while (seen := self._reach.call(lambda: next(listed, None))) is not None:
                self._found(seen)
                if self.room <= STRETCH:
                    self._hints.lose()  # More than fits now: the sweep, which waits for room.
                    return
        except OSError as error:
            # If it left and comes back, so does a hint; else the sweep says what is wrong.
            if error.errno in SHARE_GONE:
                raise
            if not left(error):
                self._hints.lose()

    def _found(self, seen: Seen) -> int:
        """Let files settle that the ledger does not know as they are; say how many are new."""
        fresh = 0
        if seen.faults:
            self._refuse(seen.faults)
        free = [look for look in seen.sightings if not self._in_flight.has(look.path)]
        for sighting, past in self._ledger.unknown(free):
            if past.known:
                self._past[sighting.path] = past
            self.sweeps.changed(sighting.path)
            fresh += self._settling.since_s(sighting.path) is None
            self._offer_settled(sighting)
        return fresh

    def _settle(self) -> None:
        """Look again at what should have settled by now."""
        due = self._settling.due(time.monotonic(), STRETCH)
        if not due:
            return
        seen = self._look(due)
        bad = [fault.path for fault in seen.faults] + [path for path, _ in seen.unlisted]
        for path in [*seen.absent, *bad]:
            self._settling.forget(path)
            self._past.pop(path, None)
        if seen.faults:
            self._refuse(seen.faults)
        for sighting in seen.sightings:
            self._offer_settled(sighting)

    def _offer_settled(self, sighting: Sighting) -> None:
        since_s = self._settling.since_s(sighting.path)
        if self._stopping.is_set() or not self._settling.saw(sighting):
            return
        assert since_s is not None, "it settled unseen"
        self._meters.settled(sighting.seen_s - since_s)
        self._in_flight.add(sighting.path, since_s)
        if not self._offer(sighting, self._past.pop(sighting.path, Past())):
            self._in_flight.done([sighting.path])

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
