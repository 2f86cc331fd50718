"""The container of one run: commands in it, what must hold, and the transcript."""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import container

PAGE = (container.PROJECT / "deploy" / "README.md").read_text()
STATE = "/var/lib/ingestd"
DROP = "/srv/dicom/incoming"
CONFIG = "/etc/ingestd/ingestd.toml"
ASK = f"ingestd sql --state {STATE} --format csv"


#: What two catalogs of the same files agree on, whatever happened on the way.
WHOLE = {
    "files": "SELECT count(*) FROM file",
    "states": "SELECT string_agg(s, ' ' ORDER BY s) FROM (SELECT if(state = 'duplicate',"
    " 'cataloged', state) || coalesce(reason, '') || count(*) AS s FROM file"
    " GROUP BY if(state = 'duplicate', 'cataloged', state), reason)",
    "instances": "SELECT bit_xor(hash(SOPInstanceUID, digest)) FROM instance",
    "tags": "SELECT count(*) FROM tag",
    "orphan tags": "SELECT count(*) FROM tag WHERE instance_id NOT IN"
    " (SELECT instance_id FROM instance)",
    "series": "SELECT bit_xor(hash(SeriesInstanceUID, state)) FROM series_state",
    "thumbnails": "SELECT count(thumbnail_path) FROM instance",
    "problems": "SELECT count(DISTINCT (SOPInstanceUID, kind)) FROM problem",
    "volumes": "SELECT bit_xor(hash(SeriesInstanceUID, stack, reason, shape)) FROM volume",
}


class Failed(Exception):
    """The service did not do what it should."""


class Boot:
    """One run: a container, and what was done in it, written down."""

    def __init__(self, out: IO[str], suite: str, dist: Path) -> None:
        self._out, self._since_s = out, time.monotonic()
        self._box = container.Container(
            suite,
            f"{container.PROJECT}:/checkout",
            f"{dist}:/dist",
            f"{container.wheels(suite)}:/wheels",
        )
        self.say(f"booted: {self.sh('systemctl --version | head -1', quiet=True)}")

    def __enter__(self) -> "Boot":
        return self

    def __exit__(self, *_: object) -> None:
        self._box.close()

    def say(self, line: str) -> None:
        """Write a line of the transcript."""
        stamp = f"[{time.monotonic() - self._since_s:6.1f} s] "
        for out in {self._out, sys.stdout}:
            print(stamp + line, file=out, flush=True)

    def sh(self, script: str, *, may_fail: bool = False, quiet: bool = False) -> str:
        """Run a script in the container; what it said is in the transcript."""
        if not quiet:
            self.say("$ " + script.replace("\n", "\n           $ "))
        done = self._box.sh(script, cwd="/root/ingestd" if self._unpacked else "/root")
        if not quiet and done.stdout.strip():
            self.say("  " + done.stdout.strip().replace("\n", "\n             "))
        if done.returncode and not may_fail:
            raise Failed(f"exit {done.returncode}: {script}\n{done.stdout}")
        return done.stdout.strip()

    _unpacked = False

    def check(self, words: str, *, holds: bool, but: object = "") -> None:
        """Hold something to be so."""
        if not holds:
            raise Failed(f"NOT SO: {words}: {but}")
        self.say(f"ok: {words}")

    def wait_for(self, words: str, what: Callable[[], object], *, within_s: float = 120) -> None:
        """Wait until something is so."""
        until_s = time.monotonic() + within_s
        while not what():
            if time.monotonic() > until_s:
                raise Failed(f"NOT SO within {within_s:g} s: {words}")
            time.sleep(0.3)
        self.say(f"ok: {words}")

    @property
    def leader(self) -> str:
        """The first process of the container, as this machine sees it."""
        return self._box.leader

    def block(self, title: str, *, first: int = 0, last: int | None = None) -> None:
        """Run blocks of a chapter of deploy/README.md, letter for letter."""
        (chapter,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
        self.say(f"--- deploy/README.md: {title}")
        blocks = re.findall(r"^```sh\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
        self.sh("systemctl reset-failed ingestd", quiet=True, may_fail=True)  # We start it often.
        for script in blocks[first:last]:
            self.sh(script.strip())

    def show(self, *names: str) -> list[str]:
        """Ask systemd about the service."""
        asked = " ".join(f"-p {name}" for name in names)
        said = self.sh(f"systemctl show ingestd {asked}", quiet=True)
        found = dict(line.split("=", 1) for line in said.splitlines())
        return [found[name] for name in names]

    def one(self, query: str) -> str:
        """Ask the catalog for one value; empty while nobody answers."""
        return self.sh(f'{ASK} "{query}" | tail -n 1', quiet=True, may_fail=True).strip('"')

    def journal(self) -> list[dict[str, str]]:
        """Give what the service wrote."""
        said = self.sh("journalctl -u ingestd -o json --no-pager", quiet=True)
        return [json.loads(line) for line in said.splitlines()]

    def catalog(self) -> dict[str, str]:
        """What the catalog holds, to be compared."""
        return {what: self.one(query) for what, query in WHOLE.items()}

    def said(self, words: str) -> bool:
        """Whether a line of the journal holds these words."""
        return any(words in str(line["MESSAGE"]) for line in self.journal())
