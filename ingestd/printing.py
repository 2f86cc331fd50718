"""Edge: an answer becomes a table for people, or CSV, JSON, lines or Parquet for programs."""

import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ingestd.answer import Answer, is_nested, is_number
from ingestd.errors import ConfigError, SqlError
from ingestd.files import replacing
from ingestd.screen import cut, fitted, plain, plain_lines, width

FORMATS = ("table", "list", "csv", "json", "parquet", "arrow")
BINARY = ("parquet", "arrow")
SHOWN_ROWS = 200  #: a table ends here and says so
PLAN = ["explain_key", "explain_value"]  #: what EXPLAIN gives: a drawing of many lines
GAP, LEAST = 2, 8  #: cells between two columns, and how far a column may be shortened
QUOTED_IF = frozenset('",\r\n')


def write(answer: Answer, as_format: str, output: Path | None) -> None:
    """Write an answer in a format for text, to a file or to standard output."""
    if output is not None:
        with replacing(output) as out:
            out.writelines(
                part.encode("utf-8", "replace") for part in parts(answer, as_format, None)
            )
        return
    terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    with until_nobody_reads():
        for part in parts(answer, as_format, terminal):
            sys.stdout.buffer.write(part.encode("utf-8", "replace"))
        sys.stdout.flush()


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Write no more when nobody reads any more: `| head` has seen enough."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_binary(table: Any, as_format: str, output: Path | None) -> None:
    """Write an Arrow table as Parquet or as an IPC stream.

    raises  ConfigError when it would go to a terminal; SqlError when the format has no such type
    """
    import pyarrow as pa  # noqa: PLC0415 -- takes as long as all the rest of a small question
    import pyarrow.parquet  # noqa: PLC0415

    def fill(out: IO[bytes]) -> None:
        if as_format == "parquet":
            pa.parquet.write_table(table, out)
        else:
            with pa.ipc.new_stream(out, table.schema) as stream:
                stream.write_table(table)

    spans = [field.name for field in table.schema if pa.types.is_interval(field.type)]
    if spans and as_format == "parquet":
        words = f"{', '.join(spans)}: Parquet has no intervals; cast to VARCHAR, or --format arrow"
        raise SqlError(words)
    if output is not None:
        with replacing(output) as out:
            fill(out)
    elif sys.stdout.isatty():
        raise ConfigError(f"--format {as_format} is nothing for a terminal; name a file: -o FILE")
    else:
        with until_nobody_reads():
            fill(sys.stdout.buffer)
            sys.stdout.flush()


def parts(answer: Answer, as_format: str, terminal: int | None) -> Iterator[str]:
    """Write an answer, piece by piece.

    terminal  how wide it is; None when a program reads, which gets every value as it is
    """
    screened = plain if terminal is not None else str
    if as_format == "json":
        yield from as_json(answer)
    elif as_format == "csv":
        for row in (answer.names, *answer.rows):
            yield ",".join(quoted(screened(text(value))) for value in row) + "\n"
    elif as_format == "list":  # One row, one line, whatever is in it; so never as it is.
        yield from ("\t".join(plain(text(value)) for value in row) + "\n" for row in answer.rows)
    else:
        yield as_table(answer, terminal) + "\n"


def text(value: object) -> str:
    """Write one value; several as DICOM does, with a backslash between them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "\\".join(map(text, value))
    return str(value)


def cell(value: object) -> str:
    """Write one value for a table."""
    if isinstance(value, list):
        return f"[{', '.join(map(cell, value))}]"
    return plain(text(value))


def quoted(value: str) -> str:
    """Write a value for CSV, with quotes only where it needs them."""
    return value if QUOTED_IF.isdisjoint(value) else '"' + value.replace('"', '""') + '"'


def as_json(answer: Answer) -> Iterator[str]:
    """Write an array of objects: no NaN, numbers as numbers, each column under its own name."""
    names = [
        name if name not in answer.names[:at] else f"{name}_{at + 1}"
        for at, name in enumerate(answer.names)
    ]
    kinds = list(map(json_kind, answer.types))
    before = "["
    for row in answer.rows:
        values = map(json_value, row, kinds)
        yield before + escaped(
            json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)
        )
        before = ",\n "
    yield "[]\n" if before == "[" else "]\n"


def escaped(document: str) -> str:
    """Spell in JSON what a terminal would obey; JSON itself does so only below U+0020."""
    if document.isascii() and "\x7f" not in document:
        return document
    return "".join(f"\\u{ord(char):04x}" if plain(char) != char else char for char in document)


def json_kind(kind: str) -> str:
    """Say how a column that DuckDB wrote as text has to be read again."""
    return "nested" if is_nested(kind) else "number" if is_number(kind) else ""


def json_value(value: Any, kind: str) -> object:
    """Make one value fit for JSON."""
    if isinstance(value, str) and kind:
        value = json.loads(value)  # Decimals, too: 1.50 is a number of JSON.
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [json_value(part, "") for part in value]
    return value


def as_table(answer: Answer, terminal: int | None) -> str:
    """Draw a table for people; on a terminal every line fits, and what was shortened shows it."""
    if list(answer.names) == PLAN:
        return "\n".join(plain_lines(text(drawing)).rstrip("\n") for _, drawing in answer.rows)
    shown = [list(map(cell, row)) for row in answer.rows[:SHOWN_ROWS]]
    names = list(map(plain, answer.names))
    wide = [
        max([width(name), *(width(row[index]) for row in shown)])
        for index, name in enumerate(names)
    ]
    sizes = wide if terminal is None else fitted(wide, terminal, gap=GAP, least=LEAST)
    right = list(map(is_number, answer.types))
    rules = ["─" * size for size in sizes]
    lines = [_line(row, sizes, right) for row in (names, rules, *shown)]
    lines += _notes(len(answer.rows), len(names) - len(sizes))
    return "\n".join(lines)


def _notes(rows: int, left_out: int) -> Iterable[str]:
    if rows > SHOWN_ROWS:
        yield f"… {rows} rows; --format csv or json gives all"
    if left_out:
        columns = "1 more column" if left_out == 1 else f"{left_out} more columns"
        yield f"… and {columns}; name those you want, or --format json"


def _line(texts: Sequence[str], sizes: Sequence[int], right: Sequence[bool]) -> str:
    cells = []
    for value, size, to_right in zip(texts, sizes, right, strict=False):
        short = cut(value, size)
        space = " " * (size - width(short))
        cells.append(space + short if to_right else short + space)
    return (" " * GAP).join(cells).rstrip()
