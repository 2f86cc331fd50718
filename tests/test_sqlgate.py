import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from conftest import PATIENCE
from knocking import Knocker
from test_catalog import NOW, batch, file

from ingestd import config, engine, question, sqlgate
from ingestd.catalog import Catalog
from ingestd.serve import Server
from ingestd.sqltree import DEPTH, MOST
from ingestd.sqlwords import FUNCTIONS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with a table, a view and a macro."""
    with duckdb.connect(config={"enable_external_access": "false"}) as opened:
        opened.execute(
            "CREATE TABLE file (path VARCHAR, size INTEGER, parts INTEGER[], at_utc TIMESTAMP)"
        )
        opened.execute("INSERT INTO file VALUES ('a', 1, [1, 2], '2026-01-01')")
        opened.execute("CREATE VIEW large AS FROM file WHERE size > 100")
        opened.execute("CREATE MACRO twice(x) AS 2 * x")
        opened.execute("CREATE MACRO parts_of(x) AS TABLE SELECT unnest(x)")
        yield opened


QUESTIONS = (ROOT / "tests" / "questions.txt").read_text()


@pytest.mark.parametrize("sql", QUESTIONS.splitlines())
def test_a_question_passes_and_can_be_asked(db: duckdb.DuckDBPyConnection, sql: str) -> None:
    statement = sqlgate.check(db, sql.replace("\\n", "\n"))
    assert db.sql(statement).to_arrow_table().num_columns > 0


def test_the_questions_of_the_docs_pass(catalog: Catalog) -> None:
    page = (ROOT / "docs" / "queries.md").read_text()
    questions = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert len(questions) > 10
    with catalog.cursor() as cursor:
        for question_ in questions:
            sqlgate.check(cursor, question_)


@pytest.mark.parametrize(
    ("sql", "says", "position"),
    [
        pytest.param("SELECT 1, sleep_ms(5)", "sleep_ms", 10, id="a function"),
        pytest.param("SELECT 'é', sleep_ms(5)", "sleep_ms", 13, id="a function, counted in bytes"),
        pytest.param("EXPLAIN SELECT sleep_ms(5)", "sleep_ms", 15, id="explained"),
        pytest.param("/* x */ explain analyze FROM nofile", "nofile", 29, id="a table"),
        pytest.param("FROM range(5), glob('*')", "glob", 15, id="a table function"),
        pytest.param("SELECT 1 +", "syntax error", None, id="a slip of the pen"),
        pytest.param("SELECT lpad('x', 5000)", "4096", 7, id="a long padding"),
        pytest.param("SELECT lpad('x', 5 * 1000)", "4096", 7, id="a padding that is computed"),
        pytest.param("SELECT '\0'", "zero byte", 8, id="a zero byte"),
        pytest.param("SELECT " + "(" * 200, "128 brackets", 135, id="many brackets"),
    ],
)
def test_what_is_refused_is_named_with_its_place(
    db: duckdb.DuckDBPyConnection, sql: str, says: str, position: int | None
) -> None:
    with pytest.raises(sqlgate.NotAllowed, match=says) as refused:
        sqlgate.check(db, sql)
    assert position is None or refused.value.position == position


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        pytest.param("SELECT 1" + "+1" * DEPTH, "deep", id="deep"),
        pytest.param("FROM file" + ", file" * MOST["table"], "tables", id="tables"),
        pytest.param("SELECT 1" + " UNION SELECT 1" * MOST["query"], "queries", id="queries"),
        pytest.param("SELECT 0" + ", -size" * (MOST["call"] + 1), "expressions", id="expressions"),
        pytest.param("SELECT a" + ".a" * 9, "parts", id="a name of many parts"),
        pytest.param("SELECT " + "x," * 40_000 + "x", "65536 bytes", id="many words"),
        pytest.param("SELECT '" + "x" * (1 << 20) + "'", "1048576 bytes", id="a long text"),
    ],
)
def test_what_is_too_large_to_plan_is_refused(
    db: duckdb.DuckDBPyConnection, sql: str, says: str
) -> None:
    with pytest.raises(sqlgate.NotAllowed, match=says):
        sqlgate.check(db, sql)


def test_a_list_of_ten_thousand_uids_is_not_too_large(db: duckdb.DuckDBPyConnection) -> None:
    uids = ", ".join(
        f"'1.2.840.113619.2.55.3.604688119.{at:060}'"[:66] + "'" for at in range(10_000)
    )
    assert sqlgate.check(db, f"FROM file WHERE path IN ({uids})")


def test_a_comment_that_ends_elsewhere_than_we_think_is_no_way_past(
    db: duckdb.DuckDBPyConnection,
) -> None:
    nested = "/* /* */ EXPLAIN SELECT '*/ DELETE FROM file --'"
    assert sqlgate.check(db, nested) == "EXPLAIN  SELECT '*/ DELETE FROM file --'"


#: Families of DuckDB's functions that no question may call, in whatever version
NEVER = re.compile(
    r"read_|_scan$|glob|query|getenv|setting|variable$|secret|sleep|nextval|setval|currval|seed"
    r"|write_|log|checkpoint|serialize|pragma|copy|attach|extension|install|^enable|^disable"
    r"|profil|database_|metadata|sniff|resource|levenshtein|editdist|nfc_|repeat|resize|bitstring|txid"
)
LOOKS_LIKE_IT = {"log", "log2", "log10", "current_catalog", "current_database"}


def test_no_function_of_a_family_that_does_more_than_compute_is_allowed(
    db: duckdb.DuckDBPyConnection,
) -> None:
    there = {
        name for (name,) in db.execute("SELECT function_name FROM duckdb_functions()").fetchall()
    }
    asked = {name.lower() for name in there} - LOOKS_LIKE_IT
    assert {name for name in asked if NEVER.search(name)} & FUNCTIONS == set()


def test_the_list_names_functions_that_there_are(db: duckdb.DuckDBPyConnection) -> None:
    syntax = {
        "if",
        "ifnull",
        "coalesce",
        "list_pack",
        "!__postfix",
        "current_time",
        "current_timestamp",
    }
    windows = (
        "cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank"
    )
    syntax |= {
        *windows.split(),
        "rank",
        "rank_dense",
        "row_number",
        "switch",
        "unnest",
        "arbitrary",
    }
    there = {
        name.lower()
        for (name,) in db.execute("SELECT function_name FROM duckdb_functions()").fetchall()
    }
    newer_or_older = FUNCTIONS - there - syntax
    assert len(newer_or_older) < 25, sorted(newer_or_older)


#: For each layer what only it stops
ATTACKS = {
    "gate": "COMMIT; DELETE FROM file",
    "read only": "FROM next_number",
    "engine": "FROM passwords",
}


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    """A catalog in which somebody left views; the gate sees their names only."""
    state = tmp_path / "state"
    with Catalog(state, memory_bytes=1 << 28, patience=PATIENCE) as made:
        made.write(batch(file("a")), now=NOW)
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    with duckdb.connect(str(state / "catalog.duckdb")) as db:
        db.execute("CREATE VIEW next_number AS SELECT nextval('instance_id_seq') AS n")
        db.execute(f"CREATE VIEW passwords AS SELECT content FROM read_text('{secret}')")
    return state


def remove(layer: str, patch: pytest.MonkeyPatch) -> None:
    """Take one of the three layers away."""
    if layer == "gate":
        patch.setattr(sqlgate, "check", lambda _db, sql, _names: sql)
    elif layer == "read only":
        patch.setattr(question, "READ_ONLY", "BEGIN TRANSACTION")
    else:
        patch.setattr(engine, "LOCKED_DOWN", {})


def attacked(state: Path, sql: str) -> tuple[bytes, int, int]:
    """Ask; give the answer, how many files are left, and what the sequence's next number was."""
    with Catalog(state, memory_bytes=1 << 28, patience=PATIENCE) as opened:
        server = Server(opened, dict, config.Sql(), state=state)
        server.start()
        reply = Knocker(state).ask(sql)
        server.stop()
        files = opened.rows("SELECT count(*) FROM file")[0][0]
        number = opened.rows("SELECT nextval('instance_id_seq')")[0][0]
    return reply.content, files, number


def got_through(state: Path, layer: str) -> bool:
    """Whether the attack on a layer did what it was to do; one file took the number 1."""
    content, files, number = attacked(state, ATTACKS[layer])
    return {
        "gate": files == 0,
        "read only": number > 2,
        "engine": b"the secret" in content,
    }[layer]


@pytest.mark.parametrize("layer", ATTACKS)
def test_without_one_layer_an_attack_gets_past_the_other_two(
    left_behind: Path, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(layer, monkeypatch)
    assert got_through(left_behind, layer)


@pytest.mark.parametrize("layer", ATTACKS)
def test_each_layer_alone_stops_that_attack(
    left_behind: Path, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ATTACKS.keys() - {layer}:
        remove(other, monkeypatch)
    assert not got_through(left_behind, layer)
