"""Edge: what does not agree between the tables of the catalog, a part of them at a time."""

from collections.abc import Callable, Collection, Iterator, Sequence

from ingestd import sql
from ingestd.catalog import Catalog
from ingestd.differences import Difference
from ingestd.errors import IngestError, Reason

PART_ROWS = 1_000_000  #: so many rows of a table are compared at once
STRETCH = 4096  #: differences that are given at once

#: Asked in parts by the hash of what is compared; those not named here are asked at once.
BY_HASH = frozenset(
    {
        "instance_without_file",
        "file_without_instance",
        "conflict_without_rival",
        "instance_of_another_file",
        "slice_of_no_instance",
    }
)
#: And those in stretches of instance_id.
BY_ID = frozenset({"elements_of_no_attribute", "instance_without_tags", "tags_without_instance"})

SIZES = """
    SELECT greatest((SELECT count(*) FROM file), (SELECT count(*) FROM volume_slice)),
        coalesce(least((SELECT min(instance_id) FROM instance),
            (SELECT min(instance_id) FROM element)), 1),
        coalesce(greatest((SELECT max(instance_id) FROM instance),
            (SELECT max(instance_id) FROM element)), 0)
"""
VIEWS = "SELECT view_name FROM duckdb_views() WHERE NOT internal"

Tell = Callable[[str, int, int | None], None]


def rows_disagree(
    catalog: Catalog, tell: Tell, kinds: Collection[str]
) -> Iterator[Sequence[Difference]]:
    """Give what does not agree between tables, and what of the views does not work."""
    ((rows, first, last),) = catalog.rows(SIZES)
    wanted = [kind for kind in sql.AUDIT if kind in kinds]
    for nth, kind in enumerate(wanted):
        tell("tables", nth, len(wanted))
        for values in questions(kind, rows, first, last):
            yield from asked(catalog, kind, values)
    if "view_broken" in kinds:
        yield broken_views(catalog)


def questions(kind: str, rows: int, first: int, last: int) -> Iterator[dict[str, int]]:
    """Give what fills the places of a question, once for each of its parts."""
    if kind in BY_ID:
        for at in range(first, last + 1, PART_ROWS):
            yield {"first": at, "last": at + PART_ROWS - 1}
    elif kind in BY_HASH:
        parts = 1 + rows // PART_ROWS
        yield from ({"parts": parts, "part": part} for part in range(parts))
    else:
        yield {}


def asked(catalog: Catalog, kind: str, values: dict[str, int]) -> Iterator[Sequence[Difference]]:
    """Ask one question, and give what it finds a stretch at a time."""
    with catalog.cursor() as cursor:
        answer = cursor.execute(sql.AUDIT[kind], values)
        while rows := answer.fetchmany(STRETCH):
            yield [
                Difference(kind=kind, root=root, path=path, uid=uid, detail=detail)
                for root, path, uid, detail in rows
            ]


def broken_views(catalog: Catalog) -> list[Difference]:
    """Try each view."""
    there = {name for (name,) in catalog.rows(VIEWS)}
    found = []
    for name in sorted(there | sql.VIEW_NAMES):
        try:
            catalog.rows(f'SELECT * FROM "{name}" LIMIT 0')
        except IngestError as error:
            if error.reason is not Reason.CATALOG_BROKEN:
                raise
            found.append(Difference(kind="view_broken", path=name, detail=error.detail))
    return found
