"""The loss against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite.errors import UsageError
from effnet_lite.quantize.differentiable import forward
from effnet_lite.quantize.qat.objective import NO_LABEL, Answer, Objective, Teacher

RNG = np.random.default_rng(0)
LABELS = np.asarray([2, NO_LABEL, 0, 1], np.int32)


def answer():
    tf = pytest.importorskip("tensorflow")
    logits, features = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 1, 1, 6))
    return Answer(tf.constant(logits, tf.float32), tf.constant(features, tf.float32))


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def wanted(objective, found, taught, labels):
    s, t = found.logits.numpy().astype(float), taught.logits.numpy().astype(float)
    f, g = found.features.numpy().astype(float), taught.features.numpy().astype(float)
    total = 0.0
    soft, hard = log_softmax(t / objective.temperature), log_softmax(s / objective.temperature)
    distances = (np.exp(soft) * (soft - hard)).sum(1) * objective.temperature**2
    for row, label in enumerate(labels):
        share = 0.0 if label == NO_LABEL else objective.labels
        spread = np.full(3, objective.smoothing / 3)
        spread[label] += 1 - objective.smoothing
        total += share * -(spread * log_softmax(s)[row]).sum() + (1 - share) * distances[row]
    missed = np.square(f - g).sum() / np.square(g).sum()
    return total / len(labels) + objective.features * missed


@pytest.mark.parametrize(
    "objective",
    [
        Objective(labels=0.1),
        Objective(labels=1.0, smoothing=0.0),
        Objective(labels=0.0, temperature=5.0),
        Objective(labels=0.3, temperature=1.0, features=0.0),
    ],
)
def test_the_loss_is_the_formulas(objective):
    found, taught = answer(), answer()
    loss = float(objective(found, taught, LABELS))
    assert loss == pytest.approx(wanted(objective, found, taught, LABELS), rel=1e-5)


def test_a_perfect_student_has_nothing_to_learn_from_its_teacher():
    found = answer()
    assert float(Objective(labels=0.0)(found, found, LABELS)) == pytest.approx(0.0, abs=1e-6)


def test_photos_without_labels_count_for_the_teacher_alone():
    found, taught = answer(), answer()
    none = np.full(4, NO_LABEL, np.int32)
    assert float(Objective(labels=0.9)(found, taught, none)) == pytest.approx(
        float(Objective(labels=0.0)(found, taught, LABELS))
    )


def test_the_teacher_is_the_float_network(quantized):
    case = quantized()
    taught = Teacher(case.floats)(case.images)
    names = {tensor.name: index for index, tensor in enumerate(case.floats.tensors)}
    everything = forward(case.floats, case.images).outputs
    np.testing.assert_array_equal(taught.logits, everything[names["logits"]])
    np.testing.assert_array_equal(taught.features, everything[names["avg_pool"]])


@pytest.mark.parametrize(
    "given",
    [{"labels": -0.1}, {"labels": 1.1}, {"temperature": 0}, {"features": -1}, {"smoothing": 1.0},
     {"labels": float("nan")}, {"features": float("inf")}],
)  # fmt: skip
def test_weights_that_make_no_sense(given):
    (name,) = given
    with pytest.raises(UsageError, match=f"cannot have {name} "):
        Objective(**given)
