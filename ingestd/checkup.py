"""Edge: what `ingestd doctor` finds out besides the roots: clocks, codecs, DuckDB, service."""

import importlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from ingestd import config, sql
from ingestd.errors import SqlError, StateError
from ingestd.files import CATALOG_NAME, free_bytes
from ingestd.finding import Finding
from ingestd.reach import Reach

STORE_S = 10.0  #: an archive that gets nowhere for so long hangs
SKEW_S = 5.0  #: clocks that differ by less are good enough
UNIT = "ingestd.service"

#: Decoders of imagecodecs that a syntax depends on, by what imagecodecs calls them.
CODECS = ("JPEG8", "LJPEG", "JPEGLS", "JPEG2K", "HTJ2K", "JPEGXL", "DEFLATE")


def machine(settings: config.Config, state: Path) -> Iterator[Finding]:
    """Look at all that is the same for every root."""
    for place in stores(settings, state):
        yield from look_at_store(place, settings.space.min_free_bytes)
    yield codecs()
    yield catalog(state)
    yield service(state)


def stores(settings: config.Config, state: Path) -> list[Path]:
    """Name the folders that we write to."""
    takes = any(root.take != "index" for root in settings.root)
    archive = [settings.archive.path] if takes and settings.archive.path else []
    asides = {root.quarantine for root in settings.root if root.quarantine is not None}
    return [state, *archive, *sorted(asides)]


def look_at_store(place: Path, least_bytes: int) -> list[Finding]:
    """Say of a folder that we write to whether that works, and how much is free; it may hang."""
    reach = Reach(str(place), deadline_s=STORE_S)
    tell = "run doctor as the user of the service: runuser -u ingestd -- ..."
    try:
        return reach.call(
            lambda: [room(place, least_bytes), *([clock(place, tell)] if place.is_dir() else [])]
        )
    except OSError as error:
        words = f"cannot be reached: {error.strerror}"
        advice = "mount it, or look after its server: nothing is put there until then"
        return [Finding(what=str(place), state="bad", detail=words, advice=advice)]
    finally:
        reach.close()


def room(place: Path, least_bytes: int) -> Finding:
    """Say how much is free in a folder that we write to."""
    free = free_bytes(place)
    words = f"{free / 1e9:.1f} GB are free; work stops below {least_bytes / 1e9:.1f} GB"
    if free < least_bytes:
        return Finding(what=str(place), state="bad", detail=words, advice="make room there")
    if free < 3 * least_bytes:
        return Finding(what=str(place), state="warning", detail=words, advice="make room soon")
    return Finding(what=str(place), state="good", detail=words)


def clock(place: Path, unknown: str) -> Finding:
    """Compare the clock of whoever keeps a folder with ours, by a file that is made there."""
    what = f"clock of {place}"
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".ingestd-doctor-") as out:
            before_s = time.time()
            out.write(b"x")
            out.flush()
            os.fsync(out.fileno())
            ahead_s = os.stat(out.name).st_mtime - before_s
    except OSError as error:
        words = f"not known, for nothing can be written there: {error.strerror}"
        return Finding(what=what, state="bad", detail=words, advice=unknown)
    return compared(what, ahead_s)


def compared(what: str, ahead_s: float) -> Finding:
    """Judge by how much a clock is ahead of ours."""
    if abs(ahead_s) <= SKEW_S:
        return Finding(what=what, state="good", detail="goes with ours")
    way = "ahead of" if ahead_s > 0 else "behind"
    return Finding(
        what=what,
        state="warning",
        detail=f"{abs(ahead_s):.0f} s {way} ours; nothing is lost by it, but its times mislead",
        advice="let both follow one time server (timedatectl set-ntp true)",
    )


def codecs() -> Finding:
    """Say which decoders are there."""
    imagecodecs = importlib.import_module("imagecodecs")
    missing = [name for name in CODECS if not getattr(imagecodecs, name).available]
    words = f"imagecodecs {version('imagecodecs')}, gdcm {version('python-gdcm')}"
    if not missing:
        return Finding(what="codecs", state="good", detail=f"{words}: all that DICOM uses")
    return Finding(
        what="codecs",
        state="bad",
        detail=f"{words}: without {', '.join(missing)}",
        advice="install imagecodecs from its wheel: pip install --force-reinstall imagecodecs",
    )


def catalog(state: Path) -> Finding:
    """Say which DuckDB there is, and which made the catalog."""
    ours = f"DuckDB {version('duckdb')}"
    place = state / CATALOG_NAME
    known = len(sql.migrations())
    try:
        head = header(place)
    except FileNotFoundError:
        words = f"{ours}; no catalog yet, it will be at migration {known}"
        return Finding(what="catalog", state="good", detail=words)
    except OSError as error:
        advice = "give this user the right to read it: add it to the group ingestd"
        words = f"{ours}; {place} cannot be read: {error.strerror}"
        return Finding(what="catalog", state="bad", detail=words, advice=advice)
    if head is None:
        advice = "put it aside and restore a backup"
        words = f"{ours}; {place} is no DuckDB file"
        return Finding(what="catalog", state="bad", detail=words, advice=advice)
    return migrated(f"{ours}; the file has format {head[0]}, of DuckDB {head[1]}", state, known)


def header(place: Path) -> tuple[int, str] | None:
    """Read the format and the DuckDB that wrote a file; None when it is no DuckDB file.

    raises  OSError
    """
    with place.open("rb") as file:
        head = file.read(84)
    if head[8:12] != b"DUCK" or len(head) < 84:
        return None
    (number,) = struct.unpack_from("<Q", head, 12)
    return int(number), head[52:84].split(b"\0")[0].decode("ascii", "replace").removeprefix("v")


def migrated(words: str, state: Path, known: int) -> Finding:
    """Say how the catalog's migrations stand against those that this program knows."""
    from ingestd.client import Client  # noqa: PLC0415 -- it needs a catalog

    try:
        rows = Client(state).rows("SELECT max(number) AS number FROM migration")
    except (StateError, SqlError) as error:
        advice = "see what it says; restore a backup if the file is damaged"
        return Finding(what="catalog", state="bad", detail=f"{words}; {error}", advice=advice)
    number = int(rows[0]["number"])
    words = f"{words}; migration {number} of {known}"
    if number > known:
        advice = "install the newer ingestd that made it, or restore the copy from before"
        return Finding(what="catalog", state="bad", detail=words, advice=advice)
    if number < known:
        advice = "nothing to do: the next start copies it, and migrates it"
        return Finding(what="catalog", state="warning", detail=words, advice=advice)
    return Finding(what="catalog", state="good", detail=words)


def service(state: Path) -> Finding:
    """Say whether the daemon runs, and what systemd knows of it."""
    from ingestd.asking import ask_daemon  # noqa: PLC0415 -- HTTP takes its time

    answer = None
    try:
        answer = ask_daemon(state, "GET", "/status")
    except (StateError, SqlError, OSError) as error:
        words = f"the daemon does not answer: {error}"
        return Finding(what="service", state="bad", detail=words, advice=look_into())
    known = unit()
    if answer is None:
        failed = known.startswith(("failed", "activating"))
        words = f"no daemon runs on {state}{known and f'; systemd says {known}'}"
        advice = look_into() if failed else "systemctl start ingestd, or ingestd run"
        return Finding(
            what="service", state="bad" if failed else "warning", detail=words, advice=advice
        )
    status = json.loads(answer.content)
    words = f"process {status['pid']}, version {status['version']}{known and f'; {known}'}"
    for trouble in ("halted", "stuck", "config_refused", "restart_wanted"):
        if status.get(trouble):
            words += f"; {trouble}: {status[trouble]}"
            return Finding(what="service", state="bad", detail=words, advice="ingestd status")
    return Finding(what="service", state="good", detail=words)


def look_into() -> str:
    """Say where to look."""
    return "journalctl -u ingestd -p warning"


def unit() -> str:
    """Ask systemd for the unit's state; empty where there is no systemd, or no such unit."""
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        return ""
    names = ("LoadState", "ActiveState", "Result", "NRestarts")
    asked = [f"--property={name}" for name in names]
    done = subprocess.run(  # noqa: S603 -- no word of this comes from outside
        ["systemctl", "show", UNIT, *asked],  # noqa: S607 -- where it is differs
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if found.get("LoadState") != "loaded":
        return ""
    return f"{found['ActiveState']}, result {found['Result']}, {found['NRestarts']} restarts"
