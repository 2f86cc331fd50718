"""Wiring. What a worker process does: read files and picture them, or stack a series.

Functions of what comes in, so that a lost worker costs nothing but the time. Pictures go beside
their final place and are moved by the catalog, which alone knows which file wins a UID.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from ingestd import tables
from ingestd.errors import IngestError, Reason, Verdict
from ingestd.files import Insides, staged
from ingestd.model import Arrival, Fault, Picturing, SeriesFile, SeriesJob, Stacking
from ingestd.tables import Batch

if TYPE_CHECKING:
    from ingestd import config
    from ingestd.dicom.header import Header
    from ingestd.parse import Parsed
    from ingestd.thumbnail import Picture

log = logging.getLogger(__name__)

Beat = Callable[..., None]

ODD_PIXELS = "odd_pixels"  #: a picture is there, but not as the header asks for

COVER = "cover"  #: in the name of a series' one picture while it waits; see `files.staged`


class Reading(NamedTuple):
    """What of the config it takes to read a file: to unpickle all of it brings pydantic along."""

    max_file_bytes: int
    text_bytes: int
    thumbnail: Picturing | None  #: None: make no pictures of instances

    @classmethod
    def of(cls, settings: "config.Config") -> "Reading":
        """Take it from the config."""
        pictured = settings.thumbnail.level == "instance"
        thumbnail = settings.thumbnail.picturing if pictured else None
        return cls(settings.workers.max_file_bytes, settings.catalog.text_bytes, thumbnail)


class Cover(NamedTuple):
    """The one picture of a series, beside its place; None of it when no image can be shown."""

    SOPInstanceUID: str | None
    path: str | None  #: relative to the state folder
    window_source: str | None
    failures: Sequence[tuple[str, str, str]]  #: SOPInstanceUID, reason, detail


def unheard(_: int, *, computing: bool = False) -> None:
    """Beat where nobody listens."""


def ingest(
    arrivals: Sequence[Arrival], *, state: Path, reading: Reading, beat: Beat = unheard
) -> Batch:
    """Read some files, make their thumbnails, and give their rows.

    raises  IngestError disk_full, when a thumbnail has no room; nothing else of its kind
    """
    from ingestd import parse  # noqa: PLC0415 -- see preload.py
    from ingestd.dicom.directory import MediaDirectory  # noqa: PLC0415

    rows: list[Parsed] = []
    refused: list[tuple[Arrival, IngestError]] = []
    listed: list[tuple[str, ...]] = []
    pictures: dict[int, tuple[str | None, str | None]] = {}
    with closing(Insides()) as roots:
        for index, arrival in enumerate(arrivals):
            beat(index)
            try:
                parsed = parse.read(
                    arrival,
                    max_file_bytes=reading.max_file_bytes,
                    text_bytes=reading.text_bytes,
                    have_read=partial(beat, index, computing=True),
                    open_file=roots.open,
                )
            except IngestError as error:
                refused.append((arrival, error))
                if isinstance(error, MediaDirectory):
                    listed += [(arrival.root, arrival.path, *one) for one in error.listed]
                continue
            if reading.thumbnail is not None:
                parsed, pictures[arrival.seq] = pictured(parsed, state, reading.thumbnail)
            rows.append(parsed.without_dataset())
    instance, attribute, element, problem = parse.to_tables(rows, pictures)
    return Batch(
        file=file_rows(rows, refused),
        instance=instance,
        attribute=attribute,
        element=element,
        problem=problem,
        listed=tables.listed(listed),
    )


def stack(
    job: SeriesJob, *, state: Path, options: Stacking, beat: Beat = unheard
) -> tuple[pa.Table, pa.Table]:
    """Build the volumes of a series; see `volume.build`."""
    from ingestd import volume  # noqa: PLC0415 -- see preload.py

    try:
        return volume.build(job, state=state, options=options, beat=beat)
    except OSError as error:
        raise state_trouble(error) from error


def cover(
    files: Sequence[SeriesFile],
    *,
    series: str,
    state: Path,
    options: Picturing,
    beat: Beat = unheard,
) -> Cover:
    """Make a picture of the first of some images that can be shown.

    series  its folder: Study and Series Instance UID
    raises  IngestError, when none can and some cannot be read just now; disk_full
    """
    from ingestd import slicefile, thumbnail  # noqa: PLC0415 -- see preload.py

    failures: list[tuple[str, str, str]] = []
    later: IngestError | None = None
    made: thumbnail.Picture | thumbnail.NoPicture
    for index, file in enumerate(files):
        beat(index)
        try:
            made = thumbnail.render(slicefile.whole(file), options)
        except IngestError as error:
            later = error if error.reason.verdict is Verdict.RETRY else later
            made = thumbnail.NoPicture(reason=error.reason, detail=error.detail)
        uid = file.SOPInstanceUID
        if isinstance(made, thumbnail.Picture):
            relative = f"thumbnails/{series}/{uid}.{made.suffix}"
            put_beside(f"{state}/{relative}", made.content, COVER)
            failures += [(uid, ODD_PIXELS, made.note)] if made.note else []
            return Cover(uid, relative, made.window_source, failures)
        if made.reason.verdict is not Verdict.RETRY:
            failures.append((uid, str(made.reason), made.detail))
    if later is not None:
        raise later
    return Cover(None, None, None, failures)


def pictured(
    parsed: "Parsed", state: Path, options: Picturing
) -> tuple["Parsed", tuple[str | None, str | None]]:
    """Make the thumbnail of a file that was read."""
    if not parsed.instance["has_pixels"] or parsed.is_truncated:
        return parsed, (None, None)
    from ingestd import thumbnail  # noqa: PLC0415 -- see preload.py
    from ingestd.dicom.values import Problem  # noqa: PLC0415

    try:
        made = thumbnail.render_header(header_of(parsed), options)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 -- a fault of ours costs the picture, not the file
        detail = f"picturing it raised {type(error).__name__}, a fault of ours"
        made = thumbnail.NoPicture(reason=Reason.DECODER_FAILED, detail=detail)
    if isinstance(made, thumbnail.NoPicture):
        problem = Problem(kind=str(made.reason), keyword="PixelData", raw=None, detail=made.detail)
        return parsed.without_dataset(problem), (None, None)
    uid = parsed.instance
    relative = (
        f"thumbnails/{uid['StudyInstanceUID']}/{uid['SeriesInstanceUID']}"
        f"/{uid['SOPInstanceUID']}.{made.suffix}"
    )
    put_beside(f"{state}/{relative}", made.content, parsed.digest)
    if log.isEnabledFor(logging.DEBUG):
        log.debug("pictured", extra={"at": told(parsed, made)})
    if made.note:
        parsed = parsed.without_dataset(Problem(ODD_PIXELS, "PixelData", None, made.note))
    return parsed, (relative, made.window_source)


def told(parsed: "Parsed", made: "Picture") -> dict[str, object]:
    """Say of a picture who decoded it, for the log."""
    return {
        "root": parsed.arrival.root,
        "path": parsed.arrival.path,
        "syntax": parsed.instance["TransferSyntaxUID"],
        "decoder": made.decoder,
        "window_source": made.window_source,
    }


def header_of(parsed: "Parsed") -> "Header":
    """Give the header that was read with the file."""
    assert parsed.header is not None, "the pixels were given up already"
    return parsed.header


def put_beside(final: str, content: bytes, digest: str) -> None:
    """Write a derived file beside its place; it can be made again, so no fsync."""
    waiting = staged(final, digest)
    for again in (True, True, False):
        try:
            _put(waiting, content)
            break
        except FileNotFoundError as error:  # The first of a series; or folders are removed here.
            if not again:
                raise state_trouble(error) from error
            make_folder(os.path.dirname(final))
        except OSError as error:
            raise state_trouble(error) from error


def _put(waiting: str, content: bytes) -> None:
    """Write a file whole. Copies of one file wait under one name, and the first writes it there.

    Nobody takes it before one of its writers is done. One that is not the first may be followed
    at any moment, and puts a whole one in its place.
    """
    try:
        with open(waiting, "xb") as out:
            out.write(content)
    except FileExistsError:
        part = f"{waiting}.{os.getpid()}"
        try:
            with open(part, "wb") as out:
                out.write(content)
            os.replace(part, waiting)
        except OSError:
            with suppress(OSError):
                os.unlink(part)
            raise


def make_folder(path: str) -> None:
    """Make a folder of the state folder with all above it, unless it is there."""
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
    except OSError as error:
        raise state_trouble(error) from error


def state_trouble(error: OSError) -> IngestError:
    """Say of trouble with the state folder why we halt: it is no fault of the file in hand."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return IngestError(Reason.DISK_FULL, "no space left in the state folder")
    words = f"the state folder cannot be written: {error.strerror}"
    return IngestError(Reason.STATE_NOT_WRITABLE, words)


def file_rows(rows: Sequence["Parsed"], refused: Sequence[tuple[Arrival, IngestError]]) -> pa.Table:
    """Make the ledger's rows for files that were read and files that were not."""
    arrivals = [row.arrival for row in rows] + [arrival for arrival, _ in refused]
    errors = [None] * len(rows) + [error for _, error in refused]
    columns = {
        "seq": [arrival.seq for arrival in arrivals],
        "root": [arrival.root for arrival in arrivals],
        "path": [arrival.path for arrival in arrivals],
        "size_bytes": [arrival.size_bytes for arrival in arrivals],
        "mtime_ns": [arrival.mtime_ns for arrival in arrivals],
        "reason": [error and str(error.reason) for error in errors],
        "detail": [error and error.detail for error in errors],
        "attempts": [
            arrival.past.attempts + 1 if error else 0
            for arrival, error in zip(arrivals, errors, strict=True)
        ],
        "known": [arrival.past.known for arrival in arrivals],
        "digest": [row.digest for row in rows] + [None] * len(refused),
        "SOPInstanceUID": [str(row.instance["SOPInstanceUID"]) for row in rows]
        + [None] * len(refused),
    }
    return pa.table(columns, schema=tables.FILE)


def fault_rows(faults: Sequence[Fault], seqs: Iterable[int]) -> pa.Table:
    """Make the ledger's rows for entries that are refused by what they are."""
    rows = [
        {
            "seq": seq,
            "root": fault.root,
            "path": fault.path,
            "size_bytes": fault.size_bytes,
            "mtime_ns": fault.mtime_ns,
            "reason": str(fault.reason),
            "detail": fault.detail,
            "attempts": 1,
            "known": True,
        }
        for seq, fault in zip(seqs, faults, strict=False)
    ]
    return pa.Table.from_pylist(rows, schema=tables.FILE)
