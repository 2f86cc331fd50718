"""Edge: the server that workers are forked from, begun while its parent still imports.

What workers need is imported once, in the server, which takes longer than all else that a start
does. So it is the first thing that `run` and `scan` set going.
"""

from multiprocessing import forkserver

#: The rooms of tasks.py, which imports them when it enters them, for its callers need none.
MODULES = ["__main__", "ingestd.tasks", "ingestd.parse", "ingestd.thumbnail", "ingestd.volume"]


def begin() -> None:
    """Start the server and do not wait for it; it does nothing when the server runs."""
    forkserver.set_forkserver_preload(MODULES)
    forkserver.ensure_running()
