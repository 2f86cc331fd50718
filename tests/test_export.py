import os
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from test_catalog import NOW, batch, file

from ingestd import export
from ingestd.catalog import Catalog
from ingestd.client import Client
from ingestd.errors import ConfigError

HOSTILE = {
    "1.1": "CT",
    "1.2": "../../../outside",
    "1.3": "a/b",
    "1.4": "'); DROP TABLE x; --",
    "1.5": "M" * 300,
    "1.6": "\x1b[31m\x00",
    "1.7": None,
    "1.8": "..",
    "1.9": "US IV",
}


@pytest.fixture
def client(catalog: Catalog) -> Client:
    """A catalog whose headers mean no good."""
    made = batch(*(file(uid, uid, uid[-1] * 32) for uid in HOSTILE))
    rows = made.instance.to_pylist()
    for row in rows:
        row["Modality"] = HOSTILE[row["SOPInstanceUID"]]
        row["ImageType"] = ["ORIGINAL", "PRIMARY"]
        if row["SOPInstanceUID"] != "1.1":
            row["StudyDate"] = NOW.date()
    instance = pa.Table.from_pylist(rows, schema=made.instance.schema)
    catalog.write(replace(made, instance=instance), now=NOW)
    catalog.close()
    return Client(catalog.state)


def test_parquet_has_every_row_and_no_value_is_a_path(client: Client, tmp_path: Path) -> None:
    target = tmp_path / "out" / "all"
    rows = export.export(client, target, "parquet")
    assert (rows["instance"], rows["tag"], rows["file"]) == (9, 9, 9)
    folders = {path.name for path in (target / "instance").iterdir()}
    assert folders == {
        "Modality=CT",
        "Modality=US%20IV",
        "Modality=_other",
        "Modality=__HIVE_DEFAULT_PARTITION__",
    }
    assert sorted(os.listdir(tmp_path / "out")) == ["all"]
    assert sorted(os.listdir(tmp_path)) == ["out", "state"]
    with duckdb.connect() as db:
        exact = f"read_parquet('{target}/instance/**/*.parquet', hive_partitioning = false)"
        found = dict(db.execute(f"SELECT SOPInstanceUID, Modality FROM {exact}").fetchall())
        parts = f"read_parquet('{target}/instance/**/*.parquet', hive_partitioning = true)"
        months = db.execute(f"SELECT month, count(*) FROM {parts} GROUP BY ALL ORDER BY ALL")
        assert months.fetchall() == [("2026-01", 8), (None, 1)]
    assert found == HOSTILE


def test_csv_has_every_table(client: Client, tmp_path: Path) -> None:
    export.export(client, tmp_path / "csv", "csv")
    assert {path.stem for path in (tmp_path / "csv").iterdir()} == set(export.TABLES)
    with duckdb.connect() as db:
        found = db.read_csv(str(tmp_path / "csv" / "instance.csv"), all_varchar=True)
        assert found.aggregate("count(*), any_value(ImageType)").fetchall() == [
            (9, "ORIGINAL\\PRIMARY")
        ]


def test_nothing_is_written_over(client: Client, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(ConfigError, match="name a new folder"):
        export.export(client, tmp_path / "there", "csv")


def test_what_fails_leaves_nothing(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TABLES", ("instance", "tag'"))
    monkeypatch.setattr(export, "COLUMNS", export.COLUMNS.replace("table_name = ?", "? <> ''"))
    with pytest.raises(Exception, match="could not be written"):
        export.export(client, tmp_path / "out", "csv")
    assert sorted(os.listdir(tmp_path)) == ["state"]
