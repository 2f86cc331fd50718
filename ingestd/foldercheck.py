"""Edge: what does not agree between a root and the ledger; nothing in the root is changed.

The folder is listed a stretch at a time and compared as sets; of all its files only hashes are
kept. What seems to differ is looked at again after a while: it may just be arriving, or leaving.
What cannot be listed says nothing of its files.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from ingestd import sql
from ingestd.catalog import Catalog
from ingestd.differences import Difference
from ingestd.reach import Reach, beat
from ingestd.sweep import SHARE_DOUBT, SHARE_GONE, Ignored, Seen, left, look_at, sweep

STRETCH = 100_000  #: entries that are compared at once
PART_FILES = 300_000  #: rows of the ledger that are compared at once
PAGE = 20_000  #: suspects that are looked at again at once
LISTING = 2_000  #: entries that are listed at once
TOLD = 1000  #: so many folders that cannot be listed are named
DOUBTS = 20  #: so many folders that give EIO or ESTALE: the share is the trouble
GLANCE_S = 0.2

Tell = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder whose files the ledger holds."""

    root: str
    ignored: Ignored
    quiet_s: float  #: unchanged for so long: nobody writes to it any more
    deadline_s: float  #: a look that gets nowhere for so long is given up
    is_store: bool = False  #: an archive or a quarantine: what has no row there is not ours to read
    unreachable: str = ""  #: why nothing can be said of it
    not_mounted: Sequence[str] = ()  #: folders of whose files nothing can be said


class Busy(Protocol):
    """Tells of files that are under way into the catalog."""

    def busy(self, root: str) -> bool:
        """Whether files of a root have been seen, and have no outcome yet."""
        ...


@dataclass(slots=True)
class FolderCheck:
    """The comparison of one root; `files`, `arriving` and `unproven` tell of it afterwards."""

    catalog: Catalog
    place: Place
    eyes: Busy
    tell: Tell
    stopping: Callable[[], bool] = lambda: False
    patience_s: float = 60.0  #: how long a root that is busy may keep us from judging it
    files: int = 0
    arriving: int = 0
    unproven: list[str] = field(default_factory=list)
    _unlisted: list[str] = field(default_factory=list)

    def run(self) -> Iterator[Sequence[Difference]]:
        """Give what does not agree."""
        if self.place.unreachable:
            self.unproven.append(f"{self.place.root}: {self.place.unreachable}")
            return
        reach = Reach(f"audit {self.place.root}", deadline_s=self.place.deadline_s)
        with ExitStack() as closing:
            closing.callback(reach.close)
            cursor = closing.enter_context(self.catalog.cursor())
            cursor.execute("CREATE TEMP TABLE present (hash UBIGINT)")
            cursor.execute(
                "CREATE TEMP TABLE suspect (nth BIGINT, path VARCHAR, size_bytes BIGINT,"
                " mtime_ns BIGINT)"
            )
            try:
                self._list(reach, cursor)
                self._find_absent(cursor)
                listed_s = time.monotonic()
                count = cursor.execute("SELECT count(*) FROM suspect").fetchall()[0][0]
                if count:
                    self._wait(listed_s)
                for at in range(0, count, PAGE):
                    yield self._look_again(reach, cursor, at)
            except OSError as error:
                why = error.strerror or type(error).__name__
                self.unproven.append(f"{self.place.root}: cannot be reached: {why}")

    def _list(self, reach: Reach, cursor: Any) -> None:
        """List all, and keep what the ledger does not say.

        raises  OSError when the root is the trouble
        """
        place = self.place
        self._unlisted += place.not_mounted
        listing = sweep(place.root, place.ignored, stretch=LISTING, beat=beat)
        rows: list[tuple[str, int, int]] = []
        doubts = 0
        while (seen := reach.call(lambda: next(listing, None))) is not None:
            if self.stopping():
                return
            for path, error in seen.unlisted:
                doubts += error.errno in SHARE_DOUBT
                if error.errno in SHARE_GONE or doubts > DOUBTS:
                    raise error
                if not left(error):
                    self._unlisted.append(path)
                    self._cannot_say(path, error)
            rows += entries(seen)
            if len(rows) >= STRETCH:
                self._compare(cursor, rows)
                rows = []
        self._compare(cursor, rows)

    def _compare(self, cursor: Any, rows: Sequence[tuple[str, int, int]]) -> None:
        self.files += len(rows)
        self.tell(f"files of {self.place.root}", self.files, None)
        if not rows:
            return
        cursor.register("listed", listed_table(rows))
        cursor.execute("INSERT INTO present SELECT hash(path) FROM listed")
        differing = cursor.execute(sql.AUDIT_LISTED, [self.place.root]).fetchall()
        cursor.unregister("listed")
        if self.place.is_store:  # New files of a store are the business of whoever writes there.
            differing = [row for row in differing if row[3] not in (None, "gone")]
        self._suspect(cursor, [(path, size, mtime) for path, size, mtime, _ in differing])

    def _find_absent(self, cursor: Any) -> None:
        known = cursor.execute(
            "SELECT count(*) FROM file WHERE root = ? AND state <> 'gone'", [self.place.root]
        ).fetchall()[0][0]
        parts = 1 + known // PART_FILES
        for part in range(parts):
            absent = cursor.execute(
                sql.AUDIT_ABSENT, [self.place.root, self._unlisted, parts, part]
            ).fetchall()
            self._suspect(cursor, [(path, -1, 0) for (path,) in absent])

    def _suspect(self, cursor: Any, rows: Sequence[tuple[str, int, int]]) -> None:
        if rows:
            cursor.register("more", listed_table(rows))
            cursor.execute(
                "INSERT INTO suspect SELECT (SELECT count(*) FROM suspect) + nth, path,"
                " size_bytes, mtime_ns FROM more"
            )
            cursor.unregister("more")

    def _wait(self, since_s: float) -> None:
        """Let what is arriving arrive: be quiet for as long as files have to be."""
        until_s = since_s + self.place.quiet_s
        limit_s = until_s + self.patience_s
        while not self.stopping():
            now_s = time.monotonic()
            if now_s >= limit_s or (now_s >= until_s and not self.eyes.busy(self.place.root)):
                return
            self.tell(f"files of {self.place.root}", self.files, None)
            time.sleep(GLANCE_S)

    def _look_again(self, reach: Reach, cursor: Any, at: int) -> list[Difference]:
        """Judge some suspects by how they are now.

        raises  OSError when the root is the trouble
        """
        root = self.place.root
        before = {
            path: (size, mtime)
            for path, size, mtime in cursor.execute(
                "SELECT path, size_bytes, mtime_ns FROM suspect WHERE nth >= ? AND nth < ?",
                [at, at + PAGE],
            ).fetchall()
        }
        seen = reach.call(partial(look_at, root, list(before), beat))
        for path, error in seen.unlisted:
            if error.errno in SHARE_GONE | SHARE_DOUBT:
                raise error
            self._cannot_say(path, error)
        now = {path: (size, mtime) for path, size, mtime in entries(seen)}
        known = self._known(cursor, list(before))
        found = []
        busy = self.eyes.busy(root)
        for path, look in now.items():
            row = known.get(path)
            if row is not None and row[0] != "gone" and row[1:] == look:
                continue  # Meanwhile it has its row.
            if before[path] != look or busy:
                self.arriving += 1
                continue
            kind = "file_changed" if row is not None and row[0] != "gone" else "file_without_row"
            detail = "the catalog calls it gone" if row is not None and row[0] == "gone" else None
            found.append(Difference(kind=kind, root=root, path=path, detail=detail))
        for path in seen.absent:
            row = known.get(path)
            if row is not None and row[0] != "gone" and before[path][0] < 0:
                found.append(
                    Difference(kind="row_without_file", root=root, path=path, detail=row[0])
                )
        return found

    def _cannot_say(self, path: str, error: OSError) -> None:
        if len(self.unproven) < TOLD:
            self.unproven.append(f"{self.place.root}/{path}: {error.strerror}")

    def _known(self, cursor: Any, paths: Sequence[str]) -> dict[str, tuple[str, int, int]]:
        cursor.register("asked", pa.table({"path": pa.array(paths, pa.string())}))
        rows = cursor.execute(
            "SELECT path, state, size_bytes, mtime_ns FROM file"
            " WHERE root = ? AND path IN (SELECT path FROM asked)",
            [self.place.root],
        ).fetchall()
        cursor.unregister("asked")
        return {path: (state, size, mtime) for path, state, size, mtime in rows}


def entries(seen: Seen) -> list[tuple[str, int, int]]:
    """Give path, size and time of what was seen, files and what can be none alike."""
    files = [(one.path, one.size_bytes, one.mtime_ns) for one in seen.sightings]
    return files + [(one.path, one.size_bytes, one.mtime_ns) for one in seen.faults]


def listed_table(rows: Sequence[tuple[str, int, int]]) -> pa.Table:
    """Make the rows of the view `listed`."""
    return pa.table(
        {
            "nth": pa.array(range(len(rows)), pa.int64()),
            "path": pa.array([path for path, _, _ in rows], pa.string()),
            "size_bytes": pa.array([size for _, size, _ in rows], pa.int64()),
            "mtime_ns": pa.array([mtime for _, _, mtime in rows], pa.int64()),
        }
    )
