"""Edge: all that speaks for some series being complete or not, out of the catalog."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ingestd import completeness
from ingestd.catalog import Catalog
from ingestd.completeness import Image, Judgement, Slice, StackRow

AT_ONCE = 128  #: series whose images are in memory at once; after a restart all are asked for

#: What is judged: every image of a series. The names are those of completeness.Image.
IMAGES = f"""
    SELECT SeriesInstanceUID, {", ".join(completeness.IMAGE_COLUMNS)}
    FROM instance WHERE SeriesInstanceUID IN $1
"""
STACKS = f"""
    SELECT SeriesInstanceUID, {", ".join(completeness.STACK_COLUMNS)}
    FROM volume WHERE SeriesInstanceUID IN $1
"""
SLICES = """
    SELECT v.SeriesInstanceUID, v.stack, v.position_mm, v.SOPInstanceUID, i.path
    FROM volume_slice AS v JOIN instance AS i USING (SOPInstanceUID)
    WHERE v.SeriesInstanceUID IN $1
"""
LISTED = """
    SELECT SeriesInstanceUID, SOPInstanceUID, coalesce(min(file), '')
    FROM listed WHERE SeriesInstanceUID IN $1
    GROUP BY ALL
"""

#: Images whose files are gone, or hold something else now; one that cannot be read is not gone.
GONE = """
    SELECT i.SeriesInstanceUID, i.SOPInstanceUID, i.path
    FROM instance AS i JOIN file AS f USING (root, path)
    WHERE i.SeriesInstanceUID IN $1 AND (f.state = 'gone' OR (
        f.SOPInstanceUID IS DISTINCT FROM i.SOPInstanceUID AND f.not_before_utc IS NULL))
"""


class Asked(Protocol):
    """A connection to the catalog."""

    def execute(self, query: str, parameters: object, /) -> Any:
        """Ask."""
        ...


def judge(
    db: Asked, series: Sequence[str], readable: Mapping[str, int]
) -> dict[str, Judgement | None]:
    """Judge some series; None for one of which nothing is known any more.

    readable  how many images of each are in files that can be read, where that is known
    """
    images = _rows(db, IMAGES, series, Image)
    stacks = _rows(db, STACKS, series, StackRow)
    listed = _rows(db, LISTED, series, _pair)
    torn = [uid for uid in series if any(stack.missing_slices for stack in stacks[uid])]
    slices = _rows(db, SLICES, torn, Slice)
    short = [uid for uid in series if readable.get(uid) != len(images[uid])]
    gone = _rows(db, GONE, short, _pair)
    return {
        uid: completeness.judge(
            images[uid],
            stacks[uid],
            slices=slices[uid],
            listed=dict(listed[uid]),
            gone=dict(gone[uid]),
        )
        if images[uid] or listed[uid]
        else None
        for uid in series
    }


def counted(catalog: Catalog, series: Sequence[str]) -> list[str]:
    """Name the series that are all here by a count or a list, so that waiting gives no more."""
    found = []
    for at in range(0, len(series), AT_ONCE):
        some = series[at : at + AT_ONCE]
        with catalog.cursor() as db:
            images, listed = _rows(db, IMAGES, some, Image), _rows(db, LISTED, some, _pair)
        found += [uid for uid in some if completeness.is_counted(images[uid], dict(listed[uid]))]
    return found


def _pair(one: str, other: str) -> tuple[str, str]:
    return one, other


def _rows(db: Asked, question: str, series: Sequence[str], kind: Any) -> dict[str, list[Any]]:
    """Ask for the rows of all series at once, and sort them by series."""
    found = defaultdict(list)
    if series:
        for uid, *row in db.execute(question, [list(series)]).fetchall():
            found[uid].append(kind(*row))
    return found
