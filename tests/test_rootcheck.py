from pathlib import Path

import pytest

from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason
from ingestd.rootcheck import Health, RootLook, RootMemory, are_there, look_at_root, relative
from ingestd.watch import Mount


def test_each_change_is_told_once_and_the_worst_wins() -> None:
    told: list[tuple[str, str]] = []
    health = Health("/r", lambda _, state, why: told.append((state, why)))
    health.complain("listing", "a folder")
    health.complain("reading", "a file")
    health.lose("it hangs")
    health.lose("it hangs still")
    health.found()
    health.complain("listing", "")
    assert told == [("degraded", "a folder"), ("unreachable", "it hangs"), ("healthy", "")]


def test_a_change_that_cannot_be_told_just_now_is_told_the_next_time() -> None:
    told: list[str] = []
    halts = [True]

    def tell(_: str, state: str, why: str) -> None:
        if halts:
            halts.pop()
            raise IngestError(Reason.DISK_FULL, "the catalog halts")
        told.append(f"{state}: {why}")

    health = Health("/r", tell)
    with pytest.raises(IngestError):
        health.lose("it hangs")
    assert health.state == "unreachable"
    health.lose("it hangs")
    health.lose("it hangs")
    assert told == ["unreachable: it hangs"]


def seen(place: str, *below: str) -> RootLook:
    return RootLook(
        identity=(1, 2),
        real="/mnt/share/in",
        mount=Mount(place=place, kind="nfs4"),
        below=tuple(Mount(place=one, kind="xfs") for one in below),
    )


@pytest.mark.parametrize(
    ("before", "now", "missing"),
    [
        pytest.param(seen("/mnt/share"), seen("/mnt/share"), [], id="as it was"),
        pytest.param(seen("/mnt/share"), seen("/"), ["/mnt/share"], id="not mounted"),
        pytest.param(seen("/"), seen("/mnt/share"), [], id="mounted over it"),
        pytest.param(
            seen("/", "/mnt/share/in/a"), seen("/"), ["/mnt/share/in/a"], id="one below is not"
        ),
    ],
)
def test_what_was_mounted_is_missed_by_the_next_daemon_too(
    catalog: Catalog, before: RootLook, now: RootLook, missing: list[str]
) -> None:
    RootMemory(catalog, "/r").keep(before, [])
    found = RootMemory(catalog, "/r").missing(now)
    assert [mount.place for mount in found] == missing


def test_a_root_is_looked_at_and_its_sentinel_must_be_there(tmp_path: Path) -> None:
    assert look_at_root(str(tmp_path), "").real == str(tmp_path)
    with pytest.raises(OSError, match="the sentinel here is not there"):
        look_at_root(str(tmp_path), "here")


def test_most_of_the_files_tell_whether_a_folder_is_the_one_it_was(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text("four")
    known = [("a", 4), ("b", 4), ("c", 5)]
    assert are_there(str(tmp_path), known)
    assert not are_there(str(tmp_path), [*known, ("d", 4)])


def test_relative() -> None:
    assert [relative("/r", place) for place in ("/r/a/b", "/r", "/", "/rx")] == ["a/b", "", "", ""]
