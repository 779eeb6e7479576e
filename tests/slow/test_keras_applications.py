"""The B family against keras.applications: parameters, and logits with the same weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from effnet_lite import EffNetLite
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.quantize.export import export
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

pytestmark = pytest.mark.slow

pytest.importorskip("tf_keras")
applications = pytest.importorskip("keras").applications

IMAGES = 4


@pytest.mark.parametrize("name", ["b0", "b3"])
def test_logits(name, tmp_path):
    """Through the .h5 reader; our Keras model and our float32 .tflite file."""
    row = VARIANTS[name]
    pixels = images(row.size)
    theirs = applications_model(name, pixels)
    expected = theirs.predict(pixels, verbose=0)
    # The images are told apart by a hundred times the tolerance: no comparison of constants.
    assert expected.std(axis=0).mean() > 1e-2
    assert np.abs(expected).max() < 20
    file = tmp_path / f"{name}.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that HDF5 is legacy
        theirs.save(file)

    ours = EffNetLite(row, weights=file).build()(pixels, training=False).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)

    graph = export(architecture(row), load_weights(file, row).tensors, "logits")
    runner = Runner(to_flatbuffer(graph))
    found = np.concatenate([runner.run(image[np.newaxis]) for image in pixels])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def images(size):
    """Coarse colours with fine structure, (IMAGES, size, size, 3) float32 pixels."""
    random = np.random.default_rng(1)
    coarse = [Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)) for _ in range(IMAGES)]
    smooth = np.stack([np.asarray(one.resize((size, size))) for one in coarse]).astype(np.float32)
    return np.clip(smooth + random.normal(0, 10, smooth.shape), 0, 255).astype(np.float32)


def applications_model(name, pixels):
    """Without softmax; random weights with batch norm statistics that fit them."""
    model = getattr(applications, f"EfficientNet{name.upper()}")(
        weights=None, classifier_activation=None
    )
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("normalization"):
            layer.adapt_mean.assign((0.45, 0.5, 0.42))
            layer.adapt_variance.assign((0.06, 0.05, 0.07))
            layer.finalize_state()
        for variable in layer.trainable_variables:
            if variable.path.endswith(("gamma", "beta", "bias")):
                shift = random.normal(0, 0.1, variable.shape)
                variable.assign(np.asarray(variable) + shift)
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0  # one pass in training then sets the statistics
    # Untouched statistics would let the signal die out over the blocks.
    model(pixels, training=True)
    return model


@pytest.mark.parametrize("number", range(8))
def test_parameters(number):
    """All of them: the moving statistics and the seven of the normalisation included."""
    from effnet_lite.lite.builder import build_model

    theirs = getattr(applications, f"EfficientNetB{number}")(weights=None)
    plan = architecture(VARIANTS[f"b{number}"])
    assert build_model(plan).count_params() == theirs.count_params()
    trainable = sum(int(np.prod(weight.shape)) for weight in theirs.trainable_weights)
    assert plan.params == trainable
