"""Edge: which profile a state folder is under, and who may open what is in it.

`research`: the group of the state folder meets the catalog only through SQL that hides what
identifies a person. So all that shows it, catalog, thumbnails and volumes, is the owner's alone.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ingestd.errors import BrokenStateError, StateError
from ingestd.files import CATALOG_NAME, SNAPSHOT_NAME, publish

Profile = Literal["full", "research"]

#: Said where a question names what is not there
WITHHELD = (
    "\n[sql] profile = research: what identifies a person is not there; DESCRIBE says what is"
)

MARK, KEY = "sql.profile", "research.key"
KEY_BYTES = 32

#: Folders that workers fill; what they make there is closed by the folder only.
FOLDERS = ("thumbnails", "volumes", "tmp")

#: What shows persons, with the mode that it has in either profile
SHOWING = (
    (f"{CATALOG_NAME}*", 0o640, 0o600),  #: its log, and copies from before migrations, too
    *((name, 0o750, 0o700) for name in FOLDERS),
    ("archive", 0o750, 0o700),
    ("before-restore-*", 0o750, 0o700),
)


def enter(state: Path, profile: Profile) -> bytes | None:
    """Put a state folder under a profile; who asks without a daemon is bound by it, too.

    return  the key of the hashes; None under the full profile
    raises  OSError; StateError when the key cannot be used
    """
    if profile != read(state):
        (state / SNAPSHOT_NAME).unlink(missing_ok=True)  # It is of the other profile.
        publish(state / MARK, f"{profile}\n".encode())
        (state / MARK).chmod(0o644)
    if profile == "full":
        return None
    if not (state / KEY).exists():
        make_key(state)
    return key(state)


def close_off(state: Path, profile: Profile) -> None:
    """Let the owner alone open what shows persons; or, under the full profile, the group too.

    raises  OSError
    """
    if not (state / KEY).exists():  # It never was under another profile.
        return
    for name in FOLDERS if profile == "research" else ():
        (state / name).mkdir(mode=0o700, exist_ok=True)
    for pattern, full, hidden in SHOWING:
        for place in state.glob(pattern):
            with suppress(FileNotFoundError):  # A log of DuckDB's comes and goes.
                place.chmod(full if profile == "full" else hidden)


def read(state: Path) -> Profile:
    """Say which profile a state folder is under; where nobody ever said, it is `full`.

    raises  StateError when the mark says neither: better no answer than too much of one
    """
    try:
        said = (state / MARK).read_text().strip()
    except FileNotFoundError:
        return "full"
    if said == "full":
        return "full"
    if said == "research":
        return "research"
    words = f"{state / MARK}: says neither full nor research; write one of them into it"
    raise BrokenStateError(words)


def umask(state: Path, profile: Profile) -> int:
    """Say for whom new files of a state folder are: under `research` for the owner alone."""
    return 0o077 if "research" in (profile, read(state)) else 0o027


def make_key(state: Path) -> None:
    """Make the key of the hashes; without it nobody can tell who a hash stands for."""
    import secrets  # noqa: PLC0415 -- each small question would pay for it

    before = os.umask(0o177)
    try:
        publish(state / KEY, secrets.token_bytes(KEY_BYTES))
    finally:
        os.umask(before)


def key(state: Path) -> bytes:
    """Read the key.

    raises  StateError when it is not this user's to read, or was lost
    """
    try:
        found = (state / KEY).read_bytes()
    except PermissionError as error:
        raise StateError(
            f"{state}: [sql] profile = research: only the owner may open the catalog's file. Ask"
            " while the daemon runs, or open snapshot.duckdb."
        ) from error
    except FileNotFoundError as error:
        raise StateError(
            f"{state / KEY}: the key of the hashes is gone. Restore it; or start `ingestd run`,"
            " which makes another one, and with it other hashes."
        ) from error
    if len(found) != KEY_BYTES:
        words = f"{state / KEY}: has {len(found)} bytes, not {KEY_BYTES}; restore it"
        raise BrokenStateError(words)
    return found
