"""Edge: the series that lack most, for `ingestd status`."""

from typing import Any

from ingestd.client import Client
from ingestd.lacking import without_files

SHOWN = 10
NAMED = 3  #: names of what is missing, in text; JSON has all

WORST = f"""
    SELECT SeriesInstanceUID, Modality, evidence, expected, found, missing, last_arrival_utc,
        given_up_utc, roots
    FROM incomplete_series
    ORDER BY coalesce(expected - found, len(missing), 0) DESC, last_arrival_utc, SeriesInstanceUID
    LIMIT {SHOWN}
"""

#: The same where times, places and words are withheld
LEFT_TO_SEE = f"""
    SELECT SeriesInstanceUID, Modality, expected, found, NULL AS missing,
        NULL::TIMESTAMP AS last_arrival_utc, NULL AS given_up_utc
    FROM incomplete_series ORDER BY expected - found DESC, SeriesInstanceUID LIMIT {SHOWN}
"""


def worst(client: Client) -> list[dict[str, Any]]:
    """Ask for them: those that lack most first, of these the oldest."""
    question = WORST if client.profile == "full" else LEFT_TO_SEE
    found: list[dict[str, Any]] = client.sql(question).to_pylist()
    return found


def line(row: dict[str, Any]) -> str:
    """Write `incomplete 1.2.3 CT: 38 of 40 since 2026-01-02 03:04, given up: ...`."""
    of = f" of {row['expected']}" if row["expected"] is not None else ""
    given_up = ", given up" if row["given_up_utc"] else ""
    at = row["last_arrival_utc"]
    since = f" since {at:%Y-%m-%d %H:%M}" if at is not None else ""
    names = [without_files(name) for name in row["missing"] or ()]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"incomplete {row['SeriesInstanceUID']} {row['Modality'] or ''}: {row['found']}{of}"
        f"{since}{given_up}:"
        f" {', '.join(names[:NAMED])}{more}"
    )
