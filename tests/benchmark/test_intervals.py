"""Intervals hold what they promise to hold, on times whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite.benchmark.intervals import (
    FURTHEST,
    mean_interval,
    ratio_of_launches,
    ratio_of_turns,
    student_quantile,
)


def launches(random, count=5, runs=40, scale=1.0, launch_spread=0.01):
    """Times of processes that each have a speed of their own."""
    return [
        scale * 4 * np.exp(random.normal(0, launch_spread)) * np.exp(random.normal(0, 0.03, runs))
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("degrees", "confidence", "expected"),
    # Student's table.
    [(1, 0.95, 12.706), (4, 0.95, 2.776), (4, 0.99, 4.604), (9, 0.99, 3.250), (30, 0.99, 2.750)],
)
def test_student_quantile(degrees, confidence, expected):
    assert student_quantile(degrees, confidence) == pytest.approx(expected, abs=5e-4)


def test_equal_models_are_seldom_told_apart():
    random = np.random.default_rng(0)
    found = [ratio_of_launches(launches(random), launches(random)) for _ in range(400)]
    wrong = sum(not one.low <= 1 <= one.high for one in found)
    # 1 % of 400 is 4; 11 or more come once in 300 such tests, and the seed is fixed.
    assert wrong <= 10


def test_ten_per_cent_are_found():
    random = np.random.default_rng(1)
    found = [ratio_of_launches(launches(random), launches(random, scale=1.1)) for _ in range(100)]
    assert sum(one.low > 1 for one in found) >= 95
    assert np.mean([one.value for one in found]) == pytest.approx(1.1, abs=0.01)


def turns(random, scale, disturbed):
    """Launches of 10 turns of 5 runs; a disturbance makes whole rounds slower."""
    found = []
    for times in launches(random, runs=50, scale=scale):
        rounds = times.reshape(10, 5)
        slower = np.where(disturbed, random.uniform(1, 3, rounds.shape), 1)
        found.append(list(rounds * slower))
    return found


def test_a_disturbed_machine_is_no_reason_to_see_a_difference():
    random = np.random.default_rng(4)
    wrong = found = 0
    for _ in range(100):
        busy = random.random((10, 1)) < 0.5
        first = turns(random, 1.0, busy)
        wrong += ratio_of_turns(first, turns(random, 1.0, busy)).low > 1
        found += ratio_of_turns(first, turns(random, 1.1, busy)).low > 1
    assert wrong <= 5
    assert found >= 80


@pytest.mark.parametrize("apart", [4.0, 1e8])
def test_two_launches_that_differ_say_nothing(apart):
    first, second = [np.ones(5), np.ones(5)], [np.full(5, apart), np.full(5, 1 / apart)]
    found = ratio_of_launches(first, second)
    assert found.value == pytest.approx(1)
    assert (found.low, found.high) == pytest.approx((1 / FURTHEST, FURTHEST))
    by_turn = ratio_of_turns([[one] for one in first], [[other] for other in second])
    assert (by_turn.low, by_turn.high) == (found.low, found.high)


def test_a_ratio_needs_two_launches():
    with pytest.raises(ValueError, match="2 or more pairs"):
        ratio_of_launches([np.ones(5)], [np.ones(5)])
    with pytest.raises(ValueError, match="2 or more pairs"):
        ratio_of_turns([[np.ones(5)]], [[np.ones(5)]])


def test_the_mean_lies_in_its_interval():
    random = np.random.default_rng(2)
    held = 0
    for seed in range(200):
        low, high = mean_interval([random.exponential(3, 300)], seed)
        held += low <= 3 <= high
    assert held >= 180  # 95 % of 200 are 190


def test_the_mean_of_launches_that_differ():
    random = np.random.default_rng(3)
    held = 0
    for seed in range(200):
        low, high = mean_interval(launches(random, scale=np.exp(-0.0005)), seed)
        held += low <= 4 <= high
    # A bootstrap of 5 knows too little of their spread, but far more than one of all runs.
    assert held >= 165


def test_one_run_has_an_interval_of_no_width():
    assert mean_interval([[2.0]]) == (2.0, 2.0)
