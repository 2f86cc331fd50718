import contextlib
import grp
import json
import os
import re
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import PATIENCE
from daemons import wait_for
from knocking import Knocker
from test_catalog import NOW, batch, file

from ingestd import config, door
from ingestd.catalog import Catalog
from ingestd.errors import ConfigError
from ingestd.files import SOCKET_NAME
from ingestd.serve import Server

TOKEN = "0123456789abcdef" * 2
NOBODY = 65534


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("door")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    """A server on a socket and on a port, for a catalog with two files."""
    token = place / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    limits = config.Sql(
        rows=100_000, bytes=20_000_000, deadline_s=30.0, listen="127.0.0.1:0", token_file=token
    )
    with Catalog(place / "state", memory_bytes=1 << 29, patience=PATIENCE) as catalog:
        catalog.write(batch(file("a"), file("b", "2.2")), now=NOW)
        made = Server(
            catalog,
            lambda: {"pid": 1},
            limits,
            state=catalog.state,
            ready=lambda: "too little space",
        )
        made.start()
        yield made
        made.stop()


@pytest.fixture
def knock(server: Server, place: Path) -> Knocker:
    assert server.port
    return Knocker(place / "state")


@pytest.fixture
def far(server: Server, place: Path) -> Knocker:
    return Knocker(place / "state", server.port, Authorization=f"Bearer {TOKEN}")


QUESTION = (
    "SELECT 1::BIGINT AS n, 'it''s, \"so\"' AS t, ['a', 'b'] AS l, NULL AS nothing, 1.50 AS d,"
    " DATE '2026-01-02' AS day, INTERVAL '1 day 2 hours' AS wait, 'NaN'::DOUBLE AS f"
)


def test_json_is_an_array_of_objects(knock: Knocker) -> None:
    reply = knock.ask(QUESTION)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == [
        {
            "n": 1,
            "t": 'it\'s, "so"',
            "l": ["a", "b"],
            "nothing": None,
            "d": 1.5,
            "day": "2026-01-02",
            "wait": "1 day 02:00:00",
            "f": None,
        }
    ]


def test_csv_has_a_header_and_quotes_where_it_must(knock: Knocker) -> None:
    reply = knock.ask(QUESTION, "text/csv")
    assert reply.content.decode() == (
        'n,t,l,nothing,d,day,wait,f\n1,"it\'s, ""so""",a\\b,,1.50,2026-01-02,1 day 02:00:00,nan\n'
    )


def test_arrow_keeps_the_types(knock: Knocker) -> None:
    reply = knock.ask("SELECT 1::UTINYINT AS n, ['a'] AS l", "application/vnd.apache.arrow.stream")
    table = pa.ipc.open_stream(reply.content).read_all()
    assert table.schema.types == [pa.uint8(), pa.list_(pa.string())]


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_no_rows_are_an_answer(knock: Knocker, accept: str) -> None:
    reply = knock.ask("SELECT path FROM file WHERE false", accept)
    assert reply.content == {"application/json": b"[]\n", "text/csv": b"path\n"}[accept]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        pytest.param("*/*", "application/json", id="what curl sends"),
        pytest.param("text/html, */*;q=0.1", "application/json", id="what a browser sends"),
        pytest.param("text/csv;q=0.9", "text/csv", id="with a weight"),
        pytest.param("TEXT/CSV", "text/csv", id="in capitals"),
        pytest.param("application/json;q=0, text/csv", "text/csv", id="one that is not wanted"),
        pytest.param("text/* ; q=0.00, */*;q=0.1", "application/json", id="all but some"),
    ],
)
def test_accept_chooses_the_format(knock: Knocker, accept: str, media: str) -> None:
    assert knock.ask("SELECT 1", accept).headers["content-type"] == media


def test_an_answer_of_many_batches_comes_whole(knock: Knocker) -> None:
    rows = knock.ask("SELECT range AS n, md5(range::VARCHAR) AS t FROM range(50000)").json()
    assert [row["n"] for row in rows] == list(range(50_000))


@pytest.mark.parametrize(
    ("sql", "status", "error", "at"),
    [
        pytest.param("SELECT 1,\n  nothing FROM file", 400, "sql_error", (12, 2, 3), id="column"),
        pytest.param("SELECT 'é' FROM nofile", 403, "not_allowed", (16, 1, 17), id="table"),
        pytest.param("SELECT\n\nsleep_ms(1)", 403, "not_allowed", (8, 3, 1), id="function"),
        pytest.param("SELEC 1", 403, "not_allowed", (0, 1, 1), id="slip of the pen"),
        pytest.param("SELECT CAST('x' AS INT)", 400, "sql_error", None, id="while it runs"),
        pytest.param("FROM range(100001)", 413, "too_many_rows", None, id="rows"),
        pytest.param(
            "SELECT string_agg(md5(range::VARCHAR), '') FROM range(800000)",
            413,
            "too_many_bytes",
            None,
            id="one large value",
        ),
    ],
)
def test_an_error_says_what_and_where(
    knock: Knocker, sql: str, status: int, error: str, at: tuple[int, int, int] | None
) -> None:
    reply = knock.ask(sql)
    told = reply.json()
    assert (reply.status, told["error"]) == (status, error)
    assert tuple(told.get(key) for key in ("position", "line", "column")) == (at or (None,) * 3)


def test_other_paths_methods_and_formats_are_errors_in_json(knock: Knocker) -> None:
    assert knock("GET", "/nowhere").error == "not_found"
    assert knock("GET", "/sql").error == "method_not_allowed"
    assert knock.ask("SELECT 1", "image/png").error == "not_acceptable"
    assert knock("POST", "/sql", b"SELECT '\xff'").error == "not_utf8"


def test_health_readiness_and_status(knock: Knocker) -> None:
    assert knock("GET", "/healthz").json() == {"health": "up"}
    assert knock("GET", "/readyz").status == 503
    assert knock("GET", "/readyz").json() == {"ready": False, "why": "too little space"}
    assert knock.status()["pid"] == 1
    assert b"ingestd" in knock("GET", "/metrics").content


def test_the_port_answers_who_shows_the_token(far: Knocker) -> None:
    assert far.ask("SELECT count(*) AS n FROM file").json() == [{"n": 2}]


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN],
)
def test_the_port_answers_nobody_else(server: Server, place: Path, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    stranger = Knocker(place / "state", server.port, **headers)
    replies = [stranger("GET", path) for path in ("/status", "/metrics", "/nowhere")]
    replies.append(stranger.ask("SELECT 1"))
    assert {(reply.status, reply.error) for reply in replies} == {(401, "unauthorized")}
    assert stranger("GET", "/healthz").status == 200


def test_nothing_is_done_by_the_port(far: Knocker) -> None:
    assert far("POST", "/do/retry", b"{}").error == "not_found"


class Stranger(Knocker):
    """Somebody of the socket's group who is not its owner."""

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        os.seteuid(NOBODY)
        try:
            connection.connect(SOCKET_NAME)
        finally:
            os.seteuid(0)
        connection.settimeout(60)
        return connection


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_the_group_may_ask_but_have_nothing_done(
    server: Server, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server
    state = place / "state"
    monkeypatch.chdir(state)  # The folders above are root's alone.
    state.chmod(0o711)
    (state / SOCKET_NAME).chmod(0o666)
    stranger = Stranger(state)
    assert stranger.ask("SELECT 1 AS n").json() == [{"n": 1}]
    for deed in ("retry", "audit", "backup", "nothing"):
        reply = stranger("POST", f"/do/{deed}", b"{}")
        assert (reply.status, reply.error) == (403, "not_allowed")
    owner = Knocker(state)("POST", "/do/nothing", b"{}")
    assert owner.json() == {"error": "unknown", "detail": "nothing: nobody can do that"}


def test_a_token_may_come_from_systemd(
    tmp_path: Path, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    token.rename(credentials / "ingestd-token")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert door.token_for(config.Sql(listen="127.0.0.1:0")) == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        pytest.param("short", 0o600, "at least 16", id="short"),
        pytest.param("two words, not one", 0o600, "one word", id="words"),
        pytest.param("0123456789abcdef", 0o604, "everybody may read it", id="open to all"),
        pytest.param("0123456789abcdéf", 0o600, "not ASCII", id="not ASCII"),
        pytest.param(None, 0, "No such file", id="not there"),
    ],
)
def test_a_token_that_will_not_do_is_refused_at_start(
    tmp_path: Path, content: str | None, mode: int, says: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(ConfigError, match=says):
        door.token_for(config.Sql(listen="127.0.0.1:0", token_file=path))


def test_a_port_without_a_token_is_refused_at_start(catalog: Catalog) -> None:
    with pytest.raises(ConfigError, match="needs a token"):
        Server(catalog, dict, config.Sql(listen="127.0.0.1:0"), state=catalog.state)


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "127.0.0.1", "example.org:80", ":80", "::1:80"])
def test_only_this_machine_can_be_listened_to(listen: str) -> None:
    with pytest.raises(ValueError, match=r"must be 127\.0\.0\.1:PORT"):
        config.Sql(listen=listen)


def test_a_port_that_is_taken_is_named(server: Server) -> None:
    with pytest.raises(ConfigError, match="in use"):
        door.listen_tcp(f"127.0.0.1:{server.port}")


def test_the_socket_belongs_to_the_group_that_is_asked_for(tmp_path: Path) -> None:
    group = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, os.getgid()))
    before = os.umask(0o077)
    listening = door.listen_unix(tmp_path, group.gr_name)
    os.umask(before)
    listening.close()
    found = (tmp_path / "ingestd.sock").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, group.gr_gid)


def test_a_group_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such group"):
        door.listen_unix(tmp_path, "nobody-has-this-group")


def test_a_connection_is_kept_for_the_next_question(knock: Knocker) -> None:
    import http.client  # noqa: PLC0415

    connection = http.client.HTTPConnection("localhost")
    connection.sock = first = knock.connect()
    for _ in range(3):
        connection.request("POST", "/sql", b"SELECT 1 AS n", {"Accept": "application/json"})
        assert connection.getresponse().read() == b'[{"n": 1}]\n'
    assert connection.sock is first
    connection.close()


HEAD = b"POST /sql HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"GARBAGE\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS"),
        pytest.param(HEAD + b"A: " + b"x" * 1_000_000 + b"\r\n\r\n", 400, id="a long header"),
        pytest.param(HEAD + b"A: x\r\n" * 200_000 + b"\r\n", 400, id="many headers"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", 400, id="less than nothing"),
        pytest.param(
            HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, id="two lengths"
        ),
        pytest.param(HEAD + b"Bad Name: x\r\n\r\n", 400, id="a name with a blank"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, id="a bad chunk"),
        pytest.param(
            HEAD + b"Content-Length: 9000000000\r\n\r\n" + b" " * 3_000_000, 413, id="a huge body"
        ),
        pytest.param(
            HEAD
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + (b"8000\r\n" + b" " * 32768 + b"\r\n") * 80,
            413,
            id="a huge body in chunks",
        ),
    ],
)
def test_what_is_badly_sent_is_answered_with_an_error_and_closed(
    knock: Knocker, sent: bytes, status: int
) -> None:
    with knock.connect() as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'"error"' in answer
    assert knock.ask("SELECT 1 AS n").json() == [{"n": 1}]


def test_a_client_that_dawdles_is_let_go(knock: Knocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEAD_S", 0.3)
    with knock.connect() as connection:
        connection.sendall(b"POST /sql HT")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def test_a_body_that_does_not_come_is_not_waited_for(
    knock: Knocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestd.serve.BODY_S", 0.5)
    with knock.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10\r\n\r\nSELE")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_takes_nothing_is_let_go(
    knock: Knocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "TAKING_S", 0.5)
    sql = b"SELECT md5(range::VARCHAR) FROM range(100000)"
    with knock.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(sql) + sql)
        assert connection.recv(12) == b"HTTP/1.1 200"
        taken = 0
        wait_for(lambda: knock.status()["sql"]["sending"] == 0)
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                taken += len(piece)
    assert taken < 4_000_000


def test_a_client_that_closes_its_side_has_gone(knock: Knocker) -> None:
    with knock.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                pass
    assert knock.ask("SELECT 1 AS n").json() == [{"n": 1}]


def test_a_thousand_connections_take_no_more_than_they_may(knock: Knocker) -> None:
    before = len(os.listdir("/proc/self/fd"))
    held: list[socket.socket] = []
    answers: list[bytes] = []

    def hold() -> None:
        for _ in range(125):
            with contextlib.suppress(OSError):
                connection = knock.connect()
                held.append(connection)
                connection.sendall(b"GET /he")

    holders = [threading.Thread(target=hold) for _ in range(8)]
    most = 0
    for holder in holders:
        holder.start()
    while any(holder.is_alive() for holder in holders):
        most = max(most, len(os.listdir("/proc/self/fd")) - before - len(held))
        time.sleep(0.01)
    for connection in held:
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            answers.append(connection.recv(1000))
        connection.close()
    assert len(held) > 500
    assert most < door.CONNECTIONS + 5 * door.BACKLOG
    assert any(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert wait_for(lambda: knock("GET", "/healthz").status == 200)


def test_the_commands_of_the_page_about_http_work(server: Server, place: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "http.md").read_text()
    commands = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    names = {"STATE": place / "state", "PORT": server.port, "TOKEN_FILE": place / "token"}
    env = os.environ | {name: str(value) for name, value in names.items()}
    said = [
        subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, check=True)
        for command in commands
    ]
    csv, json_rows, error = (done.stdout for done in said)
    assert csv == "Modality,instances\n,2\n"
    assert json.loads(json_rows) == []
    assert json.loads(error) | {"detail": ""} == {
        "error": "sql_error",
        "detail": "",
        "position": 7,
        "line": 1,
        "column": 8,
    }
