"""Drops in top-1: their intervals, and that luck seldom passes."""

from __future__ import annotations

import math

import pytest

from effnet_lite.quantize.drop import (
    Z,
    enough_photos,
    fewest_photos,
    least_provable,
    paired_interval,
    top1_drop,
)
from effnet_lite.quantize.fidelity import wilson_interval


@pytest.mark.parametrize(
    ("lost", "won", "count", "low", "high"),
    [
        # Fagerland, Lydersen & Laake, Statistical Analysis of Contingency Tables (2017),
        # chapter 8: airway hyper-responsiveness, complete response (in their package's tests).
        (1, 7, 21, -0.517, -0.026),
        (6, 16, 161, -0.1240, -0.0054),
        (16, 6, 161, 0.0054, 0.1240),
        # By hand: T(δ) = -n·δ / √(n·δ·(1 - δ)), so z² = n·δ / (1 - δ).
        (0, 0, 120, -(Z**2) / (120 + Z**2), Z**2 / (120 + Z**2)),
    ],
)
def test_paired_interval(lost, won, count, low, high):
    digits = 5e-4 if count == 21 else 5e-5
    assert paired_interval(lost, won, count) == pytest.approx((low, high), abs=digits)


@pytest.mark.parametrize(
    ("lost", "won", "count"), [(5, 2, 30), (3, 0, 30), (0, 4, 30), (20, 0, 20)]
)
def test_the_ends_of_the_paired_interval_are_what_the_score_test_just_accepts(lost, won, count):
    """The test with the likeliest nuisance parameter looked for, not computed."""
    for end, sign in zip(paired_interval(lost, won, count), (1, -1), strict=True):
        if abs(end) > 1 - 1e-9:
            continue  # the end of what is possible

        def likelihood(q, end=end):
            cells = ((lost, q + end), (won, q), (count - lost - won, 1 - 2 * q - end))
            if any(p < 0 or (n and p <= 0) for n, p in cells):
                return -math.inf
            return sum(n * math.log(p) for n, p in cells if n)

        steps = 20_000
        q = max((step / steps for step in range(steps)), key=likelihood)
        variance = count * (2 * q + end - end**2)
        assert (lost - won - count * end) / math.sqrt(variance) == pytest.approx(sign * Z, abs=2e-3)


def multinomial(count, *cells):
    """The probability of the numbers in ``cells``, (number, probability) each."""
    rest = count - sum(number for number, _ in cells)
    cells = (*cells, (rest, 1 - sum(p for _, p in cells)))
    logarithm = math.lgamma(count + 1)
    for number, p in cells:
        logarithm += (number * math.log(p) if number else 0) - math.lgamma(number + 1)
    return math.exp(logarithm)


@pytest.mark.parametrize(("count", "limit"), [(73, 5), (120, 5), (200, 5), (381, 1), (1000, 1)])
def test_a_model_that_loses_the_limit_seldom_passes(count, limit):
    """Nominal 2.5 %, by agreement, computed over all outcomes."""
    passing = [n for n in range(count) if 100 * wilson_interval(n, count)[1] <= limit]
    chance = sum(multinomial(count, (n, limit / 100)) for n in passing)
    assert passing
    assert chance <= 0.025


@pytest.mark.parametrize(("count", "limit", "won"), [(120, 5, 0.02), (381, 1, 0.001)])
def test_nor_does_it_by_accuracy(count, limit, won):
    chance = sum(
        probability
        for b in range(30)
        for c in range(12)
        if (probability := multinomial(count, (b, limit / 100 + won), (c, won))) > 1e-7
        and 100 * paired_interval(b, c, count)[1] <= limit
    )
    assert 0.005 < chance <= 0.03


@pytest.mark.parametrize("limit", [0.01, 0.5, 1, 3.1, 5, 50, 99, 100])
def test_the_fewest_photos_that_can_prove_a_drop(limit):
    fewest = fewest_photos(limit)
    assert least_provable(fewest) <= limit
    assert fewest == 1 or least_provable(fewest - 1) > limit
    assert enough_photos(limit) > fewest


def test_what_photos_can_prove():
    assert least_provable(120) == pytest.approx(3.102, abs=1e-3)
    assert least_provable(0) == 100
    assert fewest_photos(1) == 381
    answers = list(range(120))
    same = top1_drop(answers, answers, None, limit=5)
    assert same.interval[1] == pytest.approx(least_provable(120))
    assert same.within(3.2)
    assert not same.within(3.1)


def test_with_enough_photos_a_model_that_loses_two_thirds_passes():
    count = enough_photos(3)
    wanted = [0] * count
    for share, passes in ((0.66, True), (0.68, False)):
        differing = round(count * 0.03 * share)
        drop = top1_drop(wanted, [1] * differing + [0] * (count - differing), None, 3)
        assert drop.within(3) == passes


def test_by_agreement_every_difference_is_a_loss():
    drop = top1_drop([1] * 50, [1] * 40 + [2] * 10, None, limit=10)
    assert (drop.judged_by, drop.photos, drop.points) == ("agreement", 50, 20)
    assert drop.interval == tuple(100 * end for end in wilson_interval(10, 50))


def test_by_accuracy_what_is_won_counts():
    wanted = [1] * 45 + [2] * 5
    found = [2] * 3 + [1] * 42 + [1] * 2 + [2] * 3
    drop = top1_drop(wanted, found, [1] * 50, limit=10)
    assert (drop.judged_by, drop.photos) == ("accuracy", 50)
    assert drop.points == pytest.approx(2)
    assert drop.interval == tuple(100 * end for end in paired_interval(3, 2, 50))


@pytest.mark.parametrize(
    ("labelled", "count", "limit", "judged_by"),
    [
        (30, 30, 20, "accuracy"),  # all
        (29, 30, 20, "agreement"),
        (50, 120, 10, "accuracy"),
        (49, 120, 10, "agreement"),
        (50, 120, 5, "agreement"),  # 50 cannot prove 5 points
        (73, 120, 5, "accuracy"),
    ],
)
def test_how_many_labels_are_enough(labelled, count, limit, judged_by):
    known = [1] * labelled + [None] * (count - labelled)
    drop = top1_drop([1] * count, [1] * count, known, limit)
    assert drop.judged_by == judged_by
    assert drop.photos == (labelled if judged_by == "accuracy" else count)


def test_labels_that_the_float_model_gets_wrong_let_nothing_pass():
    """Else a model that answers anything would lose nothing."""
    drop = top1_drop([1] * 100, [2] * 100, [1] * 5 + [3] * 95, limit=5)
    assert (drop.judged_by, drop.points) == ("agreement", 100)
    assert top1_drop([1] * 100, [2] * 100, [1] * 6 + [3] * 94, limit=5).judged_by == "accuracy"
