"""Edge: how much a question may cost and give, with a daemon or without one.

A daemon leaves its limits in the state folder, so that they hold when it does not run, too. Without
pydantic, as a small question would pay for it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ingestd.errors import StateError
from ingestd.files import publish

if TYPE_CHECKING:
    from ingestd.config import Config

NAME = "sql.limits"
GIB = 1 << 30

TOO_MUCH_MEMORY = "it takes more memory than there is; ask for less at once"


class Bounds(NamedTuple):
    """The limits; by default those of a config that says nothing."""

    rows: int = 1_000_000
    bytes: int = GIB // 4
    deadline_s: float = 60.0
    engine_bytes: int = 2 * GIB  #: DuckDB's memory_limit
    growth_bytes: int = 3 * GIB  #: what the process may take more, in all

    def see_rows(self, rows: int) -> str:
        """Say what is wrong with so many rows; nothing when they are allowed."""
        return f"more than {self.rows} rows; add LIMIT or aggregate" if rows > self.rows else ""

    def see_bytes(self, size_bytes: int) -> str:
        """Say what is wrong with so many bytes; nothing when they are allowed."""
        words = f"more than {self.bytes} bytes; ask for fewer columns or rows"
        return words if size_bytes > self.bytes else ""

    @property
    def late(self) -> str:
        """Say that it took too long."""
        return f"stopped after {self.deadline_s:g} s; ask for less"


def of(settings: "Config") -> Bounds:
    """Give those of a config."""
    sql, engine_bytes = settings.sql, settings.catalog.memory_bytes
    return Bounds(
        sql.rows, sql.bytes, sql.deadline_s, engine_bytes, engine_bytes + sql.memory_bytes
    )


def keep(state: Path, bounds: Bounds) -> None:
    """Leave them for those who ask without a daemon.

    raises  OSError
    """
    place, content = state / NAME, json.dumps(bounds._asdict()).encode() + b"\n"
    if not place.exists() or place.read_bytes() != content:
        publish(place, content)


def read(state: Path) -> Bounds:
    """Read what the last daemon left; where none ever ran, the defaults.

    raises  StateError when it cannot be read
    """
    try:
        said: dict[str, Any] = json.loads((state / NAME).read_bytes())
        return Bounds(**said)
    except FileNotFoundError:
        return Bounds()
    except (OSError, ValueError, TypeError) as error:
        raise StateError(
            f"{state / NAME}: cannot be read; start `ingestd run` again, or delete it"
        ) from error
