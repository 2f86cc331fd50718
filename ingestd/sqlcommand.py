"""Wiring. `ingestd sql`: one question, and its answer in the format that was asked for.

It is asked by hand and in loops of shells, and most of its time would go into imports. So it does
without typer, and without Arrow unless the answer is long or a file of Arrow's.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ingestd.client import Client
from ingestd.errors import ConfigError, IngestError, SqlError, StateError
from ingestd.files import default_state
from ingestd.printing import BINARY, FORMATS, write, write_binary
from ingestd.screen import plain_lines

HALTED, USAGE, INTERRUPTED = 1, 2, 130

EXAMPLES = """\
formats:
  table    for people; on a terminal wide columns are shortened
  list     values only, a tab between columns: no header, no quotes, one row a line
  csv      with a header; quotes only where needed; lists joined by a backslash
  json     an array of objects
  parquet, arrow   with all types; to a file (-o) or a pipe

examples:
  ingestd sql "FROM series SELECT Modality, count(*) GROUP BY ALL"
  ingestd sql --format list "SELECT SeriesInstanceUID FROM series" | xargs -n1 ingestd show
  ingestd sql - --format parquet -o ct.parquet < question.sql
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command."""
    asked = argparse.ArgumentParser(
        prog="ingestd sql",
        description="Ask the catalog, while the daemon runs or without one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("query", metavar="QUERY", help="one question in SQL; - reads standard input")
    asked.add_argument(
        "--format", dest="form", default="table", metavar="FORMAT", help=", ".join(FORMATS)
    )
    asked.add_argument("-o", dest="output", type=Path, metavar="FILE", help="write to this file")
    asked.add_argument(
        "--state", type=Path, default=default_state(), help="state folder; or INGESTD_STATE"
    )
    options = asked.parse_args(arguments)
    try:
        answer(options.query, options.form, options.output, options.state)
    except ConfigError as error:
        leave(str(error), USAGE)
    except (StateError, SqlError, IngestError) as error:
        leave(str(error), HALTED)
    except OSError as error:
        leave(f"{error.filename}: {error.strerror}" if error.filename else str(error), HALTED)
    except KeyboardInterrupt:
        leave("interrupted", INTERRUPTED)
    raise SystemExit(0)


def answer(query: str, form: str, output: Path | None, state: Path) -> None:
    """Ask, and write the answer.

    raises  ConfigError; StateError, SqlError as `Client.sql`; OSError when it cannot be written
    """
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: known are {', '.join(FORMATS)}")
    if form in BINARY and output is None and sys.stdout.isatty():
        raise ConfigError(f"--format {form} is nothing for a terminal; name a file: -o FILE")
    text = read_input() if query == "-" else query
    client = Client(state, own_process=True)
    if form in BINARY:
        write_binary(client.sql(text), form, output)
    else:
        write(client.answer(text), form, output)


def read_input() -> str:
    """Read the question from standard input.

    raises  ConfigError
    """
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"standard input is not UTF-8 text: byte {error.start}") from None


def leave(words: str, code: int) -> NoReturn:
    """Say what went wrong, and end."""
    sys.stderr.write(f"ingestd: {plain_lines(words)}\n")
    sys.stderr.flush()
    if threading.active_count() > 1:  # A question that heeds no interrupt; Python would wait.
        os._exit(code)
    raise SystemExit(code)
