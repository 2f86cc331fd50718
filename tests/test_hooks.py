"""Hooks with real programs and a real server: at least once, in order, never in the way."""

import json
import math
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from daemons import wait_for
from pydantic import ValidationError
from test_catalog import NOW, batch, file

from ingestd import calling, outbox
from ingestd.catalog import Catalog
from ingestd.errors import ConfigError, Reason
from ingestd.hookconfig import Hooks as Options
from ingestd.hooks import Hooks, ways

#: Appends what it was told to a file; does as the file `bad` says: fail, hang, or die for a key.
TELLER = """
import json, os, subprocess, sys, time
told = json.load(sys.stdin)
folder = sys.argv[1]
key = told.get("SeriesInstanceUID") or told["root"]
bad = json.load(open(f"{folder}/bad"))
print("told of", told["kind"])
if bad.get(key) == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(f"{folder}/pids", "a").write(f"{os.getpid()} {child.pid}\\n")
    time.sleep(600)
if bad.get(key) == "fail":
    sys.exit(3)
open(f"{folder}/told", "a").write(json.dumps(told) + "\\n")
"""


class Bench:
    """A folder with the program that is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "teller.py").write_text(TELLER)
        self.bad({})

    def bad(self, deeds: dict[str, str]) -> None:
        part = self.folder / "bad.part"
        part.write_text(json.dumps(deeds))
        part.replace(self.folder / "bad")

    def options(self, **more: Any) -> Options:
        command = (sys.executable, str(self.folder / "teller.py"), str(self.folder))
        given = {"command": command, "first_s": 0.2, "deadline_s": 20.0, "limit_s": 0.4} | more
        return Options(**given)

    def told(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in (self.folder / "told").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def kinds(self) -> list[tuple[str, str]]:
        return [(one["kind"], one.get("SeriesInstanceUID") or one["root"]) for one in self.told()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def begin(catalog: Catalog) -> Iterator[Callable[[Options], Hooks]]:
    begun = []

    def start(options: Options) -> Hooks:
        hooks = Hooks(catalog, options)
        hooks.start()
        begun.append(hooks)
        return hooks

    yield start
    for hooks in begun:
        hooks.stop()


def cursor(catalog: Catalog) -> int:
    return int(catalog.rows("SELECT event_id FROM hook_cursor")[0][0])


def test_events_are_told_in_order_and_others_are_not(
    catalog: Catalog, bench: Bench, begin: Callable[[Options], Hooks]
) -> None:
    catalog.tell("root_unreachable", root="/before", detail="nobody had a hook then")
    hooks = begin(bench.options())
    catalog.tell("series_complete", series="1.2", detail="all")
    catalog.tell("series_quiet", series="1.2")
    catalog.tell("series_reopened", series="1.2")
    catalog.tell("root_unreachable", root="/in", detail="why")
    hooks.finish(lambda: True)
    assert bench.kinds() == [
        ("series_complete", "1.2"),
        ("series_reopened", "1.2"),
        ("root_unreachable", "/in"),
    ]
    newest = catalog.rows("SELECT max(event_id) FROM event")[0][0]
    assert (cursor(catalog), catalog.rows("FROM hook_told")) == (newest, [])


def test_while_one_series_fails_its_later_events_wait_and_others_go_on(
    catalog: Catalog, bench: Bench, begin: Callable[[Options], Hooks]
) -> None:
    bench.bad({"1.2": "fail"})
    begin(bench.options())
    for series in ("1.2", "1.3", "1.2", "1.3"):
        catalog.tell("series_complete", series=series)
    wait_for(lambda: len(bench.kinds()) == 2)
    assert {uid for _, uid in bench.kinds()} == {"1.3"}
    held = catalog.rows(f"SELECT count(*) FROM event WHERE {outbox.UNDELIVERED}")
    assert held == [(4,)], "from the first that is open, all stay"
    bench.bad({})
    wait_for(lambda: len(bench.kinds()) == 4)
    events = [one["event"] for one in bench.told() if one["SeriesInstanceUID"] == "1.2"]
    assert events == sorted(events)
    wait_for(lambda: catalog.rows("FROM hook_told") == [])


def test_a_call_that_hangs_is_killed_with_its_children_and_tried_again(
    catalog: Catalog, bench: Bench, begin: Callable[[Options], Hooks]
) -> None:
    bench.bad({"1.2": "hang"})
    begin(bench.options(deadline_s=1.5))
    catalog.tell("series_complete", series="1.2")
    catalog.tell("series_complete", series="1.3")
    catalog.write(batch(file("a")), now=NOW)  # Ingestion waits for nobody.
    wait_for(lambda: ("series_complete", "1.3") in bench.kinds())
    bench.bad({})
    wait_for(lambda: ("series_complete", "1.2") in bench.kinds())
    for pid in map(int, (bench.folder / "pids").read_text().split()):
        wait_for(lambda pid=pid: gone(pid))


def gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_an_event_that_is_never_taken_is_given_up_loudly(
    catalog: Catalog, bench: Bench, begin: Callable[[Options], Hooks]
) -> None:
    bench.bad({"1.2": "fail"})
    begin(bench.options(attempts=2))
    catalog.tell("series_complete", series="1.2")
    catalog.tell("series_reopened", series="1.2")
    lost = "SELECT detail FROM event WHERE kind = 'hook_given_up' ORDER BY event_id"
    wait_for(lambda: len(catalog.rows(lost)) == 2)
    assert catalog.rows(lost)[0] == ("command: event 1, series_complete: ended with 3",)


def test_what_was_not_told_before_the_end_is_told_after_the_next_start(
    catalog: Catalog, bench: Bench, begin: Callable[[Options], Hooks]
) -> None:
    bench.bad({"1.2": "fail"})
    first = begin(bench.options(first_s=600.0, limit_s=600.0))
    catalog.tell("series_complete", series="1.2")
    catalog.tell("series_complete", series="1.3")
    wait_for(lambda: catalog.rows("SELECT count(*) FROM hook_told") == [(1,)])
    first.stop()
    catalog.tell("series_reopened", series="1.2")
    bench.bad({})
    begin(bench.options())
    wait_for(lambda: len(bench.kinds()) == 3)
    assert bench.kinds() == [
        ("series_complete", "1.3"),
        ("series_complete", "1.2"),
        ("series_reopened", "1.2"),
    ]


def test_a_hook_that_the_daemon_s_config_does_not_name_any_more_keeps_no_event(
    catalog: Catalog, bench: Bench, begin: Callable[[Options], Hooks]
) -> None:
    begin(bench.options()).stop()
    catalog.tell("series_complete", series="1.2")
    held = f"SELECT count(*) FROM event WHERE {outbox.UNDELIVERED}"
    others = Hooks(catalog, Options())
    assert catalog.rows(held) == [(1,)], "a scan by hand that names none does no harm"
    others.dismiss_others()
    assert catalog.rows(f"SELECT count(*) FROM event WHERE NOT {outbox.UNDELIVERED}") == [(1,)]


def test_a_number_that_is_none_is_null_in_json(catalog: Catalog, bench: Bench) -> None:
    options = bench.options(fields=("SliceThickness", "PixelSpacing"))
    box = outbox.Outbox(catalog, "command", options)
    catalog.write(batch(file("a")), now=NOW)
    with catalog.transaction() as db:
        db.execute("UPDATE instance SET SliceThickness = ?", [math.nan])
        db.execute("UPDATE instance SET PixelSpacing = ?", [[1.5, math.inf]])
    catalog.tell("series_complete", series="1.2")
    (event,) = box.pending(())
    series = json.loads(box.letter(event), parse_constant=pytest.fail)["series"]
    assert (series["SliceThickness"], series["PixelSpacing"]) == (None, [1.5, None])


@pytest.mark.parametrize("fields", [(), ("PatientID", "path")], ids=["none", "PatientID and path"])
def test_no_patient_data_but_what_the_config_names(
    catalog: Catalog, bench: Bench, fields: tuple[str, ...]
) -> None:
    kinds = ("file_refused", "file_conflict", "series_incomplete")
    outbox_of = outbox.Outbox(catalog, "command", bench.options(fields=fields, on=kinds))
    refused = file("DOE_JOHN/2", reason=Reason.NOT_DICOM, attempts=1)
    catalog.write(batch(file("DOE_JOHN/1"), refused), now=NOW)
    catalog.write(batch(file("DOE_JOHN/3", digest="bb" * 16)), now=NOW)
    with catalog.transaction() as db:
        db.execute("UPDATE instance SET PatientID = '0815', PatientName = 'DOE^JOHN'")
        db.execute(
            "UPDATE series_state SET missing = ['position 1.00 mm, between DOE/1 and DOE/3']"
        )
    catalog.tell("series_incomplete", series="1.2", detail="a gap")
    letters = [outbox_of.letter(event) for event in outbox_of.pending(())]
    by_kind = {one["kind"]: one for one in map(json.loads, letters)}
    assert by_kind["file_refused"]["detail"] == "not_dicom: 1 file"
    assert by_kind["series_incomplete"]["series"]["StudyInstanceUID"] == "1"
    if fields:
        assert by_kind["file_refused"]["paths"] == ["DOE_JOHN/2"]
        assert by_kind["series_incomplete"]["series"]["PatientID"] == "0815"
        assert by_kind["series_incomplete"]["series"]["missing"][0].endswith("DOE/3")
    else:
        assert not any(word in b"".join(letters) for word in (b"DOE", b"0815"))
        assert by_kind["series_incomplete"]["series"]["missing"] == ["position 1.00 mm"]


def test_a_file_that_is_tried_in_vain_again_is_refused_once(catalog: Catalog) -> None:
    for attempts in range(1, catalog.patience.attempts + 3):
        late = NOW + timedelta(seconds=attempts)
        catalog.write(batch(file("a", reason=Reason.TRANSIENT_IO, attempts=attempts)), now=late)
    told = "SELECT detail FROM event WHERE kind = 'file_refused'"
    assert catalog.rows(told) == [("transient_io: 1 file",)]


class Door(BaseHTTPRequestHandler):
    """Takes what is posted, as its server says."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.calls.append((self.path, self.headers["Authorization"], json.loads(body)))
        if server.raw:
            self.wfile.write(server.raw)
            return
        if server.drips:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not server.over.wait(0.05):
                self.wfile.write(b"X: y\r\n")
            return
        self.send_response(server.answers.pop(0) if server.answers else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def door() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Door)
    server.calls, server.answers, server.drips, server.raw = [], [], False, b""
    server.over = threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def test_a_post_is_repeated_until_it_is_taken_and_carries_the_token(
    catalog: Catalog, tmp_path: Path, door: Any, begin: Callable[[Options], Hooks]
) -> None:
    (tmp_path / "token").write_text("secret\n")
    door.answers = [503, 302]
    url = f"http://127.0.0.1:{door.server_port}/in?x=1"
    begin(Options(url=url, token_file=tmp_path / "token", first_s=0.1, limit_s=0.1))
    catalog.tell("series_complete", series="1.2", detail="all")
    wait_for(lambda: cursor(catalog) == 1)
    assert [call[:2] for call in door.calls] == [("/in?x=1", "Bearer secret")] * 3
    assert {call[2]["event"] for call in door.calls} == {1}


def test_an_answer_that_never_ends_is_ended(
    catalog: Catalog, door: Any, begin: Callable[[Options], Hooks]
) -> None:
    door.drips = True
    url = f"http://127.0.0.1:{door.server_port}/"
    begin(Options(url=url, first_s=0.1, deadline_s=1.0, attempts=1))
    catalog.tell("series_complete", series="1.2")
    lost = "SELECT detail FROM event WHERE kind = 'hook_given_up'"
    (words,) = wait_for(lambda: catalog.rows(lost))[0]
    assert words == "url: event 1, series_complete: took longer than 1 s"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"\0\xffno HTTP\r\n\r\n", "BadStatusLine", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "200 x", id="cut short"),
        pytest.param(b"HTTP/1.1 500 No\r\n\r\n\xff\x1b[2J\0", "500 \ufffd\x1b[2J\0", id="binary"),
        pytest.param(b"\r\n", "BadStatusLine", id="an empty line"),
    ],
)
def test_what_a_server_answers_is_told_whatever_it_is(
    tmp_path: Path, door: Any, raw: bytes, expected: str
) -> None:
    (tmp_path / "token").write_text("secret")
    door.raw = raw
    url = f"http://127.0.0.1:{door.server_port}/"
    way = ways(Options(url=url, token_file=tmp_path / "token"))["url"]
    found = called(list(way.command), b"{}", more=way.environment)
    assert expected in found.output
    assert "secret" not in found.output
    assert "Traceback" not in found.output


def called(command: list[str], content: bytes = b"", **more: Any) -> calling.Called:
    given: dict[str, Any] = {"deadline_s": 20.0, "stopping": lambda: False, "more": {}} | more
    return calling.call(command, content, **given)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param(["/bin/cat"], ("", "x"), id="what it writes is kept"),
        pytest.param(["/bin/true"], ("", ""), id="it need not read"),
        pytest.param(["/bin/false"], ("ended with 1", ""), id="its code says that it failed"),
        pytest.param(
            ["/bin/sh", "-c", "kill -9 $$"], ("was killed by signal 9", ""), id="it is killed"
        ),
        pytest.param(
            ["/nowhere/x"], ("cannot be run: No such file or directory", ""), id="it is not there"
        ),
        pytest.param(
            ["/bin/echo", "$HOME; `id`"], ("", "$HOME; `id`"), id="no shell reads its arguments"
        ),
        pytest.param(
            ["/bin/sh", "-c", "sleep 600 & echo $!"], ("", None), id="a child holds its output open"
        ),
    ],
)
def test_what_comes_of_a_call(command: list[str], expected: tuple[str, str | None]) -> None:
    found = called(command, b"x")
    assert found.fault == expected[0]
    if expected[1] is None:
        os.kill(int(found.output), signal.SIGKILL)
    else:
        assert found.output == expected[1]


def test_much_output_is_read_and_little_is_kept() -> None:
    found = called([sys.executable, "-c", "print('x' * 5_000_000)"])
    assert (found.fault, len(found.output)) == ("", calling.OUTPUT_BYTES)


def test_a_call_is_ended_when_we_stop() -> None:
    begun_s = time.monotonic()
    found = called(["/bin/sleep", "600"], stopping=lambda: time.monotonic() > begun_s + 0.3)
    assert found.fault == "was ended: we stop"


def test_a_child_that_goes_on_writing_does_not_keep_us() -> None:
    script = "while :; do echo x; done & echo $! >&2; echo $!"
    found = called(["/bin/sh", "-c", script])
    os.kill(int(found.output.split()[0]), signal.SIGKILL)
    assert (found.fault, len(found.output) <= calling.OUTPUT_BYTES) == ("", True)


def test_what_it_writes_need_not_be_text() -> None:
    found = called([sys.executable, "-c", r"import os; os.write(1, b'\0\xff\x1b[2J' * 9)"])
    assert (found.fault, found.output.count("[2J")) == ("", 9)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two\nlines", b"two words", "s\u00fc\u00df".encode(), b"\xff\xfe"]
)
def test_a_token_that_no_header_can_carry_is_a_wrong_config(
    catalog: Catalog, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match="token_file"):
        Hooks(catalog, Options(url="http://127.0.0.1:1/", token_file=tmp_path / "token"))


@pytest.mark.parametrize(
    "url",
    ["ftp://host/", "http://", "http:///x", "http://h:x/", "http://h/a b", "http://h/\n",
     "http://name:word@host/"],
)  # fmt: skip
def test_an_address_that_cannot_be_posted_to_is_a_wrong_config(url: str) -> None:
    with pytest.raises(ValidationError):
        Options(url=url)


def test_what_is_between_systemd_and_us_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    script = tmp_path / "env"
    script.write_text("#!/bin/sh\necho $NOTIFY_SOCKET$INGESTD_EVENT\n")
    script.chmod(stat.S_IRWXU)
    assert called([str(script)], more={"INGESTD_EVENT": "x"}).output == "x"
