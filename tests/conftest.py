"""What tests share: the corpus when it is there, catalogs, files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import scan

from ingestd import phantom
from ingestd.catalog import Catalog
from ingestd.model import Patience

PATIENCE = Patience(attempts=3, first_s=5.0, limit_s=60.0)


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
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog."""
    with Catalog(tmp_path / "state", memory_bytes=1 << 29, patience=PATIENCE) as opened:
        yield opened
