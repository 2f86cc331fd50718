import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TextIO

import pytest

from ingestd import config, log
from ingestd.catalog import Catalog

Written = Callable[[], list[str]]


@pytest.fixture
def written() -> Iterator[Written]:
    """Log in the form that journald reads; give the lines."""
    out = io.StringIO()
    log.configure(config.Log(format="logfmt"), out)
    yield lambda: out.getvalue().splitlines()
    logging.basicConfig(level=logging.WARNING, handlers=[], force=True)


def test_a_line_has_priority_event_and_pairs(written: Written) -> None:
    log.get_logger().warning("refused", root="/in/a b", took_ms=3)
    (line,) = written()
    event, _, rest = line.partition(" ")
    assert event == "<4>refused"
    assert rest.startswith('root="/in/a b" took_ms=3 timestamp=')


def test_a_value_with_a_line_break_stays_one_line(written: Written) -> None:
    log.get_logger().info("refused", root="a\n<0>forged \x1b[31m")
    (line,) = written()
    assert json.loads(line.split("root=")[1].split(" timestamp")[0]) == "a\n<0>forged \x1b[31m"
    assert "\x1b" not in line


def test_libraries_speak_through_the_same_lines(written: Written) -> None:
    logging.getLogger("uvicorn").warning("late")
    (line,) = written()
    assert line.startswith('<4>library name="uvicorn" says="late"')


def test_of_a_library_that_mixes_words_and_values_only_the_place_is_said(written: Written) -> None:
    logging.getLogger("some.codec").error("cannot decode DOE^JANE")
    logging.getLogger("watchdog.observers").warning("lost %s", "/in/DOE^JANE")
    codec, watchdog = written()
    assert "DOE" not in codec + watchdog
    assert 'says="test_log, line ' in codec
    assert 'says="lost %s"' in watchdog


def test_an_error_says_what_and_where_but_not_its_words(written: Written) -> None:
    try:
        try:
            int("DOE^JANE")
        finally:
            os.stat("/in/DOE^JANE")
    except FileNotFoundError:
        log.get_logger().exception("file_failed")
    (line,) = written()
    assert "DOE" not in line
    assert 'error="FileNotFoundError: No such file or directory at test_log.py:' in line
    assert "; after ValueError at test_log.py:" in line


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A file that is said to be the journal."""
    with (tmp_path / "stream").open("w+") as out:
        there = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
        yield out
        logging.basicConfig(level=logging.WARNING, handlers=[], force=True)


@pytest.mark.parametrize("style", ["json", "logfmt"])
def test_the_journal_has_its_own_times_and_all_else_ours(
    stream: TextIO, tmp_path: Path, style: Literal["json", "logfmt"]
) -> None:
    lines = []
    with (tmp_path / "another").open("w+") as other:  # JOURNAL_STREAM is passed on to it, too.
        for out in (stream, other):
            log.configure(config.Log(format=style), out)
            log.get_logger().error("halted")
            out.seek(0)
            lines.append(out.read())
    journal, file = lines
    assert journal.startswith("<3>")
    assert "timestamp" in file
    if style == "json":
        assert json.loads(journal.removeprefix("<3>")) | {"timestamp": 0} == json.loads(file) | {
            "timestamp": 0
        }
    else:
        assert journal == "<3>halted\n"


def test_what_pydicom_says_of_values_is_not_written(written: Written) -> None:
    logging.getLogger("pydicom").warning("Invalid value for VR LO: 'Doe^Jane'")
    assert written() == []


def test_a_path_below_a_root_is_hashed_as_sql_can_do_it_too(
    written: Written, catalog: Catalog
) -> None:
    log.get_logger().warning("not_listed", path="DOE^JANE/1")
    (line,) = written()
    assert "DOE" not in line
    assert catalog.rows("SELECT sha256('DOE^JANE/1')[:12]")[0][0] in line


def test_lines_below_the_level_are_not_written(written: Written) -> None:
    log.get_logger().debug("swept")
    assert written() == []
