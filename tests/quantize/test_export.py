"""The float32 graph that is written without TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_network import forward, lively_weights

from effnet_lite.lite.architecture import BN_EPSILON, architecture
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.variants import VARIANTS, get_variant
from effnet_lite.lite.weights import random_weights
from effnet_lite.quantize.export import export, fold_batch_norm
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_float_tflite_reproduces_the_reference_logits(name, shared, lite_weights):
    row = VARIANTS[name]
    weights = load_weights(lite_weights(name), row)
    runner = Runner(to_flatbuffer(export(architecture(row), weights.tensors, "logits")))
    reference = np.load(shared / "golden" / f"{name}_reference.npz")
    preprocessing = preprocessing_for(row)
    for pixels, expected in zip(reference["pixels"], reference["logits"], strict=True):
        found = runner.run(preprocessing.normalize(pixels)[np.newaxis])[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_operators_by_the_plan(name):
    """One operator a layer: batch norm folded, ReLU6 fused, nothing in between."""
    plan = architecture(VARIANTS[name], 10)
    graph = export(plan, Shapes(plan))
    kinds = [op.kind for op in graph.ops]
    blocks = len(plan.blocks)
    expected = {
        "CONV_2D": 2 + blocks + sum(block.expands for block in plan.blocks),
        "DEPTHWISE_CONV_2D": blocks,
        "ADD": sum(block.residual for block in plan.blocks),
        "AVERAGE_POOL_2D": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }
    if name.startswith("b"):
        swishes = 2 + 2 * blocks + sum(block.expands for block in plan.blocks)
        expected["CONV_2D"] += 2 * blocks  # squeeze-and-excite
        expected["DEPTHWISE_CONV_2D"] += 1  # the normalisation
        expected["MEAN"] = blocks
        expected["LOGISTIC"] = swishes + blocks
        expected["MUL"] = swishes + blocks
    assert {kind: kinds.count(kind) for kind in set(kinds)} == expected
    if name in ("lite0", "b0"):
        assert len(kinds) == {"lite0": 61, "b0": 240}[name]


class Shapes(dict):
    """Zeros of the right shape, so that no variant's weights need to be drawn."""

    def __init__(self, plan):
        super().__init__(
            (name, np.broadcast_to(np.float32(1), shape)) for name, shape in plan.tensors().items()
        )


NETWORKS = [("lite-w0.35-d0.35-s64", 10), ("b-w0.35-d0.35-s64", 3), ("lite-w0.2-d1.3-s47", 2)]


def exported(name, classes):
    """The variant, its weights, three normalised images, and the exported graph's logits."""
    row = get_variant(name)
    tensors = lively_weights(row, classes)
    runner = Runner(to_flatbuffer(export(architecture(row, classes), tensors, "logits")))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    pixels = pixels.repeat(row.size // 4 + 1, 1).repeat(row.size // 4 + 1, 2)
    images = preprocessing_for(row).normalize(pixels[:, : row.size, : row.size])
    logits = np.concatenate([runner.run(image[np.newaxis]) for image in images])
    assert logits.std(axis=0).mean() > 0.1  # the images are told apart
    return row, tensors, images, logits


def assert_equal(logits, expected):
    """Within 86 dB of the largest logit; float32 sums in another order differ by 100 dB."""
    np.testing.assert_allclose(logits, expected, rtol=0, atol=5e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "classes"), NETWORKS)
def test_the_graph_equals_the_papers_arithmetic(name, classes):
    row, tensors, images, logits = exported(name, classes)
    expected = forward(row, classes, tensors, images)
    assert_equal(logits, expected)


@pytest.mark.parametrize(("name", "classes"), NETWORKS)
def test_the_graph_equals_the_keras_model(name, classes):
    pytest.importorskip("tf_keras")
    from effnet_lite.lite.builder import build_model, set_weights

    row, tensors, images, logits = exported(name, classes)
    model = build_model(architecture(row, classes))
    set_weights(model, tensors)
    expected = model(images, training=False).numpy()
    assert_equal(logits, expected)


def test_the_graphs_normalisation_takes_the_files_statistics():
    row = get_variant("b-w0.35-d0.35-s64")
    plan = architecture(row, 2)
    tensors = dict(random_weights(row, 2).tensors)
    tensors["normalization/mean"] = np.asarray([0.1, 0.2, 0.3], np.float32)
    tensors["normalization/variance"] = np.asarray([0.25, 0.04, 0.0], np.float32)
    graph = export(plan, tensors)
    op = graph.ops[0]
    assert op.kind == "DEPTHWISE_CONV_2D"
    kernel, bias = (graph.tensors[i].data for i in op.inputs[1:])
    # pixel / 255 / √variance - mean / √variance; Keras holds √variance at 1e-7 at least
    np.testing.assert_allclose(kernel.reshape(3), [1 / 127.5, 1 / 51, 1 / 255e-7], rtol=1e-6)
    np.testing.assert_allclose(bias, [-0.2, -1.0, -3e6], rtol=1e-6)


def test_fold_batch_norm():
    # factor = γ / √(σ² + ε): 2 / √(0.999 + 0.001) = 2 and 3 / √(3.999 + 0.001) = 1.5
    statistics = {
        "gamma": np.asarray([2, 3], np.float32),
        "beta": np.asarray([10, 20], np.float32),
        "moving_mean": np.asarray([1, -2], np.float32),
        "moving_variance": np.asarray([1 - BN_EPSILON, 4 - BN_EPSILON], np.float32),
    }
    kernel = np.ones((2, 1, 1, 3), np.float32)
    folded, bias = fold_batch_norm(kernel, 0, statistics)
    assert folded.dtype == bias.dtype == np.float32
    np.testing.assert_allclose(folded[:, 0, 0], [[2, 2, 2], [1.5, 1.5, 1.5]], rtol=1e-6)
    np.testing.assert_allclose(bias, [10 - 1 * 2, 20 + 2 * 1.5], rtol=1e-6)
    folded, _ = fold_batch_norm(np.ones((1, 3, 3, 2), np.float32), 3, statistics)
    np.testing.assert_allclose(folded[0, 1, 1], [2, 1.5], rtol=1e-6)


def test_heads():
    row = get_variant("lite-w0.35-d0.35-s64")
    tensors = random_weights(row, 7).tensors
    softmax, logits = (
        export(architecture(row, 7), tensors, head) for head in ("softmax", "logits")
    )
    assert softmax.tensors[softmax.outputs[0]].name == "probability"
    assert logits.tensors[logits.outputs[0]].name == "logits"
    image = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    probability = Runner(to_flatbuffer(softmax)).run(image)
    values = Runner(to_flatbuffer(logits)).run(image).astype(float)
    expected = np.exp(values) / np.exp(values).sum()
    np.testing.assert_allclose(probability, expected, atol=1e-6)


def test_no_head_ends_in_the_feature_map():
    row = get_variant("lite-w0.35-d0.35-s64")
    plan = architecture(row, 0)
    graph = export(plan, random_weights(row, 0).tensors)
    output = graph.tensors[graph.outputs[0]]
    assert (output.name, output.shape) == ("top_conv", (1, 2, 2, plan.head_filters))


@pytest.mark.parametrize("name", ["lite-w0.35-d0.35-s64", "lite0", "b-w0.35-d0.35-s64"])
def test_the_file_costs_what_the_plan_says(name, tmp_path):
    from effnet_lite import inspect

    row = get_variant(name)
    plan = architecture(row, 10)
    path = tmp_path / "a.tflite"
    path.write_bytes(to_flatbuffer(export(plan, Shapes(plan))))
    found = inspect(path)
    normalization = 3 * row.size**2 if row.family.name == "b" else 0
    assert found.madds == plan.madds + normalization
    kernels = sum(
        layer.bytes for layer in found.layers if layer.kind in ("CONV_2D", "FULLY_CONNECTED")
    )
    assert kernels % 4 == 0


def test_the_same_graph_gives_the_same_bytes():
    row = get_variant("b-w0.35-d0.35-s64")
    tensors = random_weights(row, 10).tensors
    one, other = (to_flatbuffer(export(architecture(row, 10), tensors)) for _ in range(2))
    assert one == other
