"""Media directories, record by record, right ones and bent ones (PS3.3 F, PS3.10 8.6)."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
LONG = {"OB", "SQ", "UN"}


@dataclass
class Record:
    """One record; it points to others by their place in the list, or by a wild offset."""

    kind: str
    more: bytes = b""
    next: int | None = None
    lower: int | None = None
    in_use: int = 0xFFFF
    wild: int | None = None  #: instead of `next`


def element(group: int, number: int, vr: str, value: bytes | str) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    head = struct.pack("<HH", group, number) + vr.encode()
    long = vr in LONG
    return head + struct.pack("<HL" if long else "<H", *((0,) if long else ()), len(value)) + value


def records_of(series: Mapping[str, Sequence[str]]) -> list[Record]:
    """One patient with one study with these series; instances have the files A/I0, A/I1, ..."""
    records = [Record("PATIENT", lower=1), Record("STUDY", lower=2)]
    last_series = None
    for uid, instances in series.items():
        at = len(records)
        if last_series is not None:
            records[last_series].next = at
        last_series = at
        records.append(Record("SERIES", element(0x20, 0xE, "UI", uid), lower=at + 1))
        for k, instance in enumerate(instances):
            follows = len(records) + 1 if k + 1 < len(instances) else None
            names = element(4, 0x1500, "CS", f"A\\I{k}") + element(4, 0x1511, "UI", instance)
            records.append(Record("IMAGE", names, next=follows))
    return records


def written(records: Sequence[Record], *, undefined: bool = False) -> bytes:
    """Write a directory of these records."""
    meta = element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", MEDIA_DIRECTORY)
    meta += element(2, 3, "UI", "1.2.3") + element(2, 0x10, "UI", "1.2.840.10008.1.2.1")
    head = bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<L", len(meta))) + meta
    head += element(4, 0x1130, "CS", "TEST")
    start = len(head) + 12
    places, at = [], start
    for record in records:
        places.append(at)
        at += len(_item(record, 0, 0, undefined=undefined))
    body = b"".join(
        _item(
            record,
            record.wild if record.wild is not None else _place(places, record.next),
            _place(places, record.lower),
            undefined=undefined,
        )
        for record in records
    )
    length = 0xFFFFFFFF if undefined else len(body)
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if undefined else b""
    return head + struct.pack("<HH2sHL", 4, 0x1220, b"SQ", 0, length) + body + end


def _place(places: Sequence[int], index: int | None) -> int:
    return 0 if index is None else places[index]


def _item(record: Record, following: int, lower: int, *, undefined: bool) -> bytes:
    body = element(4, 0x1400, "UL", struct.pack("<L", following))
    body += element(4, 0x1410, "US", struct.pack("<H", record.in_use))
    body += element(4, 0x1420, "UL", struct.pack("<L", lower))
    body += element(4, 0x1430, "CS", record.kind) + record.more
    if undefined:
        icon = struct.pack("<HH2sHL", 0x88, 0x200, b"SQ", 0, 0xFFFFFFFF)
        icon += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
        icon += element(4, 0x1430, "CS", "PATIENT")  # Of the icon, and no record's.
        icon += struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        body += icon
    head = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF if undefined else len(body))
    return head + body + (struct.pack("<HHL", 0xFFFE, 0xE00D, 0) if undefined else b"")


def directory(
    series: Mapping[str, Sequence[str]],
    bend: Callable[[list[Record]], None] = lambda _: None,
    *,
    undefined: bool = False,
) -> bytes:
    """Write a directory of these series, after `bend` has had its way with the records."""
    records = records_of(series)
    bend(records)
    return written(records, undefined=undefined)
