"""What the daemon is asked to do: one of a kind at a time, told line by line."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from daemons import wait_for

from ingestd.doing import Doing, Stopping, Tell
from ingestd.errors import ConfigError, IngestError, Reason


def said(doing: Doing, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in doing.lines(name, {"a": 1})]


def test_the_last_line_is_the_result() -> None:
    doing = Doing({"echo": lambda asked, _, __: dict(asked)})
    assert said(doing, "echo")[-1] == {"result": {"a": 1}}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            IngestError(Reason.DISK_FULL, "no room"),
            {"error": "disk_full", "detail": "no room"},
            id="a reason",
        ),
        pytest.param(ConfigError("no such"), {"error": "usage", "detail": "no such"}, id="usage"),
        pytest.param(
            ValueError("a name of somebody"),
            {"error": "failed", "detail": "ValueError, a fault of ours; see the log"},
            id="a fault of ours does not quote values",
        ),
    ],
)
def test_what_fails_is_said_in_the_last_line(error: Exception, expected: dict[str, str]) -> None:
    def fail(_: Mapping[str, Any], __: Tell, ___: Stopping) -> dict[str, Any]:
        raise error

    assert said(Doing({"x": fail}), "x")[-1] == expected


def test_what_nobody_can_do_is_refused() -> None:
    assert said(Doing({}), "x")[-1]["error"] == "unknown"


def test_one_of_a_kind_is_done_at_a_time_and_ends_when_whoever_asked_has_left() -> None:
    began, ended = threading.Event(), threading.Event()

    def work(_: Mapping[str, Any], tell: Tell, stopping: Stopping) -> dict[str, Any]:
        tell("working", 3, 4)
        began.set()
        wait_for(stopping)
        ended.set()
        return {}

    doing = Doing({"work": work})
    lines = doing.lines("work", {})
    assert json.loads(next(lines)) == {"doing": "working", "done": 3, "of": 4}
    assert began.is_set()
    assert said(doing, "work")[-1]["error"] == "busy"
    lines.close()
    assert ended.wait(20)
    wait_for(lambda: not doing._under_way)
