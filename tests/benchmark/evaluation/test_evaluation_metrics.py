"""Figures of answers, against their definitions."""

from __future__ import annotations

import itertools
import json
import math
import random

import numpy as np
import pytest

from effnet_lite.benchmark.evaluation.answers import Answer, answer_of, best
from effnet_lite.benchmark.evaluation.metrics import BINS, Sums
from effnet_lite.benchmark.evaluation.paired import Pair, mcnemar
from effnet_lite.quantize.drop import paired_interval
from effnet_lite.quantize.fidelity import wilson_interval

LABELS = ("a", "b", "c", "d")


def random_answers(count, seed=0, classes=4):
    source = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        output = source.dirichlet(np.full(classes, 0.5)).astype(np.float32)
        right = int(source.integers(classes - 1))
        found.append((answer_of(output, float(output.max()), right, 0), right))
    return found


@pytest.mark.parametrize("count", [1, 3, 5, 8, 20])
def test_best_takes_the_lower_index_of_equals(count):
    source = np.random.default_rng(count)
    for _ in range(200):
        output = source.integers(0, 6, 8).astype(np.float32)
        wanted = sorted(range(8), key=lambda index: (-output[index], index))[:count]
        assert best(output, count).tolist() == wanted


def test_the_rank_follows_the_same_rule():
    output = np.float32([0.5, 0.9, 0.5, 0.9, 0.1])
    order = [1, 3, 0, 2, 4]
    for right in range(5):
        answer = answer_of(output, 0.9, right, 0)
        assert answer.rank == order.index(right)
        assert answer.top == tuple(order)


def test_a_background_output_is_no_class_but_a_rival():
    answer = answer_of(np.float32([0.7, 0.1, 0.2]), 0.7, 1, 1)
    assert (answer.top, answer.rank) == ((-1, 1, 0), 1)


def test_answers_survive_json():
    for answer, _ in random_answers(50):
        assert Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer


@pytest.mark.parametrize("record", [None, [], [[], 0.5, 0], [[1], 2.0, 0], [[1], math.nan, 0],
                                    [[1], 0.5, -1], [[1], "x", 0], ["ab", 0.5, 0], 7])  # fmt: skip
def test_what_is_no_answer(record):
    with pytest.raises((ValueError, TypeError)):
        Answer.from_json(record)


def test_figures_are_their_definitions():
    answers = random_answers(500)
    sums = Sums(2)
    for answer, right in answers:
        sums.add(answer, right)
    found = sums.figures(LABELS)
    ranks = np.array([answer.rank for answer, _ in answers])
    assert found.count == 500
    assert (found.top1, found.top5, found.topk) == (np.mean(ranks < 1), 1.0, np.mean(ranks < 2))
    assert found.top1_interval == wilson_interval(int((ranks < 1).sum()), 500)
    # Guo et al., equations 1 to 3, as they stand.
    confidence = np.array([answer.confidence for answer, _ in answers])
    ece = 0.0
    for number in range(BINS):
        inside = (confidence > number / BINS) & (confidence <= (number + 1) / BINS)
        assert found.bins[number].count == inside.sum()
        if inside.any():
            gap = abs(np.mean(ranks[inside] == 0) - confidence[inside].mean())
            ece += inside.sum() / 500 * gap
    assert found.ece == pytest.approx(ece, abs=1e-10)
    matrix = np.zeros((4, 4), int)
    for answer, right in answers:
        matrix[right, answer.top[0]] += 1
    assert found.confusion == tuple(
        (i, j, matrix[i, j]) for i in range(4) for j in range(4) if matrix[i, j]
    )
    assert [entry.label for entry in found.classes] == ["a", "b", "c"]  # d has no photo
    for entry in found.classes:
        row = matrix[entry.index]
        assert (entry.count, entry.top1) == (row.sum(), row[entry.index] / row.sum())
        assert entry.answered == matrix[:, entry.index].sum()
        assert entry.precision == row[entry.index] / entry.answered
    assert found.class_mean_top1 == pytest.approx(np.mean([e.top1 for e in found.classes]))
    wrong = found.confusions()
    assert all(one[2] >= two[2] for one, two in itertools.pairwise(wrong))
    assert all(right != answer for right, answer, _ in wrong)


def test_the_order_of_photos_changes_no_digit():
    answers = random_answers(300)
    results = []
    for seed in range(5):
        random.Random(seed).shuffle(answers)
        sums = Sums(5)
        for answer, right in answers:
            sums.add(answer, right)
        results.append(json.dumps(sums.figures(LABELS).to_json()))
    assert len(set(results)) == 1


@pytest.mark.parametrize("confidence", [0.0, 1 / 15, 0.5, 1.0])
def test_confidences_at_the_limits_of_bins(confidence):
    sums = Sums(5)
    sums.add(Answer((0,), confidence, 0), 0)
    (filled,) = [entry for entry in sums.figures(LABELS).bins if entry.count]
    assert filled.low <= confidence <= filled.high


def test_the_worst_class_is_the_one_that_is_surely_bad():
    sums = Sums(5)
    for _ in range(20):
        sums.add(Answer((1,), 0.9, 1), 0)  # 0 of 20
    sums.add(Answer((0,), 0.9, 1), 2)  # 0 of 1
    for _ in range(5):
        sums.add(Answer((1,), 0.9, 0), 1)  # all right
    assert [entry.label for entry in sums.figures(LABELS).worst(5)] == ["a", "c"]


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 5, 0.0625),  # 2 / 2^5
        (6, 0, 0.03125),
        (3, 3, 1.0),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (121, 59, 4.4344e-06),
    ],
)
def test_mcnemar(only_a, only_b, p):
    total, fewer = only_a + only_b, min(only_a, only_b)
    exact = min(1.0, 2 * sum(math.comb(total, k) for k in range(fewer + 1)) / 2**total)
    assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a) == exact
    assert exact == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize(("only_a", "only_b"), [(500, 501), (480, 560), (1000, 1200), (0, 1001)])
def test_mcnemar_of_many_photos(only_a, only_b):
    total, fewer = only_a + only_b, min(only_a, only_b)
    below = sum(math.comb(total, k) for k in range(fewer + 1))
    assert mcnemar(only_a, only_b) == pytest.approx(min(1.0, 2 * below / 2**total), rel=1e-9)


def test_mcnemar_of_a_million():
    assert mcnemar(500_000, 500_000) == 1.0
    assert 0 <= mcnemar(490_000, 510_000) < 1e-80


def test_pairs():
    pair = Pair()
    for a, b, same, times in ((0, 0, True, 5), (0, 1, False, 3), (2, 0, False, 1), (1, 1, True, 2),
                              (1, 2, False, 4)):  # fmt: skip
        for _ in range(times):
            pair.add(Answer((7,), 0.5, a), Answer((7 if same else 8,), 0.5, b))
    found = pair.comparison("x", "y", 1)
    assert (found.count, found.only_a, found.only_b) == (15, 3, 1)
    assert found.difference == pytest.approx(100 * -2 / 15)
    low, high = paired_interval(3, 1, 15)
    assert found.interval == pytest.approx((-100 * high, -100 * low))
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.agreement == 7 / 15
    assert found.p_value == mcnemar(3, 1)
