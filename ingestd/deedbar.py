"""Edge: how far something is that takes a while: a bar at a terminal, lines elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from ingestd.progress import LINE_S, Drawn, Written


class DeedBar(Drawn):
    """A bar on a terminal for what is done step by step."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._shown_s = 0.0

    def tell(self, doing: str, done: int, of: int | None) -> None:
        """Redraw, at most ten times a second."""
        now_s = time.monotonic()
        if now_s - self._shown_s >= 0.1:
            self._shown_s = now_s
            self._bar.update(self._task, description=doing, completed=done, total=of)


class DeedLines(Written):
    """Plain lines on standard error, for logs and pipes."""

    def tell(self, doing: str, done: int, of: int | None) -> None:
        """Write a line when the last one is a while ago."""
        now_s = time.monotonic()
        if now_s - self._shown_s >= LINE_S:
            self._shown_s = now_s
            print(f"{doing}: {done}" + (f" of {of}" if of else ""), file=sys.stderr)  # noqa: T201


def deed_progress() -> DeedBar | DeedLines:
    """Choose by where standard error goes."""
    return DeedBar() if sys.stderr.isatty() else DeedLines()
