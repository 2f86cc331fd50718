"""What commands have the daemon do, and what it does by itself in a long life."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest
from daemons import COMMAND, Running, oracle, scan, wait_for

import ingestd
from ingestd import phantom
from ingestd.phantom import studies

#: Settings of a daemon that holds derived files against their rows all the time.
WATCHFUL = {"INGESTD_DERIVED__CHECK_S": "0.5", "INGESTD_DERIVED__ORPHAN_GRACE_S": "1"}


def command(*words: str, code: int = 0, **settings: str) -> dict[str, Any]:
    """Run a command with --json."""
    done = subprocess.run(
        [*COMMAND, *words, "--json"],
        env=os.environ | {"INGESTD_SPACE__MIN_FREE_BYTES": "0"} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if done.stdout else {"said": done.stderr}


def test_derived_files_that_are_missing_come_back_and_what_no_row_names_goes(place: Path) -> None:
    state = place / "state"
    client = ingestd.open(state)
    thumbnails = [
        row["path"]
        for row in client.sql(
            "SELECT thumbnail_path AS path FROM instance WHERE thumbnail_path IS NOT NULL LIMIT 3"
        ).to_pylist()
    ]
    (volume,) = (
        row["path"]
        for row in client.sql("SELECT path FROM volume WHERE path IS NOT NULL LIMIT 1").to_pylist()
    )
    outside = place / "outside"
    (outside / "1.2").mkdir(parents=True)
    (outside / "1.2" / "1.2.3.jpg").write_bytes(b"not ours")
    (state / "thumbnails" / "9.9").symlink_to(outside)
    orphans = [
        (state / thumbnails[0]).with_name("1.2.3.jpg"),
        (state / thumbnails[0]).with_name(f".1.2.3.jpg.{'a' * 16}.part"),
        state / "thumbnails" / "1.2" / "3.4" / "5.6.jpg",
    ]
    daemon = Running(place / "drop", state, **WATCHFUL)
    told = daemon.one("SELECT count(*) FROM event WHERE kind = 'series_complete'")
    for path in orphans:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for path in (*thumbnails, volume):
        (state / path).unlink()
    try:
        wait_for(lambda: not any(path.exists() for path in orphans))
        wait_for(lambda: all((state / path).exists() for path in (*thumbnails, volume)))
        wait_for(lambda: not (state / "thumbnails" / "1.2").exists())
        wait_for(lambda: not client.status()["open_series"])
        assert daemon.one("SELECT count(*) FROM problem WHERE kind = 'thumbnail_lost'") == 0
        assert daemon.one("SELECT count(*) FROM event WHERE kind = 'series_complete'") == told
    finally:
        daemon.stop()
    assert (outside / "1.2" / "1.2.3.jpg").read_bytes() == b"not ours"


@pytest.mark.parametrize("who", ["the daemon", pytest.param("nobody", marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_what_was_refused_or_not_made_for_a_reason_is_done_again(
    study: Path, scanned: Path, tmp_path: Path, who: str
) -> None:
    """As after an upgrade: the older program had smaller limits, and no decoder for one image."""
    drop, state = tmp_path / "drop", tmp_path / "state"
    shutil.copytree(study, drop)
    small = {"INGESTD_WORKERS__MAX_FILE_BYTES": "150000", "INGESTD_VOLUME__MAX_VOXELS": "1000"}
    command("scan", str(drop), "--state", str(state), **small)
    with duckdb.connect(str(state / "catalog.duckdb")) as db:
        ((uid, thumbnail),) = db.execute(
            "SELECT SOPInstanceUID, thumbnail_path FROM instance"
            " WHERE thumbnail_path IS NOT NULL LIMIT 1"
        ).fetchall()
        db.execute(
            "INSERT INTO problem BY NAME SELECT SOPInstanceUID, root, path,"
            " 'unsupported_syntax' AS kind, 'PixelData' AS keyword, now()::TIMESTAMP AS at_utc"
            " FROM instance WHERE SOPInstanceUID = ?",
            [uid],
        )
        db.execute(
            "UPDATE instance SET thumbnail_path = NULL, window_source = NULL"
            " WHERE SOPInstanceUID = ?",
            [uid],
        )
        ((refused,),) = db.execute(
            "SELECT count(*) FROM file WHERE reason = 'too_large'"
        ).fetchall()
        ((unbuilt,),) = db.execute(
            "SELECT count(DISTINCT SeriesInstanceUID) FROM volume WHERE reason = 'too_many_voxels'"
        ).fetchall()
    (state / thumbnail).unlink()
    assert refused > 0
    assert unbuilt > 0
    daemon = Running(drop, state) if who == "the daemon" else None
    try:
        for reason, what, count in (
            ("too_large", "files", refused),
            ("unsupported_syntax", "thumbnails", 1),
            ("too_many_voxels", "series", unbuilt),
        ):
            said = command("retry", "--reason", reason, "--state", str(state))
            assert said[what] == count
        if daemon is not None:
            client = ingestd.open(state)
            wait_for(
                lambda: (
                    daemon.one(
                        "SELECT count(*) FROM file WHERE reason = 'too_large'"
                        " OR (not_before_utc IS NOT NULL)"
                    )
                    == 0
                )
            )
            wait_for(lambda: not client.status()["open_series"])
            wait_for((state / thumbnail).exists)
    finally:
        if daemon is not None:
            assert daemon.stop() == 0
    assert oracle(state) == oracle(scanned)


@pytest.mark.long
def test_an_audit_calls_nothing_a_difference_that_is_just_arriving(place: Path) -> None:
    daemon = Running(place / "drop", place / "state")
    writer = subprocess.Popen(
        [
            "sh",
            "-c",
            f'for i in $(seq 400); do echo "$i" > {place}/drop/late-$i; sleep 0.02; done',
        ]
    )
    try:
        while writer.poll() is None:
            said = command("audit", "--sample", "0", "--state", str(place / "state"))
            assert (said["found"], said["unproven"]) == ({}, [])
        wait_for(lambda: daemon.one("SELECT count(*) FROM file WHERE path LIKE 'late-%'") == 400)
        said = command("audit", "--state", str(place / "state"))
        assert (said["found"], said["arriving"]) == ({}, 0)
        assert said["compared"]["files in folders"] == 527
    finally:
        writer.kill()
        writer.wait()
        assert daemon.stop() == 0


def test_a_root_that_is_away_is_called_unproven_and_nothing_of_it_missing(place: Path) -> None:
    (place / "drop").rename(place / "away")
    said = command("audit", "--repair", "--state", str(place / "state"), code=1)
    assert said["found"] == {}
    assert len(said["unproven"]) == 1
    assert "cannot be reached" in said["unproven"][0]


@pytest.mark.long
def test_a_backup_of_a_busy_daemon_is_restored_step_by_step(study: Path, tmp_path: Path) -> None:
    """The steps are those of docs/backup.md."""
    drop, state, backups = tmp_path / "drop", tmp_path / "state", tmp_path / "backups"
    drop.mkdir()
    daemon = Running(drop, state)
    shutil.copytree(study, drop / "one")
    wait_for(lambda: daemon.one("SELECT count(*) FROM file"))
    made = [command("backup", str(backups), "--keep", "2", "--state", str(state)) for _ in range(3)]
    phantom.write(drop / "two", seed=2)
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == 254)
    refused = command("restore", made[-1]["path"], "--state", str(state), code=1)
    assert "owns this state folder" in refused["said"]
    daemon.kill()
    there = sorted(path.name for path in backups.iterdir() if not path.name.startswith("."))
    assert there == sorted(Path(one["path"]).name for one in made[1:])
    assert [len(one["deleted"]) for one in made] == [0, 0, 1]
    assert [path.name for path in Path(made[-1]["path"]).iterdir()] == ["catalog.duckdb"]

    restored = command("restore", made[-1]["path"], "--state", str(state))
    assert restored["files"] == made[-1]["files"]
    assert (Path(restored["before"]) / "catalog.duckdb").exists()
    daemon = Running(drop, state)
    client = ingestd.open(state)
    wait_for(lambda: daemon.one("SELECT count(*) FROM file") == 254)
    wait_for(lambda: not client.status()["open_series"])
    said = command("audit", "--repair", "--state", str(state))
    assert said["left"] == {}
    assert daemon.stop() == 0
    scan(drop, state=tmp_path / "undisturbed")
    assert oracle(state) == oracle(tmp_path / "undisturbed")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_was_moved_to_an_archive_since_a_backup_is_found_again(tmp_path: Path) -> None:
    """The steps are those of docs/backup.md, with the one for an archive."""
    drop, state, archive = (tmp_path / name for name in ("drop", "state", "archive"))
    drop.mkdir()
    config = tmp_path / "ingestd.toml"
    config.write_text(
        f'[[root]]\npath = "{drop}"\ntake = "move"\n[archive]\npath = "{archive}"\n'
        "[space]\nmin_free_bytes = 0\n"
    )
    asked = ("--config", str(config), "--state", str(state))
    slices = [content for _, content in studies.chest(1)]
    daemon = Running(drop, state, config=config)

    def moved(some: list[bytes], name: str) -> None:
        for number, content in enumerate(some):
            (drop / f"{name}{number}").write_bytes(content)
        wait_for(lambda: not any(drop.iterdir()))

    moved(slices[:20], "a")
    made = command("backup", str(tmp_path / "backups"), "--state", str(state))
    moved(slices[20:], "b")
    uid = str(daemon.one("SELECT any_value(SeriesInstanceUID) FROM instance"))
    assert daemon.stop() == 0

    restored = command("restore", made["path"], "--state", str(state))
    assert restored["instances"] <= 20
    scanned = command("scan", str(archive), *asked)
    assert (scanned["files"], scanned["refused"]) == (28, {})
    daemon = Running(drop, state, config=config)
    said = command("audit", "--repair", *asked)
    assert (said["left"], said["unproven"]) == ({}, [])
    found = daemon.rows("SELECT DISTINCT root, count(*) AS files FROM instance GROUP BY root")
    assert found == [{"root": str(archive), "files": 28}]
    wait_for(lambda: not ingestd.open(state).status()["open_series"])
    assert daemon.rows("SELECT state, found FROM series_state") == [
        {"state": "complete", "found": 28}
    ]
    assert len(ingestd.open(state).volume(uid).array) == 28
    assert daemon.stop() == 0


def test_a_backup_to_a_full_disk_leaves_no_half_of_one(place: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        said = command("backup", str(small / "b"), "--state", str(place / "state"), code=1)
        assert "no space left" in said["said"]
        assert [path.name for path in (small / "b").iterdir()] == [".ingestd-backup.lock"]
    finally:
        subprocess.run(["umount", "-l", small], check=True)
