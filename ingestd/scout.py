"""Wiring. The eyes on one root: hints and sweeps in, files whose sender has finished out.

One thread a root does all that root's looking, so that a share that hangs holds back nobody
else. Whoever waits for it asks `silent_s`.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from ingestd import config, watch
from ingestd.catalog import Catalog
from ingestd.errors import IngestError
from ingestd.files import look
from ingestd.hints import Hints, InFlight
from ingestd.model import Fault, Past, Sighting
from ingestd.rollcall import RollCall
from ingestd.rootcheck import Health, RootCheck, mountinfo
from ingestd.settle import Settling
from ingestd.sweep import SHARE_TROUBLE, Ignored, Seen, fault, left, sweep

log = structlog.get_logger()

SETTLING_FILES = 20_000  #: how many files of a root may settle at once; the rest waits outside
HINTS = 50_000  #: how many hints may wait; beyond that a sweep takes their place
ROUND_FILES = 2_000  #: how many looks between two glances at the hints
HEALTH_S = 5.0  #: how often the root itself is looked at
BACK_OFF_S = 60.0  #: the longest wait between two looks at an unreachable root


@dataclass(slots=True)
class _Listing:
    """A sweep under way."""

    stretches: Iterator[Seen]
    since_s: float
    files: int = 0
    unlisted: list[str] = field(default_factory=list)
    unreadable: int = 0  #: of these, how many are there all the same


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
    ) -> None:
        self.root, self.name = root.key, root.name or root.key
        self.means = watch.choose(self.root, root.watch, mountinfo())
        self.health = health
        self.swept_files = 0  #: files that the last whole sweep saw
        self.sweep_s = 0.0  #: how long it took
        self._root, self._settings = root, settings
        self._ledger, self._roll, self._kernel = ledger, roll, kernel
        self._offer, self._refuse = offer, refuse
        self._ignored = Ignored.of(root.ignore)
        quiet_s = root.quiet_s or (
            settings.settle.quiet_s
            if self.means.how == "events"
            else settings.settle.quiet_polled_s
        )
        self._settling = Settling(quiet_s=quiet_s, limit=SETTLING_FILES)
        self._past: dict[str, Past] = {}
        self._hints = Hints(HINTS)
        self._in_flight = InFlight()
        self._check = RootCheck(self.root, root.sentinel)
        self._listing: _Listing | None = None
        self._next_sweep_s = 0.0
        self._next_health_s = 0.0
        self._back_off_s = 1.0
        self._alive_s = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"scout {self.root}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, soon."""
        self._stopping.set()
        self._hints.wake()

    def join(self, within_s: float) -> None:
        """Wait for the end; a thread that hangs in the kernel is left to itself."""
        self._thread.join(max(0.0, within_s))

    @property
    def silent_s(self) -> float:
        """How long ago this scout last got anywhere; large when its share hangs."""
        return time.monotonic() - self._alive_s

    @property
    def waiting(self) -> int:
        """How many files are settling."""
        return len(self._settling)

    def hint(self, paths: Sequence[str]) -> None:
        """Ask for a look at these files."""
        for path in paths:
            self._hints.put(watch.Hint(path=path, is_folder=False))

    def lost_hints(self) -> None:
        """The kernel dropped events: sweep."""
        self._hints.lose()

    def done(self, paths: Sequence[str]) -> None:
        """These files have an outcome; what was said of them meanwhile counts now."""
        self.hint(self._in_flight.done(paths))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._alive_s = time.monotonic()
            try:
                try:
                    self._round()
                except OSError as error:
                    self._unreachable(error.strerror or type(error).__name__)
            except IngestError as error:  # The catalog halts; the folder keeps everything.
                self._listing = None
                log.warning("scout_waits", root=self.root, reason=str(error.reason))
                self._stopping.wait(self._back_off_s)
            except Exception:
                self._listing = None
                if not self._stopping.is_set():
                    log.exception("scout_failed", root=self.root)
                    self._stopping.wait(self._back_off_s)

    def _round(self) -> None:
        """One turn: the root, the hints, a stretch of the sweep, what has settled."""
        now_s = time.monotonic()
        if now_s >= self._next_health_s:
            self._check_root()
        if (room := self._settling.room) > 0:
            hints = self._hints.take(self._idle_s(now_s), min(ROUND_FILES, room))
        else:
            hints = []
            self._stopping.wait(0.1)
        if self._hints.lost:
            self._hints.lost = False
            self._next_sweep_s = 0.0
        self._follow(hints)
        if self._listing is None and time.monotonic() >= self._next_sweep_s:
            self._begin_sweep()
        if self._listing is not None and self._settling.room > ROUND_FILES:
            self._sweep_on(self._listing)
        self._settle()

    def _idle_s(self, now_s: float) -> float:
        """How long a round may wait for hints."""
        if self._listing is not None and self._settling.room > ROUND_FILES:
            return 0.0
        due = [self._next_health_s, self._next_sweep_s, now_s + 1.0]
        if (settled := self._settling.next_due_s()) is not None:
            due.append(settled)
        return max(0.0, min(due) - now_s)

    def _check_root(self) -> None:
        """Look at the root itself. Another device or folder in its place is swept from scratch.

        raises  OSError when it is not there, or its sentinel is not
        """
        if self._check.look():
            self.means = watch.choose(self.root, self._root.watch, mountinfo())
            self._watch_kernel()
            self._next_sweep_s, self._listing = 0.0, None
        self._next_health_s = time.monotonic() + HEALTH_S
        self._back_off_s = 1.0
        self.health.better("unreachable")

    def _watch_kernel(self) -> None:
        if self.means.how != "events":
            return
        try:
            self._kernel.add(self.root, self._hints.put)
        except OSError as error:
            why = f"no kernel events ({error.strerror}); raise fs.inotify.max_user_watches"
            self.means = watch.Means(how="poll", why=why)
            log.warning("root_polled", root=self.root, why=why)

    def _unreachable(self, why: str) -> None:
        """Believe nothing the root says until it is back."""
        self._listing = None
        self._check.forget()
        self._kernel.remove(self.root)
        self.health.set("unreachable", why)
        self._stopping.wait(self._back_off_s)
        self._back_off_s = min(BACK_OFF_S, self._back_off_s * 2)
        self._next_health_s = 0.0

    def _follow(self, hints: Sequence[tuple[str, bool]]) -> None:
        """Look where the hints point."""
        sightings = []
        for path, is_folder in hints:
            if self._ignored.path(path):
                continue
            if is_folder:
                self._sweep_below(path)
            else:
                sightings.extend(self._look(path))
        self._consider(sightings)

    def _sweep_below(self, path: str) -> None:
        """List a folder that is new: its files may have come before the kernel watched it."""
        try:
            for seen in sweep(self.root, self._ignored, below=path, stretch=ROUND_FILES):
                self._take(seen)
                if self._settling.room <= ROUND_FILES:
                    self._hints.lose()  # More than fits now: the sweep, which waits for room.
                    return
        except (FileNotFoundError, NotADirectoryError):
            return  # It left again; if it comes back, so does a hint, or the sweep finds it.

    def _begin_sweep(self) -> None:
        self._roll.begin()
        stretches = sweep(self.root, self._ignored, stretch=ROUND_FILES)
        self._listing = _Listing(stretches, time.monotonic())

    def _sweep_on(self, listing: _Listing) -> None:
        """Take the next stretch of the sweep under way."""
        seen = next(listing.stretches, None)
        if seen is not None:
            listing.files += len(seen.sightings)
            listing.unlisted += [path for path, _ in seen.unlisted]
            listing.unreadable += sum(not left(error) for _, error in seen.unlisted)
            self._roll.note(
                [*(look.path for look in seen.sightings), *(fault.path for fault in seen.faults)]
            )
            self._take(seen)
            return
        self._listing = None
        before = self._check.identity
        self._check_root()
        # What was listed counts only if it is still the same root.
        if self._check.identity == before:
            self._end_sweep(listing)

    def _end_sweep(self, done: _Listing) -> None:
        self._roll.end(done.unlisted)
        self.swept_files = done.files
        self.sweep_s = time.monotonic() - done.since_s
        if done.unreadable:
            self.health.set("degraded", f"{done.unreadable} folders or files not readable")
        else:
            self.health.better("degraded")
        polled = self.means.how == "poll"
        every_s = self._settings.sweep.hot_s if polled else self._settings.sweep.full_sweep_s
        # A sweep takes at most a tenth of the time; the jitter keeps roots out of step.
        wait_s = max(every_s, 10 * self.sweep_s) * random.uniform(0.75, 1.25)  # noqa: S311 -- no secret
        self._next_sweep_s = time.monotonic() + wait_s
        log.debug("swept", root=self.root, files=self.swept_files, took_s=round(self.sweep_s, 3))

    def _take(self, seen: Seen) -> None:
        for path, error in seen.unlisted:
            if error.errno in SHARE_TROUBLE:
                raise error
            if not left(error):
                log.warning("not_listed", root=self.root, path=path, why=error.strerror)
        self._consider(seen.sightings)
        if seen.faults:
            self._refuse(seen.faults)

    def _consider(self, sightings: Sequence[Sighting]) -> None:
        """Let files settle that the ledger does not know as they are."""
        free = [look for look in sightings if not self._in_flight.has(look.path)]
        for sighting, past in self._ledger.unknown(free):
            if past.known:
                self._past[sighting.path] = past
            self._offer_settled(sighting)

    def _settle(self) -> None:
        """Look again at what should have settled by now."""
        for path in self._settling.due(time.monotonic(), ROUND_FILES):
            if self._stopping.is_set():
                return
            found = self._look(path)
            if not found:
                self._settling.forget(path)
                self._past.pop(path, None)
            for sighting in found:
                self._offer_settled(sighting)

    def _offer_settled(self, sighting: Sighting) -> None:
        if not self._settling.saw(sighting):
            return
        self._in_flight.add(sighting.path)
        if not self._offer(sighting, self._past.pop(sighting.path, Past())):
            self.done([sighting.path])

    def _look(self, path: str) -> list[Sighting]:
        """Look at one file: itself, or nothing when it left or is none."""
        try:
            return [look(self.root, path)]
        except IngestError as error:
            self._refuse([fault(self.root, path, error)])
            return []
        except OSError as error:
            if error.errno in SHARE_TROUBLE:
                raise
            if not left(error):
                log.warning("not_looked_at", root=self.root, path=path, why=error.strerror)
            return []
