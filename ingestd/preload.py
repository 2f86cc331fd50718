"""Edge: the server that workers are forked from, begun while its parent still imports.

What workers need is imported once, in the server, which takes longer than all else that a start
does. So it is the first thing that `run` and `scan` set going.
"""

import tempfile
from multiprocessing import forkserver

from ingestd.errors import StateError
from ingestd.given import Tables, is_off


def begin(tables: Tables | None = None) -> None:
    """Start the server and do not wait for it; it does nothing when the server runs.

    tables  what is set; the server imports the rooms of tasks.py that it takes. A wrong guess costs
            each worker an import, for tasks.py imports them when it enters them.
    raises  StateError when the folder for temporary files has too long a path; OSError
    """
    rooms = ["__main__", "ingestd.tasks", "ingestd.parse"]
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
