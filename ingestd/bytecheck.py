"""Wiring. Files are read once more, by workers: bytes and rows must agree with the catalog.

A file is read exactly as when it came, so what differs is the file, the catalog, or the program.
Volumes are read too: the name of each holds a digest of its content.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ingestd import config, tasks
from ingestd.catalog import Catalog
from ingestd.differences import Difference
from ingestd.errors import IngestError, Reason
from ingestd.model import Arrival
from ingestd.reach import Reach, beat
from ingestd.tables import ATTRIBUTE, ELEMENT, INSTANCE, Batch
from ingestd.volumefiles import is_as_named
from ingestd.workers import Pool, PoolClosed, WorkerLost

PAGE = 65_536  #: rows of the ledger that are in hand at once
CHUNK = 64  #: files that a worker reads at once
CHUNK_BYTES = 64 << 20

#: What is read: files whose bytes are known. An instance's own file comes with its number.
FILES = """
    SELECT f.root, f.path, f.size_bytes, f.mtime_ns, f.digest, f.SOPInstanceUID, i.instance_id
    FROM file AS f
    LEFT JOIN instance AS i ON f.state = 'cataloged' AND i.SOPInstanceUID = f.SOPInstanceUID
        AND i.digest = f.digest AND i.root = f.root AND i.path = f.path
    WHERE f.state IN ('cataloged', 'duplicate', 'conflict') AND f.digest IS NOT NULL
      AND NOT list_contains($1, f.root)
"""
PART = f"{FILES} AND hash(f.path) % $2 = $3 ORDER BY i.instance_id, f.root, f.path"
THESE = f"{FILES} AND f.root || '/' || f.path IN (SELECT unnest($2))"
SOME = f"FROM ({FILES}) ORDER BY hash(root, path, $2) LIMIT {PAGE} OFFSET $3"
COUNT = """
    SELECT count(*) FROM file
    WHERE state IN ('cataloged', 'duplicate', 'conflict') AND digest IS NOT NULL
      AND NOT list_contains($1, root)
"""
STILL = "SELECT 1 FROM file WHERE root = ? AND path = ? AND digest = ? AND state <> 'gone'"

#: What the catalog alone says of an instance, or the file system.
OWN = ("seq", "root", "path", "thumbnail_path", "window_source")
INSTANCE_COLUMNS = ", ".join(f'"{name}"' for name in INSTANCE.names if name not in OWN)
TAG_COLUMNS = ", ".join((*ATTRIBUTE.names[1:], *ELEMENT.names[2:]))
INCOMING_TAGS = f"""
    SELECT r.instance_id, {TAG_COLUMNS} FROM incoming_element AS e
    JOIN incoming_attribute AS a USING (attribute) JOIN reading AS r USING (seq)
"""

#: Instances whose row is another one than the file gives now; and those whose elements are.
OTHER_ROWS = f"""
    SELECT SOPInstanceUID FROM (
        (SELECT {INSTANCE_COLUMNS} FROM instance
         WHERE instance_id IN (SELECT instance_id FROM reading))
        EXCEPT
        (SELECT {INSTANCE_COLUMNS} FROM incoming_instance))
    UNION
    SELECT r.uid FROM (
        ((SELECT instance_id, {TAG_COLUMNS} FROM tag
          WHERE instance_id IN (SELECT instance_id FROM reading))
         EXCEPT ALL
         ({INCOMING_TAGS}))
        UNION ALL
        (({INCOMING_TAGS})
         EXCEPT ALL
         (SELECT instance_id, {TAG_COLUMNS} FROM tag
          WHERE instance_id IN (SELECT instance_id FROM reading)))
    ) AS differing JOIN reading AS r USING (instance_id)
"""

VOLUMES = "SELECT path, SeriesInstanceUID FROM volume WHERE path IS NOT NULL AND path > $1"
VOLUME_PAGE = f"{VOLUMES} ORDER BY path LIMIT {PAGE}"
THESE_VOLUMES = f"{VOLUMES} AND SeriesInstanceUID IN (SELECT unnest($2))"
SOME_VOLUMES = f"FROM ({VOLUMES}) ORDER BY random() LIMIT $2"

Tell = Callable[[str, int, int | None], None]


class Asked(NamedTuple):
    """A file that is to be read, and what the catalog says of it."""

    root: str
    path: str
    size_bytes: int
    mtime_ns: int
    digest: str
    uid: str
    instance_id: int | None  #: None: a copy, or a conflict, which has no rows of its own


@dataclass(slots=True)
class ByteCheck:
    """Reads all files, or a sample; `files` and `volumes` say how many."""

    catalog: Catalog
    pool: Pool
    settings: config.Config
    state: Path
    tell: Tell
    without: Sequence[str] = ()  #: roots that cannot be reached
    sample: int | None = None  #: so many, by chance; None: all
    only: Sequence[Difference] | None = None  #: what was found before, and nothing else
    stopping: Callable[[], bool] = lambda: False
    files: int = 0
    volumes: int = 0
    unproven: list[str] = field(default_factory=list)
    _hanging: set[str] = field(default_factory=set)

    def run(self) -> Iterator[Sequence[Difference]]:
        """Give what differs in files."""
        ((there,),) = self.catalog.rows(COUNT, list(self.without))
        of = there if self.sample is None else min(there, self.sample)
        of = of if self.only is None else len(self.only)
        for page in self._pages(there):
            for chunk in chunks(page):
                if self.stopping():
                    return
                yield self._read(chunk)
                self.files += len(chunk)
                self.tell("bytes of files", self.files, of)

    def run_volumes(self) -> Iterator[Sequence[Difference]]:
        """Give what differs in volumes."""
        if self.only is not None:
            series = [one.uid for one in self.only]
            yield from self._volumes(self.catalog.rows(THESE_VOLUMES, "", series))
            return
        if self.sample is not None:
            yield from self._volumes(self.catalog.rows(SOME_VOLUMES, "", self.sample))
            return
        after = ""
        while page := self.catalog.rows(VOLUME_PAGE, after):
            yield from self._volumes(page)
            after = page[-1][0]

    def _pages(self, there: int) -> Iterator[list[Asked]]:
        without = list(self.without)
        if self.only is not None:
            paths = [f"{one.root}/{one.path}" for one in self.only]
            yield [Asked(*row) for row in self.catalog.rows(THESE, without, paths)]
            return
        if self.sample is not None:
            chance = random.getrandbits(32)  # One for all pages, or some files would come twice.
            for at in range(0, self.sample, PAGE):
                rows = self.catalog.rows(SOME, without, chance, at)[: self.sample - at]
                yield [Asked(*row) for row in sorted(rows, key=lambda row: row[6] or 0)]
            return
        parts = 1 + there // PAGE
        for part in range(parts):
            yield [Asked(*row) for row in self.catalog.rows(PART, without, parts, part)]

    def _read(self, chunk: Sequence[Asked]) -> list[Difference]:
        """Have some files read, and compare; a chunk that was lost is read one by one.

        Of a root that hangs no more is read: each file would take as long.
        """
        chunk = [one for one in chunk if one.root not in self._hanging]
        arrivals = [
            Arrival(
                seq=seq,
                root=one.root,
                path=one.path,
                size_bytes=one.size_bytes,
                mtime_ns=one.mtime_ns,
            )
            for seq, one in enumerate(chunk)
        ]
        reading = tasks.Reading.of(self.settings)._replace(thumbnail=None)
        future = self.pool.submit(tasks.ingest, arrivals, state=self.state, reading=reading)
        try:
            batch: Batch = future.result()
        except (PoolClosed, CancelledError):
            return []  # We stop.
        except (WorkerLost, IngestError) as error:
            at = error.at if isinstance(error, WorkerLost) else None
            if at is not None and error.reason is Reason.TRANSIENT_IO:
                self._hanging.add(chunk[at].root)
                self.unproven.append(f"{chunk[at].root}: files cannot be read: {error.detail}")
                return self._read(chunk)
            if len(chunk) > 1:
                return [found for one in chunk for found in self._read([one])]
            return [difference("file_unread", chunk[0], f"{error.reason}: {error.detail}")]
        return [*self._bytes(chunk, batch), *self._rows(chunk, batch)]

    def _bytes(self, chunk: Sequence[Asked], batch: Batch) -> Iterator[Difference]:
        """Give files with other bytes, and files that could not be read."""
        columns = (batch.file[name].to_pylist() for name in ("seq", "reason", "detail", "digest"))
        for seq, reason, detail, digest in zip(*columns, strict=True):
            one = chunk[seq]
            if (reason is None and digest == one.digest) or reason == Reason.STILL_CHANGING:
                continue  # What is changing is told of where folders are listed.
            if not self.catalog.rows(STILL, one.root, one.path, one.digest):
                continue  # The catalog says something else by now.
            if reason is None:
                yield difference("digest_wrong", one, None)
            elif not str(detail).startswith("ENOENT"):
                yield difference("file_unread", one, f"{reason}: {detail}")

    def _rows(self, chunk: Sequence[Asked], batch: Batch) -> Iterator[Difference]:
        """Give instances whose rows are not those that their file gives."""
        digests = zip(batch.file["seq"].to_pylist(), batch.file["digest"].to_pylist(), strict=True)
        same = {
            seq
            for seq, digest in digests
            if digest == chunk[seq].digest and chunk[seq].instance_id is not None
        }
        if not same:
            return
        reading = pa.table(
            {
                "seq": pa.array(sorted(same), pa.int64()),
                "uid": [chunk[seq].uid for seq in sorted(same)],
                "instance_id": pa.array([chunk[s].instance_id for s in sorted(same)], pa.int64()),
            }
        )
        found = self._other_rows(reading, batch)
        for seq in sorted(same):
            one = chunk[seq]
            if one.uid in found and self.catalog.rows(STILL, one.root, one.path, one.digest):
                yield difference("rows_differ", one, None)

    def _other_rows(self, reading: pa.Table, batch: Batch) -> set[str]:
        views = {
            "reading": reading,
            "incoming_instance": batch.instance,
            "incoming_attribute": batch.attribute,
            "incoming_element": batch.element,
        }
        with self.catalog.cursor() as cursor:
            for name, table in views.items():
                cursor.register(name, table)
            found = {uid for (uid,) in cursor.execute(OTHER_ROWS).fetchall()}
            for name in views:
                cursor.unregister(name)
        return found

    def _volumes(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[Difference]]:
        reach = Reach("audit of volumes", deadline_s=self.settings.sweep.deadline_s)
        try:
            for path, series in rows:
                if self.stopping():
                    return
                self.volumes += 1
                self.tell("bytes of volumes", self.volumes, None)
                place = self.state / path
                with suppress(FileNotFoundError):  # That is told where they are listed.
                    if reach.call(partial(is_as_named, place, beat)):
                        continue
                    yield [Difference(kind="volume_damaged", path=path, uid=series)]
        finally:
            reach.close()


def chunks(page: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Cut a page into what a worker reads at once."""
    chunk: list[Asked] = []
    size_bytes = 0
    for one in page:
        chunk.append(one)
        size_bytes += one.size_bytes
        if len(chunk) == CHUNK or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


def difference(kind: str, one: Asked, detail: str | None) -> Difference:
    """Make the difference of a file."""
    return Difference(kind=kind, root=one.root, path=one.path, uid=one.uid, detail=detail)
