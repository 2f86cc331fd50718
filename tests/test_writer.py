"""How much is gathered before it is written."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from daemons import wait_for
from test_catalog import batch, file

from ingestd import config, writer
from ingestd.catalog import Catalog
from ingestd.meters import Meters
from ingestd.tables import Batch
from ingestd.writer import Writer

PART = 130  #: files that a worker gives at once


class Written:
    """A writer at work, and the sizes of what it wrote; it would wait for long by itself."""

    def __init__(self, catalog: Catalog, *, open_files: int) -> None:
        self.sizes: list[int] = []
        self._open, self._parts = open_files, 0
        self.writer = Writer(
            catalog,
            config.Catalog(batch_wait_ms=60_000),
            results=99,
            stopping=threading.Event(),
            open_files=lambda: self._open,
            written=self._written,
            touched=lambda _: None,
            halted=lambda _: None,
            beat=lambda: None,
            meters=Meters(),
        )
        self._thread = threading.Thread(target=self.writer.run)

    def _written(self, done: Batch) -> None:
        self.sizes.append(done.file.num_rows)
        self._open -= done.file.num_rows

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.end()
        self._thread.join()

    def put(self, files: int = PART) -> None:
        """Give it what a worker made; wait until it was taken up."""
        self._parts += 1
        names = [f"{self._parts}.{at}" for at in range(files)]
        made = batch(*[file(name, f"1.{name}") for name in names])
        first = self._parts * 1000
        self.writer.put(
            replace(
                made,
                file=numbered(made.file, first),
                instance=numbered(made.instance, first),
                element=numbered(made.element, first),
            )
        )
        wait_for(self.writer._results.empty)


def numbered(table: pa.Table, first: int) -> pa.Table:
    """Let its files be numbered from `first`."""
    at = table.schema.get_field_index("seq")
    field = table.schema.field(at)
    return table.set_column(at, field, pc.add(table["seq"], first).cast(field.type))


@pytest.fixture
def crowded(catalog: Catalog) -> Iterator[Written]:
    """A writer for 600 files."""
    with Written(catalog, open_files=600) as made:
        yield made


def test_in_the_end_one_half_is_written_while_workers_read_the_other(crowded: Written) -> None:
    crowded.writer.ending = True
    crowded.put()
    crowded.put()
    time.sleep(0.2)
    assert crowded.sizes == []
    crowded.put()
    wait_for(lambda: crowded.sizes == [3 * PART])


def test_before_the_end_a_batch_waits_for_more(crowded: Written) -> None:
    for _ in range(4):
        crowded.put()
    time.sleep(0.2)
    assert crowded.sizes == []
    crowded.put(600 - 4 * PART)
    wait_for(lambda: crowded.sizes == [600])


def test_the_last_few_come_along_with_a_full_batch(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FULL_TAGS", 4 * PART)
    monkeypatch.setattr(writer, "HALF_FILES", 9 * PART)
    with Written(catalog, open_files=8 * PART + 10) as made:
        made.writer.ending = True
        for _ in range(8):
            made.put()
        wait_for(lambda: made.sizes == [4 * PART])
        made.put(10)
        wait_for(lambda: made.sizes == [4 * PART, 4 * PART + 10])


def test_before_the_end_a_full_batch_waits_for_nobody(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FULL_TAGS", 4 * PART)
    with Written(catalog, open_files=4 * PART + 10) as made:
        for _ in range(4):
            made.put()
        wait_for(lambda: made.sizes == [4 * PART], within_s=20)
