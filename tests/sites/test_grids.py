"""Events to grids: the mean of a cell, nothing from after the window, nothing impossible."""

import numpy as np
import pytest

from sites.grids import Events, grid, latest, plausible, steps_of, window
from sites.reading import Feature

PH = Feature(name="ph", kind="numeric", low=6.3, high=8.4)
ANY = Feature(name="any", kind="numeric")


def drawn(count: int, *, records: int = 5, variables: int = 3, last: float = 60.0) -> Events:
    """Draw events, some of them before admission and some after any window."""
    draw = np.random.default_rng(count)
    return Events(
        draw.integers(0, records, count), draw.uniform(-3, last, count),
        draw.integers(0, variables, count), draw.normal(size=count),
    )  # fmt: skip


def naive(events: Events, shape: tuple[int, int, int], *, hours: float, step_hours: float) -> np.ndarray:
    """Average cell by cell."""
    found = np.full(shape, np.nan, dtype=np.float32)
    for record, step, variable in np.ndindex(shape):
        end = min((step + 1) * step_hours, hours)
        inside = [
            value
            for at, when, what, value in zip(*events, strict=True)
            if (at, what) == (record, variable) and step * step_hours <= when < end
        ]
        if inside:
            found[record, step, variable] = np.mean(inside)
    return found


@pytest.mark.parametrize(("hours", "step_hours"), [(48.0, 4.0), (48.0, 5.0), (24.0, 24.0), (3.0, 0.5)])
def test_a_cell_is_the_mean_of_its_events(hours: float, step_hours: float) -> None:
    events = drawn(800)
    found = grid(events, 5, 3, hours=hours, step_hours=step_hours)
    expected = naive(events, (5, steps_of(hours, step_hours), 3), hours=hours, step_hours=step_hours)
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_order_of_events_changes_nothing_but_rounding() -> None:
    events = drawn(300)
    order = np.random.default_rng(1).permutation(300)
    mixed = Events(*(each[order] for each in events))
    first, second = (grid(each, 5, 3, hours=48, step_hours=8) for each in (events, mixed))
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_an_event_at_or_after_the_end_changes_nothing() -> None:
    events = drawn(300, last=24)
    for late in (24.0, 24.5, 1e6):
        more = Events(*(np.append(each, new) for each, new in zip(events, (0, late, 0, 1e9), strict=True)))
        np.testing.assert_array_equal(
            grid(more, 5, 3, hours=24, step_hours=1), grid(events, 5, 3, hours=24, step_hours=1)
        )
    assert window(events, 12).hours.max() < 12
    assert window(events, 12).hours.min() >= 0


def test_a_step_that_no_sum_of_floats_hits_still_starts_its_cell() -> None:
    at = np.array([0.1 + 0.1 + 0.1, 0.7])  # 0.30000000000000004; 0.7 / 0.1 is 6.999999999999999
    events = Events(np.zeros(2, np.int64), at, np.zeros(2, np.int64), np.array([1.0, 2.0]))
    found = grid(events, 1, 1, hours=1, step_hours=0.1)[0, :, 0]
    assert np.flatnonzero(np.isfinite(found)).tolist() == [3, 7]
    assert steps_of(0.3, 0.1) == 3


def test_impossible_values_are_counted_and_never_averaged() -> None:
    events = Events(
        np.zeros(4, np.int64), np.zeros(4), np.array([0, 0, 1, 0]), np.array([7.35, 735.0, 735.0, 6.3])
    )
    kept, outside = plausible(events, (PH, ANY))
    assert outside == {"ph": 1}
    assert grid(kept, 1, 2, hours=1, step_hours=1)[0, 0].tolist() == pytest.approx([6.825, 735.0])


def test_latest_is_the_last_event_of_each_variable_before_the_prediction() -> None:
    events = Events(np.array([0, 1, 1]), np.array([2.0, 20.0, 11.0]), np.array([0, 0, 0]), np.ones(3))
    assert latest(events, (PH, ANY), 24.0) == {"ph": -4.0}
