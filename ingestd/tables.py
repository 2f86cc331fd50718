"""Pure. The Arrow schemas of what workers hand to the catalog, column for column.

`seq` ties the rows of one file together until the catalog gives the instance its id. What the
catalog alone can know (instance_id, revision, times, final state) is not here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pyarrow as pa

from ingestd.dicom.keywords import KEPT
from ingestd.errors import Reason

ARROW_TYPES: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "INTEGER": pa.int32(),
    "INTEGER[]": pa.list_(pa.int32()),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "DOUBLE[]": pa.list_(pa.float64()),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
}

#: One row for each file that a worker was given; `reason` NULL means it became an instance.
FILE = pa.schema(
    [
        ("seq", pa.int64()),
        ("root", pa.string()),
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("attempts", pa.int32()),
        ("known", pa.bool_()),
        ("digest", pa.string()),
        ("SOPInstanceUID", pa.string()),
    ]
)

INSTANCE = pa.schema(
    [
        ("seq", pa.int64()),
        *((kept.keyword, ARROW_TYPES[kept.sql_type]) for kept in KEPT),
        ("root", pa.string()),
        ("path", pa.string()),
        ("digest", pa.string()),
        ("size_bytes", pa.int64()),
        ("frames", pa.int32()),
        ("has_pixels", pa.bool_()),
        ("thumbnail_path", pa.string()),
        ("window_source", pa.string()),
    ]
)

#: Text that repeats travels once, and by its number then.
NUMBERED = pa.dictionary(pa.int32(), pa.string())

#: What elements are and where they stand, each once in a batch, with its number there.
ATTRIBUTE = pa.schema(
    [
        ("attribute", pa.int32()),
        ("path", pa.string()),
        ("tag", pa.string()),
        ("keyword", pa.string()),
        ("private_creator", pa.string()),
        ("vr", pa.string()),
    ]
)

ELEMENT = pa.schema(
    [
        ("seq", pa.int64()),
        ("attribute", pa.int32()),
        ("vm", pa.int32()),
        ("value", NUMBERED),
        ("number", pa.float64()),
        ("size_bytes", pa.int64()),
    ]
)

PROBLEM = pa.schema(
    [
        ("seq", pa.int64()),
        ("SOPInstanceUID", pa.string()),
        ("root", pa.string()),
        ("path", pa.string()),
        ("kind", pa.string()),
        ("keyword", pa.string()),
        ("raw", pa.string()),
        ("detail", pa.string()),
    ]
)

#: What media directories list, whether it is here or not.
LISTED = pa.schema(
    [
        ("root", pa.string()),
        ("path", pa.string()),
        ("SeriesInstanceUID", pa.string()),
        ("SOPInstanceUID", pa.string()),
        ("file", pa.string()),
    ]
)

VOLUME = pa.schema(
    [
        ("SeriesInstanceUID", pa.string()),
        ("stack", pa.int32()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("path", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("dtype", pa.string()),
        ("spacing_mm", pa.list_(pa.float64())),
        ("affine_lps_mm", pa.list_(pa.float64())),
        ("slice_spacing_mm", pa.float64()),
        ("spacing_deviation_mm", pa.float64()),
        ("tilt_degrees", pa.float64()),
        ("missing_slices", pa.list_(pa.float64())),
        ("orientation", pa.string()),
        ("split_by", pa.string()),
        ("units", pa.string()),
        ("revision", pa.int32()),
    ]
)

VOLUME_SLICE = pa.schema(
    [
        ("SeriesInstanceUID", pa.string()),
        ("stack", pa.int32()),
        ("timepoint", pa.int32()),
        ("slice", pa.int32()),
        ("SOPInstanceUID", pa.string()),
        ("frame", pa.int32()),
        ("position_mm", pa.float64()),
    ]
)


#: What becomes of a file, by its reason.
VERDICTS = pa.table(
    {
        "reason": [str(reason) for reason in Reason],
        "verdict": [str(reason.verdict) for reason in Reason],
    }
)


def listed(rows: Sequence[tuple[str, ...]]) -> pa.Table:
    """Make the table of what media directories list."""
    columns = zip(*rows, strict=True) if rows else [()] * len(LISTED)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.Table.from_arrays(arrays, schema=LISTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What workers made of some files, in the schemas above."""

    file: pa.Table
    instance: pa.Table
    attribute: pa.Table
    element: pa.Table
    problem: pa.Table
    listed: pa.Table = field(default_factory=LISTED.empty_table)

    def __reduce__(self) -> tuple[Callable[..., "Batch"], tuple[bytes, ...]]:
        """Travel as streams: to pickle some hundred columns one by one takes ten times as long."""
        return from_streams, tuple(to_stream(getattr(self, name)) for name in NAMES)

    @classmethod
    def of(cls, parts: Sequence["Batch"]) -> "Batch":
        """Put several together."""
        apart, base = [], 0
        for part in parts:
            apart.append(part.numbered_from(base))
            base += part.attribute.num_rows
        return cls(
            **{name: pa.concat_tables(getattr(part, name) for part in apart) for name in NAMES}
        )

    def numbered_from(self, base: int) -> "Batch":
        """Give other numbers to its attributes."""
        if not base:
            return self
        raised = {}
        for name in ("attribute", "element"):
            table: pa.Table = getattr(self, name)
            at = table.column_names.index("attribute")
            # By numpy: nothing else in the first process needs Arrow's own arithmetic.
            numbers = pa.array(table.column(at).to_numpy() + np.int32(base))
            raised[name] = table.set_column(at, table.field(at), numbers)
        return replace(self, **raised)

    @classmethod
    def refusing(cls, file: pa.Table) -> "Batch":
        """A batch of files of which none became an instance."""
        return cls(
            file=file,
            instance=INSTANCE.empty_table(),
            attribute=ATTRIBUTE.empty_table(),
            element=ELEMENT.empty_table(),
            problem=PROBLEM.empty_table(),
        )


NAMES = tuple(field.name for field in fields(Batch))


def to_stream(table: pa.Table) -> bytes:
    """Write a table as Arrow's stream format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return bytes(sink.getvalue())


def from_streams(*streams: bytes) -> Batch:
    """Read the tables of a batch."""
    read = (pa.ipc.open_stream(stream).read_all() for stream in streams)
    return Batch(**dict(zip(NAMES, read, strict=True)))
