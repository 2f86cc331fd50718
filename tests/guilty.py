"""What workers are asked to do in tests: work, die, hang, eat memory, fail."""

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from ingestd import tasks
from ingestd.model import SeriesJob

log = logging.getLogger("ingestd.guilty")


def add(numbers: Sequence[int], *, beat: Callable[[int], None]) -> int:
    for index, _ in enumerate(numbers):
        beat(index)
    return sum(numbers)


def act(deeds: Sequence[str], *, beat: Callable[..., None]) -> int:
    for index, deed in enumerate(deeds):
        beat(index)
        match deed:
            case "die":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                time.sleep(600)
            case "stall":
                beat(index, computing=True)
                time.sleep(600)
            case "spin":
                while True:
                    pass
            case "eat":
                bytearray(4 << 30)
            case "tell":
                log.debug("decoded", extra={"at": {"decoder": "charls"}})
            case "fail":
                raise ValueError("on purpose")
    return os.getpid()


def stack_badly(job: SeriesJob, *, beat: Callable[[int], None], **more: Any) -> Any:
    """Stack, but die or hang where the name of a file says so: in its header, or its pixels."""
    count = len(job.files)

    def heard(at: int) -> None:
        beat(at)
        if at < 2 * count:
            where = "pixels" if at >= count else "header"
            name = job.files[at % count].path
            while f"hang in {where}" in name:
                pass  # It computes: one that waits has trouble with its share.
            if f"die in {where}" in name:
                os.kill(os.getpid(), signal.SIGSEGV)

    return tasks.stack(job, beat=heard, **more)
