"""Edge: one question of somebody else: through the gate, in a read-only transaction, to its end.

It runs in a thread of its own, since DuckDB has steps that heed no interrupt.
"""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestd import research, sqlgate
from ingestd.answer import projection
from ingestd.bounds import TOO_MUCH_MEMORY
from ingestd.catalog import Catalog
from ingestd.profile import WITHHELD
from ingestd.spool import Form, Limits, Refused, Spool

BATCH_ROWS = 2048  #: as many as DuckDB makes in one step; more would only take more memory

READ_ONLY = "BEGIN TRANSACTION READ ONLY"  #: the second of three layers; see sqlgate

TOO_MUCH = "too_much_memory", TOO_MUCH_MEMORY

#: Errors whose place in the SQL DuckDB knows when it is asked once more, without running anything
PLACED = (duckdb.BinderException, duckdb.CatalogException)


class Question:
    """Asked once; `stop` may be called from any thread, and again."""

    def __init__(self, sql: str, form: Form, limits: Limits) -> None:
        self.sql, self._form, self._limits = sql, form, limits
        self.began_s = time.monotonic()
        self.why: tuple[str, str] | None = None  #: the words of a Refused, when it was stopped
        self._withheld = ""  #: what to say where a question names what the profile hides
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._open = threading.Lock()

    def stop(self, why: tuple[str, str]) -> None:
        """Have it end soon. An interrupt can fall between two steps and be lost: call it again."""
        self.why = self.why or why
        with self._open:
            if self._cursor is not None:
                self._cursor.interrupt()

    def answer(self, catalog: Catalog, names: sqlgate.Known, folder: Path) -> Spool:
        """Find the answer.

        folder  for answers that are large
        raises  Refused; IngestError when the catalog cannot be asked
        """
        with catalog.cursor() as cursor:
            spool = Spool(self._form, folder)
            with self._open:
                self._cursor = cursor
            try:
                self._fill(spool, self._found(cursor, catalog, names))
            except BaseException as error:
                spool.close()
                if isinstance(error, Exception):
                    catalog.suspect(error)
                raise self._told(cursor, error) from error
            finally:
                with self._open:
                    self._cursor = None
        return spool

    def _found(
        self, cursor: duckdb.DuckDBPyConnection, catalog: Catalog, names: sqlgate.Known
    ) -> duckdb.DuckDBPyRelation:
        statement = sqlgate.check(cursor, self.sql, names)
        if catalog.profile == "research":
            self._withheld = WITHHELD
            research.enter(cursor, statement)
        self._go_on()
        cursor.execute(READ_ONLY)
        self._go_on()
        return cursor.sql(statement)

    def _fill(self, spool: Spool, found: duckdb.DuckDBPyRelation) -> None:
        kinds = [str(kind) for kind in found.types]
        wanted = projection(found.columns, kinds) if self._form.as_text else None
        asked = found if wanted is None else found.project(wanted)
        self._go_on()
        spool.fill(asked.to_arrow_reader(BATCH_ROWS), kinds, self._limits)

    def _go_on(self) -> None:
        if self.why is not None:
            raise Refused(*self.why)

    def _told(self, cursor: duckdb.DuckDBPyConnection, error: BaseException) -> BaseException:
        """Say what went wrong, for whoever asked.

        DuckDB's words may quote values: they are for no log.
        """
        if self.why is not None:
            return Refused(*self.why)
        if isinstance(error, sqlgate.NotAllowed):
            return Refused("not_allowed", str(error), character(self.sql, error.position))
        if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)):
            return Refused(*TOO_MUCH)
        if isinstance(error, (duckdb.Error, pa.ArrowException, OSError)):
            # What fails in mid-stream comes as an error of Arrow's, or as an OSError.
            if "Out of Memory" in str(error):
                return Refused(*TOO_MUCH)
            at = position(cursor, self.sql) if isinstance(error, PLACED) else None
            hint = self._withheld if "not found" in str(error) else ""
            return Refused("sql_error", str(error) + hint, at)
        return error


def position(cursor: duckdb.DuckDBPyConnection, sql: str) -> int | None:
    """Find where in the SQL a name or type is wrong."""
    with suppress(duckdb.Error):
        cursor.execute("ROLLBACK")
        found: Any = cursor.execute(
            "SELECT json_serialize_plan($1)->>'$.position'", [sql]
        ).fetchall()[0][0]
        return character(sql, int(found)) if found else None
    return None


def character(sql: str, at_byte: int | None) -> int | None:
    """Turn DuckDB's count of bytes into one of characters."""
    return None if at_byte is None else len(sql.encode()[:at_byte].decode(errors="ignore"))
