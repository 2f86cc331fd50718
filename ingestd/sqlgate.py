"""Edge: reads other people's SQL, and lets through one question that changes nothing.

One of three layers; the others are a read-only transaction and an engine without access to
files, network, extensions or its own settings (LOCKED_DOWN).
"""

import json
import re

import duckdb

#: What a reader may not do to the machine, whatever SQL it brings
LOCKED_DOWN: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
}

#: `json_serialize_sql` knows SELECT only; EXPLAIN of one is let through by what it explains.
EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?", re.IGNORECASE)


class NotAllowed(Exception):
    """Why a query is not answered, and what to do."""


def check(db: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Let one statement pass that only reads.

    raises  NotAllowed
    """
    question = EXPLAIN.sub("", sql, count=1)
    answer = db.execute("SELECT json_serialize_sql($1)", [question]).fetchall()[0][0]
    parsed = json.loads(answer)
    if parsed["error"]:
        raise NotAllowed(explained(parsed))
    statements = len(parsed["statements"])
    if statements != 1:
        raise NotAllowed(f"{statements} statements; ask one question at a time")


def explained(parsed: dict[str, str]) -> str:
    """Say in words what the parser said."""
    message = parsed.get("error_message", "cannot be parsed")
    if "Only SELECT" in message:
        return "only questions are answered here: SELECT, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE"
    at = parsed.get("position")
    return f"{message} (at character {at})" if at else message
