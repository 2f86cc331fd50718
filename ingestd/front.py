"""Edge: a process that waits in front of the program, and can end when the program cannot.

A thread that waits in the kernel for a dead share keeps its whole process from ending, whoever
kills it. So a command that is to end does its work in a child, and whoever called it waits for
this process only, which never touches a share.
"""

import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from ingestd.worker import PR_SET_PDEATHSIG, silence

FAILED = 1  #: exit code of a program whose end was no exit
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def behind(work: Callable[[], object]) -> int:
    """Do `work` in a child process; give its exit code as soon as that is known."""
    ours, theirs = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # Until both know what to do with them.
    front, child = os.getpid(), os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        os.close(ours)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != front:
            os._exit(FAILED)
        _end(theirs, _done(work))
    os.close(theirs)
    woken = _wakes()
    for number in PASSED_ON:
        signal.signal(number, lambda signalled, _: os.kill(child, signalled))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    while ours not in select.select([ours, woken], [], [])[0]:
        os.read(woken, 64)
    told = os.read(ours, 1)
    if told:
        return told[0]
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _wakes() -> int:
    """Give what can be read as soon as a signal is here.

    One that comes just before a wait begins would otherwise be handled when that ends.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    return woken


def _done(work: Callable[[], object]) -> int:
    """Work, and give the exit code."""
    try:
        work()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
            return FAILED
        return ended.code or 0
    except BaseException:  # noqa: BLE001 -- as the interpreter does at its end
        sys.excepthook(*sys.exc_info())
        return FAILED
    return 0


def _end(theirs: int, code: int) -> None:
    """Let go of all that a caller may wait for, say how it ended, and end if the kernel lets us."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # Nobody reads any more.
        code = code or FAILED
    silence()
    for child in children():  # They hold our standard error as long as a worker hangs.
        os.kill(child, signal.SIGKILL)
    os.write(theirs, bytes([code]))
    os._exit(code)


def children() -> list[int]:
    """Name the processes that this one has begun."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat") as stat:
            if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(name))
    return found
