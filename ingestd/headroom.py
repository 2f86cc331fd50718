"""Edge: how much memory this process may take more while others ask."""

import ctypes
import resource

OWN_BYTES = 1 << 30  #: of it, what ingestion may take more meanwhile
LARGE_BYTES = 1 << 20
KEPT_BYTES = 1 << 26  #: so much is not worth the walk
RESERVE_BYTES = 1 << 27  #: stays with the C library, for all but DuckDB
PIECE_BYTES = 1 << 19  #: less than LARGE_BYTES
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
PAGE_BYTES = resource.getpagesize()


class Headroom:
    """Watches and bounds what questions take.

    DuckDB counts what it keeps, not the texts and lists of the step it is in: one vector of those
    can be larger than the machine. It takes an allocation that fails as the end of its question.

    growth_bytes  what questions may take together
    """

    def __init__(self, growth_bytes: int) -> None:
        self._growth_bytes = growth_bytes
        self._base_bytes = held_bytes()
        # What was large goes back to the kernel at once. Kept for later, it would count as taken.
        self._libc = ctypes.CDLL(None)
        self._libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        self._libc.mallopt(M_TRIM_THRESHOLD, 2 * RESERVE_BYTES)
        self._reserve()

    def begin(self) -> None:
        """Bound what can be allocated from now on, when the first begins and none runs besides.

        The bound holds until all have ended: moved for each one that comes, it would go up by what
        the others have taken.
        """
        self._base_bytes = held_bytes()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = mapped_bytes() + self._growth_bytes + OWN_BYTES
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    def end(self) -> None:
        """Bound nothing: nobody asks. What is free in small pieces goes back to the kernel, too."""
        if held_bytes() > self._base_bytes + KEPT_BYTES:
            self._libc.malloc_trim(ctypes.c_size_t(RESERVE_BYTES))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    def _reserve(self) -> None:
        """Have Python's own small things find room while a question has taken all that it may.

        Where a thread finds none, the C library looks among what is free of the main thread's, who
        calls this. DuckDB has an allocator of its own. Nothing of it is touched, nor so held.
        """
        malloc, free = self._libc.malloc, self._libc.free
        malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        for piece in [malloc(PIECE_BYTES) for _ in range(RESERVE_BYTES // PIECE_BYTES)]:
            free(piece)

    @property
    def is_used_up(self) -> bool:
        """Whether more was taken than may be."""
        return held_bytes() > self._base_bytes + self._growth_bytes


def held_bytes() -> int:
    """Say how much memory this process holds."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE_BYTES


def mapped_bytes() -> int:
    """Say how much it could hold without asking for more: what RLIMIT_DATA counts.

    That is near what it holds as long as allocators give addresses back; see `__main__`.
    """
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmData"))
    return int(line.split()[1]) * 1024
