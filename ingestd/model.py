"""Pure. What travels between the rooms: frozen records, units in their names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self

from ingestd.errors import Reason


class State(StrEnum):
    """What the ledger says of a file."""

    CATALOGED = "cataloged"  #: its instance is the one in `instance`
    DUPLICATE = "duplicate"  #: the same bytes as an instance that is already there
    CONFLICT = "conflict"  #: the same SOPInstanceUID, other bytes; the first one stays
    REFUSED = "refused"  #: with a reason a person can act on
    RETRY = "retry"  #: with a reason that may pass, and the time to look again
    GONE = "gone"  #: its folder was listed without it; the row stays


class SeriesState(StrEnum):
    """How far a series is."""

    RECEIVING = "receiving"
    QUIET = "quiet"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class Picturing(NamedTuple):
    """How a thumbnail is made: keys of [thumbnail], for processes without pydantic."""

    edge_px: int
    format: str
    quality: int


class Stacking(NamedTuple):
    """How volumes are made: keys of [volume], as above."""

    format: str
    allow_missing: bool
    max_voxels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One look at one file."""

    root: str  #: absolute path of the drop folder, as configured
    path: str  #: relative to `root`, as text (see `files.as_text`)
    size_bytes: int
    mtime_ns: int  #: as the file system says it; never compared with our clock
    seen_s: float  #: our monotonic clock at the look
    changed_ns: int = 0  #: st_ctime: tells newer from older where files wait, and nothing else

    def same_content(self, other: "Sighting") -> bool:
        """Whether both looks show the same bytes, as far as stat can tell."""
        assert (self.root, self.path) == (other.root, other.path), "two files were compared"
        return (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An entry of a drop folder that no worker needs to read: it is refused by what it is."""

    root: str
    path: str
    size_bytes: int
    mtime_ns: int
    reason: Reason
    detail: str


class Past(NamedTuple):
    """What the ledger knew of a file that must be read."""

    attempts: int = 0  #: tries without success, as it is now
    known: bool = False  #: whether its path has a row


NEW = Past()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A file whose sender has finished; the work of one worker step."""

    seq: int  #: unique in this run of the program; ties the rows of one file together
    root: str
    path: str
    size_bytes: int
    mtime_ns: int
    past: Past = NEW
    changed_ns: int = 0  #: see `Sighting`

    @classmethod
    def of(cls, sighting: Sighting, past: Past, *, seq: int) -> Self:
        """Turn a settled sighting into work."""
        return cls(
            seq=seq,
            root=sighting.root,
            path=sighting.path,
            size_bytes=sighting.size_bytes,
            mtime_ns=sighting.mtime_ns,
            past=past,
            changed_ns=sighting.changed_ns,
        )


class Harm(NamedTuple):
    """What a file did to a worker that stacked it."""

    reason: Reason
    detail: str
    in_pixels: bool  #: its header did none


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFile:
    """One file of a series, for whoever stacks it."""

    SOPInstanceUID: str
    root: str
    path: str
    size_bytes: int
    mtime_ns: int
    copies: tuple["SeriesFile", ...] = ()  #: where the same bytes are, should these be away
    harm: Harm | None = None  #: leave it alone

    @classmethod
    def of(cls, uid: str, copies: Iterable[tuple[str, str, int, int]]) -> Self:
        """Make the record of an instance from where its bytes are.

        copies  root, path, size_bytes and mtime_ns of each, the file itself first
        """
        first, *others = (
            cls(SOPInstanceUID=uid, root=root, path=path, size_bytes=size, mtime_ns=mtime)
            for root, path, size, mtime in copies
        )
        return replace(first, copies=tuple(others)) if others else first


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesJob:
    """A series that fell quiet and wants its volumes."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    revision: int
    files: tuple[SeriesFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long a file with a reason that may pass is tried again."""

    attempts: int
    first_s: float
    limit_s: float

    def due(self, now: datetime) -> list[datetime]:
        """Say when a file is tried again: up to the first time, or after the second.

        None waits for so long; if one seems to, the clock was set back since it was told to.
        """
        longest = timedelta(seconds=2 * self.limit_s)
        latest = datetime.max  # noqa: DTZ901 -- as the catalog: UTC without a zone
        return [now, now + longest if now < latest - longest else latest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a batch came to."""

    states: Mapping[str, int]  #: file state -> files
    reasons: Mapping[str, int]  #: reason of refused files -> files
    series: frozenset[str]  #: SeriesInstanceUIDs that got an instance
    instances: int
    thumbnails: int
    problems: int
