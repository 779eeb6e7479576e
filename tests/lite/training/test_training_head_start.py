"""The classifier's fit: where its gradient vanishes, and what it knows."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite.lite.training.head_start import fit_classifier, ridge_of


@pytest.fixture(scope="module")
def features():
    """Three clouds that overlap a little, in 20 dimensions of very different spread."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    scale = 10.0 ** random.uniform(-2, 2, 20)
    middle = random.normal(size=(3, 20))
    return ((middle[labels] + random.normal(size=(300, 20)) * 0.7) * scale + 5 * scale), labels


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_ends_where_the_gradient_vanishes(features, smoothing):
    x, labels = features
    kernel, bias = fit_classifier(x, labels, np.ones(3), smoothing)
    assert kernel.shape == (20, 3)
    assert kernel.dtype == bias.dtype == np.float32
    logits = x @ kernel + bias
    assert (logits.argmax(1) == labels).mean() > 0.97
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    spread = x.std(0) + 1e-3
    standard = (x - x.mean(0)) / spread
    gradient = standard.T @ (shares - targets) / len(x) + ridge_of(300) * kernel * spread[:, None]
    assert np.abs(gradient).max() < 2e-3


def test_weights_of_classes_count():
    """A rare class in the middle of a common one is never answered unless it is weighed more."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [200, 10])
    x = random.normal(size=(210, 2)) + 0.7 * labels[:, np.newaxis]

    def found(weights):
        kernel, bias = fit_classifier(x, labels, weights, 0.0)
        return ((x @ kernel + bias).argmax(1) == 1).sum()

    assert found(210 / (2 * np.bincount(labels))) > 10 * max(1, found(np.ones(2)))
