"""Edge: derived files find their place when their rows do."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ingestd.files import staged

#: Outcomes of `write_batch.sql` that own the names of derived files, and those that had them.
WINNERS, KNOWN = frozenset({"new", "replaced", "same", "moved"}), frozenset({"same", "moved"})

#: What the catalog notes of thumbnails that are not where they were put: their paths, and when.
LOST = (
    """
    INSERT INTO problem BY NAME
    SELECT SOPInstanceUID, root, path, 'thumbnail_lost' AS kind,
        'it was made and is not there' AS detail, $2 AS at_utc
    FROM instance WHERE thumbnail_path IN (SELECT unnest($1))
    """,
    """
    UPDATE instance SET thumbnail_path = NULL, window_source = NULL
    WHERE thumbnail_path IN (SELECT unnest($1)) AND $2 IS NOT NULL
    """,
)


class Thumbnails(NamedTuple):
    """What became of the thumbnails of a batch."""

    published: int
    lost: list[str]  #: paths where one should be and is none
    moved: list[tuple[str, str]]  #: from where it waited, to its place


def publish_thumbnails(state: Path, instance: pa.Table, outcomes: Mapping[int, str]) -> Thumbnails:
    """Move the thumbnails of files that won their UID to their place; drop the others.

    Copies of one file wait under one name, so the winners come first.

    instance  rows of `tables.INSTANCE`
    outcomes  by `seq`, as `write_batch.sql` decided
    raises    OSError; nothing is lost by doing it again
    """
    columns = (instance[name].to_pylist() for name in ("seq", "thumbnail_path", "digest"))
    rows = [
        (outcomes[seq], f"{state}/{path}", digest, path)
        for seq, path, digest in zip(*columns, strict=True)
        if path is not None
    ]
    published, lost, moved = 0, [], []
    for outcome, final, digest, path in rows:
        if outcome not in WINNERS:
            continue
        waiting = staged(final, digest)
        try:
            os.replace(waiting, final)
        except FileNotFoundError:  # A copy that did not win took it along.
            if outcome not in KNOWN or not os.path.exists(final):
                lost.append(path)
        else:
            moved.append((waiting, final))
            published += outcome not in KNOWN
    for outcome, final, digest, _ in rows:
        if outcome not in WINNERS:
            with suppress(FileNotFoundError):
                os.unlink(staged(final, digest))
    return Thumbnails(published, lost, moved)


def take_back(moved: list[tuple[str, str]]) -> None:
    """Let thumbnails wait again: their rows were not committed, and will be tried once more.

    raises  OSError; those that could not be moved are still in the list then
    """
    while moved:
        waiting, final = moved[-1]
        with suppress(FileNotFoundError):
            os.replace(final, waiting)
        moved.pop()
