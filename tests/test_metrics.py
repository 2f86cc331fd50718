"""Every name that a page, an alert or the dashboard uses is one that /metrics says."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingestd.catalog import Catalog
from ingestd.metrics import Metrics, Sources
from ingestd.model import Written

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"\b(?:ingestd|process)_[a-z_]+\b")
STATUS = {
    "uptime_s": 1.0,
    "settling": 2,
    "waiting": 3,
    "open_series": 4,
    "halted": None,
    "paused": True,
    "stuck": ["writer"],
    "config_refused": "",
    "roots": [
        {
            "name": name,
            "root": path,
            "health": health,
            "swept_files": 5,
            "sweep_s": 0.5,
            "hanging": 0,
        }
        for name, path, health in (
            ("scanner", "/a", "healthy"),
            ("share", "/b", "unreachable"),
            ("share", "/c", "healthy"),
        )
    ],
}
WRITTEN = Written(
    states={"cataloged": 7, "refused": 2},
    reasons={"not_dicom": 2},
    series=frozenset(),
    instances=7,
    thumbnails=7,
    problems=0,
)


@pytest.fixture
def samples(catalog: Catalog) -> dict[tuple[str, ...], float]:
    """What /metrics says, by name and label values, after a little of everything."""
    metrics = Metrics()
    metrics.look_at(
        Sources(
            catalog=catalog,
            status=lambda: STATUS,
            lost=lambda: {"worker_crashed": 1},
            free=lambda: {"/state": 10.0},
        )
    )
    metrics.found_by_sweep("scanner", 3)
    metrics.settled(2.5)
    metrics.arrived(3.5)
    metrics.committed(0.2, WRITTEN, 4096)
    metrics.asked(0.01, "200")
    with catalog.transaction() as db:
        db.execute(
            "INSERT INTO file BY NAME SELECT '/a' AS root, 'x' AS path, 1 AS size_bytes,"
            " 1 AS mtime_ns, 'cataloged' AS state, 0 AS attempts,"
            " now()::TIMESTAMP AS first_seen_utc, now()::TIMESTAMP AS state_utc"
        )
        db.execute(
            "INSERT INTO series_state BY NAME SELECT '1.2' AS SeriesInstanceUID,"
            " 'receiving' AS state, now()::TIMESTAMP AS first_arrival_utc,"
            " now()::TIMESTAMP AS last_arrival_utc, 1 AS revision"
        )
    page, media = metrics.page()
    assert media.startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_what_was_told_and_what_is_so_is_said(samples: dict[tuple[str, ...], float]) -> None:
    expected = {
        ("ingestd_files_total", "", "cataloged"): 7,
        ("ingestd_files_total", "not_dicom", "refused"): 2,
        ("ingestd_file_bytes_total",): 4096,
        ("ingestd_found_by_sweep_total", "scanner"): 3,
        ("ingestd_settle_seconds_bucket", "5.0"): 1,
        ("ingestd_settle_seconds_bucket", "2.0"): 0,
        ("ingestd_arrival_seconds_sum",): 3.5,
        ("ingestd_batch_files_sum",): 9,
        ("ingestd_commit_seconds_count",): 1,
        ("ingestd_queries_total", "200"): 1,
        ("ingestd_worker_deaths_total", "worker_crashed"): 1,
        ("ingestd_worker_deaths_total", "worker_memory"): 0,
        ("ingestd_root_health", "healthy", "scanner"): 1,
        ("ingestd_root_health", "/b", "unreachable"): 1,
        ("ingestd_root_health", "/c", "unreachable"): 0,
        ("ingestd_catalog_files", "", "cataloged"): 1,
        ("ingestd_series", "receiving"): 1,
        ("ingestd_free_bytes", "/state"): 10,
        ("ingestd_waiting_files",): 3,
        ("ingestd_paused",): 1,
        ("ingestd_halted",): 0,
        ("ingestd_stuck_parts",): 1,
        ("ingestd_catalog_up",): 1,
    }
    assert {key: samples.get(key) for key in expected} == expected


@pytest.mark.parametrize("page", ["docs/metrics.md", "deploy/alerts.yml", "deploy/grafana.json"])
def test_each_name_that_is_used_is_one_that_is_said(
    samples: dict[tuple[str, ...], float], page: str
) -> None:
    said = {key[0] for key in samples}
    said |= {name.removesuffix("_bucket") for name in said}
    used = set(NAME.findall((ROOT / page).read_text())) - {"process_"}
    assert used - said == set()
    assert len(used) > 10


def test_each_name_that_is_said_has_its_line_on_the_page(
    samples: dict[tuple[str, ...], float],
) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    ours = {re.sub(r"_(bucket|sum|count)$", "", key[0]) for key in samples}
    assert {
        name for name in ours if f"| `{name}` |" not in page and "process_" not in name
    } == set()


def promtool(*words: str) -> str:
    """Run it; give all that it says."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here (Debian: apt-get install prometheus)")
    done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_alerts_hold_what_promtool_asks_for() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(ROOT / "deploy" / "alerts.yml"))


def test_each_alert_fires_on_its_trouble_and_none_on_a_quiet_day() -> None:
    days = ROOT / "deploy" / "test" / "alerts.yml"
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "deploy" / "alerts.yml").read_text())
    assert [name for name in alerts if f'"{name}"' not in days.read_text()] == []
    said = promtool("test", "rules", str(days))
    assert "SUCCESS" in said, said


def test_what_an_alert_counts_is_said_before_it_happens_for_the_first_time() -> None:
    page = Metrics().page()[0].decode()
    assert 'ingestd_files_total{reason="",state="conflict"} 0.0' in page
    assert 'ingestd_files_total{reason="not_dicom",state="refused"} 0.0' in page


def test_the_dashboard_asks_of_one_data_source_that_is_chosen() -> None:
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    sources = {panel["datasource"]["uid"] for panel in board["panels"]}
    assert sources == {"${source}"}
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
