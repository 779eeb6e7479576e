"""Random weights: Keras' distributions, repeatable."""

import math

import numpy as np
import pytest
from weight_writers import B0, LITE0, TINY

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.lite.weights import random_weights


@pytest.mark.parametrize("variant", [LITE0, B0], ids=lambda v: v.name)
def test_complete(variant):
    weights = random_weights(variant, 12)
    assert {n: t.shape for n, t in weights.tensors.items()} == architecture(variant, 12).tensors()
    assert {t.dtype for t in weights.tensors.values()} == {np.dtype(np.float32)}
    assert (weights.layout, weights.classes, weights.head_is_new) == ("random", 12, False)


def test_distributions():
    tensors = random_weights(LITE0).tensors
    # fan_out is k·k·outputs; of a depthwise kernel k·k, as Keras reads its shape.
    for name, fan_out in (
        ("top_conv/kernel", 1280),
        ("block6b_expand_conv/kernel", 1152),
        ("stem_conv/kernel", 9 * 32),
        ("block6b_dwconv/depthwise_kernel", 25),
    ):
        values, std = tensors[name], math.sqrt(2 / fan_out)
        tolerance = 4 / math.sqrt(2 * values.size)  # four standard errors of a deviation
        assert values.std() == pytest.approx(std, rel=tolerance)
        assert np.abs(values).max() <= 2 * std / 0.8796 + 1e-6
    head = tensors["predictions/kernel"]
    limit = math.sqrt(3 * (1 / 3) / 1000)
    assert 0.999 * limit < np.abs(head).max() <= limit
    assert head.std() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert not tensors["predictions/bias"].any()
    for weight, value in (("gamma", 1), ("beta", 0), ("moving_mean", 0), ("moving_variance", 1)):
        assert (tensors[f"stem_bn/{weight}"] == value).all()
    biases = [t for n, t in random_weights(B0, 2).tensors.items() if n.endswith("reduce/bias")]
    assert len(biases) == 16
    assert not any(bias.any() for bias in biases)


def test_repeatable():
    first, again, other = (random_weights(TINY, 10, seed) for seed in (3, 3, 4))
    assert first.sha256 == again.sha256 != other.sha256
    assert all((first.tensors[n] == t).all() for n, t in again.tensors.items())
    assert first.name == "random-3"


def test_backbone_does_not_depend_on_the_classifier():
    small, large = random_weights(TINY, 2).tensors, random_weights(TINY, 20).tensors
    assert (small["top_conv/kernel"] == large["top_conv/kernel"]).all()
    assert set(random_weights(TINY, 0).tensors) == {n for n in small if "predictions" not in n}


def test_same_names_differ_between_tensors():
    tensors = random_weights(VARIANTS["lite1"], 2).tensors
    twins = tensors["block4b_dwconv/depthwise_kernel"], tensors["block4c_dwconv/depthwise_kernel"]
    assert not np.array_equal(*twins)
