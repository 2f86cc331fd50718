"""Edge: what systemd is told: ready, how it goes, still moving, reloading, stopping.

The protocol of sd_notify(3). Without systemd there is no socket, and nothing is said.
"""

import os
import socket
import threading
import time

from ingestd.log import get_logger
from ingestd.pulse import Pulse

log = get_logger()

SEND_S = 1.0  #: how long systemd may take to read what we say
LOOK_S = 10.0  #: how often we look whether we move, when nobody asks for a sign of life


class Notifier:
    """Speaks to systemd; a status that has not changed is not said again."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._status = ""
        self._unheard = False

    @property
    def watchdog_s(self) -> float:
        """How often systemd wants a sign of life, at least; 0 when it wants none."""
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return 0.0
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6

    def ready(self) -> None:
        """Say that we are up, at the start and after a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """Say that a new config is being looked at."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that we are on the way down."""
        self._say("STOPPING=1")

    def moving(self) -> None:
        """Give the sign of life."""
        self._say("WATCHDOG=1")

    def status(self, line: str) -> None:
        """Say how it goes, for `systemctl status`."""
        if line != self._status:
            self._status = line
            self._say("STATUS=" + line.replace("\n", " "))

    def _say(self, words: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(SEND_S)
                out.sendto(words.encode(), address)
        except OSError as error:
            if not self._unheard:
                log.warning("systemd_unheard", why=error.strerror or type(error).__name__)
            self._unheard = True
        else:
            self._unheard = False


class Watchdog:
    """A thread that looks whether all parts move, and tells systemd so only while they do."""

    def __init__(self, pulse: Pulse, notifier: Notifier) -> None:
        self.stuck: dict[str, float] = {}  #: parts that stand still, and for how long
        self._pulse, self._moving = pulse, notifier.moving
        self._every_s = min(notifier.watchdog_s / 3 or LOOK_S, LOOK_S)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        self._moving()
        while not self._over.wait(self._every_s):
            stuck = self._pulse.look(self._every_s)
            for part in stuck.keys() - self.stuck.keys():
                log.critical("stuck", part=part, silent_s=round(stuck[part]))
            for part in self.stuck.keys() - stuck.keys():
                log.warning("moves_again", part=part)
            self.stuck = stuck
            if not stuck:
                self._moving()
