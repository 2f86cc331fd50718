"""Who the patient is stands in the catalog, and nowhere else."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from daemons import COMMAND, Running, wait_for

import ingestd
from ingestd import asking

#: Each is somebody's, and easily told from all else.
MARKED = {
    "PatientName": "Xyzzy^Plugh",
    "PatientID": "PID-77003177",
    "PatientBirthDate": "19070605",
    "AccessionNumber": "ACC-55001155",
    "InstitutionName": "Frobozz Clinic",
    "InstitutionAddress": "Zork Road 9911",
    "ReferringPhysicianName": "Gnusto^Rezrov",
    "OtherPatientIDs": "OPI-33008833",
    "StudyDescription": "Exam of Mr Blorb",
}
FOLDER = "Grue^Folder"
SECRETS = re.compile(
    r"Xyzzy|Plugh|77003177|1907-?06-?05|55001155|Frobozz|Zork|Gnusto|Rezrov|33008833|Blorb|Grue"
    r"|Vezza",
    re.IGNORECASE,
)


@pytest.fixture
def marked(study: Path, tmp_path: Path) -> Path:
    """A folder of files that go well, and of such as go wrong in many ways."""
    folder = tmp_path / "drop" / FOLDER
    folder.mkdir(parents=True)
    for path in sorted((study / "real").iterdir()):
        made = pydicom.dcmread(path)
        for keyword, value in MARKED.items():
            setattr(made, keyword, value)
        made.save_as(folder / f"Vezza {path.name}")
    first = folder / "Vezza CT_small.dcm"
    whole = first.read_bytes()
    (folder / "Vezza cut").write_bytes(whole[: whole.index(b"Blorb") + 3])
    (folder / "Vezza no image").write_text(json.dumps(MARKED))
    (folder / "Vezza empty pixels").write_bytes(whole[:-9000])
    bad = pydicom.dcmread(first)
    bad.SOPInstanceUID = "1.2.Xyzzy"
    bad.save_as(folder / "Vezza bad uid")
    bad = pydicom.dcmread(first)
    bad.SOPInstanceUID += ".9"
    bad.file_meta.MediaStorageSOPInstanceUID = bad.SOPInstanceUID
    with pytest.warns(UserWarning, match="Invalid value"):
        bad["StudyDate"].value = "Xyzzy"
    bad.save_as(folder / "Vezza bad date")
    other = bytearray(whole)
    other[-1] ^= 1
    (folder / "Vezza conflict").write_bytes(bytes(other))
    shutil.copy(first, folder / "Vezza copy")
    (folder / "Vezza link").symlink_to("/nowhere/Xyzzy")
    os.mkfifo(folder / "Vezza pipe")
    return tmp_path / "drop"


@pytest.fixture
def said_to_systemd(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """All that the daemon tells systemd."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.setblocking(False)

    def all_of_it() -> str:
        words = []
        while True:
            try:
                words.append(heard.recv(4096).decode())
            except BlockingIOError:
                return "\n".join(words)

    yield all_of_it
    heard.close()


def told(daemon: Running, systemd: Callable[[], str]) -> dict[str, str]:
    """Gather all that others than those who ask the catalog can come by."""
    state = daemon.state
    command = [*COMMAND, "status", "--state", str(state)]
    status = subprocess.run(command, capture_output=True, text=True, check=True)
    metrics = asking.ask_daemon(state, "GET", "/metrics")
    assert metrics is not None
    assert b"ingestd_files_total" in metrics.content
    rows = ingestd.open(state).sql("SELECT * FROM event").to_pylist()
    reasons = "SELECT DISTINCT reason, detail FROM file"
    return {
        "status": status.stdout + status.stderr,
        "status in JSON": json.dumps(ingestd.open(state).status()),
        "metrics": metrics.content.decode(),
        "events": repr(rows),
        "details": repr(ingestd.open(state).sql(reasons).to_pylist()),
        "systemd": systemd(),
    }


def kinds(heard: Path) -> set[str]:
    """Which kinds of events the hook was told of."""
    text = heard.read_text() if heard.exists() else ""
    return set(re.findall(r"\b(?:file|series)_[a-z]+\b", text))


def run(marked: Path, systemd: Callable[[], str], **settings: str) -> dict[str, str]:
    """Let a daemon ingest the folder, and gather what it tells."""
    state, heard = marked.parent / "state", marked.parent / "heard by the hook"
    config = marked.parent / "ingestd.toml"
    hook = marked.parent / "hook.sh"
    hook.write_text(f"#!/bin/sh\ncat >> '{heard}'\necho >> '{heard}'\n")
    hook.chmod(0o755)
    config.write_text(
        f'[[root]]\npath = "{marked}"\n[hooks]\ncommand = ["{hook}"]\n'
        'on = ["file_refused", "file_conflict", "series_receiving", "series_complete"]\n'
    )
    daemon = Running(
        marked,
        state,
        config=config,
        NOTIFY_SOCKET=str(marked.parent / "notify"),
        INGESTD_LOG__LEVEL="debug",
        **settings,
    )
    files = sum(not path.is_dir() for path in marked.rglob("*"))
    open_series = "SELECT count(*) FROM series_state WHERE state IN ('receiving', 'quiet')"
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == files)
    wait_for(lambda: daemon.one(open_series) == 0)
    try:
        wait_for(lambda: {"file_refused", "series_complete"} <= kinds(heard))
        found = {**told(daemon, systemd), "hooks": heard.read_text()}
        query = "SELECT PatientName::INTEGER FROM instance"
        with pytest.raises(ingestd.errors.SqlError, match="Xyzzy"):  # Who asks may know.
            ingestd.open(state).sql(query)
    finally:
        assert daemon.stop() == 0
    return {**found, "log": daemon.log.read_text()}


def test_no_secret_leaves_the_catalog(marked: Path, said_to_systemd: Callable[[], str]) -> None:
    found = run(marked, said_to_systemd)
    leaks = {where: leaked for where, text in found.items() if (leaked := SECRETS.findall(text))}
    assert leaks == {}
    assert "READY=1" in found["systemd"]
    assert "pictured" in found["log"]
    odd = [
        (oct(path.stat().st_mode & 0o777), str(path.relative_to(marked.parent)))
        for path in (marked.parent / "state").rglob("*")
        if path.stat().st_mode & 0o777 != (0o750 if path.is_dir() else 0o640)
    ]
    assert odd == []


@pytest.mark.long
def test_paths_are_written_where_the_config_says_so(
    marked: Path, said_to_systemd: Callable[[], str]
) -> None:
    found = run(marked, said_to_systemd, INGESTD_LOG__PATHS="full")
    leaks = {where: set(said) for where, text in found.items() if (said := SECRETS.findall(text))}
    assert leaks == {"log": {"Grue", "Vezza"}}


def test_a_scan_and_what_goes_wrong_with_it_name_nobody(marked: Path) -> None:
    command = [*COMMAND, "scan", str(marked), "--state", str(marked.parent / "state")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert SECRETS.findall(done.stdout + done.stderr) == []
