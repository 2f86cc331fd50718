"""Pure. An answer that people read: names, types and rows, of values that JSON knows too.

DuckDB itself writes as text what Python or JSON would spell in another way (dates, intervals,
decimals, UUIDs), so an answer is the same whether it came through the daemon or from the file.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

MEDIA_TYPE = "application/vnd.ingestd.answer+json"  #: short answers; long ones come as Arrow
SHORT_ROWS = 2048  #: an answer with more rows is a long one

#: As they are in Python and in JSON, also in lists.
_AS_IT_IS = re.compile(
    r"(BOOLEAN|U?TINYINT|U?SMALLINT|U?INTEGER|BIGINT|FLOAT|DOUBLE|VARCHAR)(\[\d*\])?"
)
_NUMBER = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|BIGNUM|FLOAT|DOUBLE|DECIMAL\(.*")
_NESTED = re.compile(r"(STRUCT|MAP|UNION|VARIANT)\b|.*\[\d*\]$", re.DOTALL)


class Answer(NamedTuple):
    """The rows of an answer; every value is a text, number, Boolean, None, or a list of those."""

    names: Sequence[str]
    types: Sequence[str]  #: as DuckDB names them
    rows: Sequence[Sequence[Any]]


def is_number(kind: str) -> bool:
    """Whether a type is a number, so that it stands to the right and JSON needs no quotes."""
    return _NUMBER.fullmatch(kind) is not None


def is_nested(kind: str) -> bool:
    """Whether values of this type were written as JSON; lists of plain values are not."""
    return _AS_IT_IS.fullmatch(kind) is None and _NESTED.match(kind) is not None


def projection(names: Sequence[str], types: Sequence[str]) -> str | None:
    """Write what DuckDB must select from a question to answer it so; None: all, as it is."""
    if all(_AS_IT_IS.fullmatch(kind) for kind in types):
        return None
    parts = []
    for at, (name, kind) in enumerate(zip(names, types, strict=True), start=1):
        value = f"#{at}"
        if is_nested(kind):
            value = f"to_json({value})::VARCHAR"
        elif not _AS_IT_IS.fullmatch(kind):
            value = f"{value}::VARCHAR"
        parts.append(f"{value} AS {quoted_name(name)}")
    return ", ".join(parts)


def quoted_name(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def encoded(answer: Answer) -> bytes:
    """Write an answer for the socket."""
    return json.dumps(answer._asdict(), ensure_ascii=False).encode("utf-8", "surrogatepass")


def decoded(content: bytes) -> Answer:
    """Read what `encoded` wrote."""
    return Answer(**json.loads(content))
