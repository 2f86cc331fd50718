"""Edge: `ingestd doctor`: what of this machine helps or hinders, found out by really trying."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ingestd import canary, checkup, config, watch
from ingestd.files import open_inside
from ingestd.finding import Finding
from ingestd.reach import Reach, beat
from ingestd.rootcheck import look_at_root
from ingestd.sweep import Ignored, sweep

LOOK_S = 10.0  #: a share that gets nowhere for so long hangs
ENTRIES = 20_000  #: so much of a root is looked at; no doctor should take minutes

#: Limits of the kernel, what they should be at least, and what they are for.
LIMITS = (
    ("fs.inotify.max_user_watches", 131_072, "one for each folder below the local roots"),
    ("fs.inotify.max_user_instances", 64, "one for each local root"),
    ("fs.inotify.max_queued_events", 16_384, "events that may wait; when they are lost, we sweep"),
)


def diagnose(settings: config.Config, state: Path) -> list[Finding]:
    """Look at the kernel's limits, who looks, each root, and the state folder."""
    found = [*limits(), *stand_in(state)]
    if not settings.root:
        advice = "name the config with --config, or a folder with --root"
        words = "none is named, so there is nothing to watch"
        found.append(Finding(what="drop folders", state="bad", detail=words, advice=advice))
    for root in settings.root:
        found += look_after(root, settings)
    return [*found, state_folder(state), *checkup.machine(settings, state)]


def limits() -> Iterator[Finding]:
    """Say what the kernel allows those who want to be told of changes."""
    for name, least, meaning in LIMITS:
        with open(f"/proc/sys/{name.replace('.', '/')}") as limit:
            value = int(limit.read())
        low = value < least
        yield Finding(
            what=name,
            state="warning" if low else "good",
            detail=f"{value}: {meaning}",
            advice=raised(name, max(least, 2 * value)) if low else "",
        )


def stand_in(state: Path) -> Iterator[Finding]:
    """Warn who looks as root for a daemon that is somebody else: root may do everything."""
    try:
        owner = state.stat().st_uid
    except OSError:
        return  # What is wrong with the state folder is said elsewhere.
    if os.geteuid() == 0 != owner:
        words = f"you are root, and {state} is of user {owner}: what root may do, it may not"
        advice = f"setpriv --reuid={owner} --regid={owner} --init-groups ingestd doctor ..."
        yield Finding(what="user", state="warning", detail=words, advice=advice)


def raised(name: str, value: int) -> str:
    """Write the line that raises a limit, now and for the next starts."""
    line = f"{name}={value}"
    return f"sysctl -w {line}; echo {line} > /etc/sysctl.d/60-ingestd.conf for the next starts"


def look_after(root: config.Root, settings: config.Config) -> list[Finding]:
    """Say of a root how it is watched and why, and whether its files can be read."""
    reach = Reach(root.key, deadline_s=LOOK_S)
    try:
        seen = reach.call(partial(look_at_root, root.key, root.sentinel))
        means = watch.choose(root.watch, seen.mount, seen.below)
        read = reach.call(partial(try_out, root))
        clocks = reach.call(lambda: [*emptied(root), *ahead(root)])
    except OSError as error:
        advice = "mount it, or give the user that runs ingestd the right to list it"
        words = f"cannot be reached: {error.strerror}"
        return [Finding(what=root.key, state="bad", detail=words, advice=advice)]
    finally:
        reach.close()
    every_s = settings.sweep.hot_s if means.polled else settings.sweep.full_sweep_s
    words = f"{means.how}, because {means.why}; listed about every {every_s:g} s"
    advice = ""
    if means.how == "events" and not canary.watches_left(root.key):
        advice = watch.SYSCTL
    watched = Finding(
        what=root.key, state="warning" if advice else "good", detail=words, advice=advice
    )
    return [watched, read, *clocks]


def try_out(root: config.Root) -> Finding:
    """List some of a root, and read a byte of a file, as the daemon would."""
    files = folders = 0
    unlisted: list[str] = []
    unread = ""
    tried = False
    for seen in sweep(root.key, Ignored.of(root.ignore), beat=beat):
        files, folders = files + len(seen.sightings), folders + len(seen.folders)
        unlisted += [str(error.strerror) for _, error in seen.unlisted]
        for sighting in [] if tried else seen.sightings[:1]:
            tried = True
            unread = read_one(root.key, sighting.path)
        if files + folders > ENTRIES:
            break
    words = f"{files} files in {folders + 1} folders were listed"
    if not unlisted and not unread:
        return Finding(what=root.key, state="good", detail=f"{words}, and one was read")
    trouble = f"{len(unlisted)} folders or files cannot be listed" if unlisted else ""
    trouble = "; ".join(filter(None, (trouble, unread and f"a file cannot be read: {unread}")))
    advice = f"give {user()} the right to read files and to enter folders there"
    return Finding(what=root.key, state="bad", detail=f"{words}; {trouble}", advice=advice)


def emptied(root: config.Root) -> Iterator[Finding]:
    """Try to write where files are to leave; a root that is only read is not written to."""
    if root.empties:
        yield checkup.clock(root.path, "give the user that runs ingestd the right to write there")


def ahead(root: config.Root) -> Iterator[Finding]:
    """Look whether files are from the future: then the share's clock is ahead of ours."""
    if root.empties:
        return
    newest_ns = 0
    for seen in sweep(root.key, Ignored.of(root.ignore), beat=beat):
        newest_ns = max([newest_ns, *(look.changed_ns for look in seen.sightings)])
        break
    ahead_s = newest_ns / 1e9 - time.time()
    if ahead_s > 0:
        yield checkup.compared(f"clock of {root.key}", ahead_s)


def read_one(root: str, path: str) -> str:
    """Read a byte of a file; say why that did not work."""
    try:
        handle = open_inside(root, path)
        try:
            os.read(handle, 1)
        finally:
            os.close(handle)
    except OSError as error:
        return str(error.strerror)
    return ""


def user() -> str:
    """Name who runs this."""
    return f"user {os.geteuid()}, group {os.getegid()}"


def state_folder(state: Path) -> Finding:
    """Write a file in the state folder, or where it would be made."""
    there = next(folder for folder in (state, *state.absolute().parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there) as out:
            out.write(b"x")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        words = f"{there} cannot be written: {error.strerror}"
        return Finding(
            what=str(state), state="bad", detail=words, advice=f"give {user()} the right to write"
        )
    return Finding(what=str(state), state="good", detail="the state folder can be written")


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """Make what JSON can hold: the worst state of all, and each finding."""
    states = {finding.state for finding in findings}
    worst = next(state for state in ("bad", "warning", "good") if state in states)
    return {"state": worst, "findings": [asdict(finding) for finding in findings]}


def as_text(findings: list[Finding]) -> str:
    """Say it in lines for people."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<7} {finding.what}: {finding.detail}")
        if finding.advice:
            lines.append(f"        -> {finding.advice}")
    return "\n".join(lines)
