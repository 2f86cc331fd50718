"""Edge: everything that can be set: frozen sections, each key with its default and meaning."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ingestd.hookconfig import Hooks
from ingestd.model import Picturing, Stacking
from ingestd.section import MOST, Seconds, Section, absolute

GIB = 1 << 30

#: Names that senders, desktops and storage boxes leave behind; a `/` at the end means a folder.
IGNORE = (
    ".*",
    "*.part",
    "*.partial",
    "*.tmp",
    "*.filepart",
    "~*",
    "Thumbs.db",
    "@eaDir/",
    "lost+found/",
    "$RECYCLE.BIN/",
)


def nested(one: Path, other: Path) -> bool:
    """Whether one of two folders lies in the other, or is it."""
    return one.is_relative_to(other) or other.is_relative_to(one)


class Root(Section):
    """The drop folders."""

    path: Path
    """absolute path of the drop folder"""
    name: str = ""
    """what people call it in `ingestd status`; the path when empty"""
    watch: Literal["auto", "events", "poll"] = "auto"
    """auto: kernel events on local disks, polling on shares; every root is swept besides"""
    take: Literal["index", "move", "copy"] = "index"
    """index: files stay as they are; move or copy: to the archive, once they are cataloged"""
    quarantine: Path | None = None
    """absolute path of a folder that refused files are moved to; default: they stay"""
    quiet_s: Seconds | None = None
    """unchanged for this long means finished; default: that of [settle]"""
    sentinel: str = ""
    """a file that must be there, else the root counts as unreachable"""
    ignore: tuple[str, ...] = IGNORE
    """names that are never looked at; a / at the end means a folder"""

    @field_validator("path", "quarantine")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return absolute(path)

    @property
    def empties(self) -> bool:
        """Whether files are to leave it."""
        return self.take == "move" or self.quarantine is not None

    @property
    def key(self) -> str:
        """What `file.root` says: the absolute path."""
        return str(self.path)


class Archive(Section):
    """Where `take` puts files, as PatientID/Study/Series/SOPInstanceUID.dcm."""

    path: Path | None = None
    """absolute path of the archive; default: `archive` in the state folder"""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return absolute(path)


class Settle(Section):
    """When a file counts as finished."""

    quiet_s: Seconds = 2.0
    """size and time unchanged for this long: the sender has finished; local disks"""
    quiet_polled_s: Seconds = 10.0
    """the same for shares, whose view of a file lags behind"""


class Sweep(Section):
    """How often folders are listed."""

    hot_s: Seconds = 10.0
    """how often folders that changed lately are listed again"""
    full_sweep_s: Seconds = 300.0
    """every folder is listed at least this often, unless that takes more than half of the time"""
    deadline_s: Seconds = 30.0
    """a look at a share that gets nowhere for so long is given up, and tried again later"""
    gone_brake_percent: Annotated[float, Field(ge=0, le=100)] = 20.0
    """when more of a root is missed at once, an event says so, and the root is degraded"""
    gone_brake_s: Seconds = 3600.0
    """and none of it counts as gone before it was missed for so long"""


class Workers(Section):
    """The processes that read files."""

    processes: Annotated[int, Field(ge=0, le=256)] = 0
    """0: one for each core"""
    chunk_files: Annotated[int, Field(ge=1, le=1024)] = 64
    """at most so many files in one step of a worker"""
    deadline_s: Seconds = 60.0
    """a file that takes longer is refused as worker_timeout"""
    memory_bytes: Annotated[int, Field(ge=GIB // 4, le=MOST)] = 4 * GIB
    """a file that needs more is refused as worker_memory"""
    max_file_bytes: Annotated[int, Field(ge=1, le=MOST)] = 4 * GIB
    """a larger file is refused as too_large"""


class Catalog(Section):
    """How rows are written."""

    batch_rows: Annotated[int, Field(ge=1, le=100_000)] = 2048
    """files in one transaction, at most"""
    batch_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 1000
    """and how long a batch waits for more, while more is under way"""
    memory_bytes: Annotated[int, Field(ge=GIB // 8, le=MOST)] = 2 * GIB
    """DuckDB's memory_limit"""
    text_bytes: Annotated[int, Field(ge=64, le=MOST)] = 16_384
    """a longer value in `tag` is cut here; size_bytes keeps its full length"""


class Thumbnail(Section):
    """The small pictures."""

    level: Literal["instance", "series", "off"] = "instance"
    """one for each instance; one for each series, of its middle slice; or none"""
    edge_px: Annotated[int, Field(ge=16, le=4096)] = 256
    """longest edge"""
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    """file format of thumbnails"""
    quality: Annotated[int, Field(ge=1, le=100)] = 80
    """for jpeg and webp"""

    @property
    def picturing(self) -> Picturing:
        """Give what it takes to make one."""
        return Picturing(self.edge_px, self.format, self.quality)


class Volume(Section):
    """The stacked series."""

    enabled: bool = True
    """build volumes of series that fell quiet"""
    format: Literal["nii.gz", "nii", "npy"] = "nii.gz"
    """file format of volumes"""
    allow_missing: bool = False
    """build over a hole too; the row and the header then say so"""
    max_voxels: Annotated[int, Field(ge=1, le=MOST)] = 1_500_000_000
    """a larger stack gets a row that says so, and no file"""

    @property
    def stacking(self) -> Stacking:
        """Give what it takes to make one."""
        return Stacking(self.format, self.allow_missing, self.max_voxels)


class Series(Section):
    """When a series is judged."""

    quiet_s: Seconds = 30.0
    """no arrival for this long: judge the series and stack it"""
    counted_quiet_s: Seconds = 3.0
    """the same when a count in its headers, or a DICOMDIR, says that nothing is missing"""
    give_up_s: Seconds = 86_400.0
    """an incomplete series older than this is reported loudly; a late slice still re-opens it"""


class Retry(Section):
    """What happens to a file that could not be read just now."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = 8
    """so many tries, then the file counts as refused; it is still tried, at the longest wait"""
    first_s: Seconds = 5.0
    """wait before the second try; doubles each time"""
    limit_s: Seconds = 3600.0
    """the longest wait"""


class Sql(Section):
    """Queries by other processes."""

    rows: Annotated[int, Field(ge=1, le=MOST)] = 1_000_000
    """the most rows one query may return"""
    bytes: Annotated[int, Field(ge=1024, le=MOST)] = GIB // 4
    """and the most bytes"""
    deadline_s: Seconds = 60.0
    """a query that takes longer is interrupted"""
    memory_bytes: Annotated[int, Field(ge=GIB // 8, le=MOST)] = GIB
    """what queries may take beside [catalog] memory_bytes; one that takes more is stopped"""
    profile: Literal["full", "research"] = "full"
    """research: who asks sees nothing that identifies a person, and hashes for IDs; docs/sql.md"""
    snapshot_s: Annotated[float, Field(ge=0, le=10 * 365 * 86_400)] = 600.0
    """how often snapshot.duckdb is published, when something changed; 0: when somebody asks"""
    group: str = ""
    """whose members may ask on the socket in the state folder; default: the group we run as"""
    listen: str = ""
    """answer here too, as 127.0.0.1:8042, with a token; only this machine can reach it"""
    token_file: Path | None = None
    """absolute path of the token's file; default: systemd's credential ingestd-token"""

    @field_validator("token_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return absolute(path)

    @field_validator("listen")
    @classmethod
    def _local(cls, listen: str) -> str:
        host, _, port = listen.rpartition(":")
        if listen and not (
            host in ("127.0.0.1", "[::1]") and port.isdecimal() and int(port) < 1 << 16
        ):
            raise ValueError("must be 127.0.0.1:PORT or [::1]:PORT; others reach it by a proxy")
        return listen


class Space(Section):
    """Free space in the state folder and the archive."""

    min_free_bytes: Annotated[int, Field(ge=0, le=MOST)] = GIB
    """below this much free space in the state folder, or in the archive, no work is taken"""


class Derived(Section):
    """Thumbnails and volumes, held against the catalog's rows again and again."""

    check_s: Seconds = 86_400.0
    """how often; what is missing is made again, and what no row names is deleted"""
    orphan_grace_s: Seconds = 3600.0
    """a file that no row names is let be for so long"""


class Retention(Section):
    """How long the catalog remembers."""

    event_days: Annotated[float, Field(ge=0, le=100_000)] = 365.0
    """older events are deleted; 0: never"""
    problem_days: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """the same for rows of `problem`; with them goes what `retry --reason` finds pictures by"""


class Log(Section):
    """Lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """the least important line that is written"""
    paths: Literal["hashed", "full"] = "hashed"
    """how paths below a root are written: they may hold names of patients"""
    format: Literal["auto", "logfmt", "json", "console"] = "auto"
    """auto: colours at a terminal, logfmt with journal priorities elsewhere"""


class Config(Section):
    """Everything that can be set."""

    root: tuple[Root, ...] = ()
    archive: Archive = Archive()
    settle: Settle = Settle()
    sweep: Sweep = Sweep()
    workers: Workers = Workers()
    catalog: Catalog = Catalog()
    thumbnail: Thumbnail = Thumbnail()
    volume: Volume = Volume()
    series: Series = Series()
    retry: Retry = Retry()
    sql: Sql = Sql()
    space: Space = Space()
    hooks: Hooks = Hooks()
    derived: Derived = Derived()
    retention: Retention = Retention()
    log: Log = Log()

    @field_validator("root")
    @classmethod
    def _apart(cls, roots: tuple[Root, ...]) -> tuple[Root, ...]:
        for one in roots:
            for other in roots:
                if one is not other and one.path.is_relative_to(other.path):
                    raise ValueError(
                        f"{one.path} lies in {other.path}; each file would be seen twice"
                    )
        return roots

    @model_validator(mode="after")
    def _stores_apart(self) -> Self:
        """See that what is put away does not come in again as new."""
        archives = [self.archive.path] if self.archive.path is not None else []
        asides = {root.quarantine for root in self.root if root.quarantine is not None}
        for store in [*archives, *sorted(asides)]:
            others = [*(root.path for root in self.root), *archives, *asides - {store}]
            for other in others:
                if other is not store and nested(store, other):
                    raise ValueError(
                        f"{store} and {other}: an archive, a quarantine and a drop folder must not"
                        " lie in each other"
                    )
        return self
