"""The network in training: the builder's tensors, noise that the step and the seed decide."""

from __future__ import annotations

import numpy as np
import pytest
from shapes import TINY

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.builder import build_model, get_weights, set_weights
from effnet_lite.lite.training.config import preset
from effnet_lite.lite.training.network import training_model
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import random_weights

tf = pytest.importorskip("tensorflow")

ROW = get_variant(TINY)
IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)


def model_of(step, row=ROW, **settings):
    """Its batch norms forget nothing, so that calls can be compared."""
    config = preset("transfer", **settings).for_variant(row)
    model = training_model(row, 3, config, lambda: step, False)
    set_weights(model, random_weights(row, 3).tensors)
    return model


def test_it_is_the_builders_network():
    model, plain = model_of(0, drop_block=0.2), build_model(architecture(ROW, 3))
    assert list(get_weights(model)) == list(get_weights(plain))
    set_weights(plain, get_weights(model))
    expected = plain(IMAGES, training=False).numpy()
    assert np.array_equal(model(IMAGES, training=False).numpy(), expected)


def test_statistics_move_as_told():
    model = model_of(0, bn_momentum=0.5)
    assert {layer.momentum for layer in model.layers if layer.name.endswith("_bn")} == {0.5}


def test_noise_is_the_steps():
    step = tf.Variable(0, dtype=tf.int64)
    model = model_of(step, dropout=0.5, drop_connect=0.5)
    first = model(IMAGES, training=True).numpy()
    assert np.array_equal(model(IMAGES, training=True).numpy(), first)
    step.assign(1)
    assert not np.array_equal(model(IMAGES, training=True).numpy(), first)
    step.assign(0)
    assert np.array_equal(model(IMAGES, training=True).numpy(), first)
    other = model_of(tf.Variable(0), dropout=0.5, drop_connect=0.5, seed=1)
    assert not np.array_equal(other(IMAGES, training=True).numpy(), first)


def layer_of(model, kind):
    return next(layer for layer in model.layers if type(layer).__name__ == kind)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_drops_its_share(rate):
    layer = layer_of(model_of(3, dropout=rate, drop_connect=0.0), "SeededDropout")
    found = layer(np.ones((64, 1000), np.float32), training=True).numpy()
    assert set(np.unique(found)) == {0, np.float32(1) / np.float32(1 - rate)}
    assert found.mean() == pytest.approx(1, abs=0.02)


def test_stochastic_depth_drops_whole_photos():
    # A block of the tiny network never has its input's shape: one of a deeper network.
    row = get_variant("lite-w0.1-d0.5-s32")
    model = model_of(1, row, drop_connect=0.6, dropout=0.0)
    layer = next(layer for layer in model.layers if layer.name.endswith("_drop"))
    found = layer(np.ones((400, 2, 2, 8), np.float32), training=True).numpy()
    by_photo = found.reshape(400, -1)
    assert (by_photo == by_photo[:, :1]).all()
    assert (by_photo[:, 0] == 0).mean() == pytest.approx(layer.rate, abs=0.08)
    assert 0 < layer.rate < 0.6


def test_drop_block_drops_squares():
    layer = layer_of(model_of(5, drop_block=0.2), "DropBlock")
    layer.side = 3
    found = layer(np.ones((500, 12, 12, 2), np.float32), training=True).numpy()
    assert np.array_equal(found[..., 0], found[..., 1])
    kept = found[..., 0] > 0
    # Squares overlap, so that a little less than a fifth is gone.
    assert 0.14 < 1 - kept.mean() < 0.2
    assert found.mean() == pytest.approx(1, abs=1e-3)
    photo = kept[np.argmin(kept.mean((1, 2)))]
    gone = np.argwhere(~photo)
    for row, column in gone:  # each dropped point lies in a dropped square of 3
        tops = range(max(0, row - 2), min(row, 9) + 1)
        lefts = range(max(0, column - 2), min(column, 9) + 1)
        assert any(
            not photo[top : top + 3, left : left + 3].any() for top in tops for left in lefts
        )


def test_synchronized_statistics():
    config = preset("transfer").for_variant(ROW)
    model = training_model(ROW, 3, config, lambda: 0, True)
    norms = [layer for layer in model.layers if layer.name.endswith("_bn")]
    assert all(layer.synchronized for layer in norms)
