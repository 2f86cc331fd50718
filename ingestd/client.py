"""Edge: the catalog for other processes: asks the daemon when it runs, else opens the file.

import ingestd
with ingestd.open("/var/lib/ingestd") as catalog:
    table = catalog.sql("SELECT Modality, count(*) FROM instance GROUP BY ALL")
    chest = catalog.series(Modality="CT", BodyPartExamined="CHEST", to="pandas")
    array, affine, spacing = catalog.volume(chest.SeriesInstanceUID[0])
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from ingestd import profile
from ingestd.answer import MEDIA_TYPE, Answer, decoded, quoted_name
from ingestd.errors import SqlError, StateError
from ingestd.files import CATALOG_NAME, SOCKET_NAME, default_state
from ingestd.owner import reading

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

    from ingestd.asking import Reply
    from ingestd.volume import Volume

T = TypeVar("T")
To = Literal["arrow", "pandas", "polars"]
Shape = Literal["table", "answer", "rows"]  #: see alone.SHAPES

ARROW = "application/vnd.apache.arrow.stream"
STARTING_S = 15.0  #: how long to wait for a daemon that owns the catalog but does not answer yet


def open(state: str | Path | None = None) -> Client:  # noqa: A001 -- ingestd.open() is the name
    """Open the catalog of a state folder, for reading.

    state   the folder; default: INGESTD_STATE, else ~/.local/state/ingestd
    raises  StateError when there is no catalog
    """
    return Client(Path(state) if state is not None else default_state())


class Client:
    """Reads one catalog; each question sees the newest state, and holds nothing open after it.

    own_process  whether this process does nothing else, so that its memory can be limited
    """

    def __init__(self, state: Path, *, own_process: bool = False) -> None:
        self.state, self._own_process = state, own_process
        if not (state / CATALOG_NAME).exists():
            raise StateError(
                f"{state}: there is no catalog here. Run `ingestd scan FOLDER` or `ingestd run`"
                " first, or name the right folder with --state or INGESTD_STATE."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    @property
    def profile(self) -> profile.Profile:
        """Say how much SQL shows here: full, or research, without what identifies a person.

        raises  StateError when nobody can tell
        """
        return profile.read(self.state)

    def sql(self, query: str, *, to: To = "arrow") -> Any:
        """Answer one question: SELECT, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN.

        to      arrow: a pyarrow.Table; pandas or polars: a DataFrame of theirs, when installed
        raises  SqlError with DuckDB's words; StateError when nobody answers;
                ModuleNotFoundError when `to` is not installed
        """
        table = self._answer(query, ARROW, lambda reply: read_stream(reply.content), "table")
        return converted(table, to)

    def answer(self, query: str) -> Answer:
        """Answer one question with names, types and rows of plain values, as the commands print.

        raises  as `sql`
        """
        return self._answer(query, f"{MEDIA_TYPE}, {ARROW};q=0.5", read_answer, "answer")

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Answer a question of our own with few rows; without a daemon it is quick.

        raises  as `sql`
        """
        return self._answer(
            query,
            ARROW,
            lambda reply: read_stream(reply.content).to_pylist(),
            "rows",
            gated=False,
        )

    def _answer(
        self,
        query: str,
        accept: str,
        from_daemon: Callable[[Reply], T],
        shape: Shape,
        *,
        gated: bool = True,
    ) -> T:
        until_s = time.monotonic() + STARTING_S
        while True:
            reply = ask_daemon(self.state, "POST", "/sql", query.encode(), accept=accept)
            if reply is not None:
                return from_daemon(reply)
            try:
                with reading(self.state) as allowed:
                    if allowed:
                        found: T = self._from_file(query, shape, gated=gated)
                        return found
            except PermissionError as error:
                words = "ask while the daemon runs, or open snapshot.duckdb"
                raise StateError(f"{error.filename}: this user may not open it; {words}") from error
            if time.monotonic() > until_s:
                raise StateError(
                    f"{self.state}: a process owns the catalog and does not answer; it may be a"
                    " scan. Ask again when it has ended."
                )
            time.sleep(0.2)

    def _from_file(self, query: str, shape: Shape, *, gated: bool) -> Any:
        from ingestd import alone  # noqa: PLC0415 -- who asks the daemon does without DuckDB

        return alone.ask_file(
            self.state / CATALOG_NAME,
            query,
            alone.SHAPES[shape],
            gated=gated,
            own_process=self._own_process,
        )

    def status(self) -> dict[str, Any] | None:
        """Say how the daemon is; None when none runs."""
        reply = ask_daemon(self.state, "GET", "/status")
        return None if reply is None else json.loads(reply.content)

    def series(self, *, to: To = "arrow", **columns: object) -> Any:
        """Find series by columns of the view `series`, each equal to a value, or one of a list.

        catalog.series(Modality=["CT", "MR"], state="complete", PatientID="DEMO-0001")

        None    finds what has no value there
        return  a row for each series, by patient and study; `to` as in `sql`
        raises  as `sql`; SqlError names a column that is not there
        """
        where = " AND ".join(equal(name, value) for name, value in columns.items()) or "true"
        order = "PatientID, StudyInstanceUID, SeriesNumber, SeriesInstanceUID"
        return self.sql(f"FROM series WHERE {where} ORDER BY {order}", to=to)

    def volume(self, series: str, *, stack: int = 0) -> Volume:
        """Load the volume of a series.

        series  SeriesInstanceUID
        stack   which one, where a series holds several; see the table `volume`
        return  (array, affine, spacing_mm). array is ([time,] slices, rows, columns) of stored
                values after rescale; affine is 4 x 4, from (slice, row, column, 1) to patient
                left, posterior, superior in mm; spacing in mm between slices, rows, columns
        raises  SqlError when the series has no such volume, with the reason why; OSError when
                the state folder cannot be read by this user
        """
        from ingestd.volume import load  # noqa: PLC0415 -- numpy takes its time

        self._see_pictures()

        asked = (
            "SELECT * FROM volume WHERE"
            f" SeriesInstanceUID = {quoted(series)} AND stack = {int(stack)}"
        )
        for tries_left in (2, 1, 0):
            rows = self.sql(asked).to_pylist()
            if not rows:
                raise SqlError(f"no volume row for series {series}, stack {stack}")
            if rows[0]["path"] is None:
                raise SqlError(f"not a volume: {rows[0]['reason']}: {rows[0]['detail']}")
            try:
                return load(self.state, rows[0])
            except FileNotFoundError:  # It was built anew since we asked.
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    def thumbnail(self, uid: str) -> Image:
        """Load the thumbnail of an instance, or of a series the one in its middle.

        uid     SOPInstanceUID or SeriesInstanceUID
        return  a PIL image, its longest edge [thumbnail] edge_px; mode L for grey, RGB for colour
        raises  SqlError when there is none, with the reason why; OSError when the state folder
                cannot be read by this user
        """
        from PIL import Image  # noqa: PLC0415 -- only who asks for a picture needs it

        self._see_pictures()

        rows = self.sql(THUMBNAILS.format(uid=quoted(uid))).to_pylist()
        if not rows:
            raise SqlError(f"no instance and no series {uid}")
        made = [row["thumbnail_path"] for row in rows if row["thumbnail_path"] is not None]
        if not made:
            raise SqlError(f"no thumbnail of {uid}: {rows[0]['why'] or 'it has no pixels'}")
        with Image.open(self.state / made[len(made) // 2]) as image:
            image.load()
            return image

    def _see_pictures(self) -> None:
        if self.profile == "research":
            raise SqlError(
                "[sql] profile = research: pictures and volumes are withheld; faces and burnt-in"
                " text identify a person"
            )


#: In the order of the slices; `why` is what the worker said of one that could not be pictured.
THUMBNAILS = """
    SELECT i.thumbnail_path, any_value(p.kind || coalesce(': ' || p.detail, '')) AS why
    FROM instance AS i LEFT JOIN problem AS p
        ON p.SOPInstanceUID = i.SOPInstanceUID AND p.keyword = 'PixelData'
    WHERE i.SOPInstanceUID = {uid} OR i.SeriesInstanceUID = {uid}
    GROUP BY i.SOPInstanceUID, i.thumbnail_path, i.SliceLocation, i.InstanceNumber
    ORDER BY i.InstanceNumber, i.SOPInstanceUID
"""


def ask_daemon(
    state: Path, method: str, path: str, body: bytes | None = None, *, accept: str = "*/*"
) -> Reply | None:
    """Ask the daemon of a state folder; None when there is none.

    raises  SqlError with what it answers instead
    """
    if not (state / SOCKET_NAME).exists():
        return None
    from ingestd import asking  # noqa: PLC0415 -- sockets take their time, too

    return asking.ask_daemon(state, method, path, body, accept=accept)


def read_stream(content: bytes) -> pa.Table:
    """Read an Arrow IPC stream."""
    import pyarrow as pa  # noqa: PLC0415 -- not every question needs it

    with pa.ipc.open_stream(content) as stream:
        return stream.read_all()


def read_answer(reply: Reply) -> Answer:
    """Read what the daemon gave: itself, when it is short, or as Arrow."""
    if reply.media_type.startswith(MEDIA_TYPE):
        return decoded(reply.content)
    table = read_stream(reply.content)
    kinds = json.loads(table.schema.metadata[b"types"])
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return Answer(table.column_names, kinds, rows)


def converted(table: pa.Table, to: To) -> Any:
    """Hand an answer over to another library."""
    if to == "arrow":
        return table
    if to == "pandas":
        return table.to_pandas()
    if to == "polars":
        import polars as pl  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        return pl.from_arrow(table)
    raise ValueError(f"to={to!r}: known are arrow, pandas, polars")


def quoted(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def equal(name: str, value: object) -> str:
    """Write the condition that a column has a value, or one of several."""
    if isinstance(value, list | tuple | set | frozenset):
        return "(" + (" OR ".join(equal(name, one) for one in value) or "false") + ")"
    literal = str(value) if isinstance(value, int | float) else quoted(str(value))
    return f"{quoted_name(name)} {'IS NULL' if value is None else f'= {literal}'}"
