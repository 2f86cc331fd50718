"""Positions in, stacks out: where the answer is known because we made the slices."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ingestd.dicom.geometry import NotAStack, Plane, Stack, judge
from ingestd.dicom.plane import offsets, orientation
from ingestd.dicom.splitting import Outcome, stacks
from ingestd.errors import Reason

ROWS, COLUMNS = 4, 6


def rotation(degrees: Sequence[float]) -> np.ndarray:
    """Turn about x, then y, then z."""
    x, y, z = np.radians(degrees)
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def slices(
    count: int = 5,
    *,
    turn: Sequence[float] = (0, 0, 0),
    origin: Sequence[float] = (-100.0, -120.0, 30.0),
    step: float = 3.0,
    tilt: float = 0.0,
    spacing: tuple[float, float] = (0.7, 0.9),
    decimals: int | None = None,
    first: int = 1,
    **more: object,
) -> list[Plane]:
    """Make planes along the normal, or `tilt` degrees off it towards the columns' direction."""
    axes = rotation(turn)
    along = axes[:, 2] * step + axes[:, 1] * step * np.tan(np.radians(tilt))
    made = []
    for k in range(count):
        place = np.array(origin) + k * along
        if decimals is not None:
            place = place.round(decimals)
        made.append(
            Plane(
                **{
                    "SOPInstanceUID": f"1.2.{first + k}",
                    "frame": 0,
                    "position": tuple(place.tolist()),
                    "row": tuple(axes[:, 0].tolist()),
                    "column": tuple(axes[:, 1].tolist()),
                    "rows": ROWS,
                    "columns": COLUMNS,
                    "spacing": spacing,
                    "precision_mm": 1e-9 if decimals is None else 10.0**-decimals,
                    "number": first + k,
                    **more,
                }
            )
        )
    return made


def repeated(
    count: int, times: int, key: str | None = None, *, values: Sequence[object] = ()
) -> list[Plane]:
    """Make the same positions again and again, InstanceNumber running on."""
    return [
        plane
        for t in range(times)
        for plane in slices(
            count, first=1 + t * count, keys={key: values[t] if values else float(t)} if key else {}
        )
    ]


def split(planes: Sequence[Plane], *, allow_missing: bool = False) -> list[Outcome]:
    return stacks(planes, allow_missing=allow_missing)


def only(planes: Sequence[Plane], *, allow_missing: bool = False) -> Outcome:
    (outcome,) = split(planes, allow_missing=allow_missing)
    return outcome


def why(planes: Sequence[Plane]) -> list[str | None]:
    return [None if isinstance(one, Stack) else str(one.reason) for one in split(planes)]


angles = st.tuples(*[st.floats(-180, 180)] * 3)
places = st.tuples(*[st.floats(-1000, 1000)] * 3)
steps = st.floats(0.3, 12)
orders = st.randoms(use_true_random=False)
quick = settings(max_examples=60, deadline=None)


@quick
@given(angles, places, steps, st.integers(2, 40), orders)
def test_any_affine_comes_back_from_slices_in_any_order(
    turn: Sequence[float],
    origin: Sequence[float],
    step: float,
    count: int,
    order: random.Random,
) -> None:
    planes = slices(count, turn=turn, origin=origin, step=step)
    expected = np.eye(4)
    axes = rotation(turn)
    expected[:3] = np.column_stack([axes[:, 2] * step, axes[:, 1] * 0.7, axes[:, 0] * 0.9, origin])
    shuffled = planes.copy()
    order.shuffle(shuffled)
    found = only(shuffled)
    assert isinstance(found, Stack)
    assert [found.timepoints[0]] == [tuple(planes)]
    np.testing.assert_allclose(found.affine_lps_mm, expected, atol=1e-6)
    np.testing.assert_allclose(found.spacing_mm, (step, 0.7, 0.9), atol=1e-6)
    assert found.missing_mm == ()


@quick
@given(angles, steps, st.integers(6, 30), st.data())
def test_slices_lost_inside_are_named_by_position(
    turn: Sequence[float], step: float, count: int, data: st.DataObject
) -> None:
    planes = slices(count, turn=turn, step=step)
    some = st.sets(st.integers(1, count - 2), min_size=1, max_size=max(1, (count - 2) // 4))
    lost = data.draw(some)
    left = [plane for k, plane in enumerate(planes) if k not in lost]
    expected = offsets(planes)[sorted(lost)]
    found = only(left)
    assert isinstance(found, NotAStack)
    assert found.reason is Reason.MISSING_SLICES
    np.testing.assert_allclose(found.missing_mm, expected, atol=1e-6)
    whole, holed = only(planes), only(left, allow_missing=True)
    assert isinstance(whole, Stack)
    assert isinstance(holed, Stack)
    np.testing.assert_allclose(holed.affine_lps_mm, whole.affine_lps_mm, atol=1e-6)
    assert {k for k, plane in enumerate(holed.timepoints[0]) if plane is None} == lost


@quick
@given(angles, steps, st.integers(3, 30), st.data())
def test_a_slice_that_is_there_twice_is_a_duplicate(
    turn: Sequence[float], step: float, count: int, data: st.DataObject
) -> None:
    planes = slices(count, turn=turn, step=step)
    twice = planes[data.draw(st.integers(0, count - 1))]
    number = data.draw(st.sampled_from([twice.number, count + 1, None]))
    again = slices(1, origin=twice.position, turn=turn, first=900)[0]
    copy = {name: getattr(again, name) for name in again.__slots__} | {"number": number}
    assert why([*planes, Plane(**copy)]) == ["duplicate_position"]


@quick
@given(angles, steps, st.floats(-30, 30), st.integers(3, 30))
def test_a_tilt_is_measured_and_kept_in_the_affine(
    turn: Sequence[float], step: float, tilt: float, count: int
) -> None:
    planes = slices(count, turn=turn, step=step, tilt=tilt)
    found = only(planes)
    assert isinstance(found, Stack)
    assert found.tilt_degrees == pytest.approx(abs(tilt), abs=1e-3)
    assert found.slice_spacing_mm == pytest.approx(step)
    for k, plane in enumerate(planes):
        np.testing.assert_allclose(
            found.affine_lps_mm @ [k, 0, 0, 1], [*plane.position, 1], atol=1e-6
        )


@quick
@given(angles, steps, st.integers(2, 40), st.integers(1, 3))
def test_rounding_by_the_writer_is_no_unevenness(
    turn: Sequence[float], step: float, count: int, decimals: int
) -> None:
    assume(step > 10.0 ** (1 - decimals))
    assert why(slices(count, turn=turn, step=step, decimals=decimals)) == [None]


@quick
@given(angles, steps, st.integers(5, 30), st.floats(0.1, 0.4), st.data())
def test_a_slice_off_its_place_is_uneven_and_named(
    turn: Sequence[float], step: float, count: int, share: float, data: st.DataObject
) -> None:
    planes = slices(count, turn=turn, step=step)
    odd = data.draw(st.integers(1, count - 2))
    moved = np.array(planes[odd].position) + rotation(turn)[:, 2] * step * share
    planes[odd] = slices(1, turn=turn, origin=moved.tolist(), first=odd + 1)[0]
    found = only(planes)
    assert isinstance(found, NotAStack)
    assert found.reason is Reason.UNEVEN_SPACING
    assert planes[odd].SOPInstanceUID in found.detail
    assert len(found.positions_mm) == count


def test_a_gap_that_is_another_place_is_no_endless_hole() -> None:
    assert why([*slices(5), *slices(5, origin=(-100, -120, 1e9), first=9)]) == ["uneven_spacing"]


def test_a_slice_beside_the_line_is_uneven() -> None:
    planes = slices(6)
    x, y, z = planes[3].position
    planes[3] = slices(1, origin=(x + 4, y, z), first=4)[0]
    found = only(planes)
    assert isinstance(found, NotAStack)
    assert found.reason is Reason.UNEVEN_SPACING
    assert "beside" in found.detail


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        pytest.param((0, 0, 0), "axial", id="rows to the left, columns to the back"),
        pytest.param((30, 0, 0), "axial", id="nodding by 30 degrees is still axial"),
        pytest.param((-90, 0, 0), "coronal", id="columns to the feet"),
        pytest.param((0, 90, 0), "sagittal", id="rows to the feet"),
        pytest.param((180, 0, 45), "axial", id="upside down and turned in its plane"),
        pytest.param((45, 0, 0), "oblique", id="half way between two planes"),
    ],
)
def test_orientation(turn: Sequence[float], expected: str) -> None:
    assert orientation(slices(3, turn=turn)) == expected


@pytest.mark.parametrize(
    ("key", "values"),
    [
        pytest.param("TemporalPositionIdentifier", (), id="a temporal position"),
        pytest.param("TriggerTime", (0.0, 40.0, 80.0), id="a heart phase"),
        pytest.param("AcquisitionNumber", (), id="an acquisition"),
        pytest.param("AcquisitionTime", ("101500", "101600", "101700"), id="a time of day"),
        pytest.param("dimension MyOwn", (), id="a private dimension of a multi-frame object"),
        pytest.param(None, (), id="nothing but InstanceNumber"),
    ],
)
def test_positions_that_repeat_become_timepoints(key: str | None, values: Sequence[object]) -> None:
    planes = repeated(4, 3, key, values=values)
    shuffled = planes.copy()
    random.Random(3).shuffle(shuffled)  # noqa: S311 - no secret
    found = only(shuffled)
    assert isinstance(found, Stack)
    assert found.shape == (3, 4, ROWS, COLUMNS)
    assert [plane for one in found.timepoints for plane in one] == planes
    assert found.split_by == f"timepoints by {key or 'order of InstanceNumber'}"


def test_numbers_that_run_through_time_first_make_the_same_timepoints() -> None:
    planes = [
        plane
        for s in range(4)
        for t in range(3)
        for plane in slices(1, origin=(0, 0, 3.0 * s), first=1 + s * 3 + t)
    ]
    found = only(planes)
    assert isinstance(found, Stack)
    assert [plane.number for plane in found.timepoints[1] if plane] == [2, 5, 8, 11]


def test_diffusion_is_ordered_as_it_was_acquired() -> None:
    weights = [
        (0.0, None),
        (1000.0, (1.0, 0.0, 0.0)),
        (1000.0, (0.0, 1.0, 0.0)),
        (500.0, (1.0, 0.0, 0.0)),
    ]
    planes = [
        plane
        for t, (b, direction) in enumerate(weights)
        for plane in slices(
            3,
            first=1 + 3 * t,
            keys={"DiffusionBValue": b, "DiffusionGradientOrientation": direction},
        )
    ]
    found = only(planes[::-1])
    assert isinstance(found, Stack)
    assert [one[0].keys["DiffusionBValue"] for one in found.timepoints if one[0]] == [
        0,
        1000,
        1000,
        500,
    ]


@pytest.mark.parametrize("key", ["TemporalPositionIdentifier", "AcquisitionNumber", None])
def test_an_interrupted_last_timepoint_is_left_out_and_named(key: str | None) -> None:
    found = only(repeated(5, 4, key)[:-2])
    assert isinstance(found, Stack)
    assert found.shape[0] == 3
    assert found.detail is not None
    assert "3 of 5 slices" in found.detail


@pytest.mark.parametrize("key", ["TemporalPositionIdentifier", None])
@pytest.mark.parametrize("lost", [1, 4, 5, 7, 9, 14], ids="slice {}".format)
def test_a_slice_lost_from_a_timepoint_never_shifts_the_others(key: str | None, lost: int) -> None:
    planes = repeated(5, 4, key)
    left = [plane for k, plane in enumerate(planes) if k != lost]
    named = only(left)
    assert isinstance(named, NotAStack)
    assert named.reason is Reason.MISSING_SLICES
    assert named.missing_mm == pytest.approx([30 + 3 * (lost % 5)])
    holed = only(left, allow_missing=True)
    assert isinstance(holed, Stack)
    flat = [plane for one in holed.timepoints for plane in one]
    assert flat == [None if k == lost else plane for k, plane in enumerate(planes)]


def test_the_first_slice_of_all_lost_is_no_interruption() -> None:
    assert why(repeated(5, 4)[1:]) == ["missing_slices"]


def test_a_time_that_differs_from_slice_to_slice_names_no_timepoint() -> None:
    planes = [
        plane
        for t in range(3)
        for s in range(4)
        for plane in slices(
            1,
            origin=(0, 0, 3.0 * s),
            first=1 + 4 * t + s,
            keys={"TriggerTime": 40.0 * t} if s == 0 else {"TriggerTime": 40.0 * t + 0.1 * s * t},
        )
    ]
    assert why(planes) == ["duplicate_position"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param({"EchoNumbers": 1.0}, {"EchoNumbers": 2.0}, "EchoNumbers=2", id="echoes"),
        pytest.param(
            {"SeriesNumber": 4.0},
            {"SeriesNumber": 5.0},
            "SeriesNumber=5",
            id="two series under one UID",
        ),
        pytest.param(
            {"ImageType": ("ORIGINAL", "M")},
            {"ImageType": ("ORIGINAL", "P")},
            r"ImageType=ORIGINAL\P",
            id="magnitude and phase",
        ),
    ],
)
def test_classes_become_stacks_and_are_named(one: object, other: object, expected: str) -> None:
    planes = slices(3, first=1, classes=one) + slices(3, first=4, classes=other)
    found = split(planes)
    assert [type(each) for each in found] == [Stack, Stack]
    assert found[1].split_by == expected


def test_echo_times_split_only_where_positions_repeat() -> None:
    apart = slices(3, keys={"EchoTime": 10.0}) + slices(3, first=4, keys={"EchoTime": 20.0})
    assert [each.split_by for each in split(apart)] == ["EchoTime=10", "EchoTime=20"]
    drifting = [slices(1, origin=(0, 0, k), keys={"EchoTime": 10.0 + k})[0] for k in range(4)]
    assert [each.split_by for each in split(drifting)] == [None]


def test_orientations_become_stacks() -> None:
    planes = slices(3) + slices(3, turn=(-90, 0, 0), first=4) + slices(4, turn=(0, 90, 0), first=7)
    assert [each.orientation for each in split(planes)] == ["axial", "coronal", "sagittal"]


def test_acquisitions_of_other_ranges_are_stacks_of_their_own() -> None:
    chest = slices(6, keys={"AcquisitionNumber": 1.0})
    belly = slices(6, origin=(-100, -120, 42), first=7, keys={"AcquisitionNumber": 2.0})
    assert [each.split_by for each in split(chest + belly)] == [
        "AcquisitionNumber=1",
        "AcquisitionNumber=2",
    ]


def test_acquisitions_that_do_not_share_a_position_explain_uneven_slices() -> None:
    chest = slices(6, keys={"AcquisitionNumber": 1.0})
    belly = slices(6, origin=(-100, -120, 70.3), first=7, keys={"AcquisitionNumber": 2.0})
    assert [(type(each), each.split_by) for each in split(chest + belly)] == [
        (Stack, "AcquisitionNumber=1"),
        (Stack, "AcquisitionNumber=2"),
    ]


def test_stations_beside_each_other_are_never_one_array() -> None:
    left = slices(4, keys={"AcquisitionNumber": 1.0})
    right = slices(4, origin=(60, -120, 30), first=5, keys={"AcquisitionNumber": 2.0})
    found = split(left + right)
    assert [each.split_by for each in found] == ["AcquisitionNumber=1", "AcquisitionNumber=2"]
    unnamed = slices(4) + slices(4, origin=(60, -120, 30), first=5)
    assert why(unnamed) == ["duplicate_position"]


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        pytest.param(slices(1), ["too_few_slices"], id="one slice"),
        pytest.param(repeated(1, 9, "TriggerTime"), ["too_few_slices"], id="one slice, beating"),
        pytest.param(slices(3, localizer=True), ["localizer"], id="a localizer"),
        pytest.param(
            slices(3, localizer=True) + slices(4, first=9),
            ["localizer", None],
            id="a localizer in front of a volume",
        ),
        pytest.param(
            [plane for turn in (0, 20, 40) for plane in slices(1, turn=(0, turn, 0))],
            ["mixed_orientation"],
            id="a radial scan",
        ),
        pytest.param(
            slices(4, classes={"Rows": 4.0}) + slices(1, first=9, classes={"Rows": 8.0}),
            [None, "mixed_shape"],
            id="one slice of another size",
        ),
    ],
)
def test_what_is_no_stack_says_why(planes: list[Plane], expected: list[str | None]) -> None:
    assert why(planes) == expected


@given(orders)
@settings(max_examples=20, deadline=None)
def test_stacks_have_the_same_number_in_any_order(order: random.Random) -> None:
    planes = slices(3, classes={"EchoNumbers": 2.0}, first=4) + slices(
        3, classes={"EchoNumbers": 1.0}
    )
    order.shuffle(planes)
    assert [each.split_by for each in split(planes)] == ["EchoNumbers=1", "EchoNumbers=2"]


def test_half_of_the_slices_lost_at_random_still_finds_the_step() -> None:
    planes = [plane for k, plane in enumerate(slices(9)) if k not in {2, 5}]
    found = judge([planes], allow_missing=False)
    assert found.slice_spacing_mm == pytest.approx(3.0)


def test_more_places_than_slices_can_explain_are_no_stack() -> None:
    far = [0.0, *(1.0 + k for k in range(600)), *(601.0 + 900 * k for k in range(1, 30))]
    planes = [
        replace(plane, position=(0.0, 0.0, z)) for plane, z in zip(slices(630), far, strict=True)
    ]
    (found,) = stacks(planes, allow_missing=True)
    assert isinstance(found, NotAStack)
    assert found.reason is Reason.UNEVEN_SPACING
    assert "630 slices on 26702 places" in found.detail


def test_a_thousand_directions_are_told_apart() -> None:
    turned = [
        replace(slices(1, turn=(0, 0, 0.05 * k), first=k)[0], position=(0.0, 0.0, 3.0 * j))
        for j in range(3)
        for k in range(1000)
    ]
    found = stacks(turned, allow_missing=False)
    assert [type(one) for one in found] == [Stack] * 1000
    assert {len(one.positions_mm) for one in found} == {3}
