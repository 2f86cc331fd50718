"""A hundred thousand files at once, while people ask: all are cataloged, none is doubled."""

import os

import pytest
from load import WAYS, load, told
from timing import folder_for, machine

FILES = int(os.environ.get("INGESTD_TEST_LOAD_FILES", "100000"))
SLICES = 100

#: Proportional memory, whatever the number of files: the daemon's, and that of its workers.
DAEMON_MIB, WORKERS_MIB = 3 * 1024, 1024


@pytest.mark.long
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("way", WAYS)
def test_very_many_files_at_once_are_all_cataloged_while_people_ask(way: str) -> None:
    with folder_for(None) as room:
        found = load(room, FILES, way, clients=4)
    print(f"{machine()}\n{told(found)}")  # noqa: T201 - pytest -rP shows it

    series, alone = FILES // SLICES, found["alone"]
    every = FILES + alone
    assert found["says"] == {
        "files": every,
        "cataloged": every,
        "instances": every,
        "UIDs": every,
        "pictures": every,
        "doubled elements": 0,
        "series complete": series + alone,
        "volumes": series,
        "slices of volumes": every,
        "problems": 0,
    }
    assert found["thumbnails"] == every
    assert sum(map(len, found["alone_s"].values())) == alone > 0
    assert (found["errors"], found["back"]) == (0, 0)
    assert (found["exit_code"], found["tracebacks"]) == (0, 0)
    assert max(look.mib for look in found["looks"]) < DAEMON_MIB
    assert max(look.others_mib for look in found["looks"]) < WORKERS_MIB
