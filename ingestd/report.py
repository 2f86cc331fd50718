"""Edge: what the commands print: summaries, tables, elements."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingestd.answer import Answer
from ingestd.client import Client, quoted
from ingestd.errors import SqlError
from ingestd.files import as_text
from ingestd.places import location, paused, taking
from ingestd.printing import as_table
from ingestd.screen import plain
from ingestd.worst import line, worst


def scanned(summary: dict[str, Any]) -> str:
    """Say what a scan came to."""
    refused = sum(summary["refused"].values())
    if summary["files"] == summary["unchanged"] and not summary["series"]:
        return f"{summary['files']} files, all known already: nothing to do."
    lines = [
        f"{summary['files']} files in {summary['seconds']:.1f} s:",
        f"  {summary['cataloged']:>8} cataloged",
        *_unless_zero(summary, "duplicate", "duplicate: the same bytes again"),
        *_unless_zero(summary, "conflict", "conflict: a known UID with other bytes"),
        *_unless_zero(summary, "unchanged", "known already"),
        *_unless_zero(summary, "retry", "to be tried again: scan once more"),
    ]
    if refused:
        lines.append(f"  {refused:>8} refused")
        lines += [f"  {count:>12} {reason}" for reason, count in summary["refused"].items()]
    made = ", ".join(
        f"{summary[key]} {key}" for key in ("instances", "series", "volumes", "thumbnails")
    )
    lines.append(f"made: {made}; {summary['problems']} problems noted")
    if summary["archived"] or summary["quarantined"]:
        lines.append(
            f"taken: {summary['archived']} to the archive, {summary['quarantined']} to quarantine"
        )
    return "\n".join(lines)


def _unless_zero(summary: dict[str, Any], key: str, words: str) -> list[str]:
    return [f"  {summary[key]:>8} {words}"] if summary[key] else []


def catalog_status(client: Client) -> dict[str, Any]:
    """Count what the catalog holds."""
    full = client.profile == "full"  # The other one knows neither paths nor times.
    state = "if(state = 'gone' AND detail IS NOT NULL, detail, state)" if full else "state"
    states = client.sql(
        f"SELECT {state} AS state, count(*) AS files FROM file GROUP BY ALL ORDER BY ALL"
    )
    series = client.sql(
        "SELECT state, count(*) AS series FROM series_state GROUP BY ALL ORDER BY ALL"
    )
    refused = client.sql(
        "SELECT reason, count(*) AS files FROM refused GROUP BY ALL ORDER BY files DESC"
    )
    made = client.sql(
        "SELECT (SELECT count(*) FROM instance) AS instances,"
        " (SELECT count(*) FROM instance WHERE window_source IS NOT NULL) AS thumbnails,"
        " (SELECT count(*) FROM volume WHERE reason IS NULL) AS volumes,"
        " (SELECT count(*) FROM problem) AS problems"
    )
    return {
        "files": {row["state"]: row["files"] for row in states.to_pylist()},
        "refused": {row["reason"]: row["files"] for row in refused.to_pylist()},
        "series": {row["state"]: row["series"] for row in series.to_pylist()},
        **made.to_pylist()[0],
        "incomplete": worst(client),
    }


def status_text(found: dict[str, Any]) -> str:
    """Say it in lines for people."""
    daemon, catalog = found["daemon"], found["catalog"]
    lines = []
    if daemon is None:
        lines.append("daemon     not running")
    else:
        state = paused(daemon) if daemon["paused"] else "running"
        state = f"halted: {daemon['halted']}" if daemon["halted"] else state
        lines.append(f"daemon     {state}, pid {daemon['pid']}, up {daemon['uptime_s']:.0f} s")
        lines += operations(daemon)
        for root in daemon["roots"]:
            why = f" ({plain(root['why'])})" if root["why"] else ""
            lines.append(f"root       {plain(root['name'])}: {root['health']}{why}")
            lines.append(f"           {root['watch']}: {root['watch_why']}")
            if words := taking(root):
                lines.append(f"           {plain(words)}")
        lines.append(
            f"queue      {daemon['settling']} settling, {daemon['waiting']} waiting,"
            f" {daemon['open_series']} series open, {daemon['worker_deaths']} workers lost"
        )
    if catalog is None:
        return "\n".join([*lines, f"catalog    {found['error']}"])
    lines.append(f"files      {counted(catalog['files'])}")
    if catalog["refused"]:
        lines.append(f"refused    {counted(catalog['refused'])}")
    lines.append(f"series     {counted(catalog['series'])}")
    lines.append(
        f"made       {catalog['instances']} instances, {catalog['thumbnails']} thumbnails,"
        f" {catalog['volumes']} volumes, {catalog['problems']} problems"
    )
    lines += [plain(line(row)) for row in catalog["incomplete"]]
    return "\n".join(lines)


def operations(daemon: dict[str, Any]) -> list[str]:
    """Say what whoever runs the service must know of."""
    lines = []
    if daemon["stuck"]:
        lines.append(f"           these stand still: {', '.join(daemon['stuck'])}")
    if daemon["config_refused"]:
        lines.append(f"config     refused, the old one holds: {plain(daemon['config_refused'])}")
    if daemon["restart_wanted"]:
        lines.append(f"config     from the next start on: {', '.join(daemon['restart_wanted'])}")
    return lines


def counted(counts: dict[str, int]) -> str:
    """Write `3 cataloged, 1 refused`."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def shown(client: Client, what: str) -> dict[str, Any]:
    """Find what a UID or a path names.

    raises  SqlError when the catalog knows nothing of that name
    """
    if client.profile == "research" and "/" in what:
        raise SqlError(f"{what}: [sql] profile = research: paths are withheld; name a UID")
    uid = instance_of_path(client, what) if "/" in what or Path(what).exists() else what
    for kind, key in (
        ("instance", "SOPInstanceUID"),
        ("series", "SeriesInstanceUID"),
        ("study", "StudyInstanceUID"),
    ):
        rows = client.sql(f"SELECT * FROM {kind} WHERE {key} = {quoted(uid)}").to_pylist()
        if rows:
            return {"kind": kind, kind: rows[0], **details(client, kind, uid)}
    if client.profile == "full" and (found := only_listed(client, uid)):
        return found
    raise SqlError(f"{what}: the catalog knows no instance, series or study of that name")


def only_listed(client: Client, uid: str) -> dict[str, Any] | None:
    """Find what only a media directory tells of: a series, or one instance, that has not come."""
    listed = client.sql(
        "SELECT SeriesInstanceUID, SOPInstanceUID, file, root || '/' || path AS media_directory"
        f" FROM listed WHERE {quoted(uid)} IN (SeriesInstanceUID, SOPInstanceUID)"
        " ORDER BY file, SOPInstanceUID, media_directory"
    ).to_pylist()
    if not listed:
        return None
    series = quoted(listed[0]["SeriesInstanceUID"])
    state = client.sql(f"SELECT * FROM series_state WHERE SeriesInstanceUID = {series}")
    return {"kind": "listed", "listed": listed, "series_state": next(iter(state.to_pylist()), {})}


def instance_of_path(client: Client, path: str) -> str:
    """Find the instance that a file holds."""
    full, path = as_text(os.path.abspath(path)), as_text(path)
    rows = client.sql(
        "SELECT SOPInstanceUID, state, reason, detail FROM file"
        f" WHERE root || '/' || path = {quoted(full)} OR path = {quoted(path)}"
    ).to_pylist()
    if not rows:
        raise SqlError(f"{full}: the ledger does not know this file")
    if rows[0]["SOPInstanceUID"] is None:
        raise SqlError(f"{full}: {rows[0]['state']}: {rows[0]['reason']}: {rows[0]['detail']}")
    return str(rows[0]["SOPInstanceUID"])


def details(client: Client, kind: str, uid: str) -> dict[str, Any]:
    """Add what belongs below an instance, series or study."""
    if kind == "instance":
        full = client.profile == "full"
        creator = "t.private_creator" if full else "NULL AS private_creator"
        elements = client.sql(
            f"SELECT t.path, t.keyword, {creator}, t.vr, t.vm, t.value, t.size_bytes"
            " FROM tag AS t JOIN instance AS i USING (instance_id)"
            f" WHERE i.SOPInstanceUID = {quoted(uid)} ORDER BY t.path"
        )
        if not full:
            return {"elements": elements.to_pylist(), "locations": []}
        places = client.sql(
            "SELECT root, path, state FROM location"
            f" WHERE SOPInstanceUID = {quoted(uid)} ORDER BY is_source DESC, root, path"
        )
        return {"elements": elements.to_pylist(), "locations": places.to_pylist()}
    if kind == "series":
        stacks = client.sql(f"SELECT * FROM volume WHERE SeriesInstanceUID = {quoted(uid)}")
        return {"volumes": stacks.to_pylist()}
    series = client.sql(
        "SELECT COLUMNS('^(SeriesInstanceUID|Modality|Series(Number|Description)|instances|state)')"
        f" FROM series WHERE StudyInstanceUID = {quoted(uid)} ORDER BY SeriesNumber"
    )
    return {"series": series.to_pylist()}


def shown_text(found: dict[str, Any]) -> str:
    """Write it for people: elements like a dump, or one line for each column that has a value."""
    kind = found["kind"]
    if kind == "instance":
        places = [plain(location(place)) for place in found["locations"]]
        return "\n".join([*map(element_text, found["elements"]), *places])
    if kind == "listed":
        head = ["It has not come: a media directory lists it, and that is all that is known.", ""]
        return "\n".join(
            [*head, *values_text(found["series_state"]), "", rows_text(found["listed"])]
        )
    lines = values_text(found[kind])
    below = found["volumes"] if kind == "series" else found["series"]
    if below:
        lines += ["", rows_text(below)]
    return "\n".join(lines)


def values_text(row: dict[str, Any]) -> list[str]:
    """Write a line for each column that has a value."""
    return [f"{name:<24} {plain(value)}" for name, value in row.items() if value is not None]


def rows_text(rows: Sequence[dict[str, Any]]) -> str:
    """Draw rows as a table, without the columns that are empty in all of them."""
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    kinds = ["DOUBLE" if isinstance(rows[0][name], int | float) else "VARCHAR" for name in names]
    terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return as_table(Answer(names, kinds, [[row[name] for name in names] for row in rows]), terminal)


def element_text(element: dict[str, Any]) -> str:
    """Write one element: `00080060 Modality                CS CT`."""
    name = element["keyword"] or element["private_creator"] or ""
    depth = element["path"].count(".") * 2
    value = element["value"]
    if value is None:
        value = (
            f"{element['vm']} items"
            if element["vr"] == "SQ"
            else f"<{element['size_bytes']} bytes>"
        )
    last = element["path"].rsplit(".", 1)[-1]
    return f"{' ' * depth}{last} {plain(name):<34} {plain(element['vr'])} {plain(value)[:200]}"
