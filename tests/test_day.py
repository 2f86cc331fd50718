"""A day of a drop folder, with its clock as an argument: forty series come in a muddle.

Out of order, interleaved, twice, with gaps, some slices hours late, some files taken away again.
What is known of each of them at the end is what it must be.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE
from dicomdirs import directory
from test_catalog import NOW
from test_volume import bundled

from ingestd import completeness, config, tasks
from ingestd.catalog import Catalog
from ingestd.model import Arrival
from ingestd.reconcile import Series
from ingestd.rollcall import RollCall
from ingestd.tasks import Reading

QUIET_S, COUNTED_S, GIVE_UP_S = 30.0, 3.0, 4 * 3600.0
LATE_S = 3 * 3600  #: a late slice comes after so long
DAY_S = 86_400


@dataclass(frozen=True)
class Kind:
    """What one series is, what comes of it, and what must be known of it."""

    story: str
    count: int
    state: str
    evidence: str
    found: int
    expected: int | None = None
    missing: tuple[str, ...] = ()
    headers: dict[str, Any] = field(default_factory=dict)  #: for all; a list has one for each
    lost: tuple[int, ...] = ()  #: numbers from 1 that never come
    late: tuple[int, ...] = ()
    twice: bool = False
    listed: float | None = None  #: by a DICOMDIR, in full, that comes after so many seconds
    taken: tuple[int, ...] = ()  #: taken away in the evening
    back: tuple[int, ...] = ()  #: and brought back at night
    times: int = 1  #: so many series of this kind

    @property
    def revision(self) -> int:
        return 1 + bool(self.late) + ((self.listed or 0.0) > QUIET_S)


NOTHING = "nothing says how many there should be"
FOUR_D = {
    "ImagePositionPatient": [[0, 0, 3.0 * (k % 4)] for k in range(12)],
    "TemporalPositionIdentifier": [k // 4 + 1 for k in range(12)],
    "NumberOfTemporalPositions": 3,
}
ECHOES = {
    "ImagePositionPatient": [[0, 0, 3.0 * (k % 4)] for k in range(8)],
    "EchoNumbers": [1 + k // 4 for k in range(8)],
    "EchoTime": [12.0 + 80 * (k // 4) for k in range(8)],
}
SEVEN = {"ImagesInAcquisition": 7}
PET = {"Modality": "PT", "ImageIndex": list(range(1, 9)), "NumberOfSlices": 8}
GAP = "position 12.50 mm, InstanceNumber 4, between {0}/3 and {0}/5"

KINDS = [
    Kind("counted and whole", 7, "complete", "count: ImagesInAcquisition = 7", 7, 7,
         headers=SEVEN, times=4),
    Kind("counted, and each comes twice", 7, "complete", "count: ImagesInAcquisition = 7", 7, 7,
         headers=SEVEN, twice=True, times=2),
    Kind("counted, one lost", 7, "incomplete", "count: ImagesInAcquisition = 7, 1 missing", 6, 7,
         (GAP,), headers=SEVEN, lost=(4,), times=3),
    Kind("counted, the end lost", 7, "incomplete", "count: ImagesInAcquisition = 7, 2 missing", 5,
         7, ("InstanceNumber 6", "InstanceNumber 7"), headers=SEVEN, lost=(6, 7)),
    Kind("counted, one late", 7, "complete", "count: ImagesInAcquisition = 7", 7, 7,
         headers=SEVEN, late=(4,), times=3),
    Kind("counted, one number twice", 7, "unknown", f"{NOTHING}; a loss", 7,
         headers=SEVEN | {"InstanceNumber": [1, 2, 3, 4, 5, 6, 6]}),
    Kind("not counted and whole", 7, "unknown", NOTHING, 7, times=2),
    Kind("not counted, the end lost", 7, "unknown", NOTHING, 5, lost=(6, 7)),
    Kind("not counted, one lost", 7, "incomplete", "geometry: a gap at 1 position", 6, 7, (GAP,),
         lost=(4,), times=2),
    Kind("not counted, one late", 7, "unknown", NOTHING, 7, late=(4,), times=2),
    Kind("one scout", 1, "complete", "nature: one LOCALIZER", 1, 1,
         headers={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
    Kind("one radiograph", 1, "complete", "nature: one CR image, whole by itself", 1, 1,
         headers={"Modality": "CR"}),
    Kind("two reports", 2, "complete", "nature: SR is no image of a stack", 2,
         headers={"Modality": "SR"}),
    Kind("an ultrasound with a hole in its numbers", 5, "incomplete", "InstanceNumber: 1 missing",
         4, 5, ("InstanceNumber 3",), lost=(3,),
         headers={"Modality": "US", "ImagePositionPatient": None}),
    Kind("two echoes", 8, "complete", "geometry: no gap, 2 stacks of 4 slices each", 8, 8,
         headers=ECHOES, times=2),
    Kind("two echoes, the last slice lost", 8, "incomplete",
         "geometry: EchoNumbers divide it into unequal stacks", 7, 8,
         ("1 of 4 slices of EchoNumbers=2",), headers=ECHOES, lost=(8,)),
    Kind("three moments", 12, "complete", "count: NumberOfTemporalPositions x 4 images = 12", 12,
         12, headers=FOUR_D, times=2),
    Kind("three moments, interrupted", 12, "incomplete",
         "count: NumberOfTemporalPositions x 4 images = 12, 2 missing", 10, 12,
         ("InstanceNumber 11", "InstanceNumber 12"), headers=FOUR_D, lost=(11, 12)),
    Kind("a PET, its middle lost", 8, "incomplete", "count: NumberOfSlices = 8, 1 missing", 7, 8,
         (GAP,), headers=PET, lost=(4,)),
    Kind("a PET with an index out of range", 8, "unknown", NOTHING, 8,
         headers=PET | {"ImageIndex": [1, 2, 3, 4, 5, 6, 7, 9]}),
    Kind("derived, with the count of its source", 4, "unknown", NOTHING, 4,
         headers={"ImageType": ["DERIVED", "SECONDARY"], "ImagesInAcquisition": 60}),
    Kind("listed and whole", 4, "complete", "DICOMDIR: lists 4, all here", 4, 4, listed=300.0),
    Kind("listed, the end lost", 4, "incomplete", "DICOMDIR: lists 4, 1 missing", 3, 4,
         ("SOPInstanceUID 1.9.{1}.4, file A/I3",), listed=4.0, lost=(4,)),
    Kind("listed, and nothing came", 2, "incomplete", "DICOMDIR: lists 2, 2 missing", 0, 2,
         ("SOPInstanceUID 1.9.{1}.1, file A/I0", "SOPInstanceUID 1.9.{1}.2, file A/I1"),
         listed=4.0, lost=(1, 2)),
    Kind("whole, then one taken away", 7, "incomplete",
         "gone: 1 of 7 files are not there any more; with them, count: ImagesInAcquisition = 7",
         6, 7, ("InstanceNumber 2, was {0}/2",), headers=SEVEN, taken=(2,)),
    Kind("whole, taken away and brought back", 7, "complete", "count: ImagesInAcquisition = 7", 7,
         7, headers=SEVEN, taken=(2, 3), back=(2, 3)),
    Kind("counted, one lost, the last one late", 7, "incomplete",
         "count: ImagesInAcquisition = 7, 1 missing", 6, 7, (GAP,), headers=SEVEN, lost=(4,),
         late=(7,)),
]  # fmt: skip
EVERY = [kind for kind in KINDS for _ in range(kind.times)]


class Inline:
    """A pool that works at once, in this process; the daemon's own is tried elsewhere."""

    processes = len(EVERY)

    def submit(self, task: Callable[..., Any], *given: Any, **more: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(task(*given, **more))
        return done


class Day:
    """The folder, the catalog and the clock."""

    def __init__(self, catalog: Catalog, drop: Path) -> None:
        self.now_s, self.catalog, self.drop = 0.0, catalog, drop
        self.settings = config.Config(
            thumbnail=config.Thumbnail(level="off"),
            volume=config.Volume(format="nii"),
            series=config.Series(quiet_s=QUIET_S, counted_quiet_s=COUNTED_S, give_up_s=GIVE_UP_S),
        )
        self.series = Series(
            catalog,
            Inline(),  # type: ignore[arg-type]
            self.settings,
            state=catalog.state,
            clock=lambda: self.now_s,
            now=lambda: NOW + timedelta(seconds=self.now_s),
        )
        self._seq = 0

    def arrive(self, paths: Sequence[str]) -> None:
        """Let a worker read these, and the catalog write what it gives."""
        arrivals = []
        for path in paths:
            look = (self.drop / path).stat()
            self._seq += 1
            one = Arrival(
                seq=self._seq,
                root=str(self.drop),
                path=path,
                size_bytes=look.st_size,
                mtime_ns=look.st_mtime_ns,
            )
            arrivals.append(one)
        batch = tasks.ingest(arrivals, state=self.catalog.state, reading=Reading.of(self.settings))
        written = self.catalog.write(batch, now=NOW + timedelta(seconds=self.now_s))
        self.series.touched(written.series)

    def take_away(self, paths: Sequence[str]) -> None:
        """Delete files, and let two sweeps miss them."""
        for path in paths:
            (self.drop / path).rename(self.drop.parent / path.replace("/", "_"))
        there = [str(path.relative_to(self.drop)) for path in self.drop.rglob("*/*")]
        roll = RollCall(self.catalog, str(self.drop), brake_percent=100, brake_s=60.0)
        for _ in range(2):
            roll.begin()
            roll.note(there)
            roll.end([], now_s=0.0)
        roll.close()

    def bring_back(self, paths: Sequence[str]) -> None:
        for path in paths:
            (self.drop.parent / path.replace("/", "_")).rename(self.drop / path)
        self.arrive(paths)


def written(drop: Path, number: int, kind: Kind) -> dict[int, str]:
    """Write the files of a series; give their paths by their number."""
    headers = {"ImageType": ["ORIGINAL", "PRIMARY", "OTHER"]} | kind.headers
    (drop / str(number)).mkdir(parents=True)
    one = bundled("MR_small.dcm")
    one.StudyInstanceUID, one.SeriesInstanceUID = f"1.7.{number}", f"1.8.{number}"
    one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    for k in range(1, kind.count + 1):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.9.{number}.{k}"
        one.InstanceNumber, one.ImagePositionPatient = k, [-10, -20, 5 + 2.5 * (k - 1)]
        for name, value in headers.items():
            setattr(one, name, value[k - 1] if _varies(name, value) else value)
        one.save_as(drop / f"{number}/{k}")
        if kind.twice:
            one.save_as(drop / f"{number}/{k} again")
    return {k: f"{number}/{k}" for k in range(1, kind.count + 1)}


def _varies(name: str, value: object) -> bool:
    return isinstance(value, list) and name != "ImageType"


def script(drop: Path) -> dict[float, list[str]]:
    """Say when each file comes: at most five of a series in a pause, all series at a time mixed."""
    rng = random.Random(1)  # noqa: S311
    coming: dict[float, list[str]] = {}
    for number, kind in enumerate(EVERY):
        paths = written(drop, number, kind)
        begin_s = 600.0 * (number // 8)  # Eight series at a time.
        numbers = [k for k in paths if k not in kind.lost]
        rng.shuffle(numbers)
        for k in numbers:
            at_s = begin_s + (LATE_S if k in kind.late else 4.0 * rng.randrange(3))
            coming.setdefault(at_s, []).append(paths[k])
            if kind.twice:
                coming.setdefault(at_s + rng.choice([0.0, 700.0]), []).append(f"{paths[k]} again")
        if kind.listed is not None:
            (drop / f"{number}/DICOMDIR").write_bytes(
                directory({f"1.8.{number}": [f"1.9.{number}.{k}" for k in paths]})
            )
            coming.setdefault(begin_s + kind.listed, []).append(f"{number}/DICOMDIR")
    return coming


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "state", memory_bytes=1 << 29, patience=PATIENCE) as opened:
        yield opened


def all_of(what: str) -> list[str]:
    return [f"{number}/{k}" for number, kind in enumerate(EVERY) for k in getattr(kind, what)]


def test_a_day(catalog: Catalog, tmp_path: Path) -> None:
    assert len(EVERY) == 40
    day = Day(catalog, tmp_path / "drop")
    coming = script(day.drop)
    deeds: dict[float, Callable[[], None]] = {
        at_s: lambda at_s=at_s: day.arrive(coming[at_s]) for at_s in coming
    }
    deeds[DAY_S * 0.7] = lambda: day.take_away(all_of("taken"))
    deeds[DAY_S * 0.8] = lambda: day.bring_back(all_of("back"))
    looks = {at_s + wait_s for at_s in deeds for wait_s in (0.1, COUNTED_S, QUIET_S + 0.1)}
    for at_s in sorted({*deeds, *looks, *range(0, DAY_S, 3600)}):
        day.now_s = at_s
        deeds.get(at_s, lambda: None)()
        day.series.tick()
        day.series.give_up()

    rows = catalog.rows(
        "SELECT SeriesInstanceUID, state, evidence, found, expected, missing, revision"
        " FROM series_state"
    )
    found = {row[0]: row[1:] for row in rows}
    assert len(found) == len(EVERY)
    wrong = []
    for number, kind in enumerate(EVERY):
        state, evidence, *rest = found[f"1.8.{number}"]
        missing = [name.format(number, number) for name in kind.missing]
        expected = [kind.found, kind.expected, missing, kind.revision]
        if state != kind.state or not evidence.startswith(kind.evidence) or rest != expected:
            wrong.append((kind.story, found[f"1.8.{number}"], expected))
    assert wrong == []
    lives(catalog)


def lives(catalog: Catalog) -> None:
    """Each series has the events of its life, in their order."""
    for number, kind in enumerate(EVERY):
        kinds = [
            name
            for (name,) in catalog.rows(
                "SELECT kind FROM event WHERE SeriesInstanceUID = ? AND kind LIKE 'series%'"
                " ORDER BY event_id",
                f"1.8.{number}",
            )
        ]
        assert kinds[:2] == ["series_receiving", "series_quiet"], kind.story
        assert kinds.count("series_quiet") == 1 + kinds.count("series_reopened"), kind.story
        if kind.late:
            before = kinds[kinds.index("series_reopened") - 1]
            assert before == "series_incomplete", kind.story
        gives_up = kind.state == "incomplete" and not kind.taken
        assert kinds.count("series_given_up") == gives_up, kind.story
        last = [name for name in kinds if name != "series_given_up"][-1]
        assert last == f"series_{kind.state}", kind.story


def test_what_a_count_says_is_whole_does_not_wait_for_quiet(
    catalog: Catalog, tmp_path: Path
) -> None:
    day = Day(catalog, tmp_path / "drop")
    counted, open_ended = (next(k for k in KINDS if k.story == story) for story in (
        "counted and whole", "not counted and whole",
    ))  # fmt: skip
    for number, kind in enumerate((counted, open_ended)):
        day.arrive(list(written(day.drop, number, kind).values()))
    seen = []
    for at_s in (COUNTED_S - 0.1, COUNTED_S, QUIET_S - 0.1, QUIET_S):
        day.now_s = at_s
        day.series.tick()
        rows = catalog.rows("SELECT state FROM series_state ORDER BY SeriesInstanceUID")
        seen.append([state for (state,) in rows])
    assert seen == [
        ["receiving", "receiving"],
        ["complete", "receiving"],
        ["complete", "receiving"],
        ["complete", "unknown"],
    ]


def test_a_series_that_we_cannot_judge_is_told_of_and_keeps_no_other_one(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = Day(catalog, tmp_path / "drop")
    no_volumes = day.settings.model_copy(update={"volume": config.Volume(enabled=False)})
    day.series.configure(no_volumes)
    for number, kind in enumerate(KINDS[:3]):
        day.arrive(list(written(day.drop, number, kind).values()))
    judge = completeness.judge

    def fail(images: Sequence[completeness.Image], *more: Any, **words: Any) -> Any:
        if any(image.SOPInstanceUID.startswith("1.9.1.") for image in images):
            raise ZeroDivisionError
        return judge(images, *more, **words)

    monkeypatch.setattr(completeness, "judge", fail)
    day.now_s = QUIET_S
    day.series.tick()
    states = dict(catalog.rows("SELECT SeriesInstanceUID, state FROM series_state"))
    assert states == {"1.8.0": "complete", "1.8.1": "quiet", "1.8.2": "complete"}
    assert day.series.open == 0
