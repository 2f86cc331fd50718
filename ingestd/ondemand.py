"""Edge: `ingestd volume`: one stack of a series, to a file, now.

It is run for series after series, and most of its time goes into imports. So it does without
typer, which brings pydantic, and without all that stacking one plain series does not need.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

from ingestd import nifti
from ingestd.client import Client, quoted
from ingestd.dicom.geometry import NotAStack
from ingestd.errors import ConfigError, IngestError, SqlError, StateError
from ingestd.files import default_state
from ingestd.model import SeriesFile, SeriesJob
from ingestd.volume import fill, headers
from ingestd.volumefiles import companions

HALTED, USAGE = 1, 2
FORMATS = ("nii.gz", "nii", "npy")

#: The volume that is there already, if it was made of all that is there by now; and the instances
#: of the series with where their bytes are: the file itself first, then its copies.
ASKED = """
    SELECT v.path AS stored
    FROM volume AS v JOIN series_state AS s USING (SeriesInstanceUID)
    WHERE v.SeriesInstanceUID = {series} AND v.stack = {stack} AND v.revision = s.revision
        AND v.path IS NOT NULL AND s.state NOT IN ('receiving', 'quiet')
    UNION ALL BY NAME
    (SELECT i.StudyInstanceUID, i.SOPInstanceUID, f.root, f.path, f.size_bytes, f.mtime_ns
    FROM instance AS i JOIN file AS f ON f.SOPInstanceUID = i.SOPInstanceUID AND f.digest = i.digest
    WHERE i.SeriesInstanceUID = {series} AND f.state IN ('cataloged', 'duplicate')
    ORDER BY i.SOPInstanceUID, f.state, f.first_seen_utc, f.root, f.path)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoLimit:
    """Somebody asks for this volume: it may be as large as it is."""

    format: str
    max_voxels: int = 1 << 62


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command."""
    asked = argparse.ArgumentParser(
        prog="ingestd volume",
        description="Write the volume of a series to a file, with a JSON beside it.",
    )
    asked.add_argument("series", metavar="SERIESUID", help="SeriesInstanceUID")
    asked.add_argument(
        "-o",
        dest="output",
        type=Path,
        metavar="FILE",
        help="NAME.nii.gz, NAME.nii or NAME.npy. Default: SERIESUID_N.nii.gz",
    )
    asked.add_argument("--stack", type=int, default=0, metavar="N", help="which one; default: 0")
    asked.add_argument(
        "--allow-missing", action="store_true", help="build over holes, and say so in the header"
    )
    asked.add_argument(
        "--state", type=Path, default=default_state(), help="state folder; or INGESTD_STATE"
    )
    options = asked.parse_args(arguments)
    try:
        made = export(
            Client(options.state),
            options.series,
            options.output or Path(f"{options.series}_{options.stack}.nii.gz"),
            stack=options.stack,
            allow_missing=options.allow_missing,
        )
    except ConfigError as error:
        sys.stderr.write(f"ingestd: {error}\n")
        raise SystemExit(USAGE) from None
    except (StateError, SqlError, IngestError) as error:
        sys.stderr.write(f"ingestd: {error}\n")
        raise SystemExit(HALTED) from None
    except OSError as error:
        sys.stderr.write(f"ingestd: {error.filename}: {error.strerror}\n")
        raise SystemExit(HALTED) from None
    sys.stdout.write(f"{made}\n")
    raise SystemExit(0)


def export(
    client: Client, series: str, target: Path, *, stack: int = 0, allow_missing: bool = False
) -> Path:
    """Write one stack of a series, and its sidecar beside it.

    target  its suffix chooses the format
    return  the file
    raises  ConfigError, SqlError when the series is not known; IngestError when it is no volume,
            or a file cannot be read
    """
    form = format_of(target)
    rows = client.rows(ASKED.format(series=quoted(series), stack=int(stack)))
    stored = next((row["stored"] for row in rows if row["stored"]), "")
    if stored.endswith(f".{form}") and not allow_missing:
        return copied(client.state / stored, target)
    job = job_of(series, [row for row in rows if not row["stored"]])
    read = headers(job)
    found = read.outcomes(allow_missing=allow_missing)
    if not 0 <= stack < len(found):
        raise ConfigError(f"--stack {stack}: the series has {len(found)}, numbered from 0")
    outcome = found[stack]
    if isinstance(outcome, NotAStack):
        raise IngestError(outcome.reason, outcome.detail)
    filled = fill(
        outcome,
        read,
        NoLimit(format=form),
        beat=lambda _: None,
        threads=os.cpu_count() or 1,
    )
    nifti.write(target, filled.content, form, synced=False)
    nifti.publish(sidecar_of(target), filled.document, synced=False)
    return target


def format_of(target: Path) -> str:
    """Choose the format by the name of the file.

    raises  ConfigError
    """
    for form in FORMATS:
        if target.name.endswith(f".{form}") and target.name != f".{form}":
            return form
    raise ConfigError(f"-o {target}: the name must end with one of .{', .'.join(FORMATS)}")


def sidecar_of(target: Path) -> Path:
    """Name the JSON that belongs to a volume."""
    return target.with_name(companions(target.name)[0])


def copied(stored: Path, target: Path) -> Path:
    """Copy a volume that is there already, with its sidecar."""
    for source, copy in ((stored, target), (sidecar_of(stored), sidecar_of(target))):
        with source.open("rb") as content:
            nifti.publish_from(copy, partial(shutil.copyfileobj, content), synced=False)
    return target


def job_of(series: str, rows: Sequence[dict[str, Any]]) -> SeriesJob:
    """Make a job of the files of a series.

    raises  SqlError when there is none
    """
    if not rows:
        raise SqlError(f"{series}: the catalog has no files of such a series; see `ingestd show`")
    copy = itemgetter("root", "path", "size_bytes", "mtime_ns")
    files = [
        SeriesFile.of(uid, map(copy, same))
        for uid, same in groupby(rows, itemgetter("SOPInstanceUID"))
    ]
    return SeriesJob(
        StudyInstanceUID=rows[0]["StudyInstanceUID"],
        SeriesInstanceUID=series,
        revision=0,
        files=tuple(files),
    )
