"""Edge: what does not agree between the rows and the files that were made: pictures and volumes.

Nothing outside the state folder is looked at, and no link is followed. A file is there before its
row is committed, so one that no row names counts only when it is older than a while.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingestd import volumefiles
from ingestd.catalog import Catalog
from ingestd.differences import Difference

STRETCH = 50_000  #: files that are compared at once
PART_ROWS = 300_000  #: rows that are compared at once

THUMBNAILS = "thumbnails"
PICTURE = re.compile(r"[0-9.]+\.(jpg|png|webp)")
PART = re.compile(r"\..+\.part(\.\d+)?")

#: The hashes of all names that rows give, to each folder.
NAMED = {
    THUMBNAILS: "SELECT hash(thumbnail_path) FROM instance WHERE thumbnail_path IS NOT NULL",
    volumefiles.FOLDER: """
        SELECT hash(stem || suffix)
        FROM (SELECT regexp_replace(path, '[.](nii[.]gz|nii|npy)$', '') AS stem, path FROM volume
            WHERE path IS NOT NULL),
            unnest([path[length(stem) + 1:], '.json', '.jpg']) AS s (suffix)
    """,
}
#: Rows whose file was not seen: root, path, uid of what it was made from, and the file.
MISSING = {
    THUMBNAILS: """
        SELECT root, path, SOPInstanceUID, thumbnail_path FROM instance
        WHERE thumbnail_path IS NOT NULL AND hash(thumbnail_path) % $parts = $part AND NOT EXISTS (
            SELECT 1 FROM present AS p
            WHERE p.hash % $parts = $part AND p.hash = hash(thumbnail_path))
    """,
    volumefiles.FOLDER: """
        SELECT NULL, path, SeriesInstanceUID, path FROM (
            SELECT *, regexp_replace(path, '[.](nii[.]gz|nii|npy)$', '') AS stem FROM volume
            WHERE path IS NOT NULL AND hash(path) % $parts = $part)
        WHERE hash(path) NOT IN (FROM present) OR hash(stem || '.json') NOT IN (FROM present)
            OR hash(stem || '.jpg') NOT IN (FROM present)
    """,
}
LOST = """
    SELECT DISTINCT i.root, i.path, i.SOPInstanceUID
    FROM problem AS p JOIN instance AS i USING (SOPInstanceUID)
    WHERE p.kind = 'thumbnail_lost' AND i.thumbnail_path IS NULL
"""
COUNTS = {
    THUMBNAILS: "SELECT count(*) FROM instance WHERE thumbnail_path IS NOT NULL",
    volumefiles.FOLDER: "SELECT count(*) FROM volume WHERE path IS NOT NULL",
}
STILL_NAMED = {
    THUMBNAILS: "SELECT thumbnail_path FROM instance WHERE thumbnail_path IN (SELECT unnest($1))",
    volumefiles.FOLDER: "SELECT path FROM volume WHERE path IN (SELECT unnest($1))",
}

Tell = Callable[[str, int, int | None], None]


@dataclass(slots=True)
class DerivedCheck:
    """The comparison of one folder of the state folder; `files` and `unproven` tell of it."""

    catalog: Catalog
    state: Path
    folder: str
    grace_s: float  #: a file that no row names is let be for so long
    tell: Tell
    stopping: Callable[[], bool] = lambda: False
    files: int = 0
    unproven: list[str] = field(default_factory=list)

    def run(self) -> Iterator[Sequence[Difference]]:
        """Give what does not agree."""
        place = self.state / self.folder
        if place.is_symlink():
            self.unproven.append(f"{place}: is a symbolic link, which nobody follows here")
            return
        with ExitStack() as closing:
            cursor = closing.enter_context(self.catalog.cursor())
            cursor.execute(f"CREATE TEMP TABLE named AS {NAMED[self.folder]}")
            cursor.execute("CREATE TEMP TABLE present (hash UBIGINT)")
            for some in self._stretches(place):
                self.tell(self.folder, self.files, None)
                yield self._orphans(cursor, some)
            if not self.stopping():
                yield from self._missing(cursor)
            if self.folder == THUMBNAILS:
                yield self._lost(cursor)

    def _stretches(self, place: Path) -> Iterator[list[tuple[str, float, int]]]:
        """List all files: path below the state folder, when it was written, and its size."""
        some: list[tuple[str, float, int]] = []
        # The folder is made with its first file; os.fwalk() does not ask `onerror` about its top.
        walked = os.fwalk(place, onerror=self._unlisted) if place.exists() else ()
        for folder, _, names, handle in walked:
            below = os.path.relpath(folder, self.state)
            for name in names:
                try:
                    status = os.stat(name, dir_fd=handle, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                written_s = max(status.st_mtime, status.st_ctime)
                size = status.st_size if stat.S_ISREG(status.st_mode) else -1
                some.append((f"{below}/{name}", written_s, size))
            if self.stopping():
                return
            if len(some) >= STRETCH:
                self.files += len(some)
                yield some
                some = []
        self.files += len(some)
        yield some

    def _unlisted(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.unproven.append(f"{error.filename}: {error.strerror}")

    def _orphans(self, cursor: Any, some: Sequence[tuple[str, float, int]]) -> list[Difference]:
        if not some:
            return []
        now_s = time.time()
        columns = {
            "path": pa.array([path.encode(errors="replace") for path, _, _ in some], pa.binary()),
            "is_old": [not 0 <= now_s - written_s < self.grace_s for _, written_s, _ in some],
            "size_bytes": [size for _, _, size in some],
        }
        columns["path"] = columns["path"].cast(pa.string())
        cursor.register("listed", pa.table(columns))
        # An empty file is what a power cut leaves of one that was not synced.
        cursor.execute("INSERT INTO present SELECT hash(path) FROM listed WHERE size_bytes > 0")
        rows = cursor.execute(
            "SELECT path, size_bytes FROM listed WHERE is_old AND hash(path) NOT IN (FROM named)"
        ).fetchall()
        cursor.unregister("listed")
        return [
            Difference(kind=self._kind(path.rpartition("/")[2], size), path=path)
            for path, size in rows
        ]

    def _kind(self, name: str, size: int) -> str:
        if size < 0:
            return "stranger"
        if self.folder == THUMBNAILS:
            if PART.fullmatch(name):
                return "part_left"
            return "thumbnail_orphan" if PICTURE.fullmatch(name) else "stranger"
        if not volumefiles.OURS.fullmatch(name):
            return "stranger"
        return "part_left" if PART.fullmatch(name) else "volume_orphan"

    def _missing(self, cursor: Any) -> Iterator[Sequence[Difference]]:
        parts = 1 + cursor.execute(COUNTS[self.folder]).fetchall()[0][0] // PART_ROWS
        kind = "thumbnail_missing" if self.folder == THUMBNAILS else "volume_missing"
        for part in range(parts):
            rows = cursor.execute(MISSING[self.folder], {"parts": parts, "part": part}).fetchall()
            away = [row for row in rows if not self._is_there(row[3])]
            asked = [[path for *_, path in away]]
            named = {path for (path,) in cursor.execute(STILL_NAMED[self.folder], asked).fetchall()}
            yield [
                Difference(kind=kind, root=root, path=path, uid=uid, detail=made if root else None)
                for root, path, uid, made in away
                if made in named
            ]

    def _lost(self, cursor: Any) -> list[Difference]:
        """Name thumbnails that were made, and were not there when they got their rows."""
        rows = cursor.execute(LOST).fetchall()
        return [
            Difference(kind="thumbnail_missing", root=root, path=path, uid=uid)
            for root, path, uid in rows
        ]

    def _is_there(self, path: str) -> bool:
        """Whether a file, which may be newer than our listing, is there with what belongs to it."""
        also = volumefiles.companions(path) if self.folder == volumefiles.FOLDER else []
        try:
            return all(os.lstat(self.state / one).st_size > 0 for one in (path, *also))
        except OSError:
            return False
