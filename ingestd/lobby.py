"""Wiring. The files of one root from when they are found until they have an outcome."""

import time
from collections.abc import Callable, Sequence

from ingestd.catalog import Catalog
from ingestd.crowd import Crowd
from ingestd.hints import InFlight
from ingestd.meters import Meters
from ingestd.model import Past, Sighting
from ingestd.settle import Settling

FILES = 20_000  #: how many files of a root may settle or wait for a worker; the rest waits outside
SPARE = 2_000  #: so many more, when there is no room: of all that is found, some of each folder


class Lobby:
    """They settle, and then they wait for a worker. What finds no room stays in its folder.

    offer  given each file that has settled; gives False when we are stopping
    """

    def __init__(
        self,
        ledger: Catalog,
        *,
        quiet_s: float,
        offer: Callable[[Sighting, Past], bool],
        meters: Meters,
    ) -> None:
        self._ledger, self._offer, self._meters = ledger, offer, meters
        self._settling = Settling(quiet_s=quiet_s, limit=FILES)
        self._past: dict[str, Past] = {}
        self._in_flight = InFlight()
        self._crowd = Crowd(SPARE)

    @property
    def settling(self) -> int:
        """How many files are settling."""
        return len(self._settling)

    @property
    def room(self) -> int:
        """How many more files may settle or wait for a worker."""
        return max(0, FILES - len(self._settling) - len(self._in_flight))

    def enter(self, looks: Sequence[Sighting], changed: Callable[[str], None]) -> int:
        """Let files settle that the ledger does not know as they are; say how many are new.

        changed  called with the path of each that is new or changed
        """
        fresh = 0
        free = [look for look in looks if not self._in_flight.has(look)]
        for sighting, past in self._ledger.unknown(free):
            changed(sighting.path)
            is_new = self._settling.since_s(sighting.path) is None
            fresh += is_new
            if is_new and not self.room:
                self._crowd.put(sighting, past)
            else:
                self._let_settle(sighting, past)
        return fresh

    def admit(self) -> bool:
        """Take some of those that found no room, of each folder; say if others stay outside."""
        room = FILES + SPARE - len(self._settling) - len(self._in_flight)
        files, left_some = self._crowd.take(room)
        for sighting, past in files:
            self._let_settle(sighting, past)
        return left_some

    def _let_settle(self, sighting: Sighting, past: Past) -> None:
        if past.known:
            self._past[sighting.path] = past
        self.look(sighting)

    def look(self, sighting: Sighting) -> None:
        """Take another look at a file that settles into account."""
        since_s = self._settling.since_s(sighting.path)
        if not self._settling.saw(sighting):
            return
        assert since_s is not None, "it settled unseen"
        self._meters.settled(sighting.seen_s - since_s)
        self._in_flight.add(sighting, since_s)
        if not self._offer(sighting, self._past.pop(sighting.path, Past())):
            self._in_flight.done([sighting.path])

    def due(self, limit: int) -> list[str]:
        """Name up to `limit` files that must be looked at again now."""
        return self._settling.due(time.monotonic(), limit)

    def next_due_s(self) -> float | None:
        """When the next file must be looked at; None when nothing settles."""
        return self._settling.next_due_s()

    def forget(self, path: str) -> None:
        """Drop a file that is not there any more."""
        self._settling.forget(path)
        self._past.pop(path, None)

    def begin_anew(self, quiet_s: float | None = None) -> None:
        """Forget all that settle: nobody looked for a while, or other rules hold now."""
        self._settling.begin_anew(self._settling.quiet_s if quiet_s is None else quiet_s)
        self._past.clear()
        self._crowd.take(0)

    def done(self, paths: Sequence[str]) -> list[str]:
        """These have an outcome; name those that changed meanwhile, to be looked at again."""
        for since_s in self._in_flight.since_s(paths):
            self._meters.arrived(time.monotonic() - since_s)
        return self._in_flight.done(paths)

    def give_back(self, paths: Sequence[str]) -> None:
        """These were not read, and will not be for now."""
        self._in_flight.done(paths)
