"""The daemon as a process: started, asked, stopped, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from blake3 import blake3

import ingestd
from ingestd.errors import StateError

ENDS_S = 60  #: a daemon that was told to end has ended by then, on a busy machine too
COMMAND = [sys.executable, "-m", "ingestd"]
FAST = {
    "INGESTD_SETTLE__QUIET_S": "0.3",
    "INGESTD_SERIES__QUIET_S": "1.5",
    "INGESTD_SPACE__MIN_FREE_BYTES": "0",
}


def wait_for(what: Callable[[], Any], *, within_s: float = 60.0) -> Any:
    """Wait until `what()` is true, and give what it gave."""
    until_s = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < until_s, f"not within {within_s} s"
        time.sleep(0.1)
    return found


class Running:
    """A daemon on one drop folder, or more, and one state folder; `settings` are environment.

    user  who runs it; None: who runs the tests
    """

    def __init__(
        self,
        drop: Path,
        state: Path,
        *more: Path,
        config: Path | None = None,
        user: int | None = None,
        **settings: str,
    ) -> None:
        self.drop, self.state = drop, state
        roots = [part for root in (drop, *more) for part in ("--root", str(root))]
        what = ["--config", str(config)] if config else roots
        self.log = state.parent / "daemon.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "run", *what, "--state", str(state)],
                env=os.environ | FAST | settings,
                stderr=log,
                stdout=log,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        wait_for(self.answers)

    def answers(self) -> bool:
        """Whether it is up; fails when it has ended."""
        assert self.process.poll() is None, self.log.read_text()
        with suppress(StateError):
            status = ingestd.open(self.state).status()
            return status is not None and status["pid"] == self.process.pid
        return False

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Ask from this process."""
        return ingestd.open(self.state).sql(query).to_pylist()

    def one(self, query: str) -> Any:
        """Ask for one value; None while there is no catalog yet."""
        try:
            return next(iter(self.rows(query)[0].values()))
        except StateError:
            return None

    def root(self, path: Path) -> dict[str, Any]:
        """Say what `status` says of a root."""
        status = ingestd.open(self.state).status()
        return next(root for root in status["roots"] if root["root"] == str(path))

    def health(self, path: Path) -> str:
        """Say how a root is."""
        return str(self.root(path)["health"])

    def kill(self) -> None:
        """Take it away as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(ENDS_S)

    def stop(self) -> int:
        """Ask it to end, as systemd does, and give the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ENDS_S)


def scan(*folders: Path, state: Path, config: Path | None = None) -> dict[str, Any]:
    """Run `ingestd scan --json` as a process and give its summary."""
    more = ["--config", str(config)] if config else []
    done = subprocess.run(
        [*COMMAND, "scan", *map(str, folders), "--state", str(state), "--json", *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


#: Every table, without times, counts of attempts, and numbers given in the order of arrival. Of
#: several copies of one file any may be the one that was first.
ORACLE = {
    "file": "SELECT path, size_bytes, mtime_ns, reason, detail, digest, SOPInstanceUID,"
    " if(state = 'duplicate', 'cataloged', state) AS state FROM file",
    "copies": "SELECT digest, state, count(*) AS files FROM file"
    " WHERE state IN ('cataloged', 'duplicate') GROUP BY ALL",
    "instance": "SELECT * EXCLUDE (instance_id, root, path, ingested_utc) FROM instance",
    "tag": "SELECT SOPInstanceUID, t.* EXCLUDE (instance_id)"
    " FROM tag AS t JOIN instance USING (instance_id)",
    "volume": "SELECT * EXCLUDE (built_utc, revision) FROM volume",
    "volume_slice": "SELECT * FROM volume_slice",
    "series_state": "SELECT SeriesInstanceUID, state, evidence, expected, found, missing"
    " FROM series_state",
    "problem": "SELECT SOPInstanceUID, kind, keyword, raw, detail FROM problem",
}


def oracle(state: Path) -> dict[str, list[str]]:
    """Write out a catalog so that two of them can be compared."""
    client = ingestd.open(state)
    return {
        table: sorted(map(repr, client.sql(query).to_pylist())) for table, query in ORACLE.items()
    }


def everything(state: Path) -> dict[str, list[str]]:
    """The oracle, and the derived files with the digest of each."""
    derived = [
        f"{path.relative_to(state)} {blake3(path.read_bytes()).hexdigest()}"
        for folder in ("thumbnails", "volumes")
        for path in sorted((state / folder).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    return oracle(state) | {"derived": derived}


def settled(daemon: Running) -> bool:
    """Whether each file of its folder has an outcome and each series was judged."""
    files = sum(1 for path in daemon.drop.rglob("*") if path.is_file())
    open_series = "SELECT count(*) FROM series_state WHERE state IN ('receiving', 'quiet')"
    return (
        daemon.one("SELECT count(*) FROM file") == files
        and not daemon.one(open_series)
        and not ingestd.open(daemon.state).status()["open_series"]
    )
