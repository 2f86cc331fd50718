"""Edge: what GET /metrics says, for Prometheus; docs/metrics.md has a line for each name.

Labels are states, reasons and names of roots: bounded, and nothing that a header or a path holds.
What parts tell is counted as they tell it; the rest is asked for when somebody looks, the catalog
no more often than every `LEDGER_S`, for a scrape must not be a load.
"""

import platform
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestd import __version__
from ingestd.catalog import Catalog
from ingestd.errors import IngestError, Reason, Verdict
from ingestd.meters import Meters
from ingestd.model import Written

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
LEDGER_S = 15.0  #: the catalog is asked no more often
HEALTHS = ("healthy", "degraded", "unreachable")
WAITS_S = (0.5, 1, 2, 5, 10, 20, 60, 300, 1800, 7200)
MOMENTS_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
FILES = (1, 4, 16, 64, 256, 1024, 4096)

#: States and reasons that are said from the start on, as 0. A counter that begins with its first
#: conflict has not grown, for Prometheus: nobody would be told of it.
OUTCOMES = (
    *((state, "") for state in ("cataloged", "duplicate", "conflict")),
    *(
        ("refused", str(reason))
        for reason in Reason
        if reason.verdict in (Verdict.REFUSE, Verdict.RETRY)
    ),
)
LOST = tuple(str(reason) for reason in Reason if reason.startswith("worker_"))

FILES_NOW = "SELECT state, coalesce(reason, ''), count(*) FROM file GROUP BY ALL ORDER BY ALL"
SERIES_NOW = "SELECT state, count(*) FROM series_state GROUP BY ALL ORDER BY ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is asked when somebody looks."""

    catalog: Catalog
    status: Callable[[], dict[str, Any]]  #: as for `ingestd status`
    lost: Callable[[], dict[str, int]]  #: workers that were lost, by reason
    free: Callable[[], dict[str, float]]  #: bytes, by folder that we write to


class Metrics(Meters):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._files = Counter(
            "ingestd_files", "Files that got an outcome.", ["state", "reason"], registry=registry
        )
        self._bytes = Counter(
            "ingestd_file_bytes", "Bytes of files that got an outcome.", registry=registry
        )
        self._swept = Counter(
            "ingestd_found_by_sweep",
            "Files that a sweep found and no hint told of.",
            ["root"],
            registry=registry,
        )
        self._settled = histogram(
            registry, "settle_seconds", "From a file's last change to its settling.", WAITS_S
        )
        self._arrived = histogram(
            registry, "arrival_seconds", "From a file's last change to its row.", WAITS_S
        )
        self._commit = histogram(registry, "commit_seconds", "Writing of a batch.", MOMENTS_S)
        self._batch = histogram(registry, "batch_files", "Files in a batch.", FILES)
        self._queries = Counter(
            "ingestd_queries", "Questions in SQL, by HTTP status.", ["code"], registry=registry
        )
        self._asked = histogram(registry, "query_seconds", "Questions in SQL.", MOMENTS_S)
        for outcome in OUTCOMES:
            self._files.labels(*outcome)

    def found_by_sweep(self, root: str, files: int) -> None:
        """Count them for their root."""
        self._swept.labels(root).inc(files)

    def settled(self, seconds: float) -> None:
        """Note how long it took."""
        self._settled.observe(seconds)

    def arrived(self, seconds: float) -> None:
        """Note how long it took."""
        self._arrived.observe(seconds)

    def committed(self, seconds: float, written: Written, size_bytes: int) -> None:
        """Count the files by what became of them."""
        self._commit.observe(seconds)
        self._batch.observe(sum(written.states.values()))
        self._bytes.inc(size_bytes)
        for state, files in written.states.items():
            if state != "refused":
                self._files.labels(state, "").inc(files)
        for reason, files in written.reasons.items():
            self._files.labels("refused", reason).inc(files)

    def asked(self, seconds: float, outcome: str) -> None:
        """Count a question."""
        self._asked.observe(seconds)
        self._queries.labels(outcome).inc()

    def look_at(self, sources: Sources) -> None:
        """Ask these too, whenever somebody looks."""
        self.registry.register(Now(sources))
        build = Gauge(
            "ingestd_build_info",
            "1; what runs, in labels.",
            ["version", "duckdb", "python"],
            registry=self.registry,
        )
        duckdb = str(sources.catalog.rows("SELECT version()")[0][0])
        build.labels(__version__, duckdb, platform.python_version()).set(1)

    def page(self) -> tuple[bytes, str]:
        """Write all of it down; and its media type."""
        return generate_latest(self.registry), MEDIA


def histogram(
    registry: CollectorRegistry, name: str, words: str, buckets: tuple[float, ...]
) -> Histogram:
    """Make one of ours."""
    return Histogram(f"ingestd_{name}", words, buckets=buckets, registry=registry)


class Now(Collector):
    """What is so at this moment."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._ledger: list[Metric] = []
        self._asked_s = float("-inf")

    def describe(self) -> list[Metric]:
        """Nothing yet: the names are known when it is asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Ask."""
        status = self._sources.status()
        yield from flags(status)
        yield from roots(status["roots"])
        yield from self._known()
        yield labelled("free_bytes", "Free where we write.", "place", self._sources.free())
        lost = CounterMetricFamily(
            "ingestd_worker_deaths", "Workers that were lost.", labels=["reason"]
        )
        for reason, count in (dict.fromkeys(LOST, 0) | self._sources.lost()).items():
            lost.add_metric([reason], count)
        yield lost

    def _known(self) -> Iterator[Metric]:
        """What the catalog says; that of the last time while it cannot be asked."""
        up = 1
        if time.monotonic() - self._asked_s > LEDGER_S:
            try:
                self._ledger = list(ledger(self._sources.catalog))
                self._asked_s = time.monotonic()
            except IngestError:
                up = 0
        yield GaugeMetricFamily("ingestd_catalog_up", "Whether the catalog answers.", value=up)
        yield from self._ledger


def ledger(catalog: Catalog) -> Iterator[Metric]:
    """Count the files and the series in the catalog."""
    files = GaugeMetricFamily(
        "ingestd_catalog_files", "Files in the ledger.", labels=["state", "reason"]
    )
    for state, reason, count in catalog.rows(FILES_NOW):
        files.add_metric([state, reason], count)
    yield files
    yield labelled(
        "series", "Series, by how far they are.", "state", dict(catalog.rows(SERIES_NOW))
    )


def flags(status: dict[str, Any]) -> Iterator[Metric]:
    """Numbers of the program as a whole."""
    for name, words, value in (
        ("uptime_seconds", "Since the start.", status["uptime_s"]),
        ("settling_files", "Files whose senders may not have finished.", status["settling"]),
        ("waiting_files", "Files without an outcome, on the way to one.", status["waiting"]),
        ("open_series", "Series without a judgement.", status["open_series"]),
        ("halted", "1 while nothing can be written.", bool(status["halted"])),
        ("paused", "1 while no work is taken for want of space.", bool(status["paused"])),
        ("stuck_parts", "Parts of the program that stand still.", len(status["stuck"])),
        ("config_refused", "1 while a new config is refused.", bool(status["config_refused"])),
    ):
        yield GaugeMetricFamily(f"ingestd_{name}", words, value=float(value))


def roots(found: list[dict[str, Any]]) -> Iterator[Metric]:
    """How each root is; it goes by its name, or by its path where two have one name."""
    names = Counts(root["name"] for root in found)
    found = [one | {"name": one["name" if names[one["name"]] == 1 else "root"]} for one in found]
    health = GaugeMetricFamily(
        "ingestd_root_health", "1 for the state that a root is in.", labels=["root", "health"]
    )
    for root in found:
        for state in HEALTHS:
            health.add_metric([root["name"], state], float(root["health"] == state))
    yield health
    for key, words in (
        ("swept_files", "Files that the last whole sweep saw."),
        ("sweep_s", "Seconds that the last whole sweep took."),
        ("hanging", "Looks at the root that have not returned."),
    ):
        name = f"root_{'sweep_seconds' if key == 'sweep_s' else key}"
        yield labelled(name, words, "root", {root["name"]: root[key] for root in found})


def labelled(name: str, words: str, label: str, values: dict[str, float]) -> Metric:
    """Make a gauge with one label."""
    gauge = GaugeMetricFamily(f"ingestd_{name}", words, labels=[label])
    for key, value in values.items():
        gauge.add_metric([key], value)
    return gauge


class Timed:
    """Times what is asked at /sql, whatever becomes of it."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["path"] != "/sql":
            await self._app(scope, receive, send)
            return
        since_s, code = time.monotonic(), "none"

        async def sent(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            self._meters.asked(time.monotonic() - since_s, code)
