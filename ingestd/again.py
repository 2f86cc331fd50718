"""Edge: files are read again that no scout looks after: those of an archive, or of a scan."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

from ingestd.catalog import Catalog
from ingestd.hints import InFlight
from ingestd.log import get_logger
from ingestd.model import Past, Sighting
from ingestd.reach import Reach, beat
from ingestd.sweep import look_at

log = get_logger()

PAGE = 1000  #: files that are looked at at once


class Again:
    """Looks at files that are due, and offers them to the workers."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        deadline_s: float,
        offer: Callable[[Sighting, Past], bool],
    ) -> None:
        self._catalog, self._offer = catalog, offer
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._reaches: dict[str, Reach] = {}
        self._in_flight: dict[str, InFlight] = {}

    def look(self, root: str, paths: Sequence[str]) -> None:
        """Have those files read that the ledger does not know as they are, or that are due.

        raises  OSError when their folder is in trouble
        """
        with self._lock:
            reach = self._reaches.setdefault(root, Reach(root, deadline_s=self._deadline_s))
            in_flight = self._in_flight.setdefault(root, InFlight())
            for at in range(0, len(paths), PAGE):
                free = [path for path in paths[at : at + PAGE] if path not in in_flight]
                seen = reach.call(partial(look_at, root, free, beat))
                for path, error in seen.unlisted:
                    log.warning("not_looked_at", root=root, path=path, why=error.strerror)
                for sighting, past in self._catalog.unknown(seen.sightings):
                    in_flight.add(sighting, sighting.seen_s)
                    if not self._offer(sighting, past):
                        in_flight.done([sighting.path])

    def done(self, root: str, paths: Sequence[str]) -> None:
        """These files have an outcome, or were given back."""
        if root in self._in_flight:
            self._in_flight[root].done(paths)

    @property
    def is_busy(self) -> bool:
        """Whether files were offered that have no outcome yet."""
        return any(len(one) for one in list(self._in_flight.values()))

    def close(self) -> None:
        """Look no more."""
        for reach in list(self._reaches.values()):
            reach.close()
