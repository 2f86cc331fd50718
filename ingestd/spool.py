"""Edge: an answer as bytes, within limits: Arrow IPC, JSON or CSV, in memory or in a spool file.

An answer is whole before its first byte is sent, so that what goes wrong is an error and not a
torn answer, and so that a client that reads slowly holds a file and not a place.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple, Protocol

import pyarrow as pa

from ingestd import answer, printing

MEMORY_BYTES = 1 << 20  #: a larger answer is kept in a file


class Refused(Exception):
    """A question that gets no answer: a word, what to do, and where in the SQL (a character)."""

    def __init__(self, error: str, detail: str, position: int | None = None) -> None:
        super().__init__(detail)
        self.error, self.detail, self.position = error, detail, position


class Limits(NamedTuple):
    """How large an answer may be."""

    rows: int
    bytes: int


class Columns(NamedTuple):
    """What an answer consists of."""

    schema: pa.Schema
    kinds: Sequence[str]  #: as DuckDB names them, before anything was written as text


class Writer(Protocol):
    """Writes batches in one format."""

    @property
    def media(self) -> str:
        """Name the format; asked at the end."""
        ...

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        ...

    def end(self) -> None:
        """Write what stands at the end."""
        ...


class Arrow:
    """An Arrow IPC stream."""

    media = "application/vnd.apache.arrow.stream"

    def __init__(self, out: IO[bytes], columns: Columns) -> None:
        self._stream = pa.ipc.new_stream(out, columns.schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        self._stream.write_batch(batch)

    def end(self) -> None:
        """Write the mark of the end."""
        self._stream.close()


class Json:
    """An array of objects, one for each row, as `ingestd sql --format json` writes them."""

    media = "application/json"

    def __init__(self, out: IO[bytes], columns: Columns) -> None:
        self._out, self._columns, self._begun = out, columns, False

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        if batch.num_rows == 0:
            return
        text = "".join(printing.as_json(plain(batch, self._columns)))
        head = ",\n " if self._begun else "["
        self._out.write((head + text[1:-2]).encode("utf-8", "replace"))
        self._begun = True

    def end(self) -> None:
        """Close the array."""
        self._out.write(b"]\n" if self._begun else b"[]\n")


class Csv:
    """Lines with a header, as `ingestd sql --format csv` writes them."""

    media = "text/csv"

    def __init__(self, out: IO[bytes], columns: Columns) -> None:
        self._out, self._columns = out, columns
        self._line(columns.schema.names)

    def _line(self, values: Sequence[Any]) -> None:
        line = ",".join(printing.quoted(printing.text(value)) for value in values)
        self._out.write(f"{line}\n".encode("utf-8", "replace"))

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        for row in plain(batch, self._columns).rows:
            self._line(row)

    def end(self) -> None:
        """Leave the last line as it is."""


class Short:
    """What the commands ask for: an `answer.Answer` when it is short, else an Arrow stream."""

    def __init__(self, out: IO[bytes], columns: Columns) -> None:
        self._out, self._columns = out, columns
        self._held: list[pa.RecordBatch] = []
        self._long: Arrow | None = None

    @property
    def media(self) -> str:
        """Say which of the two it became."""
        return answer.MEDIA_TYPE if self._long is None else self._long.media

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows, or hold them."""
        if self._long is None:
            self._held.append(batch)
            if sum(held.num_rows for held in self._held) <= answer.SHORT_ROWS:
                return
            metadata = {"types": json.dumps(list(self._columns.kinds))}
            schema = self._columns.schema.with_metadata(metadata)
            self._long = Arrow(self._out, self._columns._replace(schema=schema))
            batches, self._held = self._held, []
        else:
            batches = [batch]
        for one in batches:
            self._long.write(one)

    def end(self) -> None:
        """Write what is short."""
        if self._long is not None:
            self._long.end()
            return
        table = pa.Table.from_batches(self._held, self._columns.schema)
        self._out.write(answer.encoded(plain(table, self._columns)))


def plain(part: pa.Table | pa.RecordBatch, columns: Columns) -> answer.Answer:
    """Give rows as Python's own values."""
    values = [column.to_pylist() for column in part.columns]
    return answer.Answer(columns.schema.names, columns.kinds, list(zip(*values, strict=True)))


class Form(NamedTuple):
    """A format that an answer may have."""

    writer: Callable[[IO[bytes], Columns], Writer]
    as_text: bool  #: whether DuckDB writes as text what JSON does not know


ARROW = Form(Arrow, as_text=False)
FORMS = {
    Arrow.media: ARROW,
    answer.MEDIA_TYPE: Form(Short, as_text=True),
    Json.media: Form(Json, as_text=True),
    Csv.media: Form(Csv, as_text=True),
}
NEVER = re.compile(r"q=0(\.0*)?")  #: behind what is not wanted (RFC 9110, 12.4.2)
WIDER = {"*/*": Json.media, "application/*": Json.media, "text/*": Csv.media, "": Json.media}


def form_for(accept: str) -> Form:
    """Choose a format by the Accept header: the first that we know; JSON when anything will do.

    raises  Refused not_acceptable
    """
    for wanted in accept.lower().split(","):
        media, _, weight = "".join(wanted.split()).partition(";")
        media = WIDER.get(media, media)
        if media in FORMS and not NEVER.fullmatch(weight):
            return FORMS[media]
    raise Refused("not_acceptable", f"Accept names none of {', '.join(FORMS)}")


class Spool:
    """A whole answer; closed by whoever has sent it."""

    def __init__(self, form: Form, folder: Path) -> None:
        self.form, self.media, self.rows, self.bytes = form, "", 0, 0
        self.file: Any = SpooledTemporaryFile(max_size=MEMORY_BYTES, dir=str(folder))  # noqa: SIM115

    def fill(self, reader: pa.RecordBatchReader, kinds: Sequence[str], limits: Limits) -> None:
        """Write all batches; what is more than the limits is refused, not cut.

        raises  Refused
        """
        writer = self.form.writer(self.file, Columns(reader.schema, kinds))
        taken_bytes = 0
        for batch in reader:
            self.rows += batch.num_rows
            if self.rows > limits.rows:
                words = f"more than {limits.rows} rows; add LIMIT or aggregate"
                raise Refused("too_many_rows", words)
            taken_bytes += batch.nbytes  # One value may be larger than all others together.
            self._room(taken_bytes, limits)
            writer.write(batch)
            self._room(self.file.tell(), limits)
        writer.end()
        self._room(self.file.tell(), limits)
        self.bytes, self.media = self.file.tell(), writer.media
        self.file.seek(0)

    def _room(self, size_bytes: int, limits: Limits) -> None:
        if size_bytes > limits.bytes:
            words = f"more than {limits.bytes} bytes; ask for fewer columns or rows"
            raise Refused("too_many_bytes", words)

    def close(self) -> None:
        """Let its memory or file go."""
        self.file.close()
