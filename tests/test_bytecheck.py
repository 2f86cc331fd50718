"""Files read once more: what is lost with a worker, and shares that hang."""

from concurrent.futures import Future
from typing import Any

import pytest
from test_catalog import batch, file

from ingestd import bytecheck, config, tasks
from ingestd.bytecheck import ByteCheck
from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason
from ingestd.model import Arrival
from ingestd.tables import Batch
from ingestd.workers import WorkerLost


class Workers:
    """Reads nothing: a file of the root `/hangs` hangs, `guilty` kills, others have left."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, _: Any, arrivals: list[Arrival], **__: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        for at, arrival in enumerate(arrivals):
            self.asked.append(f"{arrival.root}/{arrival.path}")
            if arrival.root == "/hangs":
                lost = WorkerLost(Reason.TRANSIENT_IO, "no progress: its disk or share hangs", at)
                future.set_exception(lost)
                return future
            if arrival.path == "guilty":
                future.set_exception(WorkerLost(Reason.WORKER_CRASHED, "it ended with -11", at))
                return future
        gone = [(one, IngestError(Reason.TRANSIENT_IO, "ENOENT: it left")) for one in arrivals]
        future.set_result(Batch.refusing(tasks.file_rows([], gone)))
        return future


def check(catalog: Catalog, workers: Workers) -> ByteCheck:
    return ByteCheck(
        catalog=catalog,
        pool=workers,
        settings=config.Config(),
        state=catalog.state,
        tell=lambda *_: None,
    )


@pytest.fixture
def files(catalog: Catalog) -> Catalog:
    """Twenty files of two roots."""
    rows = [
        file(f"{at}", f"1.{at}") | {"root": "/hangs" if at % 2 else "/good"} for at in range(20)
    ]
    catalog.write(batch(*rows))
    return catalog


def test_of_a_root_whose_reads_hang_one_file_is_tried_and_no_other(files: Catalog) -> None:
    workers = Workers()
    one = check(files, workers)
    assert [two for some in one.run() for two in some] == []
    assert len(one.unproven) == 1
    assert one.unproven[0].startswith("/hangs: files cannot be read")
    assert sum(path.startswith("/hangs") for path in workers.asked) == 1
    assert {f"/good/{at}" for at in range(0, 20, 2)} <= set(workers.asked)


def test_a_file_that_kills_its_worker_is_named_and_no_other(catalog: Catalog) -> None:
    rows = [file(name, f"1.{at}") for at, name in enumerate(["a", "guilty", "b"])]
    catalog.write(batch(*rows))
    found = [two for some in check(catalog, Workers()).run() for two in some]
    assert [(one.kind, one.path) for one in found] == [("file_unread", "guilty")]
    assert "worker_crashed" in str(found[0].detail)


def test_a_sample_reads_so_many(files: Catalog) -> None:
    with files.transaction() as db:
        db.execute("UPDATE file SET root = '/good'")
    workers = Workers()
    one = check(files, workers)
    one.sample = 7
    assert [two for some in one.run() for two in some] == []
    assert (one.files, len(workers.asked)) == (7, 7)


def test_a_sample_of_several_pages_reads_no_file_twice(
    files: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with files.transaction() as db:
        db.execute("UPDATE file SET root = '/good'")
    monkeypatch.setattr(bytecheck, "PAGE", 6)
    monkeypatch.setattr(bytecheck, "SOME", bytecheck.SOME.replace("65536", "6"))
    workers = Workers()
    one = check(files, workers)
    one.sample = 15
    assert [two for some in one.run() for two in some] == []
    assert (len(workers.asked), len(set(workers.asked))) == (15, 15)
