"""Wiring. What a long life needs: derived files held against their rows, old events forgotten."""

import threading
import time
from datetime import timedelta

from ingestd.audit import DERIVED, Audit
from ingestd.catalog import utc_now
from ingestd.errors import IngestError
from ingestd.hands import Hands
from ingestd.log import get_logger
from ingestd.outbox import UNDELIVERED

log = get_logger()

FIRST_S = 300.0  #: derived files are first looked at so soon after the start
LOOK_S = 5.0  #: how often it is asked whether something is due
FORGET_S = 3600.0

#: What somebody is still to be told of stays, however old. That the file of an instance was
#: overwritten is remembered for as long as the instance.
FORGET_EVENTS = f"""
    DELETE FROM event
    WHERE at_utc < ? AND kind <> 'source_lost' AND NOT ({UNDELIVERED})
"""
FORGET_PROBLEMS = "DELETE FROM problem WHERE at_utc < ? AND kind <> 'source_lost'"


class Upkeep:
    """Two jobs; the one that takes long has a thread of its own."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        check_s = hands.works.settings.derived.check_s
        self._due_s = time.monotonic() + min(FIRST_S, check_s)

    def stop(self) -> None:
        """End what is under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def check_derived(self) -> None:
        """Begin to hold derived files against their rows, when it is time."""
        works = self._hands.works
        idle = self._thread is None or not self._thread.is_alive()
        held = works.conductor.paused or works.conductor.halted is not None
        if time.monotonic() < self._due_s or not idle or held:
            return
        self._due_s = time.monotonic() + works.settings.derived.check_s
        self._thread = threading.Thread(target=self._check, name="derived", daemon=True)
        self._thread.start()

    def _check(self) -> None:
        audit = Audit(
            hands=self._hands,
            tell=lambda *_: None,
            stopping=self._stop.is_set,
        )
        try:
            found = audit.mend_once(DERIVED)
        except IngestError as error:
            log.warning("job_halted", job="check_derived", reason=str(error.reason))
            return
        except Exception:
            if not self._stop.is_set():
                log.exception("job_failed", job="check_derived")
            return
        for why in found.unproven:
            log.warning("derived_unchecked", why=why)
        if found.counts:
            log.warning("derived_mended", **found.counts)

    def forget(self) -> None:
        """Delete events and problems that are older than the config wants them."""
        retention = self._hands.works.settings.retention
        with self._hands.works.catalog.transaction() as db:
            for statement, days in (
                (FORGET_EVENTS, retention.event_days),
                (FORGET_PROBLEMS, retention.problem_days),
            ):
                if days:
                    db.execute(statement, [utc_now() - timedelta(days=days)])
