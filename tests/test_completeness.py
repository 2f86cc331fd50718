"""Evidence in, a state out: one sentence for each rule, for and against."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from ingestd import phantom
from ingestd.completeness import (
    IMAGE_COLUMNS,
    MISSING_SHOWN,
    STACK_COLUMNS,
    Image,
    Judgement,
    Slice,
    StackRow,
    is_counted,
    judge,
)
from ingestd.dicom.geometry import Stack
from ingestd.dicom.keywords import KEPT
from ingestd.dicom.planes import planes
from ingestd.dicom.splitting import stacks
from ingestd.errors import Reason
from ingestd.lacking import without_files
from ingestd.model import SeriesState
from ingestd.numbering import Numbers
from ingestd.phantom import studies
from ingestd.tables import INSTANCE, VOLUME

COMPLETE, INCOMPLETE, UNKNOWN = (
    SeriesState.COMPLETE,
    SeriesState.INCOMPLETE,
    SeriesState.UNKNOWN,
)
ORIGINAL = ("ORIGINAL", "PRIMARY", "AXIAL")
DERIVED = ("DERIVED", "SECONDARY", "REFORMATTED")
SCOUT = ("ORIGINAL", "PRIMARY", "LOCALIZER")


def images(numbers: Sequence[int | None], modality: str = "CT", **more: Any) -> list[Image]:
    """One image for each InstanceNumber; what is in `more` may be a function of the number."""
    return [
        Image(
            SOPInstanceUID=f"1.{index}",
            InstanceNumber=number,
            Modality=modality,
            **{"ImageType": ORIGINAL}
            | {key: value(number) if callable(value) else value for key, value in more.items()},
        )
        for index, number in enumerate(numbers)
    ]


def without(number: int, last: int) -> list[int]:
    return [one for one in range(1, last + 1) if one != number]


def stack(slices: int, *, times: int = 1, split_by: str | None = None) -> StackRow:
    shape = (slices, 8, 8) if times == 1 else (times, slices, 8, 8)
    return StackRow(shape=shape, missing_slices=[], split_by=split_by)


def gap(*positions: float, split_by: str | None = None) -> StackRow:
    return StackRow(Reason.MISSING_SLICES, None, positions, split_by)


TIMES = "timepoints by TemporalPositionIdentifier"
ECHOES = [stack(5, split_by="EchoTime=12"), stack(5, split_by="EchoTime=96")]


def moment(size: int) -> Any:
    """The temporal position of an image when a whole one comes after the other."""
    return lambda number: (number - 1) // size + 1


def echo(number: int) -> float:
    return 12.0 if number <= 5 else 96.0


CASES = [
    # count
    pytest.param(
        images(range(1, 41), ImagesInAcquisition=40), [stack(40)], COMPLETE,
        "count: ImagesInAcquisition = 40", 40, (),
        id="as many images as the acquisition has",
    ),
    pytest.param(
        images(without(7, 40), ImagesInAcquisition=40), [gap(12.5)], INCOMPLETE,
        "count: ImagesInAcquisition = 40, 1 missing", 40, ("position 12.50 mm, InstanceNumber 7",),
        id="one is missing, and its position and number are one name",
    ),
    pytest.param(
        images(range(1, 39), ImagesInAcquisition=40), [stack(38)], INCOMPLETE,
        "count: ImagesInAcquisition = 40, 2 missing", 40,
        ("InstanceNumber 39", "InstanceNumber 40"),
        id="a loss at the end shows when a count says where the end is",
    ),
    pytest.param(
        images(range(3, 41), ImagesInAcquisition=40), [stack(38)], INCOMPLETE,
        "count: ImagesInAcquisition = 40, 2 missing", 40, ("InstanceNumber 1", "InstanceNumber 2"),
        id="and so does one at the start",
    ),
    pytest.param(
        images([None] * 38, ImagesInAcquisition=40), [], INCOMPLETE,
        "count: ImagesInAcquisition = 40, 2 missing", 40, ("2 images",),
        id="without numbers the missing ones are counted",
    ),
    pytest.param(
        images(range(101, 141), ImagesInAcquisition=40), [], COMPLETE,
        "count: ImagesInAcquisition = 40", 40, (),
        id="numbers that run on from an earlier series are in order",
    ),
    pytest.param(
        images([*without(7, 40), 1001], ImagesInAcquisition=40), [], UNKNOWN,
        "ImagesInAcquisition = 40 as found, but InstanceNumber 1..1001 has holes", None, (),
        id="a number out of range does not make up for a hole",
    ),
    pytest.param(
        images([*without(7, 40), 1001], ImagesInAcquisition=40), [gap(12.5)], INCOMPLETE,
        "geometry: a gap at 1 position", 41, ("position 12.50 mm",),
        id="and the gap says what is missing",
    ),
    pytest.param(
        images([*range(1, 40), 39], ImagesInAcquisition=40), [], UNKNOWN,
        "ImagesInAcquisition = 40 as found, but InstanceNumber 39 comes 2 times", None, (),
        id="a repeated number is no image more",
    ),
    pytest.param(
        images(range(1, 51), ImagesInAcquisition=40), [], UNKNOWN,
        "ImagesInAcquisition is 40, yet there are 50", None, (),
        id="a count that is too small describes something else",
    ),
    pytest.param(
        images(range(39, 43), ImageType=DERIVED, ImagesInAcquisition=77), [stack(4)], UNKNOWN,
        "nothing says", None, (),
        id="derived images carry the count of what they were made from",
    ),
    pytest.param(
        images(range(1, 41), ImageType=DERIVED, ImagesInAcquisition=40), [], COMPLETE,
        "count: ImagesInAcquisition = 40", 40, (),
        id="but a count that fits them exactly is theirs",
    ),
    pytest.param(
        images(range(1, 41), ImagesInAcquisition=lambda n: 40 if n else 39, frames=1)
        + images([41], ImageType=SCOUT, ImagesInAcquisition=1), [], COMPLETE,
        "count: ImagesInAcquisition = 40", 40, (),
        id="a scout in the series is not counted",
    ),
    pytest.param(
        images(range(1, 151), "MR", ImagesInAcquisition=15, NumberOfTemporalPositions=10),
        [stack(15, times=10, split_by=TIMES)], COMPLETE,
        "count: ImagesInAcquisition x NumberOfTemporalPositions = 150", 150, (),
        id="slices times temporal positions",
    ),
    pytest.param(
        images(
            range(1, 141), "MR", ImagesInAcquisition=15, NumberOfTemporalPositions=10,
            TemporalPositionIdentifier=moment(15),
        ), [], INCOMPLETE,
        "count: ImagesInAcquisition x NumberOfTemporalPositions = 150, 10 missing", 150,
        tuple(f"InstanceNumber {number}" for number in range(141, 151)),
        id="a run that was interrupted",
    ),
    pytest.param(
        images(
            [None] * 140, "MR", ImagesInAcquisition=15, NumberOfTemporalPositions=10,
        ), [], INCOMPLETE,
        "count: ImagesInAcquisition x NumberOfTemporalPositions = 150, 10 missing", 150,
        ("10 images",),
        id="a run that was interrupted, its images without number or moment",
    ),
    pytest.param(
        images(
            range(1, 16), "MR", ImagesInAcquisition=15, NumberOfTemporalPositions=10,
            TemporalPositionIdentifier=4,
        ), [stack(15)], COMPLETE,
        "count: ImagesInAcquisition = 15", 15, (),
        id="a later temporal position alone: each is a series of its own",
    ),
    pytest.param(
        images(
            range(1, 16), "MR", ImagesInAcquisition=15, NumberOfTemporalPositions=10,
            TemporalPositionIdentifier=1,
        ), [stack(15)], INCOMPLETE,
        "count: ImagesInAcquisition x NumberOfTemporalPositions = 150", 150, None,
        id="the first temporal position alone may be an interrupted run",
    ),
    pytest.param(
        images(
            range(1, 151), "MR", ImagesInAcquisition=150, NumberOfTemporalPositions=10,
            TemporalPositionIdentifier=moment(15),
        ), [], COMPLETE,
        "count: ImagesInAcquisition = 150", 150, (),
        id="some count the images of all temporal positions",
    ),
    pytest.param(
        images(
            range(1, 11), "MR", ImagesInAcquisition=10, NumberOfTemporalPositions=5,
            TemporalPositionIdentifier=lambda number: (number - 1) % 5 + 1,
        ), [], UNKNOWN,
        "ImagesInAcquisition = 10 as found, but a loss at the end of each would not show", None, (),
        id="or two of ten places were sent, each with all its temporal positions",
    ),
    pytest.param(
        images(
            [*range(1, 21), *range(1, 31)], ImagesInAcquisition=lambda _: 25,
        ), [], UNKNOWN,
        "InstanceNumber 1..30, repeated", None, (),
        id="numbers that start again without an acquisition number tell nothing",
    ),
    pytest.param(
        [
            *images(range(1, 21), AcquisitionNumber=1, ImagesInAcquisition=20),
            *images(range(21, 51), AcquisitionNumber=2, ImagesInAcquisition=30),
        ], [], COMPLETE,
        "count: ImagesInAcquisition of 2 acquisitions = 50", 50, (),
        id="two acquisitions, each with its count",
    ),
    pytest.param(
        [
            *images([None] * 20, AcquisitionNumber=1, ImagesInAcquisition=20),
            *images([None] * 28, AcquisitionNumber=2, ImagesInAcquisition=30),
        ], [], INCOMPLETE,
        "count: ImagesInAcquisition of 2 acquisitions = 50, 2 missing", 50,
        ("2 images of acquisition 2",),
        id="two acquisitions, the second one short",
    ),
    pytest.param(
        images(range(1, 6), AcquisitionNumber=lambda n: n, ImagesInAcquisition=1), [stack(5)],
        UNKNOWN, "nothing says", None, (),
        id="a scanner that counts each slice as an acquisition is not believed",
    ),
    pytest.param(
        images(range(1, 31), "MR", NumberOfTemporalPositions=3,
               TemporalPositionIdentifier=moment(10)), [], COMPLETE,
        "count: NumberOfTemporalPositions x 10 images = 30", 30, (),
        id="all temporal positions are here, and equal",
    ),
    pytest.param(
        images(range(1, 31), "MR", NumberOfTemporalPositions=3,
               TemporalPositionIdentifier=lambda number: (number - 1) % 3 + 1), [], UNKNOWN,
        "x 10 images = 30 as found, but a loss at the end of each would not show", None, (),
        id="all of a place before the next one: a place that is lost would not show",
    ),
    pytest.param(
        images([None] * 25, "MR", NumberOfTemporalPositions=3)[:10], [], UNKNOWN,
        "nothing says", None, (),
        id="a number of temporal positions alone is no size",
    ),
    pytest.param(
        [
            image._replace(InstanceNumber=None, TemporalPositionIdentifier=index // 10 + 1)
            for index, image in enumerate(images(range(25), "MR", NumberOfTemporalPositions=4))
        ], [], INCOMPLETE,
        "count: NumberOfTemporalPositions x 10 images = 40, 15 missing", 40,
        (
            "5 of 10 images of temporal position 3",
            "10 of 10 images of temporal position 4",
        ),
        id="a temporal position is short and another one absent",
    ),
    pytest.param(
        images(range(1, 121), "PT", NumberOfSlices=40, NumberOfTimeSlices=3,
               SeriesType=("DYNAMIC", "IMAGE")), [], COMPLETE,
        "count: NumberOfSlices x NumberOfTimeSlices = 120", 120, (),
        id="a dynamic PET",
    ),
    pytest.param(
        images(range(1, 41), "PT", NumberOfSlices=41, SeriesType=("WHOLE BODY", "IMAGE")), [],
        INCOMPLETE, "count: NumberOfSlices = 41, 1 missing", 41, ("InstanceNumber 41",),
        id="a PET of the whole body lacks its last slice",
    ),
    pytest.param(
        images([None] * 5, "PT", NumberOfSlices=5)[:4], [], INCOMPLETE,
        "count: NumberOfSlices = 5, 1 missing", 5, ("1 images",),
        id="a PET without indices or numbers can only be counted",
    ),
    pytest.param(
        [one._replace(ImageIndex=index) for one, index in zip(
            images([None] * 5, "PT", NumberOfSlices=3, NumberOfTimeSlices=2), (1, 2, 3, 5, 6),
            strict=True,
        )], [], INCOMPLETE,
        "count: NumberOfSlices x NumberOfTimeSlices = 6, 1 missing", 6, ("ImageIndex 4",),
        id="an index of a dynamic PET that none has is the one that is missing",
    ),
    pytest.param(
        images([None] * 4, "PT", NumberOfSlices=4, ImageIndex=2), [], UNKNOWN,
        "NumberOfSlices = 4 as found, but ImageIndex 2 comes 4 times", None, (),
        id="an index that is repeated is no slice more",
    ),
    pytest.param(
        [one._replace(ImageIndex=index) for one, index in zip(
            images([None] * 4, "PT", NumberOfSlices=4), (1, 2, 3, 5), strict=True,
        )], [], UNKNOWN,
        "NumberOfSlices = 4 as found, but ImageIndex 5 is not one of 4", None, (),
        id="an index out of range is a slice of something else",
    ),
    pytest.param(
        [one._replace(ImageIndex=index) for one, index in zip(
            images([None] * 4, "PT", NumberOfSlices=4), (4, 2, 3, 1), strict=True,
        )], [], COMPLETE,
        "count: NumberOfSlices = 4", 4, (),
        id="indices that are each there once, in any order",
    ),
    pytest.param(
        images(
            range(1, 31), "MR", ImagesInAcquisition=10, NumberOfTemporalPositions=3,
            TemporalPositionIdentifier=lambda n: (n - 1) // 10 + 2,
        ), [], UNKNOWN,
        "= 30 as found, but TemporalPositionIdentifier 4 is not one of 3", None, (),
        id="a temporal position out of range does not stand for the first one",
    ),
    pytest.param(
        images(
            range(1, 31), "MR", ImagesInAcquisition=10, NumberOfTemporalPositions=3,
            TemporalPositionIdentifier=lambda n: 1 if n <= 11 else (n - 2) // 10 + 1,
        ), [], UNKNOWN,
        "= 30 as found, but TemporalPositionIdentifier 1 has 11 images, not 10", None, (),
        id="an image too many at one temporal position hides one too few at another",
    ),
    pytest.param(
        images([1, 2], "MR", InConcatenationTotalNumber=3, frames=20), [], INCOMPLETE,
        "count: InConcatenationTotalNumber = 3, 1 missing", 3, ("InstanceNumber 3",),
        id="a part of a concatenation is missing",
    ),
    pytest.param(
        images([1], "MR", InConcatenationTotalNumber=2, frames=20), [], INCOMPLETE,
        "count: InConcatenationTotalNumber = 2, 1 missing", 2, ("InstanceNumber 2",),
        id="one part of two is not the whole, though it has many frames",
    ),
    pytest.param(
        images([1, 2, 3], "MR", InConcatenationTotalNumber=3, frames=20), [], COMPLETE,
        "count: InConcatenationTotalNumber = 3", 3, (),
        id="all parts of a concatenation",
    ),
    pytest.param(
        images(range(1, 41), "PT", NumberOfSlices=40, SeriesType=("GATED", "IMAGE")), [], UNKNOWN,
        "nothing says", None, (),
        id="of a gated PET the slices of one gate say nothing",
    ),
    pytest.param(
        images(range(1, 41), "PT", NumberOfSlices=40, SeriesType=("DYNAMIC", "IMAGE")), [],
        UNKNOWN, "nothing says", None, (),
        id="nor those of a dynamic PET without a number of time slices",
    ),
    pytest.param(
        images(range(1, 26), "MR", CardiacNumberOfImages=25), [], COMPLETE,
        "count: CardiacNumberOfImages = 25", 25, (),
        id="the phases of a heart beat at one position",
    ),
    pytest.param(
        images(range(1, 300), "MR", CardiacNumberOfImages=25), [], INCOMPLETE,
        "count: CardiacNumberOfImages x 12 positions = 300, 1 missing", 300,
        ("InstanceNumber 300",),
        id="the last phase at the last of twelve positions is absent",
    ),
    pytest.param(
        images(range(1, 6), "MR", CardiacNumberOfImages=0, ImagesInAcquisition=0), [stack(5)],
        UNKNOWN,
        "nothing says how many there should be; a loss at the end would not show; "
        "no gap in 1 stack of 5 slices; InstanceNumber 1..5", None, (),
        id="a count of zero is no count",
    ),
    pytest.param(
        images(range(1, 6), "CR", NumberOfSeriesRelatedInstances=6), [], INCOMPLETE,
        "count: NumberOfSeriesRelatedInstances = 6, 1 missing", 6, ("InstanceNumber 6",),
        id="the archive that sent it said how many instances it has",
    ),
    pytest.param(
        images(range(1, 7), "CR", NumberOfSeriesRelatedInstances=6), [], COMPLETE,
        "count: NumberOfSeriesRelatedInstances = 6", 6, (),
        id="and all of them are here",
    ),
    pytest.param(
        images(range(1, 6), ImagesInAcquisition=lambda n: 5 if n < 5 else 6), [stack(5)], UNKNOWN,
        "nothing says", None, (),
        id="a disputed count is no count",
    ),
    # nature
    pytest.param(
        images([1, 2], "SR"), [], COMPLETE, "nature: SR is no image of a stack", None, (),
        id="reports are whole, each by itself",
    ),
    pytest.param(
        images([3], "RTSTRUCT"), [], COMPLETE, "nature: RTSTRUCT is no image of a stack", None, (),
        id="so are structure sets",
    ),
    pytest.param(
        images([1, 2], "CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67"), [], COMPLETE,
        "nature: a report is no image of a stack", None, (),
        id="a dose report that carries the modality of its CT",
    ),
    pytest.param(
        images([1], "MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.66"), [], COMPLETE,
        "nature: raw data, a registration or a segmentation is no image", None, (),
        id="raw data of an MR",
    ),
    pytest.param(
        images([1], "MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), [], UNKNOWN, "nothing says",
        None, (),
        id="one MR image is none of these",
    ),
    pytest.param(
        images([1], "CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.661"), [], UNKNOWN, "nothing says",
        None, (),
        id="a class whose UID only begins alike is another class",
    ),
    pytest.param(
        images([1, 2, 3], ImageType=SCOUT), [StackRow(Reason.LOCALIZER)], UNKNOWN, "nothing says",
        None, (),
        id="of three scouts a fourth one may be lost",
    ),
    pytest.param(
        images([1], ImageType=SCOUT), [StackRow(Reason.LOCALIZER)], COMPLETE,
        "nature: one LOCALIZER", 1, (),
        id="a scout",
    ),
    pytest.param(
        images([1], "CR"), [], COMPLETE, "nature: one CR image, whole by itself", 1, (),
        id="one radiograph",
    ),
    pytest.param(
        images([1], "US", frames=12), [], COMPLETE, "nature: one object holds all 12 frames", 1, (),
        id="one clip",
    ),
    pytest.param(
        images([1], "SM", frames=25), [], UNKNOWN, "nothing says", None, (),
        id="one level of a slide may be one of many",
    ),
    pytest.param(
        images([1], "CT"), [], UNKNOWN, "nothing says", None, (),
        id="one slice may be the first of many",
    ),
    pytest.param(
        images([1, 2], "CR"), [], UNKNOWN, "nothing says", None, (),
        id="of two radiographs a third one may be lost",
    ),
    pytest.param(
        images([1], "SR") + images([2], "CT"), [], UNKNOWN, "nothing says", None, (),
        id="a report does not speak for the slice beside it",
    ),
    # geometry
    pytest.param(
        images(without(7, 12)), [gap(12.5)], INCOMPLETE, "geometry: a gap at 1 position", 12,
        ("position 12.50 mm, InstanceNumber 7",),
        id="a gap in the middle",
    ),
    pytest.param(
        images([1, 2, 3, 6, 7, 8]), [gap(-5.0, -10.0)], INCOMPLETE,
        "geometry: a gap at 2 positions", 8,
        ("position -5.00 mm", "position -10.00 mm", "InstanceNumber 4", "InstanceNumber 5"),
        id="two slices of a gap are named by position and by number",
    ),
    pytest.param(
        images([None] * 9, "MR"), [gap(3.0, split_by="EchoTime=12"), ECHOES[1]], INCOMPLETE,
        "geometry: a gap at 1 position", 10, ("position 3.00 mm (EchoTime=12)",),
        id="the gap of one echo names the echo",
    ),
    pytest.param(
        images([None] * 9), [stack(10)._replace(missing_slices=[4.0])], INCOMPLETE,
        "geometry: a gap at 1 position", 10, ("position 4.00 mm",),
        id="a volume that was built over a gap has it all the same",
    ),
    pytest.param(
        images([None] * 18, "MR"), [gap(3.0, split_by=TIMES)], INCOMPLETE,
        "geometry: a gap at 1 position", None, ("position 3.00 mm",),
        id="a gap at every timepoint is more than one image",
    ),
    pytest.param(
        images([None] * 19, "MR"), [gap(split_by=TIMES)], INCOMPLETE,
        "geometry: timepoints of unequal length", None, ("slices of some timepoints",),
        id="timepoints of unequal length",
    ),
    pytest.param(
        images([None] * 23, "MR"), [stack(5, times=4, split_by=TIMES)], INCOMPLETE,
        "geometry: 3 images fill no whole timepoint", None, ("the rest of a timepoint",),
        id="the last timepoint was interrupted",
    ),
    pytest.param(
        images(range(1, 10), "MR", EchoTime=echo), [ECHOES[0], stack(4, split_by="EchoTime=96")],
        INCOMPLETE, "geometry: EchoTime divide it into unequal stacks", 10,
        ("1 of 5 slices of EchoTime=96",),
        id="the second echo is shorter than the first",
    ),
    pytest.param(
        images(range(1, 11), "MR", EchoTime=echo), ECHOES, COMPLETE,
        "geometry: no gap, 2 stacks of 5 slices each, one after the other", 10, (),
        id="the second echo is as long as the first, and came after it",
    ),
    pytest.param(
        images(range(1, 11), "MR", EchoTime=lambda n: 12.0 if n % 2 else 96.0), ECHOES, UNKNOWN,
        "no gap in 2 stacks of 5 slices", None, (),
        id="echoes that alternate would lose the same positions at the end",
    ),
    pytest.param(
        images(range(1, 21), "MR", TemporalPositionIdentifier=moment(5)),
        [stack(5, times=4, split_by=TIMES)], COMPLETE,
        "geometry: no gap, 4 timepoints of 5 slices each, one after the other", 20, (),
        id="equal timepoints, one after the other",
    ),
    pytest.param(
        images(range(1, 21), "MR", TriggerTime=lambda n: float(n % 4)),
        [stack(5, times=4, split_by="timepoints by TriggerTime")], UNKNOWN,
        "no gap in 1 stack of 5 slices", None, (),
        id="all phases of a position before the next one: a lost position would not show",
    ),
    pytest.param(
        images(range(1, 5), "MR", AcquisitionNumber=1), [stack(4, times=4)], UNKNOWN,
        "nothing says", None, (),
        id="when each file is a volume, a lost one would not show",
    ),
    pytest.param(
        images(range(1, 8)),
        [stack(3, split_by="orientation 0\\0\\1"), stack(4, split_by="orientation 1\\0\\0")],
        UNKNOWN, "no gap in 2 stacks of 3 to 4 slices", None, (),
        id="stacks of other directions need not be equal",
    ),
    pytest.param(
        images(range(1, 41)), [stack(40)], UNKNOWN,
        "nothing says how many there should be; a loss at the end would not show; "
        "no gap in 1 stack of 40 slices; InstanceNumber 1..40", None, (),
        id="a stack without a gap may have lost its end",
    ),
    # InstanceNumber
    pytest.param(
        images([1, 2, 4, 5], "US"), [], INCOMPLETE, "InstanceNumber: 1 missing", 5,
        ("InstanceNumber 3",),
        id="a hole in the numbers",
    ),
    pytest.param(
        images([11, 12, 14], "US"), [], INCOMPLETE, "InstanceNumber: 1 missing", 4,
        ("InstanceNumber 13",),
        id="numbers need not begin at 1 for that",
    ),
    pytest.param(
        images([1, 3, 5, 7], "US"), [], UNKNOWN, "InstanceNumber 1..7 in steps", None, (),
        id="equal steps are a way to count",
    ),
    pytest.param(
        images([1, 101, 205], "US"), [], UNKNOWN, "InstanceNumber 1..205", None, (),
        id="so are numbers with more holes than images",
    ),
    pytest.param(
        images([1, 2, None, 5], "US"), [], UNKNOWN, "InstanceNumber is not in each image", None, (),
        id="an image without a number may be any of them",
    ),
    pytest.param(
        images([1, 2, 3, 4], AcquisitionNumber=1) + images([1, 2, 4], AcquisitionNumber=2), [],
        INCOMPLETE, "InstanceNumber: 1 missing", 8, ("InstanceNumber 3",),
        id="a hole in the second acquisition, which counts from 1 again",
    ),
]  # fmt: skip


def placed(*positions: float, stack_number: int = 0, first: int = 0) -> list[Slice]:
    """Slices of the images 1.<first> and so on, in files that are named after their place."""
    return [
        Slice(stack_number, at, f"1.{first + k}", f"A/{at:g}.dcm") for k, at in enumerate(positions)
    ]


SPACED = {"slice_spacing_mm": 5.0, "shape": None}


@pytest.mark.parametrize(
    ("given_images", "rows", "slices", "missing", "expected"),
    [
        pytest.param(
            images(without(3, 5)),
            [gap(10.0)._replace(**SPACED)],
            placed(0, 5, 15, 20),
            ("position 10.00 mm, InstanceNumber 3, between A/5.dcm and A/15.dcm",),
            5,
            id="the files below and above",
        ),
        pytest.param(
            images([1, 2, 5, 6]),
            [gap(10.0, 15.0)._replace(**SPACED)],
            placed(0, 5, 20, 25),
            (
                "position 10.00 mm, between A/5.dcm and A/20.dcm",
                "position 15.00 mm, between A/5.dcm and A/20.dcm",
                "InstanceNumber 3",
                "InstanceNumber 4",
            ),
            6,
            id="two in a row have the same neighbours",
        ),
        pytest.param(
            images([None] * 7, "MR"),
            [
                gap(10.0, split_by="EchoTime=12")._replace(**SPACED),
                stack(4, split_by="EchoTime=96")._replace(stack=1),
            ],
            [*placed(0, 5, 15), *placed(0, 5, 10, 15, stack_number=1, first=3)],
            ("position 10.00 mm (EchoTime=12), between A/5.dcm and A/15.dcm",),
            8,
            id="of the stack that lacks it, not of its neighbour",
        ),
        pytest.param(
            images([None] * 8, "MR", TemporalPositionIdentifier=1)[:5]
            + [one._replace(TemporalPositionIdentifier=2, SOPInstanceUID=f"1.{k + 5}")
               for k, one in enumerate(images([None] * 4, "MR"))],
            [gap(10.0, split_by=TIMES)._replace(**SPACED)],
            [*placed(0, 5, 10, 15, 20), *placed(0, 5, 15, 20, first=5)],
            ("position 10.00 mm of TemporalPositionIdentifier 2, between A/5.dcm and A/15.dcm",),
            10,
            id="the timepoint that lacks it",
        ),
        pytest.param(
            [one._replace(TemporalPositionIdentifier=k // 4 + 1)
             for k, one in enumerate(images([None] * 8, "MR"))],
            [gap(10.0, split_by=TIMES)._replace(**SPACED)],
            [*placed(0, 5, 15, 20), *placed(0, 5, 15, 20, first=4)],
            ("position 10.00 mm, between A/5.dcm and A/15.dcm",),
            10,
            id="a position that all timepoints lack is one name and two images",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_neighbours(
    given_images: list[Image],
    rows: list[StackRow],
    slices: list[Slice],
    missing: tuple[str, ...],
    expected: int | None,
) -> None:
    found = judge(given_images, rows, slices=slices)

    assert (found.state, found.expected) == (INCOMPLETE, expected)
    assert missing == found.missing
    assert not any("dcm" in without_files(name) for name in found.missing)


def test_timepoints_that_are_short_are_named() -> None:
    every = [
        one._replace(TemporalPositionIdentifier=k // 5 + 1)
        for k, one in enumerate(images([None] * 13, "MR"))
    ]
    found = judge(every, [stack(5, times=2, split_by=TIMES)])

    assert found.missing == ("2 of 5 slices of TemporalPositionIdentifier 3",)


HUGE = 2**31 - 1  #: the largest number that an IS or its column holds


@pytest.mark.parametrize(
    ("given_images", "state", "evidence"),
    [
        pytest.param(images([1, 2, HUGE]), UNKNOWN, "nothing", id="a number far away"),
        pytest.param(
            images([1, 2, HUGE], ImagesInAcquisition=40), INCOMPLETE, "37 missing",
            id="a number far away and a count",
        ),
        pytest.param(
            images([1, 2, 3], ImagesInAcquisition=HUGE), UNKNOWN,
            f"ImagesInAcquisition is {HUGE}, more than a series can have", id="a count",
        ),
        pytest.param(
            images([1, 2], "MR", ImagesInAcquisition=HUGE, NumberOfTemporalPositions=HUGE,
                   TemporalPositionIdentifier=moment(1)),
            UNKNOWN, f"NumberOfTemporalPositions is {HUGE**2}, more than", id="times a number",
        ),
        pytest.param(
            images([1, 2], "MR", NumberOfTemporalPositions=HUGE,
                   TemporalPositionIdentifier=moment(1)),
            UNKNOWN, f"x 1 images is {HUGE}, more than", id="moments",
        ),
        pytest.param(
            images([1, 2], "PT", ImageIndex=moment(1), NumberOfSlices=65535,
                   NumberOfTimeSlices=65535),
            UNKNOWN, "NumberOfTimeSlices is 4294836225, more than", id="slices of time slices",
        ),
        pytest.param(
            images([1, 2, 3], NumberOfSeriesRelatedInstances=HUGE), UNKNOWN,
            "NumberOfSeriesRelatedInstances is", id="what an archive says it has",
        ),
        pytest.param(
            images([1, 2], "MR", CardiacNumberOfImages=HUGE), UNKNOWN,
            "CardiacNumberOfImages is", id="phases of a heart beat",
        ),
    ],
)  # fmt: skip
def test_numbers_that_somebody_made_up_cost_neither_time_nor_memory(
    given_images: list[Image], state: SeriesState, evidence: str
) -> None:
    found = judge(given_images, [])

    assert (found.state, evidence in found.evidence) == (state, True), found.evidence
    assert found.expected is None or found.expected <= HUGE
    assert not is_counted(given_images)


def test_of_very_many_gaps_some_are_named_and_the_rest_is_counted() -> None:
    places = [float(at) for at in range(9_000)]
    rows = [gap(*places)._replace(stack=number, slice_spacing_mm=1.0) for number in range(40)]
    slices = [one for number in range(40) for one in placed(-1.0, 1e4, stack_number=number)]
    found = judge(images([None] * 80), rows, slices=slices)

    assert found.evidence == "geometry: a gap at 360000 positions"
    assert (found.expected, len(found.missing)) == (None, MISSING_SHOWN + 1)
    assert found.missing[0] == "position 0.00 mm, between A/-1.dcm and A/10000.dcm"


@pytest.mark.parametrize(
    ("gone", "found", "missing"),
    [
        pytest.param({"1.1": "B/2"}, 4, ("InstanceNumber 2, was B/2",), id="one file is gone"),
        pytest.param(
            {f"1.{k}": f"B/{k}" for k in range(5)},
            0,
            tuple(f"InstanceNumber {k + 1}, was B/{k}" for k in range(5)),
            id="all are gone",
        ),
    ],
)
def test_files_that_are_gone_do_not_count(
    gone: dict[str, str], found: int, missing: tuple[str, ...]
) -> None:
    said = judge(images(range(1, 6), ImagesInAcquisition=5), [stack(5)], gone=gone)

    assert (said.state, said.expected, said.found) == (INCOMPLETE, 5, found)
    assert said.evidence == (
        f"gone: {len(gone)} of 5 files are not there any more;"
        " with them, count: ImagesInAcquisition = 5"
    )
    assert said.missing == missing
    assert said.is_gone is (found == 0)


def test_a_directory_that_lists_all_is_believed_and_a_doubt_is_told() -> None:
    every = images(without(3, 5), ImagesInAcquisition=5)
    said = judge(every, [], listed={one.SOPInstanceUID: "" for one in every})

    assert said.state == COMPLETE
    assert said.evidence == (
        "DICOMDIR: lists 4, all here; yet count: ImagesInAcquisition = 5, 1 missing"
    )


def test_a_series_that_is_only_listed_lacks_all() -> None:
    said = judge([], [], listed={"1.5": "A/I5"})

    assert (said.state, said.found, said.expected) == (INCOMPLETE, 0, 1)
    assert said.missing == ("SOPInstanceUID 1.5, file A/I5",)


@pytest.mark.parametrize(
    ("given_images", "listed", "expected"),
    [
        pytest.param(images(range(1, 6), ImagesInAcquisition=5), {}, True, id="as many as counted"),
        pytest.param(images(range(1, 5), ImagesInAcquisition=5), {}, False, id="fewer"),
        pytest.param(images(range(1, 6)), {}, False, id="no count"),
        pytest.param(images(range(1, 6)), {"1.0": "", "1.4": ""}, True, id="all that is listed"),
        pytest.param(images(range(1, 6)), {"1.9": ""}, False, id="something listed is not here"),
        pytest.param(
            images(range(1, 7), "MR", CardiacNumberOfImages=3), {}, False,
            id="phases of so many positions as are here: there may be more of them",
        ),
        pytest.param(
            images(
                range(1, 4), "MR", NumberOfTemporalPositions=3,
                TemporalPositionIdentifier=moment(1),
            ), {}, False, id="moments as long as the longest one so far",
        ),
        pytest.param(
            images(range(1, 6), ImagesInAcquisition=5, AcquisitionNumber=1)
            + images(range(6, 11), ImagesInAcquisition=5, AcquisitionNumber=2), {}, False,
            id="as many acquisitions as are here: there may be more of them",
        ),
        pytest.param(images([1, 2, 3, 4, 4], ImagesInAcquisition=5), {}, False, id="one twice"),
    ],
)  # fmt: skip
def test_only_a_number_that_stays_the_same_ends_the_waiting(
    given_images: list[Image], listed: dict[str, str], expected: bool
) -> None:
    assert is_counted(given_images, listed) is expected


@pytest.mark.parametrize(
    ("given_images", "rows", "state", "evidence", "expected", "missing"), CASES
)
def test_judge(  # noqa: PLR0917
    given_images: list[Image],
    rows: list[StackRow],
    state: SeriesState,
    evidence: str,
    expected: int | None,
    missing: tuple[str, ...] | None,
) -> None:
    found = judge(given_images, rows)

    assert evidence in found.evidence
    assert state == found.state
    assert expected == found.expected
    assert found.found == len(given_images)
    if missing is not None:
        assert missing == found.missing


def test_a_directory_that_lists_an_instance_is_believed_first() -> None:
    three = images([1, 2, 3], ImagesInAcquisition=3)
    whole = judge(three, [], listed={"1.0": "", "1.1": "", "1.2": ""})
    short = judge(three, [], listed={"1.0": "", "1.1": "", "1.2": "", "1.9": "A/I9"})

    assert (whole.state, whole.evidence) == (COMPLETE, "DICOMDIR: lists 3, all here")
    assert (short.state, short.missing) == (INCOMPLETE, ("SOPInstanceUID 1.9, file A/I9",))
    assert short.expected == 4


def test_what_came_besides_the_directory_does_no_harm() -> None:
    assert judge(images([1, 2, 3]), [], listed={"1.0": ""}).state == COMPLETE


def test_a_long_list_of_missing_images_is_cut_and_says_so() -> None:
    found = judge(images(range(1, 11), ImagesInAcquisition=500), [])

    assert len(found.missing) == MISSING_SHOWN + 1
    assert found.missing[-1] == "and 390 more"


def test_the_first_word_of_the_evidence_is_the_rule_and_incomplete_always_names_something() -> None:
    for case in CASES:
        found = judge(case.values[0], case.values[1])  # type: ignore[arg-type]
        word = found.evidence.split(":")[0].split()[0]
        assert word in {"DICOMDIR", "count", "nature", "geometry", "InstanceNumber", "nothing"}
        assert (found.state == INCOMPLETE) == bool(found.missing)
        assert (found.state == UNKNOWN) == (word == "nothing")


def test_the_columns_are_those_of_the_catalog_in_the_order_of_the_records() -> None:
    assert set(IMAGE_COLUMNS) <= set(INSTANCE.names)
    assert set(IMAGE_COLUMNS) - {"frames"} <= {kept.keyword for kept in KEPT}
    assert set(STACK_COLUMNS) <= set(VOLUME.names)


def test_rows_as_the_catalog_gives_them_are_enough() -> None:
    row = {"SOPInstanceUID": "1.2", "ImageType": ["ORIGINAL", "PRIMARY"], "Modality": "CR"}
    image = Image(*(row.get(name) for name in IMAGE_COLUMNS))  # type: ignore[arg-type]

    assert judge([image], [StackRow("no_geometry", None, None, None)]).state == COMPLETE


@given(st.integers(2, 12), st.integers(1, 6), st.sets(st.integers(0, 71), min_size=1, max_size=40))
def test_a_counted_series_is_complete_when_all_is_there_and_never_before(
    slices: int, times: int, lost: set[int]
) -> None:
    every = images(
        range(1, slices * times + 1),
        "MR",
        ImagesInAcquisition=slices,
        NumberOfTemporalPositions=times,
        TemporalPositionIdentifier=moment(slices),
    )
    kept = [image for index, image in enumerate(every) if index not in lost]

    assert judge(every, []).state == COMPLETE
    if kept and len(kept) < len(every):
        one_later_moment = {image.TemporalPositionIdentifier for image in kept}
        found = judge(kept, [])
        counts_all = len(kept) == slices  # As some do; and then nothing is missing by count.
        if len(one_later_moment) > 1 or 1 in one_later_moment:
            assert found.state == INCOMPLETE or (counts_all and found.state == UNKNOWN)
            assert found.expected == len(every) or counts_all


@given(st.sets(st.integers(1, 60), min_size=1), st.randoms(use_true_random=False))
def test_holes_are_the_numbers_between_that_are_not_there(numbers: set[int], random: Any) -> None:
    shuffled = images(random.sample(sorted(numbers), len(numbers)))
    holes = Numbers(shuffled).holes()

    assert not set(holes) & numbers
    assert not holes or (min(numbers) < holes[0] and holes[-1] < max(numbers))
    assert judge(shuffled, []) == judge(shuffled[::-1], [])


def read(parts: Any) -> list[Dataset]:
    return [dcmread(BytesIO(content)) for _, content in parts]


def judged(datasets: Sequence[Dataset]) -> Judgement:
    """Judge real headers with the stacks that they really form."""
    records = [Image(*(ds.get(name) for name in IMAGE_COLUMNS)) for ds in datasets]
    found = stacks([plane for ds in datasets for plane in planes(ds)], allow_missing=False)
    rows = [
        StackRow(None, one.shape, one.missing_mm, one.split_by)
        if isinstance(one, Stack)
        else StackRow(one.reason, None, one.missing_mm, one.split_by)
        for one in found
    ]
    return judge(records, rows)


def test_the_late_slice_of_the_demo_is_named_and_makes_its_series_complete() -> None:
    every = read(studies.chest(1))
    late = next(ds for ds in every if ds.InstanceNumber == phantom.LATE_SLICE)
    before = judged([ds for ds in every if ds is not late])
    at = f"position {late.ImagePositionPatient[2]:.2f} mm, InstanceNumber {phantom.LATE_SLICE}"

    assert (before.state, before.missing, before.expected) == (INCOMPLETE, (at,), len(every))
    assert judged(every).state == COMPLETE


def test_the_head_of_the_demo_is_complete_by_its_echoes_and_not_when_the_last_slice_is_lost() -> (
    None
):
    every = read(studies.head(1))

    assert judged(every).evidence.startswith("geometry: no gap, 2 stacks of 20 slices each")
    assert judged(every[:-1]).state == INCOMPLETE
    assert judged(every[:10]).state == UNKNOWN


@pytest.mark.parametrize(
    ("folder", "count", "evidence"),
    [
        pytest.param(
            "dcm_qa_nih/In/20180918GE/mr_0004",
            150,
            "count: ImagesInAcquisition x NumberOfTemporalPositions = 150",
            id="a GE scanner counts the slices of one moment",
        ),
        pytest.param(
            "dcm_qa_pdt2/In/Siemens/VE11",
            70,
            "geometry: no gap, 2 stacks of 35 slices each, one after the other",
            id="a Siemens scanner sends one echo after the other",
        ),
    ],
)
def test_a_real_series_is_complete_and_not_without_any_one_of_its_images(
    corpus: Path, folder: str, count: int, evidence: str
) -> None:
    files = sorted(path for path in (corpus / folder).iterdir() if path.suffix == ".dcm")
    every = [dcmread(path, defer_size=1024) for path in files]
    every.sort(key=lambda ds: ds.InstanceNumber)

    assert len(every) == count
    assert judged(every).evidence == evidence
    for lost in (0, 1, count // 2, count - 1):
        assert judged(every[:lost] + every[lost + 1 :]).state == INCOMPLETE
