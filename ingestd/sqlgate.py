"""Edge: reads other people's SQL, and lets through one question that changes nothing.

One of three layers; the others are a read-only transaction and an engine without access to
files, network, extensions or its own settings (LOCKED_DOWN). The gate sees names: what a view or
macro in the catalog does is for the other two.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from ingestd.sqltree import Judge, NotAllowed

__all__ = ["LOCKED_DOWN", "Known", "NotAllowed", "check"]

#: What a reader may not do to the machine, whatever SQL it brings
LOCKED_DOWN: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
}

SQL_BYTES = 1 << 20  #: a longer query is refused
#: And so much of it may be other than plain texts: a list of 10,000 UIDs is short. To parse costs
#: a hundred times as much as to read, and cannot be interrupted.
WORDS_BYTES = 1 << 16
BRACKETS = 128  #: within each other

#: `json_serialize_sql` knows SELECT only; EXPLAIN of one is let through by what it explains.
EXPLAIN = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN\s*(?P<how>ANALYZE\b|\(\s*[\w\s,]*\))?",
    re.IGNORECASE | re.DOTALL,
)
#: What may hold a quote without beginning a text; a text; a bracket
LEXICAL = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | "(?:[^"]|"")*" | \be'(?:[^'\\]|''|\\.)*' | \$(\w*)\$.*?\$\1\$
    | (?P<text>'(?:[^']|'')*') | (?P<open>[(\[{]) | (?P<close>[)\]}])""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


class Known:
    """Names in the catalog, in lower case; asked for once, and the macros only if need be.

    ask  runs a query of ours and gives its rows
    """

    def __init__(self, ask: Callable[[str], Sequence[tuple[Any, ...]]]) -> None:
        self._ask = ask

    @cached_property
    def tables(self) -> frozenset[str]:
        """Name the tables and views."""
        tables = "SELECT lower(table_name) FROM duckdb_tables() WHERE NOT internal"
        views = "SELECT lower(view_name) FROM duckdb_views() WHERE NOT internal"
        return frozenset(name for (name,) in self._ask(f"{tables} UNION {views}"))

    @cached_property
    def places(self) -> frozenset[str]:
        """Name the databases and schemas that hold them; nothing is one, too."""
        tables = "SELECT database_name, schema_name FROM duckdb_tables() WHERE NOT internal"
        views = "SELECT database_name, schema_name FROM duckdb_views() WHERE NOT internal"
        return frozenset(
            name.lower() for pair in self._ask(f"{tables} UNION {views}") for name in pair
        ) | {"", "main"}

    @cached_property
    def macros(self) -> frozenset[str]:
        """Name the macros: takes a quarter of a second, as DuckDB lists all its functions."""
        macros = "SELECT lower(function_name) FROM duckdb_functions() WHERE NOT internal"
        return frozenset(name for (name,) in self._ask(macros))


def check(db: Any, sql: str, names: Known | None = None) -> str:
    """Let one statement pass that only reads; give what to execute.

    names   what the catalog holds, when the caller knows it already
    return  never other text than the parser saw: a comment that ends elsewhere than we thought
            would be a way around us
    raises  NotAllowed
    """
    measure(sql)
    explain = EXPLAIN.match(sql)
    at = explain.end() if explain else 0
    question = sql[at:]
    answer = db.execute("SELECT json_serialize_sql($1)", [question]).fetchall()[0][0]
    try:
        parsed = json.loads(answer)
    except RecursionError:
        raise NotAllowed("nested too deep") from None
    offset = len(sql[:at].encode())
    if parsed["error"]:
        raise explained(parsed, offset)
    statements = len(parsed["statements"])
    if statements != 1:
        raise NotAllowed(f"{statements} statements; ask one question at a time")
    try:
        Judge(names or Known(lambda asked: db.execute(asked).fetchall())).judge(
            parsed["statements"]
        )
    except NotAllowed as refused:
        if refused.position is not None:
            refused.position += offset
        raise
    return f"EXPLAIN {explain['how'] or ''} {question}" if explain else question


def measure(sql: str) -> None:
    """Refuse what is too much for a parser that cannot be interrupted.

    raises  NotAllowed
    """
    if len(sql) > SQL_BYTES:
        raise NotAllowed(f"more than {SQL_BYTES} bytes of SQL")
    if "\0" in sql:
        raise NotAllowed("a zero byte", len(sql[: sql.index("\0")].encode()))
    texts = depth = 0
    for hit in LEXICAL.finditer(sql):
        texts += len(hit["text"] or "")
        depth += bool(hit["open"]) - bool(hit["close"])
        if depth > BRACKETS:
            raise NotAllowed(
                f"more than {BRACKETS} brackets deep", len(sql[: hit.start()].encode())
            )
    if len(sql) - texts > WORDS_BYTES:
        raise NotAllowed(f"more than {WORDS_BYTES} bytes of SQL beside the texts in it")


def explained(parsed: dict[str, str], offset: int) -> NotAllowed:
    """Say in words what the parser said."""
    message = parsed.get("error_message", "cannot be parsed")
    if "Only SELECT" in message:
        words = "only questions are answered here: SELECT, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE"
        return NotAllowed(f"{words}; PIVOT within FROM (...), with IN (...)")
    at = parsed.get("position", "")
    return NotAllowed(message, offset + int(at) if at.isdigit() else None)
