"""Edge: who owns a state folder, and who may read its catalog without asking the owner.

Two locks, which the kernel lets go with their process, whatever ends it. `owner.lock` is held by
the one owner for life. `readers.lock` is shared by those who have opened the catalog's file while
nobody owned it; a new owner waits for them, so that a query never keeps a daemon from starting.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ingestd.errors import ConfigError, StateError
from ingestd.files import NOT_TEXT, as_text
from ingestd.reach import Reach

if TYPE_CHECKING:
    from ingestd.config import Config

OWNER, READERS = "owner.lock", "readers.lock"
RESOLVE_S = 5.0  #: how long a share may take to say where a drop folder really is
READERS_S = 60.0  #: how long a new owner waits for readers to finish


def take_state(state: Path) -> IO[str]:
    """Become the one owner of a state folder, which is made when it is missing.

    return  the lock; closing it lets the folder go
    raises  StateError when somebody else owns it, or it cannot be used
    """
    try:
        state.mkdir(mode=0o750, parents=True, exist_ok=True)
        (state / "tmp").mkdir(mode=0o750, exist_ok=True)
        lock = (state / OWNER).open("a+")
        (state / READERS).touch(mode=0o640)
    except OSError as error:
        raise unusable(state, error) from error
    if not locked(lock, fcntl.LOCK_EX):
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise StateError(
            f"{state}: process {owner} owns this state folder. Stop it first, or choose another"
            " folder with --state."
        )
    try:
        lock.truncate(0)
        os.write(lock.fileno(), f"{os.getpid()}\n".encode())
        await_readers(state)
    except OSError as error:
        lock.close()
        raise unusable(state, error) from error
    except BaseException:
        lock.close()
        raise
    return lock


def unusable(state: Path, error: OSError) -> StateError:
    """Say why a state folder cannot be used, and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "make room there" if full else "give this user the right to write there"
    return StateError(
        f"{state}: the state folder cannot be used: {error.strerror}. Choose another with"
        f" --state or INGESTD_STATE, or {advice}."
    )


def await_readers(state: Path) -> None:
    """Wait until nobody reads the catalog's file any more; new readers meet the owner's lock.

    raises  StateError when one takes too long
    """
    until_s = time.monotonic() + READERS_S
    with (state / READERS).open() as readers:
        while not locked(readers, fcntl.LOCK_EX):
            if time.monotonic() > until_s:
                raise StateError(
                    f"{state}: another process has been reading the catalog for {READERS_S:g} s."
                    " End its query, and start again."
                )
            time.sleep(0.05)


@contextmanager
def reading(state: Path) -> Iterator[bool]:
    """Say whether the catalog's file may be opened, for as long as this lasts.

    False when somebody owns the state folder: then ask the owner.
    """
    with suppress(FileNotFoundError), (state / READERS).open() as readers:
        fcntl.flock(readers, fcntl.LOCK_SH)
        with (state / OWNER).open() as owner:
            free = locked(owner, fcntl.LOCK_SH)
        yield free
        return
    yield True  # A copy of a catalog, without its locks.


def locked(file: IO[str], kind: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def apart(state: Path, roots: list[Path]) -> Path:
    """See that the state folder and the drop folders do not lie in each other, links or not."""
    place = state.absolute().resolve()
    if as_text(str(place)) != str(place):
        raise ConfigError(f"the state folder {as_text(str(place))}: {NOT_TEXT}")
    reals = {root: resolved(root) for root in roots}
    for root, real in reals.items():
        for other, its in reals.items():
            if other is not root and real.is_relative_to(its):
                words = f"{root} lies in {other}, or is it; each file would be seen twice"
                raise ConfigError(words)
        if place.is_relative_to(root) or place.is_relative_to(real):
            raise ConfigError(f"the state folder {state} lies in the drop folder {root}")
        if real.is_relative_to(place):
            raise ConfigError(f"the drop folder {root} lies in the state folder {state}")
    return state


def resolved(root: Path) -> Path:
    """Say where a folder really is; on a share that hangs it is judged by its name."""
    try:
        return Path(Reach(str(root), deadline_s=RESOLVE_S).call(lambda: os.path.realpath(root)))
    except TimeoutError:
        return root


def stores_apart(settings: "Config", state: Path) -> None:
    """See that archive and quarantine, where links lead, do not lie in a drop folder."""
    from ingestd.config import nested  # noqa: PLC0415

    takes = any(root.take != "index" for root in settings.root)
    stores = [settings.archive.path or state / "archive"] if takes else []
    stores += [root.quarantine for root in settings.root if root.quarantine is not None]
    for store in stores:
        for root in settings.root:
            if nested(resolved(store), resolved(root.path)):
                raise ConfigError(f"{store} and the drop folder {root.path} lie in each other")
