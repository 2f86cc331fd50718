"""Wiring. What commands ask for, done by themselves while no daemon runs."""

import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingestd import config, retries
from ingestd.deeds import deeds
from ingestd.errors import StateError
from ingestd.files import CATALOG_NAME
from ingestd.hands import ROOTS, Hands
from ingestd.works import Works

Tell = Callable[[str, int, int | None], None]


class Offline:
    """Owns a state folder for as long as one deed takes."""

    def __init__(self, settings: config.Config, state: Path, tell: Tell) -> None:
        if not (state / CATALOG_NAME).exists():
            raise StateError(f"{state}: there is no catalog here; name the right state folder")
        self._settings, self._state, self._tell = settings, state, tell
        self._stop = threading.Event()
        self._failure: BaseException | None = None

    def do(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Do it, and all that follows from it; give the result.

        raises  ConfigError, IngestError, StateError, OSError
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        with Works(
            as_they_are(self._settings),
            self._state,
            done=lambda _, __: None,
            failed=self._fail,
            halted=self._fail,
            remember=False,  # An audit would not see what is mended on the way.
        ) as works:
            changes = name == "retry" or bool(asked.get("repair"))

            def tell(doing: str, done: int, of: int | None) -> None:
                self._tell(doing, done, of)
                if changes:
                    works.series.tick(quiet_s=0.0)

            said = deeds(Hands(works=works))[name](asked, tell, self._stop.is_set)
            if changes:
                self._finish(works)
            if name == "retry":
                said["came_to"] = dict(sorted(works.conductor.tally.states.items()))
        if self._failure is not None:
            raise self._failure
        return said

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop.set()

    def _finish(self, works: Works) -> None:
        """Read what is due, once each, and stack what that leads to."""
        for (root,) in works.catalog.rows(ROOTS):
            skipped: list[str] = []
            while paths := retries.due_retries(works.catalog, root, skipped):
                if self._stop.is_set():
                    return
                with suppress(OSError):  # It cannot be reached; they stay due.
                    works.again.look(root, paths)
                works.conductor.drain(
                    lambda: self._tell("reading", works.conductor.tally.files, None)
                )
                still = set(retries.due_retries(works.catalog, root, skipped))
                skipped += [path for path in paths if path in still]
        works.series.finish(lambda: not self._stop.is_set())


def as_they_are(settings: config.Config) -> config.Config:
    """Let files stay in their drop folders: only a scan or the daemon takes them."""
    roots = [
        root.model_copy(update={"take": "index", "quarantine": None}) for root in settings.root
    ]
    return settings.model_copy(update={"root": tuple(roots)})
