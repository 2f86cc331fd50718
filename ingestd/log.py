"""Edge: one event, one line, on standard error; no patient data in it.

At a terminal with colours, under systemd with the journal's priorities in front (sd-daemon(3)).
"""

import faulthandler
import hashlib
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from ingestd.errors import ConfigError, IngestError, StateError

if TYPE_CHECKING:
    from ingestd import config

#: Libraries whose log records keep what varies apart from their words.
TEMPLATES = frozenset({"asyncio", "uvicorn", "watchdog"})
PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
COLOUR = {"critical": 31, "error": 31, "warning": 33, "info": 32, "debug": 2}  #: ECMA-48

_ours = logging.getLogger("ingestd.log")


class Logger:
    """`log.warning("refused", path=path, took_ms=3)`.

    The event is one fixed past-tense word, so that it can be counted; all that varies follows.
    """

    def debug(self, event: str, /, **at: Any) -> None:
        """For whoever looks for a fault."""
        self.log(logging.DEBUG, event, **at)

    def info(self, event: str, /, **at: Any) -> None:
        """As it should be."""
        self.log(logging.INFO, event, **at)

    def warning(self, event: str, /, **at: Any) -> None:
        """Somebody should know."""
        self.log(logging.WARNING, event, **at)

    def error(self, event: str, /, **at: Any) -> None:
        """Somebody must do something."""
        self.log(logging.ERROR, event, **at)

    def critical(self, event: str, /, **at: Any) -> None:
        """It cannot go on like this."""
        self.log(logging.CRITICAL, event, **at)

    def exception(self, event: str, /, **at: Any) -> None:
        """Tell of the exception that is being handled."""
        self.log(logging.ERROR, event, exc_info=True, **at)

    def log(
        self, level: int, event: str, /, *, exc_info: BaseException | bool | None = None, **at: Any
    ) -> None:
        """Write one line."""
        _ours.log(level, event, exc_info=exc_info, extra={"at": at})


def get_logger() -> Logger:
    """Give what a room writes its lines with."""
    return Logger()


def configure(options: "config.Log", out: TextIO) -> None:
    """Set the one way to log, to `out`, for us and for the libraries that use `logging`."""
    style = options.format
    if style == "auto":
        style = "console" if out.isatty() else "logfmt"
    level = logging.getLevelNamesMapping()[options.level.upper()]
    handler = logging.StreamHandler(out)
    render = partial(RENDERERS[style], is_journal=journaled(out))
    handler.setFormatter(Lines(render, hashes=options.paths != "full"))
    handler.addFilter(wanted)
    _ours.setLevel(level)
    logging.captureWarnings(True)  # noqa: FBT003 -- the library's signature
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)


def wanted(record: logging.LogRecord) -> bool:
    """Leave out libraries that quote header values, or say what our listeners tell."""
    return not record.name.startswith(("pydicom", "apscheduler"))


class Lines(logging.Formatter):
    """Makes one line of a record; one of a library is an event too."""

    def __init__(self, render: Callable[[dict[str, Any]], str], *, hashes: bool) -> None:
        super().__init__()
        self._render, self._hashes = render, hashes

    def format(self, record: logging.LogRecord) -> str:
        """Write event, what varies, level and time."""
        event: dict[str, Any] = {"event": record.getMessage(), **getattr(record, "at", {})}
        if record.name != _ours.name:
            event = {"event": "library", "name": record.name, "says": says(record)}
        if record.exc_info and record.exc_info[1]:
            event["error"] = traced(record.exc_info[1])
        if self._hashes and isinstance(path := event.get("path"), str):
            event["path"] = hashed(path)
        event["level"] = record.levelname.lower()
        at = datetime.fromtimestamp(record.created, UTC)
        event["timestamp"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._render(event)


def says(record: logging.LogRecord) -> str:
    """Give what a library says without what varies in it, which may be a path or a header's value.

    Of one that puts both into one text, say only where it spoke.
    """
    if record.name.split(".")[0] in TEMPLATES:
        return str(record.msg)
    return f"{record.module}, line {record.lineno}"


def traced(error: BaseException | None) -> str:
    """Say of an error what and where it was, and not its words: they may quote values and names."""
    told = []
    while error is not None:
        places = " < ".join(
            f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}"
            for frame in reversed(traceback.extract_tb(error.__traceback__))
        )
        words = f": {error}" if isinstance(error, ConfigError | StateError | IngestError) else ""
        if isinstance(error, OSError):
            words = f": {error.strerror}"
        told.append(f"{type(error).__name__}{words} at {places or 'no frame'}")
        error = error.__cause__ or error.__context__
    return "; after ".join(told)


def speak_for_all() -> None:
    """Write what nobody caught as an event too: Python itself would write what an error quotes."""
    log = get_logger()
    sys.excepthook = lambda _, error, __: log.critical("crashed", exc_info=error)
    threading.excepthook = lambda told: log.critical(
        "thread_crashed", thread=told.thread and told.thread.name, exc_info=told.exc_value
    )
    sys.unraisablehook = lambda told: log.error("unraisable", exc_info=told.exc_value)
    faulthandler.enable()  # A hang that systemd ends with SIGABRT says where each thread was.


def hashed(path: str) -> str:
    """Put a hash for a path below a root: senders write names of patients into names of files.

    `SELECT path FROM file WHERE starts_with(sha256(path), '...')` finds it again.
    """
    return hashlib.sha256(path.encode()).hexdigest()[:12]


def journaled(out: TextIO) -> bool:
    """Whether the journal reads this. Who was started by a service has its JOURNAL_STREAM, too."""
    try:
        there = os.fstat(out.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def prioritized(event: dict[str, Any], *, is_journal: bool) -> str:
    """Write `<6>started version="0.1.0"`: the priority, the event, and what varies, as JSON."""
    level = PRIORITY.get(event.pop("level"), 6)
    name = event.pop("event")
    if is_journal:
        del event["timestamp"]  # The journal has its own.
    return f"<{level}>{name}" + pairs(event)


def coloured(event: dict[str, Any], *, is_journal: bool) -> str:  # noqa: ARG001 -- as the others
    """Write time, level, event and what varies, for people."""
    level, name, at = event.pop("level"), event.pop("event"), event.pop("timestamp")
    line = f"\x1b[2m{at}\x1b[0m \x1b[{COLOUR[level]}m{level:<8}\x1b[0m \x1b[1m{name}\x1b[0m"
    return line + pairs(event)


def prioritized_json(event: dict[str, Any], *, is_journal: bool) -> str:
    """Write JSON; under systemd with the priority in front, which the journal takes off again."""
    line = json.dumps(event, default=str)
    return f"<{PRIORITY[event['level']]}>{line}" if is_journal else line


def pairs(event: Mapping[str, Any]) -> str:
    """Write what varies as ` key="value"`; JSON's escapes keep it one line."""
    return "".join(f" {key}={json.dumps(value, default=str)}" for key, value in event.items())


RENDERERS: dict[str, Callable[..., str]] = {
    "console": coloured,
    "json": prioritized_json,
    "logfmt": prioritized,
}
