"""Synthetic images: dead leaves, moved until a network's batch norms see what they know."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_network import lively_weights
from small_variants import LITE, B

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import random_weights
from effnet_lite.quantize import matching
from effnet_lite.quantize.export import expected_moments, export
from effnet_lite.quantize.matching import Effort, affordable, distance, match
from effnet_lite.quantize.synthetic import dead_leaves
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

CLASSES = 10


@pytest.fixture(scope="module", params=[LITE, B])
def network(request):
    """Graph, expected moments and preprocessing of a network whose batch norms fit pictures."""
    row = get_variant(request.param)
    plan, tensors = architecture(row, CLASSES), lively_weights(row, CLASSES)
    return export(plan, tensors), expected_moments(plan, tensors), preprocessing_for(row)


def leaves(count):
    return [dead_leaves(64, number) for number in range(count)]


def test_dead_leaves():
    first, again, other = dead_leaves(48, 0), dead_leaves(48, 0), dead_leaves(48, 1)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    # Like photos, and unlike noise: neighbours resemble each other, and the range is used.
    image = first.astype(float)
    assert np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1] > 0.5
    assert image.std() > 20


def test_matching_brings_the_statistics_closer(network, monkeypatch):
    """Without shifts, under which a network of random kernels keeps no statistics."""
    monkeypatch.setattr(matching, "MAX_SHIFT", 0)
    start, calls = leaves(4), []
    found = match(
        *network[:2], start, network[2], Effort(4, 30, 4), confident=False,
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    before, after = (distance(*network[:2], images, network[2]) for images in (start, found))
    # Measured: 26.3 to 5.0 for Lite, 188 to 130 for B, the rounding to uint8 included; other
    # kernels take another path down.
    assert after < before
    assert [image.shape for image in found] == [(64, 64, 3)] * 4
    assert {image.dtype.name for image in found} == {"uint8"}
    assert [call[:2] for call in calls] == [(done, 30) for done in range(1, 31)]


def test_the_seed_decides_every_byte(network):
    def made(seed):
        images = match(*network[:2], leaves(2), network[2], Effort(2, 2, 1), seed)
        return np.stack(images).tobytes()

    assert made(0) == made(0)
    assert made(0) != made(1)


def test_a_batch_moves_as_it_would_among_all(network):
    """The gradient of two images with the sums of two others is that of all four."""
    target = matching._Target(*network, 0.0)  # the classes' part is a mean over the batch
    pixels, classes = np.stack(leaves(4)).astype(np.float32), np.arange(4, dtype=np.int32)
    both, first = matching._Batch(pixels, classes), matching._Batch(pixels[:2], classes[:2])
    rest, still = target.sums(pixels[2:]) / 2, np.zeros(2, np.int64)
    whole, sums = target.gradient(both, np.zeros_like(rest), 1.0, still, mirror=False)
    part, own = target.gradient(first, rest, 0.5, still, mirror=False)
    np.testing.assert_allclose(own / 2 + rest, sums, rtol=1e-3, atol=1e-3)
    assert np.abs(part - whole[:2]).max() < 1e-3 * np.abs(whole).max()


def test_the_sums_and_their_gradient():
    """Against TensorFlow's own gradient of the same formula."""
    tf = pytest.importorskip("tensorflow")
    random = np.random.default_rng(0)
    centre = random.normal(size=5).astype(np.float32)
    weights = random.normal(size=(2, 5)).astype(np.float32)
    x = tf.constant(random.normal(size=(3, 4, 4, 5)), tf.float32)

    def plain(x):
        away = x - centre
        return tf.stack([tf.reduce_mean(away, (0, 1, 2)), tf.reduce_mean(away**2, (0, 1, 2))])

    values, gradients = [], []
    for function in (plain, lambda x: matching._sums(tf, x, centre)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values.append(function(x))
            loss = tf.reduce_sum(weights * values[-1])
        gradients.append(tape.gradient(loss, x))
    np.testing.assert_allclose(*values, atol=1e-6)
    np.testing.assert_allclose(*gradients, atol=1e-6)


def test_confident_images_are_of_their_classes(monkeypatch):
    monkeypatch.setattr(matching, "MAX_SHIFT", 0)
    monkeypatch.setattr(matching, "CLASS_WEIGHT", 30.0)
    row = get_variant(LITE)
    plan, tensors = architecture(row, CLASSES), lively_weights(row, CLASSES)
    graph, preprocessing = export(plan, tensors), preprocessing_for(row)
    expected = expected_moments(plan, tensors)
    found = match(graph, expected, leaves(4), preprocessing, Effort(4, 20, 4), seed=5)
    runner = Runner(to_flatbuffer(graph))
    hits = 0
    for image, wanted in zip(found, np.random.default_rng(5).permutation(CLASSES), strict=False):
        runner.set_input(preprocessing.normalize(image)[np.newaxis])
        runner.invoke()
        hits += runner.output()[0].argmax() == wanted
    assert hits >= 3


def test_effort_is_bounded_for_every_variant():
    efforts = {}
    for name in ("lite0", "lite2", "lite4", "b0", "b3", "b7"):
        row = get_variant(name)
        plan = architecture(row)
        zeros = {name: np.zeros(shape, np.float32) for name, shape in plan.tensors().items()}
        efforts[name] = affordable(export(plan, zeros))
        if effort := efforts[name]:
            assert effort.images % effort.batch == 0
            assert effort.images * effort.steps * plan.madds <= matching.COST_BUDGET
    assert efforts["lite0"] == Effort(32, 60, 8)
    assert efforts["lite4"].images < efforts["lite2"].images
    assert efforts["b3"].batch < efforts["b0"].batch
    assert efforts["b7"] is None


@pytest.mark.parametrize("name", [LITE, B])
def test_expected_moments_are_those_of_the_batch_norms(name):
    row = get_variant(name)
    plan, tensors = architecture(row, CLASSES), dict(random_weights(row, CLASSES).tensors)
    norm = f"{plan.blocks[0].name}_bn"
    channels = len(tensors[f"{norm}/gamma"])
    tensors[f"{norm}/gamma"] = np.full(channels, -2, np.float32)
    tensors[f"{norm}/beta"] = np.full(channels, 3, np.float32)
    tensors[f"{norm}/moving_variance"] = np.full(channels, 1e-3, np.float32)
    moments = expected_moments(plan, tensors)
    found = moments[f"{plan.blocks[0].name}_dwconv"]
    np.testing.assert_array_equal(found.mean, 3)
    np.testing.assert_allclose(found.std, np.sqrt(2), rtol=1e-6)  # σ² = ε halves the variance
    folded = {op.output for op in export(plan, tensors).ops}
    names = {t.name for n, t in enumerate(export(plan, tensors).tensors) if n in folded}
    assert set(moments) <= names
    # The squeeze's convolutions have biases instead.
    assert not any("_se_" in tensor for tensor in moments)
    assert len(moments) == sum(layer.kind == "bn" for layer in plan.layers())
