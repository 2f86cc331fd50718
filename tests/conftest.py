"""What tests share: the corpus when it is there, catalogs, files."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from daemons import scan

from ingestd import phantom
from ingestd.catalog import Catalog
from ingestd.files import CATALOG_NAME
from ingestd.model import Patience

PATIENCE = Patience(attempts=3, first_s=5.0, limit_s=60.0)


def pytest_xdist_auto_num_workers() -> int:
    """Say how many tests run at once: half of their time they wait for a daemon."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real files that INGESTD_TEST_CORPUS names."""
    folder = os.environ.get("INGESTD_TEST_CORPUS")
    if not folder:
        pytest.skip("INGESTD_TEST_CORPUS names no corpus of real files")
    return Path(folder)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with studies of many kinds, good files and bad ones: to be read and copied."""
    folder = tmp_path_factory.mktemp("study")
    phantom.write(folder)
    return folder


@pytest.fixture(scope="session")
def scanned(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder that an undisturbed scan of `study` leaves: to be read and copied."""
    state = tmp_path_factory.mktemp("scanned") / "state"
    scan(study, state=state)
    return state


@pytest.fixture
def place(study: Path, scanned: Path, tmp_path: Path) -> Path:
    """A copy of both for one test, `drop` and `state`, whose rows name the copy."""
    return copied(study, scanned, tmp_path / "own")


def copied(study: Path, scanned: Path, own: Path) -> Path:
    """Copy both, and let the rows name the copy."""
    shutil.copytree(study, own / "drop")
    shutil.copytree(scanned, own / "state")
    with duckdb.connect(str(own / "state" / CATALOG_NAME)) as db:
        for table in ("file", "instance", "problem", "event", "mount"):
            db.execute(f"UPDATE {table} SET root = ?", [str(own / "drop")])
    return own


@pytest.fixture(scope="session")
def empty_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty catalog: to copy it takes a third of the time to make one."""
    state = tmp_path_factory.mktemp("empty") / "state"
    with Catalog(state, memory_bytes=1 << 29, patience=PATIENCE):
        pass
    return state / CATALOG_NAME


@pytest.fixture
def catalog(empty_catalog: Path, tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog."""
    state = tmp_path / "state"
    state.mkdir()
    shutil.copy(empty_catalog, state)
    with Catalog(state, memory_bytes=1 << 29, patience=PATIENCE) as opened:
        yield opened
