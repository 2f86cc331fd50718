"""Edge: what the commands print: summaries, tables, elements."""

import json
import math
import os
import re
import shutil
import sys
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.cells import cell_len, set_cell_size

from ingestd.client import Client, quoted
from ingestd.errors import SqlError
from ingestd.files import as_text
from ingestd.places import location, taking

FORMATS = ("table", "csv", "json", "parquet")
SHOWN_ROWS = 200  #: a table at a terminal ends here and says so
CELL = 48  #: a wider cell is shortened
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(value: object) -> str:
    """Make a value of the catalog fit for a terminal: no escapes, no line breaks."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", "" if value is None else str(value))


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


def write(table: pa.Table, as_format: str, output: Path | None) -> None:
    """Write an answer in one of FORMATS, to a file or to standard output."""
    if as_format == "parquet":
        assert output is not None, "parquet goes to a file"
        pyarrow.parquet.write_table(table, output)
        return
    target: IO[bytes] = output.open("wb") if output else sys.stdout.buffer
    try:
        if as_format == "csv":
            pyarrow.csv.write_csv(flat(table), target)
        elif as_format == "json":
            target.write(json.dumps(json_rows(table), default=str, ensure_ascii=False).encode())
            target.write(b"\n")
        else:
            target.write((as_table(table) + "\n").encode())
        target.flush()
    except BrokenPipeError:  # `| head` has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if output:
            target.close()


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Make rows that JSON can hold: no NaN, numbers as numbers, each column under its own name."""
    names = [
        name if name not in table.column_names[:at] else f"{name}_{at + 1}"
        for at, name in enumerate(table.column_names)
    ]
    columns = [map(json_value, column.to_pylist()) for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def json_value(value: object) -> object:
    """Make one value fit for JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [json_value(part) for part in value]
    if isinstance(value, dict):
        return {key: json_value(part) for key, part in value.items()}
    return value


def flat(table: pa.Table) -> pa.Table:
    """Write lists as text with backslashes between the values, as DICOM does: CSV has no lists."""
    columns = []
    for column in table.columns:
        if pa.types.is_nested(column.type):
            texts = [
                None
                if value is None
                else "\\".join("" if part is None else str(part) for part in value)
                for value in column.to_pylist()
            ]
            columns.append(pa.array(texts, pa.string()))
        else:
            columns.append(column)
    return pa.table(columns, names=table.column_names)


def as_table(table: pa.Table) -> str:
    """Draw a table for people: columns as wide as they need, long cells shortened."""
    shown = table.slice(0, SHOWN_ROWS)
    names = table.column_names
    fit = shortened if sys.stdout.isatty() else str
    columns = [[fit(plain(value)) for value in column.to_pylist()] for column in shown.columns]
    cells = [list(row) for row in zip(*columns, strict=True)]
    wide = [
        max([cell_len(name), *(cell_len(line[index]) for line in cells)])
        for index, name in enumerate(names)
    ]
    right = [pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in table.schema.types]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0

    def line(texts: list[str]) -> str:
        parts = [
            " " * (size - cell_len(text)) + text
            if to_right
            else text + " " * (size - cell_len(text))
            for text, size, to_right in zip(texts, wide, right, strict=True)
        ]
        drawn = "  ".join(parts).rstrip()
        return (
            drawn
            if not width or cell_len(drawn) <= width
            else set_cell_size(drawn, width - 1) + "…"
        )

    lines = [line(names), line(["─" * size for size in wide]), *map(line, cells)]
    if table.num_rows > SHOWN_ROWS:
        lines.append(f"… {table.num_rows} rows; --format csv or json gives all")
    return "\n".join(lines)


def shortened(text: str) -> str:
    """Cut a long cell, and show that it was cut."""
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def catalog_status(client: Client) -> dict[str, Any]:
    """Count what the catalog holds."""
    states = client.sql(
        "SELECT if(state = 'gone' AND detail IS NOT NULL, detail, state) AS state,"
        " count(*) AS files FROM file GROUP BY ALL ORDER BY ALL"
    )
    series = client.sql(
        "SELECT state, count(*) AS series FROM series_state GROUP BY ALL ORDER BY ALL"
    )
    refused = client.sql(
        "SELECT reason, count(*) AS files FROM refused GROUP BY ALL ORDER BY files DESC"
    )
    made = client.sql(
        "SELECT (SELECT count(*) FROM instance) AS instances,"
        " (SELECT count(*) FROM instance WHERE thumbnail_path IS NOT NULL) AS thumbnails,"
        " (SELECT count(*) FROM volume WHERE path IS NOT NULL) AS volumes,"
        " (SELECT count(*) FROM problem) AS problems"
    )
    incomplete = client.sql(
        "SELECT SeriesInstanceUID, Modality, evidence, missing, last_arrival_utc"
        " FROM incomplete_series ORDER BY last_arrival_utc LIMIT 10"
    )
    return {
        "files": {row["state"]: row["files"] for row in states.to_pylist()},
        "refused": {row["reason"]: row["files"] for row in refused.to_pylist()},
        "series": {row["state"]: row["series"] for row in series.to_pylist()},
        **made.to_pylist()[0],
        "incomplete": incomplete.to_pylist(),
    }


def status_text(found: dict[str, Any]) -> str:
    """Say it in lines for people."""
    daemon, catalog = found["daemon"], found["catalog"]
    lines = []
    if daemon is None:
        lines.append("daemon     not running")
    else:
        state = "paused: a disk of ours is nearly full" if daemon["paused"] else "running"
        state = f"halted: {daemon['halted']}" if daemon["halted"] else state
        lines.append(f"daemon     {state}, pid {daemon['pid']}, up {daemon['uptime_s']:.0f} s")
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
    for row in catalog["incomplete"]:
        missing = ", ".join(map(plain, (row["missing"] or [])[:3]))
        lines.append(f"incomplete {row['SeriesInstanceUID']} {plain(row['Modality'])}: {missing}")
    return "\n".join(lines)


def counted(counts: dict[str, int]) -> str:
    """Write `3 cataloged, 1 refused`."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def shown(client: Client, what: str) -> dict[str, Any]:
    """Find what a UID or a path names.

    raises  SqlError when the catalog knows nothing of that name
    """
    uid = instance_of_path(client, what) if "/" in what or Path(what).exists() else what
    for kind, key in (
        ("instance", "SOPInstanceUID"),
        ("series", "SeriesInstanceUID"),
        ("study", "StudyInstanceUID"),
    ):
        rows = client.sql(f"SELECT * FROM {kind} WHERE {key} = {quoted(uid)}").to_pylist()
        if rows:
            return {"kind": kind, kind: rows[0], **details(client, kind, uid)}
    raise SqlError(f"{what}: the catalog knows no instance, series or study of that name")


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
        elements = client.sql(
            "SELECT t.path, t.keyword, t.private_creator, t.vr, t.vm, t.value, t.size_bytes"
            " FROM tag AS t JOIN instance AS i USING (instance_id)"
            f" WHERE i.SOPInstanceUID = {quoted(uid)} ORDER BY t.path"
        )
        places = client.sql(
            "SELECT root, path, state FROM location"
            f" WHERE SOPInstanceUID = {quoted(uid)} ORDER BY is_source DESC, root, path"
        )
        return {"elements": elements.to_pylist(), "locations": places.to_pylist()}
    if kind == "series":
        stacks = client.sql(f"SELECT * FROM volume WHERE SeriesInstanceUID = {quoted(uid)}")
        return {"volumes": stacks.to_pylist()}
    series = client.sql(
        "SELECT SeriesInstanceUID, Modality, SeriesNumber, SeriesDescription, instances, state"
        f" FROM series WHERE StudyInstanceUID = {quoted(uid)} ORDER BY SeriesNumber"
    )
    return {"series": series.to_pylist()}


def shown_text(found: dict[str, Any]) -> str:
    """Write it for people: elements like a dump, or one line for each column that has a value."""
    kind = found["kind"]
    if kind == "instance":
        places = [plain(location(place)) for place in found["locations"]]
        return "\n".join([*map(element_text, found["elements"]), *places])
    lines = [
        f"{name:<24} {plain(value)}" for name, value in found[kind].items() if value is not None
    ]
    below = found["volumes"] if kind == "series" else found["series"]
    if below:
        lines += ["", as_table(pa.Table.from_pylist(below))]
    return "\n".join(lines)


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
