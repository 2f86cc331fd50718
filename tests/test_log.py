import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from ingestd import config, log

Written = Callable[[], list[str]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Log in the form that journald reads; give the lines."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    out = io.StringIO()
    log.configure(config.Log(format="logfmt"), out)
    yield lambda: out.getvalue().splitlines()
    structlog.reset_defaults()


def test_a_line_has_priority_event_and_pairs(written: Written) -> None:
    structlog.get_logger().warning("refused", path="/in/a b", took_ms=3)
    (line,) = written()
    event, _, rest = line.partition(" ")
    assert event == "<4>refused"
    assert rest.startswith('path="/in/a b" took_ms=3 timestamp=')


def test_a_value_with_a_line_break_stays_one_line(written: Written) -> None:
    structlog.get_logger().info("refused", path="a\n<0>forged \x1b[31m")
    (line,) = written()
    assert json.loads(line.split("path=")[1].split(" timestamp")[0]) == "a\n<0>forged \x1b[31m"
    assert "\x1b" not in line


def test_libraries_speak_through_the_same_lines(written: Written) -> None:
    logging.getLogger("apscheduler").warning("late")
    (line,) = written()
    assert line.startswith('<4>library name="apscheduler" says="late"')


def test_what_pydicom_says_of_values_is_not_written(written: Written) -> None:
    logging.getLogger("pydicom").warning("Invalid value for VR LO: 'Doe^Jane'")
    assert written() == []


def test_lines_below_the_level_are_not_written(written: Written) -> None:
    structlog.get_logger().debug("swept")
    assert written() == []
