"""What workers are asked to do in tests: work, die, hang, eat memory, fail."""

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence

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
