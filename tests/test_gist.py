from typing import Any

import pytest

from ingestd.gist import gist

HEALTHY = {"name": "scanner", "health": "healthy"}
AWAY = {"name": "upload", "health": "unreachable"}
QUIET: dict[str, Any] = {
    "stuck": [],
    "halted": None,
    "paused": False,
    "config_refused": "",
    "roots": [HEALTHY],
    "since_start": {"files": 12},
    "settling": 1,
    "waiting": 2,
    "open_series": 3,
}
WORK = "12 files since the start; 1 settling, 2 waiting, 3 series open"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        pytest.param({}, f"1 of 1 roots healthy; {WORK}", id="all is well"),
        pytest.param(
            {"roots": [HEALTHY, AWAY]},
            f"1 of 2 roots healthy (upload unreachable); {WORK}",
            id="a share is away",
        ),
        pytest.param(
            {"halted": "disk_full", "paused": True},
            f"HALTED: disk_full; 1 of 1 roots healthy; {WORK}",
            id="what is wrong comes first",
        ),
        pytest.param(
            {"config_refused": "[workers] proceses: no such key"},
            f"new config refused, the old one holds; 1 of 1 roots healthy; {WORK}",
            id="a reload was refused",
        ),
    ],
)
def test_gist(more: dict[str, Any], line: str) -> None:
    assert gist(QUIET | more) == line


def test_refused_files_are_counted_and_many_ill_roots_cut() -> None:
    line = gist(QUIET | {"roots": [AWAY] * 5, "since_start": {"files": 9, "refused": 4}})
    assert "0 of 5 roots healthy (upload unreachable, upload unreachable, upload" in line
    assert ", ...)" in line
    assert "9 files since the start, 4 of them refused" in line
