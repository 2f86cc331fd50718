"""Pure. How it goes, in one line: what is wrong first, then what is done."""

from collections import Counter
from collections.abc import Mapping
from typing import Any


def gist(status: Mapping[str, Any]) -> str:
    """Write the line for `systemctl status` from what `ingestd status` is told."""
    return "; ".join([*_troubles(status), _roots(status["roots"]), _work(status)])


def _troubles(status: Mapping[str, Any]) -> list[str]:
    troubles = []
    if status["stuck"]:
        troubles.append(f"STUCK: {', '.join(status['stuck'])}")
    if status["halted"]:
        troubles.append(f"HALTED: {status['halted']}")
    elif status["paused"]:
        troubles.append("PAUSED: space is short")
    if status["config_refused"]:
        troubles.append("new config refused, the old one holds")
    return troubles


def _roots(roots: list[Mapping[str, Any]]) -> str:
    """Count the roots by their health; one that is not healthy is named."""
    states = Counter(root["health"] for root in roots)
    words = f"{states['healthy']} of {len(roots)} roots healthy"
    ill = [f"{root['name']} {root['health']}" for root in roots if root["health"] != "healthy"]
    return f"{words} ({', '.join(ill[:3])}{', ...' if len(ill) > 3 else ''})" if ill else words


def _work(status: Mapping[str, Any]) -> str:
    done = status["since_start"]
    refused = f", {done['refused']} of them refused" if done.get("refused") else ""
    return (
        f"{done['files']} files since the start{refused}; {status['settling']} settling,"
        f" {status['waiting']} waiting, {status['open_series']} series open"
    )
