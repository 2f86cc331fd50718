"""Edge: how far a scan is: a bar at a terminal, a line now and then elsewhere."""

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_S = 5.0  #: away from a terminal, one line in so many seconds


class Drawn:
    """What is redrawn on a terminal while it is entered."""

    _bar: "Progress"

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class Written:
    """What writes a line on standard error now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._shown_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class Bar(Drawn):
    """A bar on a terminal: files and then series, how many a second, and what was refused."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 -- a pipe does without
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        self._doing, self._since_s = "reading", time.monotonic()
        self._shown_s = 0.0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}, {task.fields[refused]} refused"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("reading", total=None, rate="", refused=0)

    def show(self, *, found: int, done: int, refused: int, doing: str) -> None:
        """Redraw, at most ten times a second."""
        now_s = time.monotonic()
        if now_s - self._shown_s < 0.1 and done < found:
            return
        self._shown_s = now_s
        if doing != self._doing:
            self._doing, self._since_s = doing, now_s
        a_second = done / max(0.001, now_s - self._since_s)
        rate = f"{a_second:.0f} {'files' if doing == 'reading' else 'series'}/s"
        self._bar.update(
            self._task,
            total=found,
            completed=done,
            description=doing,
            rate=rate,
            refused=refused,
        )


class Lines(Written):
    """Plain lines on standard error, for logs and pipes."""

    def show(self, *, found: int, done: int, refused: int, doing: str) -> None:
        """Write a line when the last one is a while ago."""
        now_s = time.monotonic()
        if now_s - self._shown_s >= LINE_S:
            self._shown_s = now_s
            what = "files" if doing == "reading" else "series"
            print(f"{doing}: {done} of {found} {what}, {refused} files refused", file=sys.stderr)  # noqa: T201 -- this is the output


def progress() -> Bar | Lines:
    """Choose by where standard error goes."""
    return Bar() if sys.stderr.isatty() else Lines()
