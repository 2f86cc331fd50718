"""Edge: one event, one line, on standard error; no patient data in it.

At a terminal with colours, under systemd with the journal's priorities in front (sd-daemon(3)).
"""

import hashlib
import json
import logging
import os
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from ingestd import config

PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


def configure(options: config.Log, out: TextIO) -> None:
    """Set the one way to log, to `out`, for us and for the libraries that use `logging`."""
    style = options.format
    if style == "auto":
        style = "console" if out.isatty() else "logfmt"
    level = logging.getLevelNamesMapping()[options.level.upper()]
    shared: list[Any] = [
        *([] if options.paths == "full" else [hashed]),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        )
        if style == "json"
        else structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, *RENDERERS[style]()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)  # noqa: FBT003 -- the library's signature
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[Forward()], force=True)


class Forward(logging.Handler):
    """Sends the records of libraries our way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as an event of its library."""
        if record.name.startswith(("pydicom", "apscheduler")):
            return  # The one quotes header values; what the other has to tell, our listeners tell.
        structlog.get_logger().log(
            record.levelno,
            "library",
            name=record.name,
            says=record.getMessage(),
            error=record.exc_info and record.exc_info[0] and record.exc_info[0].__name__,
        )


def hashed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put a hash for a path below a root: senders write names of patients into names of files.

    `SELECT path FROM file WHERE starts_with(sha256(path), '...')` finds it again.
    """
    if isinstance(path := event.get("path"), str):
        event["path"] = hashlib.sha256(path.encode()).hexdigest()[:12]
    return event


def prioritized(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """Write `<6>started version="0.1.0"`: the priority, the event, and what varies, as JSON."""
    level = PRIORITY.get(event.pop("level"), 6)
    name = event.pop("event")
    if "JOURNAL_STREAM" in os.environ:
        del event["timestamp"]  # The journal has its own.
    return f"<{level}>{name}" + pairs(event)


def pairs(event: MutableMapping[str, Any]) -> str:
    """Write what varies as ` key="value"`; JSON's escapes keep it one line."""
    return "".join(f" {key}={json.dumps(value, default=str)}" for key, value in event.items())


RENDERERS: dict[str, Any] = {
    "console": lambda: [structlog.dev.ConsoleRenderer()],
    "json": lambda: [structlog.processors.JSONRenderer()],
    "logfmt": lambda: [prioritized],
}
