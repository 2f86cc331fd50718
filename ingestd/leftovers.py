"""Pure. What a scan did not come to an end with, in words."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingestd.scan import Scan


def leftovers(work: "Scan", summary: dict[str, Any]) -> list[str]:
    """Say what a scan did not come to an end with."""
    lines = [f"{path}: could not be listed: {why}" for path, why in work.unlisted.items()]
    lines += [f"{root}: its files were given up: {why}" for root, why in work.unread.items()]
    if summary["retry"]:
        lines.append(f"{summary['retry']} files could not be read just now; scan once more")
    lines += [f"{root}: files were not taken: {why}" for root, why in work.held]
    if work.interrupted:
        why = f"by {work.failure}" if work.failure else "by a signal"
        lines.append(f"stopped early {why}; scan again to go on")
    elif summary["series_open"]:
        count = summary["series_open"]
        lines.append(f"{count} series have files that cannot be read just now; scan once more")
    return lines
