"""Edge: one event, one line, on standard error; no patient data in it.

At a terminal with colours, under systemd with the journal's priorities in front (sd-daemon(3)).
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ingestd import config

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
    handler.setFormatter(Lines(RENDERERS[style], hashes=options.paths != "full"))
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
            event = {"event": "library", "name": record.name, "says": record.getMessage()}
            event["error"] = record.exc_info and record.exc_info[0] and record.exc_info[0].__name__
        elif record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if self._hashes and isinstance(path := event.get("path"), str):
            event["path"] = hashed(path)
        event["level"] = record.levelname.lower()
        at = datetime.fromtimestamp(record.created, UTC)
        event["timestamp"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._render(event)


def hashed(path: str) -> str:
    """Put a hash for a path below a root: senders write names of patients into names of files.

    `SELECT path FROM file WHERE starts_with(sha256(path), '...')` finds it again.
    """
    return hashlib.sha256(path.encode()).hexdigest()[:12]


def prioritized(event: dict[str, Any]) -> str:
    """Write `<6>started version="0.1.0"`: the priority, the event, and what varies, as JSON."""
    level = PRIORITY.get(event.pop("level"), 6)
    name = event.pop("event")
    if "JOURNAL_STREAM" in os.environ:
        del event["timestamp"]  # The journal has its own.
    return f"<{level}>{name}" + pairs(event)


def coloured(event: dict[str, Any]) -> str:
    """Write time, level, event and what varies, for people; a trace comes below."""
    level, name, at = event.pop("level"), event.pop("event"), event.pop("timestamp")
    trace = event.pop("exception", None)
    line = f"\x1b[2m{at}\x1b[0m \x1b[{COLOUR[level]}m{level:<8}\x1b[0m \x1b[1m{name}\x1b[0m"
    return line + pairs(event) + (f"\n{trace}" if trace else "")


def pairs(event: Mapping[str, Any]) -> str:
    """Write what varies as ` key="value"`; JSON's escapes keep it one line."""
    return "".join(f" {key}={json.dumps(value, default=str)}" for key, value in event.items())


RENDERERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "console": coloured,
    "json": lambda event: json.dumps(event, default=str),
    "logfmt": prioritized,
}
