"""Edge: a program of somebody else's is run once, within a time, whatever it does.

It has a process group of its own, and after its time all of that is killed. What it writes is read
as it comes, so that it never waits for us, and kept up to a limit.
"""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, NamedTuple

OUTPUT_BYTES = 4096  #: of its output; the rest is read and forgotten
LAST_READS = 16  #: of 64 KiB each, which is more than a pipe holds, once it has ended
LOOK_S = 0.2  #: how often we see whether we are to stop
DEATH_S = 2.0  #: a killed process that waits in the kernel is left behind after this

#: Between systemd and us, and nobody else's.
OURS = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})


class Called(NamedTuple):
    """What came of it."""

    fault: str  #: empty when all went well
    output: str


def call(
    command: Sequence[str],
    content: bytes,
    *,
    deadline_s: float,
    stopping: Callable[[], bool],
    more: Mapping[str, str],
) -> Called:
    """Run a program without a shell and wait for its end.

    content     on its standard input
    deadline_s  after so long it is killed, with all it has started
    stopping    the same, as soon as this is so
    more        environment, besides our own
    """
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment.update(more)
    with tempfile.TemporaryFile() as given:
        given.write(content)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 -- it is the config that names it
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            return Called(f"cannot be run: {error.strerror}", "")
    assert process.stdout is not None, "its output was asked for"
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        ended, output = _listen(process, pipe, time.monotonic() + deadline_s, stopping)
    text = output.decode("utf-8", "replace").strip()
    if ended:
        code = process.returncode
        return Called("" if code == 0 else _words(code), text)
    why = "was ended: we stop" if stopping() else f"took longer than {deadline_s:g} s"
    return Called(why, text)


def _listen(
    process: "subprocess.Popen[bytes]",
    pipe: IO[bytes],
    until_s: float,
    stopping: Callable[[], bool],
) -> tuple[bool, bytearray]:
    """Read what it writes until it ends, and say whether it did; or kill it."""
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while process.poll() is None:
            left_s = min(LOOK_S, until_s - time.monotonic())
            if left_s <= 0 or stopping():
                _kill(process)
                return False, output
            if selector.get_map():
                if selector.select(left_s) and not _read(pipe, output):
                    selector.unregister(pipe)
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(left_s)
    for _ in range(LAST_READS):  # One that it left behind may go on writing for ever.
        if not _read(pipe, output):
            break
    return True, output


def _read(pipe: IO[bytes], output: bytearray) -> bool:
    """Take what is there; False when there is nothing, now or for good."""
    try:
        some = os.read(pipe.fileno(), 1 << 16)
    except BlockingIOError:  # A process that it left behind may hold the other end for ever.
        return False
    output += some[: OUTPUT_BYTES - len(output)]
    return bool(some)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(DEATH_S)


def _words(code: int) -> str:
    return f"ended with {code}" if code > 0 else f"was killed by signal {-code}"
