"""What people do without ingestd; each runs as a process of its own.

python bench/rivals.py script FOLDER OUT
python bench/rivals.py tutorial FOLDER OUT --files 200
python bench/rivals.py orthanc FOLDER OUT
"""

import argparse
import hashlib
import http.client
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from made import listed

PROCESSES = 2
NO_TEXT = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "SQ"})


def script(paths: Sequence[str], out: Path) -> None:
    """pydicom and a pool of two: every element and a SHA-256 into SQLite; no pictures."""
    with closing(sqlite3.connect(out / "catalog.sqlite")) as db, Pool(PROCESSES) as pool:
        db.execute("CREATE TABLE instance (uid TEXT PRIMARY KEY, path TEXT, sha256 TEXT)")
        db.execute("CREATE TABLE tag (uid TEXT, tag TEXT, keyword TEXT, vr TEXT, value TEXT)")
        for instances, tags in pool.imap_unordered(_elements, _chunks(paths, 32)):
            with db:
                db.executemany("INSERT INTO instance VALUES (?, ?, ?)", instances)
                db.executemany("INSERT INTO tag VALUES (?, ?, ?, ?, ?)", tags)


def _chunks(paths: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (paths[at : at + size] for at in range(0, len(paths), size))


def _elements(paths: Sequence[str]) -> tuple[list[Any], list[Any]]:
    from pydicom import dcmread  # noqa: PLC0415 -- not everybody here needs it

    instances, tags = [], []
    for path in paths:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            ds = dcmread(file, stop_before_pixels=True)
        uid = str(ds.SOPInstanceUID)
        instances.append((uid, path, digest))
        for part in (ds.file_meta.iterall(), ds.iterall()):
            for element in part:
                value = None if element.VR in NO_TEXT else str(element.value)
                tags.append((uid, str(element.tag), element.keyword, element.VR, value))
    return instances, tags


def tutorial(paths: Sequence[str], out: Path) -> None:
    """What the tutorials show: a pool, pixel_array, and matplotlib's savefig."""
    with Pool(PROCESSES) as pool:
        for _ in pool.imap_unordered(partial(_figure, str(out)), enumerate(paths)):
            pass


def _figure(out: str, job: tuple[int, str]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 -- not everybody here has it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from pydicom import dcmread  # noqa: PLC0415

    number, path = job
    ds = dcmread(path)
    plt.imshow(ds.pixel_array, cmap="gray")
    plt.axis("off")
    plt.savefig(f"{out}/{number}.jpg")
    plt.close()


def orthanc(paths: Sequence[str], out: Path) -> None:
    """Orthanc, as Debian brings it, and two clients that send it one file after the other."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "StorageDirectory": str(out / "storage"),
        "IndexDirectory": str(out / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    (out / "orthanc.json").write_text(json.dumps(settings))
    binary = shutil.which("Orthanc")
    assert binary, "not installed; ingest.py asks before"
    server = subprocess.Popen(
        [binary, str(out / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        with ThreadPoolExecutor(PROCESSES) as clients:
            list(clients.map(partial(_send, port), [paths[n::PROCESSES] for n in range(PROCESSES)]))
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
            try:
                client.request("GET", "/system")
            except ConnectionRefusedError:
                time.sleep(0.02)
                continue
            client.getresponse().read()
            return
    sys.exit("Orthanc does not answer")


def _send(port: int, paths: Sequence[str]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
        for path in paths:
            client.request("POST", "/instances", Path(path).read_bytes())
            answer = client.getresponse()
            assert answer.status == 200, f"Orthanc said {answer.status}"
            answer.read()


RIVALS = {"script": script, "tutorial": tutorial, "orthanc": orthanc}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("rival", choices=RIVALS)
    asked.add_argument("folder", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--files", type=int)
    options = asked.parse_args()
    RIVALS[options.rival](listed(options.folder)[: options.files], options.out)


if __name__ == "__main__":
    main()
