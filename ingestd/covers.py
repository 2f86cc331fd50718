"""Edge: one picture for a whole series, when the config wants no more: its middle slice.

It is made when the series fell quiet, before it is judged: a crash leaves the series without a
judgement, and so it is made again.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pyarrow as pa

from ingestd import config, tasks
from ingestd.catalog import Catalog, utc_now
from ingestd.errors import IngestError
from ingestd.files import staged
from ingestd.log import get_logger
from ingestd.model import SeriesFile, SeriesJob
from ingestd.tasks import Cover
from ingestd.workers import Pool, PoolClosed, WorkerLost

log = get_logger()

TRIED = 5  #: images around the middle, until one can be shown

#: The images of a series. Of a whole-slide pyramid the smallest level comes first: it shows all.
IMAGES = """
    SELECT SOPInstanceUID, SOPClassUID = '1.2.840.10008.5.1.4.1.1.77.1.6' AS slide
    FROM instance WHERE SeriesInstanceUID = ? AND has_pixels
    ORDER BY slide AND coalesce(ImageType[3] IN ('LABEL', 'OVERVIEW'), false),
        if(slide, coalesce(frames, 1), 0), InstanceNumber NULLS LAST, SOPInstanceUID
"""

OLD = """
    SELECT thumbnail_path FROM instance
    WHERE SeriesInstanceUID = ? AND thumbnail_path IS NOT NULL
"""
NONE = """
    UPDATE instance SET thumbnail_path = NULL, window_source = NULL
    WHERE SeriesInstanceUID = ? AND thumbnail_path IS NOT NULL
"""
ONE = "UPDATE instance SET thumbnail_path = ?, window_source = ? WHERE SOPInstanceUID = ?"

#: Why an image could not be shown, once for each.
PROBLEM = """
    INSERT INTO problem BY NAME
    SELECT SOPInstanceUID, root, path, $2 AS kind, 'PixelData' AS keyword, $3 AS detail,
        $4 AS at_utc
    FROM instance AS i
    WHERE SOPInstanceUID = $1 AND NOT EXISTS (
        SELECT 1 FROM problem AS p WHERE p.SOPInstanceUID = i.SOPInstanceUID AND p.kind = $2)
"""

#: What is done when the picture is there, or cannot be had; with what may pass, to try again.
Then = Callable[[IngestError | None], None]


class Covers:
    """Makes the one picture of a series, where that is what the config asks for."""

    def __init__(
        self, catalog: Catalog, pool: Pool, options: config.Thumbnail, *, state: Path
    ) -> None:
        self.made = 0
        self.options = options
        self._catalog, self._pool, self._state = catalog, pool, state

    def make(self, job: SeriesJob, slices: pa.Table, then: Then) -> None:
        """Have a picture made of a series, then go on.

        slices  rows of tables.VOLUME_SLICE, when the series became a volume
        """
        if self.options.level != "series":
            then(None)
            return
        files = {file.SOPInstanceUID: file for file in job.files}
        try:
            rows = self._catalog.rows(IMAGES, job.SeriesInstanceUID)
        except IngestError as error:
            then(error)
            return
        best = [files[uid] for uid in chosen(rows, slices) if uid in files][:TRIED]
        self._ask(job, best, then)

    def _ask(self, job: SeriesJob, files: Sequence[SeriesFile], then: Then) -> None:
        if not files:
            then(self._tried(lambda: self._publish(job, None)))
            return
        future = self._pool.submit(
            tasks.cover,
            files,
            series=f"{job.StudyInstanceUID}/{job.SeriesInstanceUID}",
            state=self._state,
            options=self.options.picturing,
        )
        future.add_done_callback(lambda done: self._answered(job, files, then, done))

    def _answered(
        self, job: SeriesJob, files: Sequence[SeriesFile], then: Then, future: "Future[Cover]"
    ) -> None:
        """Publish what came of it; go on without the image that cost a worker."""
        try:
            cover = future.result()
        except PoolClosed:
            return  # The series stays quiet in the catalog; the next start takes it up.
        except WorkerLost as lost:
            at = len(files) - 1 if lost.at is None else lost.at
            failure = files[at].SOPInstanceUID, str(lost.reason), lost.detail
            if not (trouble := self._tried(lambda: self._note([failure]))):
                self._ask(job, files[at + 1 :], then)
                return
        except IngestError as error:
            trouble = error
        else:
            trouble = self._tried(lambda: self._publish(job, cover))
        then(trouble)

    def _tried(self, write: Callable[[], None]) -> IngestError | None:
        """Say what kept the catalog or the state folder from being written."""
        try:
            write()
        except IngestError as error:
            return error
        except OSError as error:
            return tasks.state_trouble(error)
        return None

    def _publish(self, job: SeriesJob, cover: Cover | None) -> None:
        """Give the picture its name and its row; the pictures before it lose theirs."""
        uid = job.SeriesInstanceUID
        with self._catalog.transaction() as db:
            old = {path for (path,) in db.execute(OLD, [uid]).fetchall()}
            db.execute(NONE, [uid])
            if cover is not None and cover.path is not None:
                final = f"{self._state}/{cover.path}"
                os.replace(staged(final, tasks.COVER), final)
                db.execute(ONE, [cover.path, cover.window_source, cover.SOPInstanceUID])
                old.discard(cover.path)
                self.made += 1
        for path in old:
            (self._state / path).unlink(missing_ok=True)
        if cover is not None:
            self._note(cover.failures)

    def _note(self, failures: Sequence[tuple[str, str, str]]) -> None:
        """Write why images could not be shown."""
        for uid, kind, detail in failures:
            log.warning("picture_problem", instance=uid, reason=kind)
            with self._catalog.transaction() as db:
                db.execute(PROBLEM, [uid, kind, detail, utc_now()])


def chosen(rows: Sequence[tuple[str, bool]], slices: pa.Table) -> list[str]:
    """Put the SOPInstanceUIDs of a series in the order in which they are tried.

    rows    as IMAGES gives them
    slices  of the volumes; the first stack decides when there is one
    """
    first = sorted(
        (row["slice"], row["timepoint"] or 0, row["SOPInstanceUID"])
        for row in slices.to_pylist()
        if row["stack"] == 0
    )
    uids = list(dict.fromkeys(uid for _, _, uid in first)) or [uid for uid, _ in rows]
    if rows and rows[0][1]:
        return [uid for uid, _ in rows]
    middle = len(uids) // 2
    return [uids[at] for at in sorted(range(len(uids)), key=lambda at: abs(at - middle))]
