"""Edge: people downstream are told of events: by a command, by a POST, each in a thread of its own.

At least once: an event is done when its hook has ended well and the catalog has that, in this
order. In order for a series: while one of its events is tried again, the later ones wait, and
those of other series go on. Ingestion waits for none of it.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ingestd import calling, hookconfig, outbox
from ingestd.catalog import Catalog
from ingestd.errors import ConfigError, IngestError
from ingestd.log import get_logger
from ingestd.outbox import Event, Outbox

log = get_logger()

POLL_S = 0.5  #: how often the outbox is looked into
IDLE_S = 60.0  #: how often the cursor passes events that nobody asks for
PAUSE_S, PAUSES_S = 0.1, 30.0  #: after each failure in a row a little longer, up to a limit
HALT_S = 5.0  #: pause while the catalog cannot be written
STOP_S = 2.0 + calling.DEATH_S


class Again(NamedTuple):
    """When a key is tried again."""

    attempts: int
    next_s: float


class Hooks:
    """The hooks of the config; none when it names none."""

    def __init__(self, catalog: Catalog, options: hookconfig.Hooks) -> None:
        commands = ways(options)
        self._catalog, self._names = catalog, list(commands)
        self._stopping = threading.Event()
        self._hooks = [
            Hook(Outbox(catalog, name, options), command, options, self._stopping)
            for name, command in commands.items()
        ]

    def start(self) -> None:
        """Begin."""
        for hook in self._hooks:
            hook.start()

    def dismiss_others(self) -> None:
        """Forget hooks that this config does not name.

        For the daemon alone: a scan by hand, or an audit, may not know its config, and must not
        lose what is still to be told.
        """
        outbox.dismiss(self._catalog, self._names)

    def finish(self, tick: Callable[[], bool]) -> None:
        """Wait until all that is due was told; call `tick` meanwhile, until it says to stop."""
        since_s = time.monotonic()
        while tick() and any(hook.idle_s < since_s for hook in self._hooks):
            time.sleep(0.05)

    def stop(self) -> None:
        """End; what is under way is told again at the next start."""
        self._stopping.set()
        for hook in self._hooks:
            hook.join(STOP_S)


class Way(NamedTuple):
    """How a hook is told."""

    command: Sequence[str]
    environment: Mapping[str, str]


def ways(options: hookconfig.Hooks) -> dict[str, Way]:
    """Name the hooks and what is run for each.

    raises  as `token`
    """
    found = {}
    if options.command:
        found["command"] = Way(options.command, {})
    if options.url:
        poster = str(Path(__file__).with_name("post.py"))
        secret = {"INGESTD_HOOK_URL": options.url}  # Arguments can be seen by everybody.
        if options.token_file is not None:
            secret["INGESTD_HOOK_TOKEN"] = token(options.token_file)
        found["url"] = Way([sys.executable, "-I", "-S", poster], secret)
    return found


def token(path: Path) -> str:
    """Read a bearer token.

    raises  ConfigError when it cannot be read, or no header can carry it
    """
    try:
        content = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"[hooks] token_file = {path}: {error.strerror}") from error
    if not content or not all(ord("!") <= byte <= ord("~") for byte in content):
        raise ConfigError(
            f"[hooks] token_file = {path}: must hold one word of printable ASCII, and nothing else"
        )
    return content.decode("ascii")


class Hook(threading.Thread):
    """Tells one hook."""

    def __init__(
        self, box: Outbox, way: Way, options: hookconfig.Hooks, stopping: threading.Event
    ) -> None:
        super().__init__(name=f"hook {box.hook}", daemon=True)
        self.idle_s = 0.0  #: when it last began to look and found nothing that is due
        self._box, self._way, self._options, self._stopping = box, way, options, stopping
        self._again: dict[str, Again] = {}
        self._untold: list[Callable[[], None]] = []  # what the catalog could not be told yet
        self._failures = 0  # in a row, whatever they were about
        self._passed_s = time.monotonic()

    def run(self) -> None:
        """Tell until we stop."""
        while not self._stopping.is_set():
            begun_s = time.monotonic()
            try:
                told = self._round()
            except IngestError as error:
                log.warning("hook_halted", hook=self._box.hook, reason=str(error.reason))
                self._stopping.wait(HALT_S)
                continue
            except Exception:
                log.exception("hook_failed", hook=self._box.hook)
                self._stopping.wait(HALT_S)
                continue
            if not told:
                self.idle_s = begun_s
                self._stopping.wait(POLL_S)

    def _round(self) -> bool:
        """Tell what is due; False when nothing was."""
        while self._untold:
            self._untold[0]()
            del self._untold[0]
        now_s = time.monotonic()
        waiting = {key for key, again in self._again.items() if again.next_s > now_s}
        events = self._box.pending(waiting)
        for event in events:
            if self._stopping.is_set():
                return True
            if event.key not in waiting and not self._tell(event):
                waiting.add(event.key)
        if not events and now_s - self._passed_s > IDLE_S:
            self._passed_s = now_s
            self._box.go_on()
        return bool(events)

    def _tell(self, event: Event) -> bool:
        """Run the hook for one event; False when the later ones of its key have to wait."""
        attempts = self._again.get(event.key, Again(0, 0.0)).attempts + 1
        found = calling.call(
            self._way.command,
            self._box.letter(event),
            deadline_s=self._options.deadline_s,
            stopping=self._stopping.is_set,
            more={"INGESTD_EVENT": event.kind, **self._way.environment},
        )
        if self._stopping.is_set() and found.fault:
            return False
        level = log.warning if found.fault else log.info
        level(
            "hook_told" if not found.fault else "hook_refused",
            hook=self._box.hook,
            event_id=event.event_id,
            kind=event.kind,
            attempts=attempts,
            why=found.fault,
            output=found.output,
        )
        if not found.fault:
            self._failures = 0
            self._done(event, attempts, "")
            return True
        return self._failed(event, attempts, found.fault)

    def _failed(self, event: Event, attempts: int, fault: str) -> bool:
        """Try again later, or give up. Where all fails, the next one waits a little too."""
        self._failures += 1
        self._stopping.wait(min(self._failures * PAUSE_S, PAUSES_S))
        if attempts >= self._options.attempts:
            log.error("hook_given_up", hook=self._box.hook, event_id=event.event_id, why=fault)
            self._done(event, attempts, fault)
            return True
        wait_s = min(self._options.limit_s, self._options.first_s * 2 ** min(attempts - 1, 60))
        self._again[event.key] = Again(attempts, time.monotonic() + wait_s)
        return False

    def _done(self, event: Event, attempts: int, given_up: str) -> None:
        self._again.pop(event.key, None)
        self._untold.append(lambda: self._box.done(event, attempts, given_up=given_up))
        self._untold[0]()
        del self._untold[0]
