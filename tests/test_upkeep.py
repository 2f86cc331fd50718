"""What is forgotten in a long life, and what is not."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from test_catalog import NOW, batch, file

from ingestd import config
from ingestd.catalog import Catalog, utc_now
from ingestd.errors import Reason
from ingestd.retries import Due, read_again
from ingestd.upkeep import Upkeep


def upkeep(catalog: Catalog, **retention: float) -> Upkeep:
    settings = config.Config(retention=config.Retention(**retention))
    hands: Any = SimpleNamespace(works=SimpleNamespace(catalog=catalog, settings=settings))
    return Upkeep(hands)


def note(catalog: Catalog, *ages_days: float, kind: str = "series_complete") -> None:
    with catalog.transaction() as db:
        for age in ages_days:
            db.execute(
                "INSERT INTO event (at_utc, kind) VALUES (?, ?)",
                [utc_now() - timedelta(days=age), kind],
            )
            db.execute(
                "INSERT INTO problem (kind, at_utc) VALUES (?, ?)",
                [kind, utc_now() - timedelta(days=age)],
            )


def left(catalog: Catalog, table: str) -> int:
    return int(catalog.rows(f"SELECT count(*) FROM {table}")[0][0])


@pytest.mark.parametrize(
    ("retention", "events", "problems"),
    [
        pytest.param({}, 3, 4, id="by default events for a year, problems for ever"),
        pytest.param({"event_days": 0}, 4, 4, id="zero: for ever"),
        pytest.param({"event_days": 5}, 1, 4, id="events of some days"),
        pytest.param({"event_days": 0, "problem_days": 50}, 4, 2, id="problems of some days"),
    ],
)
def test_what_is_older_than_the_config_wants_is_forgotten(
    catalog: Catalog, retention: dict[str, float], events: int, problems: int
) -> None:
    note(catalog, 1, 10, 100, 1000)
    upkeep(catalog, **retention).forget()
    assert (left(catalog, "event"), left(catalog, "problem")) == (events, problems)


def test_that_a_source_was_lost_is_not_forgotten(catalog: Catalog) -> None:
    note(catalog, 1000, kind="source_lost")
    upkeep(catalog, event_days=1, problem_days=1).forget()
    assert (left(catalog, "event"), left(catalog, "problem")) == (1, 1)


def test_events_that_a_hook_is_still_to_be_told_of_stay(catalog: Catalog) -> None:
    note(catalog, 1000, 999)
    with catalog.transaction() as db:
        db.execute("INSERT INTO hook_cursor SELECT 'a hook', min(event_id) FROM event")
    upkeep(catalog, event_days=1).forget()
    assert left(catalog, "event") == 1


def test_a_file_that_stays_due_is_named_once_and_then_later(catalog: Catalog) -> None:
    rows = [file(f"{at}", reason=Reason.NOT_DICOM) for at in range(3)]
    catalog.write(batch(*rows), now=NOW)
    root = str(rows[0]["root"])
    due = Due(catalog, root)
    assert due.take() == []
    read_again(catalog, [(root, "0"), (root, "1")])
    assert sorted(due.take()) == ["0", "1"]
    read_again(catalog, [(root, "2")])
    assert due.take() == ["2"]
    assert due.take() == []
