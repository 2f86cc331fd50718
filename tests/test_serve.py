import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE
from test_catalog import NOW, batch, file

from ingestd import config
from ingestd.catalog import Catalog
from ingestd.client import Client
from ingestd.errors import SqlError, StateError
from ingestd.serve import Server


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server on a catalog with two files."""
    state = tmp_path_factory.mktemp("serve") / "state"
    limits = config.Sql(rows=1000, bytes=1_000_000, deadline_s=1.0)
    with Catalog(state, memory_bytes=1 << 29, patience=PATIENCE) as catalog:
        catalog.write(batch(file("a"), file("b", "2.2")), now=NOW)
        server = Server(catalog, lambda: {"pid": 1}, limits, state=state)
        server.start()
        yield Client(state)
        server.stop()


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        pytest.param(
            "SELECT path FROM file ORDER BY path", [{"path": "a"}, {"path": "b"}], id="SELECT"
        ),
        pytest.param("FROM file SELECT count(*) AS n", [{"n": 2}], id="FROM first"),
        pytest.param("WITH x AS (SELECT 1 AS n) FROM x;", [{"n": 1}], id="WITH, and a semicolon"),
        pytest.param(
            "SELECT [1, 2] AS l, NULL AS n", [{"l": [1, 2], "n": None}], id="lists and NULL"
        ),
    ],
)
def test_a_question_is_answered(client: Client, query: str, rows: list[dict[str, object]]) -> None:
    assert client.sql(query).to_pylist() == rows


@pytest.mark.parametrize(
    "query", ["DESCRIBE file", "SHOW TABLES", "SUMMARIZE file", "EXPLAIN FROM file"]
)
def test_questions_about_the_catalog_itself_are_answered(client: Client, query: str) -> None:
    assert client.sql(query).num_rows > 0


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param("DELETE FROM file", "only questions", id="DELETE"),
        pytest.param("SELECT 1; DELETE FROM file", "one|only questions", id="two statements"),
        pytest.param("", "0 statements", id="nothing"),
        pytest.param("COPY file TO '/tmp/x'", "only questions", id="COPY"),
        pytest.param("ATTACH '/tmp/x.db'", "only questions", id="ATTACH"),
        pytest.param("PRAGMA database_list", "only questions", id="PRAGMA"),
        pytest.param("SET threads = 1", "only questions", id="SET"),
        pytest.param("COMMIT", "only questions", id="COMMIT"),
        pytest.param(
            "EXPLAIN ANALYZE DELETE FROM file", "only questions", id="EXPLAIN of a DELETE"
        ),
        pytest.param(
            "SELECT * FROM read_text('/etc/passwd')", "read_text", id="a file by function"
        ),
        pytest.param("SELECT * FROM '/etc/passwd'", "no table", id="a file by name"),
        pytest.param("SELECT nextval('instance_id_seq')", "nextval", id="a sequence"),
        pytest.param("SELEC 1", "syntax error", id="a slip of the pen"),
        pytest.param("SELECT nothing FROM file", "nothing", id="a column that is not there"),
        pytest.param("SELECT * FROM range(1001)", "more than 1000 rows", id="too many rows"),
        pytest.param(
            "SELECT string_agg('x', '') FROM range(2000000)", "1000000 bytes", id="too many bytes"
        ),
        pytest.param(
            "SELECT CASE WHEN range > 90000 THEN error('SECRET') ELSE '' END FROM range(100000)",
            "SECRET|more than 1000 rows",
            id="an error in the middle of the answer",
        ),
    ],
)
def test_what_is_no_question_or_too_large_is_refused_with_words(
    client: Client, query: str, says: str
) -> None:
    with pytest.raises(SqlError, match=says):
        client.sql(query)
    assert client.sql("SELECT count(*) AS n FROM file").to_pylist() == [{"n": 2}]


def test_a_query_that_takes_too_long_is_stopped_and_the_others_go_on(client: Client) -> None:
    slow = (
        "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b"
        " WHERE a.range % 7 = b.range % 5"
    )
    errors: list[str] = []

    def ask() -> None:
        with pytest.raises(SqlError) as error:
            client.sql(slow)
        errors.append(str(error.value))

    asking = threading.Thread(target=ask)
    asking.start()
    assert client.sql("SELECT 1 AS n").to_pylist() == [{"n": 1}]
    asking.join(30)
    assert errors == ["stopped after 1 s; ask for less"]


def test_the_socket_is_for_owner_and_group_only(client: Client) -> None:
    mode = (client.state / "ingestd.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o660


def test_status_is_what_the_daemon_says(client: Client) -> None:
    status = client.status()
    assert status is not None
    assert (status["pid"], status["sql"]["running"]) == (1, 0)


def test_a_socket_left_by_a_killed_daemon_is_no_daemon(catalog: Catalog) -> None:
    catalog.write(batch(file("a")), now=NOW)
    catalog.close()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(catalog.state / "ingestd.sock"))
    left.close()
    client = Client(catalog.state)
    assert client.status() is None
    assert client.sql("SELECT count(*) AS n FROM file").to_pylist() == [{"n": 1}]


def test_a_file_opened_without_a_daemon_cannot_be_written(catalog: Catalog) -> None:
    catalog.close()
    with pytest.raises(SqlError):
        Client(catalog.state).sql("CREATE TABLE x (a INTEGER)")


def test_a_folder_without_a_catalog_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="there is no catalog here"):
        Client(tmp_path)


def test_a_state_folder_with_a_long_path_has_a_socket_too(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 100) / ("y" * 100)
    with Catalog(state, memory_bytes=1 << 28, patience=PATIENCE) as catalog:
        server = Server(catalog, lambda: {"pid": 2}, config.Sql(), state=state)
        server.start()
        assert Client(state).status()["pid"] == 2
        server.stop()
