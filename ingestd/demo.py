"""Wiring. `ingestd demo`: a drop folder is filled while the daemon runs, for people to watch."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ingestd import phantom
from ingestd.client import Client
from ingestd.errors import StateError
from ingestd.printing import as_table

#: A daemon in a hurry: the demo shows in seconds what takes minutes in earnest.
HASTE = {
    "INGESTD_SETTLE__QUIET_S": "0.4",
    "INGESTD_SERIES__QUIET_S": "2.5",
    "INGESTD_SPACE__MIN_FREE_BYTES": "0",
    "INGESTD_LOG__LEVEL": "info",
}
DROP_S = 0.02  #: pause between two files, as a slow sender has it
LIMIT_S = 50.0  #: what is not done by then will not be

#: What the demo asks in the end: a sentence, and the SQL that answers it.
QUESTIONS = (
    (
        "Which series are there, and are they complete?",
        """SELECT Modality, SeriesDescription, instances, state, evidence
FROM series WHERE PatientID LIKE 'DEMO%' ORDER BY Modality, SeriesDescription""",
    ),
    (
        "Which of them are volumes, and of which shape?",
        """SELECT SeriesDescription, split_by, shape,
  [round(mm, 2) FOR mm IN spacing_mm] AS spacing_mm, units, orientation
FROM volume JOIN series USING (SeriesInstanceUID)
WHERE volume.path IS NOT NULL ORDER BY ALL""",
    ),
    (
        "Patients, by names in three scripts:",
        """SELECT PatientName, PatientID, studies, instances
FROM patient WHERE PatientID LIKE 'DEMO%' ORDER BY PatientID""",
    ),
    (
        "A private element, by its creator:",
        """SELECT private_creator, tag, vr, value, count(*) AS instances FROM tag
WHERE private_creator LIKE 'INGESTD%' AND vr = 'LO' GROUP BY ALL ORDER BY ALL LIMIT 5""",
    ),
    (
        "What came twice, and what came late?",
        """SELECT 'copy of ' || i.path AS what, f.path FROM file AS f
JOIN instance AS i USING (SOPInstanceUID) WHERE f.state = 'duplicate'
UNION ALL
SELECT 'series re-opened: ' || detail, SeriesDescription
FROM late_arrival JOIN series USING (SeriesInstanceUID)""",
    ),
    ("What was refused, and why?", "SELECT path, reason, detail FROM refused ORDER BY path"),
)


class Stage:
    """What the audience sees: a table that changes at a terminal, lines elsewhere."""

    def __init__(self, console: Console, stories: Iterable[str]) -> None:
        self._dropped: Counter[str] = Counter()
        self._stories = list(dict.fromkeys(stories))
        self._known: dict[str, Any] = {}
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._said: set[str] = set()

    def __enter__(self) -> "Stage":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def dropped(self, item: phantom.Item) -> None:
        """A file was put into the folder."""
        self._dropped[item.story] += 1

    def show(self, progress: dict[str, Any]) -> None:
        """Show how far the daemon is."""
        self._known = progress
        if self._console.is_terminal:
            self._live.update(self._table())
            return
        for row in progress["series"]:
            line = f"{row['Modality']} {row['name']}: {row['state']}"
            if line not in self._said:
                self._said.add(line)
                self._console.print(line, highlight=False)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, title_justify="left")
        for name in ("dropped", "files"):
            table.add_column(name, justify="left" if name == "dropped" else "right")
        for name in ("", "series", "images", "state"):
            table.add_column(name, justify="right" if name == "images" else "left")
        rows = self._known.get("series", [])
        files = self._known.get("files", {})
        for index in range(max(len(self._stories), len(rows))):
            left = ("", "")
            if index < len(self._stories):
                left = (self._stories[index], str(self._dropped[self._stories[index]]))
            right = ("", "", "")
            if index < len(rows):
                row = rows[index]
                colour = COLOURS.get(row["state"], "white")
                state = f"[{colour}]{row['state']}[/{colour}]"
                right = (f"{row['Modality']} {row['name']}", str(row["instances"]), state)
            table.add_row(*left, "  │ ", *right)
        total = sum(self._dropped.values())
        done = ", ".join(f"{count} {state}" for state, count in files.items())
        table.add_section()
        table.add_row("[bold]all[/bold]", str(total), "  │ ", f"[bold]{done}[/bold]")
        return table


COLOURS = {
    "receiving": "cyan",
    "quiet": "blue",
    "complete": "green",
    "incomplete": "red",
    "unknown": "yellow",
}

PROGRESS = """
    SELECT Modality, coalesce(SeriesDescription, PatientID, '') AS name, instances, state
    FROM series WHERE PatientID LIKE 'DEMO%' ORDER BY first_arrival_utc, name
"""


def demonstrate(folder: Path | None, *, keep: bool) -> int:
    """Fill a drop folder while a daemon runs on it, and show what it makes of that.

    folder  where drop folder and state folder are made; a new temporary one by default
    keep    leave the daemon up
    return  the exit code: 0 when every file has an outcome and the late slice completed its series
    """
    console = Console(highlight=False)
    place = folder or Path(tempfile.mkdtemp(prefix="ingestd-demo-"))
    drop, state = place / "drop", place / "state"
    if state.exists() or drop.exists():
        raise StateError(f"{place}: a demo was here before; name another folder or remove it")
    drop.mkdir(parents=True)
    console.print(f"[bold]ingestd demo[/bold] in {place}: the daemon watches [bold]drop/[/bold]")
    daemon = begin(drop, state)
    try:
        played = play(console, drop, Client(wait_for_catalog(daemon, state)))
        if not played:
            console.print(f"Not all of it came to its end in time; see {place / 'daemon.log'}")
        answer(console, Client(state))
        point(console, place)
        if keep:
            stop = f"kill {daemon.pid}"
            console.print(f"The daemon is up: drop something into {drop}. End it with: {stop}")
    except BaseException:
        end(daemon)
        console.print(f"Stopped early; what there is lies in {place}", soft_wrap=True)
        raise
    if not keep:
        end(daemon)
    return 0 if played else 1


def begin(drop: Path, state: Path) -> "subprocess.Popen[bytes]":
    """Start the daemon as a process of its own, with its log beside the folders."""
    with (drop.parent / "daemon.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 -- our own command
            [sys.executable, "-m", "ingestd", "run", "--root", str(drop), "--state", str(state)],
            env=os.environ | HASTE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def end(daemon: "subprocess.Popen[bytes]") -> None:
    """Ask the daemon to end, and see that it does."""
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(15)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def wait_for_catalog(daemon: "subprocess.Popen[bytes]", state: Path) -> Path:
    """Wait until the daemon answers.

    raises  StateError with the end of its log when it does not
    """
    until_s = time.monotonic() + 30
    while not (state / "ingestd.sock").exists():
        if daemon.poll() is not None or time.monotonic() > until_s:
            log = (state.parent / "daemon.log").read_text()[-2000:]
            raise StateError(f"the daemon did not start:\n{log}")
        time.sleep(0.05)
    return state


def play(console: Console, drop: Path, client: Client) -> bool:
    """Drop everything, then what comes late; True when all of it came to its end."""
    items = list(phantom.items())
    with Stage(console, (item.story for item in items)) as stage:
        for item in items:
            if not item.late:
                put(drop, item, stage)
                stage.show(progress(client))
        early = sum(not item.late for item in items)
        if not wait(stage, client, lambda seen: settled(seen, early)):
            return False
        for item in items:
            if item.late:
                put(drop, item, stage)
        return wait(stage, client, lambda seen: settled(seen, len(items)) and reopened(client))


def put(drop: Path, item: phantom.Item, stage: Stage) -> None:
    """Copy one file into the folder, the way a sender does."""
    target = drop / item.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(item.content)
    stage.dropped(item)
    time.sleep(DROP_S)


def wait(stage: Stage, client: Client, until: Callable[[dict[str, Any]], bool]) -> bool:
    """Show progress until it is as it should be; False when that takes too long."""
    until_s = time.monotonic() + LIMIT_S / 2
    while time.monotonic() < until_s:
        seen = progress(client)
        stage.show(seen)
        if until(seen):
            return True
        time.sleep(0.15)
    return False


def progress(client: Client) -> dict[str, Any]:
    """Ask the daemon, by SQL like everybody else, how far it is."""
    files = client.sql("SELECT state, count(*) AS files FROM file GROUP BY ALL ORDER BY ALL")
    return {
        "files": {row["state"]: row["files"] for row in files.to_pylist()},
        "series": client.sql(PROGRESS).to_pylist(),
        "open": client.sql(
            "SELECT count(*) AS n FROM series_state WHERE state IN ('receiving', 'quiet')"
        ).to_pylist()[0]["n"],
    }


def settled(seen: dict[str, Any], files: int) -> bool:
    """Whether so many files have an outcome and every series is judged."""
    return bool(sum(seen["files"].values()) == files and seen["open"] == 0)


def reopened(client: Client) -> bool:
    """Whether the late slice made its series anew."""
    return bool(client.sql("FROM late_arrival").num_rows)


def answer(console: Console, client: Client) -> None:
    """Ask a few questions in SQL, and print question and answer."""
    for words, query in QUESTIONS:
        console.print(f"\n[bold]{words}[/bold]")
        console.print(query, style="dim", markup=False, soft_wrap=True)
        console.print(
            as_table(client.answer(query), console.width if console.is_terminal else None),
            markup=False,
            soft_wrap=True,
        )


def point(console: Console, place: Path) -> None:
    """Say where things are."""
    console.print("\n[bold]Where to look[/bold]")
    for what, where in (
        ("thumbnails", place / "state" / "thumbnails"),
        ("volumes", place / "state" / "volumes"),
        ("what the daemon said", place / "daemon.log"),
    ):
        console.print(f"  {what:<21} {where}", markup=False, soft_wrap=True)
    sql = f'ingestd sql "FROM study" --state {place / "state"}'
    console.print(f"  {'ask yourself':<21} {sql}", markup=False, soft_wrap=True)
