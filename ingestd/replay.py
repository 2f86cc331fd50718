"""Edge: `ingestd retry`: what was refused, or lacks its picture or volume, is done again.

The wish is written into the catalog first, so that no crash forgets it: files are due, series are
quiet. Whoever reads and stacks anyway does the rest.
"""

from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from ingestd import mend
from ingestd.catalog import utc_now
from ingestd.errors import ConfigError, Reason
from ingestd.hands import Hands
from ingestd.screen import plain

#: Files whose reason it is ($1), or any; a DICOMDIR is no fault.
FILES = """
    state IN ('refused', 'retry') AND (reason = $1 OR ($1 = '' AND reason <> 'dicomdir'))
"""
#: Files of images that have no thumbnail for this reason.
PICTURES = """
    state = 'cataloged' AND SOPInstanceUID IN (
        SELECT i.SOPInstanceUID FROM problem AS p JOIN instance AS i USING (SOPInstanceUID)
        WHERE p.kind = $1 AND p.keyword = 'PixelData' AND i.thumbnail_path IS NULL)
"""
COUNT = "SELECT root, count(*) FROM file WHERE {which} GROUP BY root ORDER BY root"
AGAIN = """
    UPDATE file SET not_before_utc = $2, attempts = 0
    WHERE {which} AND list_contains($3, root)
"""

VOLUMES = "SELECT DISTINCT SeriesInstanceUID FROM volume WHERE reason = ? ORDER BY ALL"

#: With one picture for each series, it is made where the series is judged.
COVERS = """
    SELECT DISTINCT i.SeriesInstanceUID
    FROM problem AS p JOIN instance AS i USING (SOPInstanceUID)
    WHERE p.kind = ? AND p.keyword = 'PixelData'
    ORDER BY ALL
"""


def checked(reason: str) -> str:
    """See that there is such a reason; empty: any.

    raises  ConfigError
    """
    known = [str(one) for one in Reason]
    if reason and reason not in known:
        near = get_close_matches(reason, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "docs/reasons.md has them all"
        raise ConfigError(f"--reason {reason}: there is no such reason; {hint}")
    return reason


def replay(hands: Hands, reason: str) -> dict[str, Any]:
    """Have all done again that was not done for a reason; say how much that is.

    reason  empty: files that were refused or wait, for whatever reason
    raises  ConfigError when there is no such reason; IngestError when the catalog halts
    """
    checked(reason)
    level = hands.works.settings.thumbnail.level
    series: set[str] = set()
    elsewhere: dict[str, int] = {}
    files = _read_again(hands, FILES, reason, elsewhere)
    pictures = 0
    if reason:
        catalog = hands.works.catalog
        series = {uid for (uid,) in catalog.rows(VOLUMES, reason)}
        if level == "instance":
            pictures = _read_again(hands, PICTURES, reason, elsewhere)
        elif level == "series":
            series |= {uid for (uid,) in catalog.rows(COVERS, reason)}
        stack_again(hands, sorted(series))
    made = {"files": files, "thumbnails": pictures, "series": len(series)}
    return {"reason": reason, **made, "elsewhere": elsewhere}


def _read_again(hands: Hands, which: str, reason: str, elsewhere: dict[str, int]) -> int:
    """Let files be due; count those that nobody would read into `elsewhere`."""
    catalog = hands.works.catalog
    counts = dict(catalog.rows(COUNT.format(which=which), reason))
    watched = [root for root in counts if hands.is_watched(root)]
    for root in counts.keys() - set(watched):
        elsewhere[root] = elsewhere.get(root, 0) + counts[root]
    if watched:
        with catalog.transaction() as db:
            db.execute(AGAIN.format(which=which), [reason, utc_now(), watched])
    return sum(counts[root] for root in watched)


def stack_again(hands: Hands, series: list[str]) -> None:
    """Have series stacked and judged again."""
    if series:
        with hands.works.catalog.transaction(again=pa.table({"uid": series})) as db:
            db.execute(mend.JUDGE_AGAIN)
        hands.redo(series)


def as_text(said: dict[str, Any]) -> str:
    """Say it for people."""
    words = f"{said['files']} files, {said['thumbnails']} thumbnails, {said['series']} series"
    lines = [f"tried again: {words}"]
    for root, count in said["elsewhere"].items():
        lines.append(
            f"left: {count} files of {plain(root)}, which nobody watches;"
            " put them into a drop folder"
        )
    if (came := said.get("came_to")) is not None:
        lines.append("came to: " + (", ".join(f"{n} {what}" for what, n in came.items()) or "-"))
    return "\n".join(lines)
