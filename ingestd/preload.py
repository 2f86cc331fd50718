"""Edge: the server that workers are forked from, begun while its parent still imports.

What workers need is imported once, in the server, which takes longer than all else that a start
does. So it is the first thing that `run` and `scan` set going.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing import forkserver
from pathlib import Path

from ingestd.errors import ConfigError, StateError
from ingestd.given import Tables, given, is_off

#: What pyarrow imports when it is first used, in each worker for itself if it is not there.
LATER = "numpy.ma", "pyarrow.compute"


def early(arguments: Sequence[str]) -> None:
    """Start the server before the arguments of `run` or `scan` are parsed.

    What is wrong with them, or in its way, the command itself will say. A config that comes through
    a pipe is there once, and is the command's.
    """
    words = [part for argument in arguments for part in argument.split("=", 1)]
    if "--help" in words:
        return
    named = [path for option, path in pairwise(words) if option == "--config"]
    path = named[-1] if named else os.environ.get("INGESTD_CONFIG")
    if path and not os.path.isfile(path):
        return
    with suppress(ConfigError, StateError, OSError):
        begin(given(Path(path) if path else None))


def begin(tables: Tables | None = None) -> None:
    """Start the server and do not wait for it; it does nothing when the server runs.

    tables  what is set; the server imports the rooms of tasks.py that it takes. A wrong guess costs
            each worker an import, for tasks.py imports them when it enters them.
    raises  StateError when the folder for temporary files has too long a path; OSError
    """
    rooms = ["__main__", *LATER, "ingestd.tasks", "ingestd.parse"]
    if not is_off(tables or {}, "thumbnail", "level"):
        rooms.append("ingestd.thumbnail")
    if not is_off(tables or {}, "volume", "enabled"):
        rooms.append("ingestd.volume")
    forkserver.set_forkserver_preload(rooms)
    try:
        forkserver.ensure_running()
    except OSError as error:
        if error.errno is not None:
            raise
        words = f"{tempfile.gettempdir()}: too long for the path of a socket; set a shorter TMPDIR"
        raise StateError(words) from error
