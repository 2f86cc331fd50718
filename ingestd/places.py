"""Pure. What `status` and `show` say of archive, quarantine, space, and where bytes are."""

from typing import Any


def taking(root: dict[str, Any]) -> str | None:
    """Say what is done with the files of a root; None when they only are read."""
    if root["take"] == "index" and not root["quarantine"]:
        return None
    aside = f", refused to {root['quarantine']}" if root["quarantine"] else ""
    counts = f"{root['archived']} archived, {root['quarantined']} quarantined since the start"
    held = f"; files stay: {root['not_taken_why']}" if root["not_taken_why"] else ""
    return f"take = {root['take']}{aside}: {counts}{held}"


def location(place: dict[str, Any]) -> str:
    """Say where the bytes of an instance are, or were."""
    return f"# {place['state']}: {place['root']}/{place['path']}"


def paused(daemon: dict[str, Any]) -> str:
    """Say why no work is taken."""
    free, wanted = daemon["free_bytes"], daemon["min_free_bytes"]
    if free >= wanted:
        return "paused: an archive is in trouble"
    return f"paused, disk_full: {free} bytes are free, [space] min_free_bytes is {wanted}"
