"""Edge: how a command ends that cannot go on: with words, an exit code, and slowly under systemd.

systemd starts a daemon again that ended badly, but not for ever (deploy/ingestd.service). A disk
that is full for an hour must not use that up: where a new start may do better, we wait before we
end. Where only a person can mend it, the exit code says so, and there is no new start.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ingestd.errors import BrokenStateError, ConfigError, IngestError, SqlError, StateError
from ingestd.screen import plain_lines

HALTED, USAGE = 1, 2
BROKEN = os.EX_DATAERR  #: to systemd alone, which has a name for this number, and shows it
LINGER_S = 60.0  #: with RestartSec= so long that StartLimitBurst= is never reached


@contextmanager
def told(*, is_service: bool = False) -> Iterator[None]:
    """Turn what a person can mend into a message and an exit code.

    is_service  it is one that systemd may start again
    """
    try:
        yield
    except (ConfigError, StateError, SqlError, IngestError, OSError) as error:
        words = words_of(error)
        code = USAGE if isinstance(error, ConfigError) else HALTED
        complain(words)
        if is_service and os.environ.get("NOTIFY_SOCKET") and code == HALTED:
            if isinstance(error, BrokenStateError):
                raise typer.Exit(BROKEN) from None
            linger(words)
        raise typer.Exit(code) from None


def words_of(error: Exception) -> str:
    """Say what went wrong, fit for a terminal and a journal."""
    if isinstance(error, OSError):
        return plain_lines(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return plain_lines(str(error))


def complain(words: str) -> None:
    """Write it to standard error; in the journal each line is an error."""
    from ingestd.log import PRIORITY, journaled  # noqa: PLC0415 -- most commands end well

    priority = f"<{PRIORITY['error']}>" if journaled(sys.stderr) else ""
    typer.echo("\n".join(f"{priority}{line}" for line in f"ingestd: {words}".split("\n")), err=True)


def linger(words: str) -> None:
    """Stay a while, with nothing in hand, and say why; SIGTERM ends it."""
    from ingestd.notify import Notifier  # noqa: PLC0415 -- as above

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # It would count as a good end.
    Notifier().status(f"HALTED, tried again every minute: {words}")
    time.sleep(LINGER_S)
