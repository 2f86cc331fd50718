"""Edge: threads whose failure is the program's, not a silence."""

import threading
from collections.abc import Callable

from ingestd.log import get_logger

log = get_logger()


def thread(
    work: Callable[[], None], name: str, failed: Callable[[BaseException], None]
) -> threading.Thread:
    """Make a thread; `failed` is told when it ends with an error."""

    def guarded() -> None:
        try:
            work()
        except Exception as error:
            log.exception("thread_failed", thread=name)
            failed(error)

    return threading.Thread(target=guarded, name=name, daemon=True)
