from pathlib import Path
from typing import Any

import pytest

from ingestd.changes import changes, until_restart
from ingestd.config import Config

A, B = {"path": "/a"}, {"path": "/b"}


def of(**tables: Any) -> Config:
    return Config(**tables)


@pytest.mark.parametrize(
    ("old", "new", "ended", "begun", "retaken"),
    [
        pytest.param([A], [A], [], [], [], id="nothing"),
        pytest.param([A], [A, B], [], ["/b"], [], id="one more"),
        pytest.param([A, B], [A], ["/b"], [], [], id="one less"),
        pytest.param([A], [A | {"quiet_s": 9}], ["/a"], ["/a"], [], id="waits otherwise"),
        pytest.param([A], [A | {"take": "move"}], ["/a"], ["/a"], ["/a"], id="is emptied now"),
        pytest.param([A | {"take": "move"}], [B], ["/a"], ["/b"], ["/a"], id="emptied no more"),
    ],
)
def test_roots(
    old: list[Any], new: list[Any], ended: list[str], begun: list[str], retaken: list[str]
) -> None:
    found = changes(of(root=old), of(root=new))
    assert list(found.ended) == ended
    assert [root.key for root in found.begun] == begun
    assert list(found.retaken) == retaken


@pytest.mark.parametrize("section", [{"settle": {"quiet_s": 9}}, {"sweep": {"hot_s": 9}}])
def test_what_all_roots_go_by_begins_them_anew(section: dict[str, Any]) -> None:
    found = changes(of(root=[A, B]), of(root=[A, B], **section))
    assert (found.ended, [root.key for root in found.begun]) == (("/a", "/b"), ["/a", "/b"])


def test_other_delays_are_for_those_that_take_too() -> None:
    roots = [A, B | {"take": "copy"}]
    found = changes(of(root=roots), of(root=roots, retry={"first_s": 9}))
    assert (found.ended, found.retaken) == ((), ("/b",))


def test_what_counts_from_the_next_start_on_is_named_and_kept_until_then() -> None:
    old = of(archive={"path": "/x"}, catalog={"memory_bytes": 1 << 30})
    new = of(archive={"path": "/y"}, catalog={"memory_bytes": 1 << 31, "batch_rows": 7})
    held = until_restart(old, new)
    assert changes(old, new).at_restart == ("archive", "catalog.memory_bytes")
    assert held.archive.path == Path("/x")
    assert (held.catalog.memory_bytes, held.catalog.batch_rows) == (1 << 30, 7)


@pytest.mark.parametrize(
    ("before", "after", "held", "at_restart"),
    [
        pytest.param("full", "research", "research", (), id="to hide more is done at once"),
        pytest.param("research", "full", "research", ("sql.profile",), id="to show more is not"),
        pytest.param("research", "research", "research", (), id="no change"),
    ],
)
def test_the_profile_of_sql(
    before: Any, after: Any, held: str, at_restart: tuple[str, ...]
) -> None:
    old, new = of(sql={"profile": before}), of(sql={"profile": after, "rows": 7})
    found = changes(old, new)
    assert (until_restart(old, new).sql.profile, found.at_restart) == (held, at_restart)
    assert until_restart(old, new).sql.rows == 7
    assert found.hidden == (before != held)
