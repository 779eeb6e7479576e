"""The recipe's stages: each against a small case worked out by hand or by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy_network import mild_weights

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import Preprocessing, preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import random_weights
from effnet_lite.quantize.bias_correction import correct
from effnet_lite.quantize.calibration import min_max, run_activations
from effnet_lite.quantize.equalization import equalize
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import WEIGHTED, Graph
from effnet_lite.quantize.quantizer import quantize
from effnet_lite.quantize.rounding import patches, round_columns, round_taps
from effnet_lite.quantize.sequential import Walk, affordable_photos, single_op
from effnet_lite.quantize.statistics import ChannelStatistics, Statistics, collect
from effnet_lite.quantize.synthetic import dead_leaves
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

VARIANT = get_variant("lite-w0.35-d0.8-s64")


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [dead_leaves(64, number, seed=3) for number in range(12)]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return export(architecture(VARIANT, 10), mild_weights(VARIANT), "logits")


@pytest.fixture(scope="module")
def preprocessing() -> Preprocessing:
    return preprocessing_for(VARIANT)


@pytest.fixture(scope="module")
def statistics(graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing) -> Statistics:
    return collect(graph, run_activations(graph, photos, preprocessing))


def run(graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing) -> np.ndarray:
    runner = Runner(to_flatbuffer(graph), threads=1)
    return np.stack([runner.run(preprocessing.normalize(p)[np.newaxis])[0] for p in photos])


def test_statistics_are_numpys(
    graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing, statistics: Statistics
) -> None:
    stem = graph.ops[0].output
    values = np.stack([v[0] for v in run_activations(graph, photos, preprocessing)])
    flat = values.reshape(-1, values.shape[-1])
    np.testing.assert_array_equal(statistics[stem].low, flat.min(0))
    np.testing.assert_array_equal(statistics[stem].high, flat.max(0))
    wide = flat.astype(np.float64)
    np.testing.assert_allclose(statistics[stem].mean, wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics[stem].square, np.square(wide).mean(0), rtol=1e-5)


def test_outputs_are_read_before_the_next_image(
    graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing
) -> None:
    activations = run_activations(graph, photos[:2], preprocessing)
    first = next(activations)
    copies = list(first)
    assert len(first) == len(copies) == len(graph.ops)
    np.testing.assert_array_equal(first[-1], copies[-1])
    for value, copy in zip(first[:2], copies[:2], strict=True):
        np.testing.assert_array_equal(value, copy)
    with pytest.raises(IndexError):
        first[len(graph.ops)]
    second = next(activations)
    with pytest.raises(RuntimeError, match="before the next image"):
        first[0]
    assert not np.array_equal(second[0], copies[0])


def test_affine_statistics() -> None:
    # (x - 1) / 2 of low -3, high 5, mean 2, mean square 10: (10 - 2·2 + 1) / 4
    numbers = (-3.0, 5.0, 2.0, 10.0, -2.0, 1.0, 4.0, 0.5)
    values = ChannelStatistics(*(np.array([number]) for number in numbers))
    moved = values.affine(1.0, 2.0)
    assert (moved.low[0], moved.high[0], moved.mean[0]) == (-2.0, 2.0, 0.5)
    assert moved.square[0] == 1.75


def test_min_max_of_relu6_starts_at_zero_and_ends_at_six(
    graph: Graph, statistics: Statistics
) -> None:
    ranges = min_max(graph, statistics)
    for op in graph.ops:
        if op.options.get("relu6"):
            assert ranges[op.output].low == 0.0
            assert ranges[op.output].high <= 6.0


def test_equalization_keeps_the_function(
    graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing, statistics: Statistics
) -> None:
    for strength in (0.0, 0.5, 1.0):
        changed, _ = equalize(graph, statistics, strength)
        before, after = (run(g, photos, preprocessing) for g in (graph, changed))
        # Only float32 rounding may differ.
        np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())


def test_equalization_predicts_the_new_statistics(
    graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing, statistics: Statistics
) -> None:
    changed, predicted = equalize(graph, statistics, 1.0)
    measured = collect(changed, run_activations(changed, photos, preprocessing))
    for tensor, values in predicted.items():
        reach = np.abs(values.high).max() + np.abs(values.low).max()
        np.testing.assert_allclose(values.low, measured[tensor].low, atol=1e-4 * reach)
        np.testing.assert_allclose(values.high, measured[tensor].high, atol=1e-4 * reach)
        np.testing.assert_allclose(values.mean, measured[tensor].mean, atol=1e-4 * reach)


def test_equalization_evens_out_and_centres_a_lone_projection(
    graph: Graph, statistics: Statistics
) -> None:
    changed, found = equalize(graph, statistics, 1.0)
    names = {changed.tensors[op.output].name: op.output for op in changed.ops}
    values = found[names["block1a_project_conv"]]  # one repeat: nothing is added to it
    np.testing.assert_allclose(values.low, -values.high, rtol=1e-6)
    np.testing.assert_allclose(values.high, values.high[0], rtol=1e-6)


def test_equalization_leaves_the_input_graph_alone(graph: Graph, statistics: Statistics) -> None:
    before = [None if t.data is None else t.data.copy() for t in graph.tensors]
    equalize(graph, statistics)
    for tensor, data in zip(graph.tensors, before, strict=True):
        assert (data is None and tensor.data is None) or np.array_equal(tensor.data, data)


def test_rounding_of_uncorrelated_inputs_is_to_the_nearest() -> None:
    # With H a multiple of the identity no column can make up for another's error.
    weights = np.random.default_rng(0).normal(size=(4, 6))
    scales = np.abs(weights).max(1) / 127
    nearest = np.rint(weights / scales[:, np.newaxis])
    np.testing.assert_array_equal(round_columns(weights, scales, 7 * np.eye(6))[0], nearest)


def test_rounding_of_equal_inputs_keeps_their_sum() -> None:
    # Two inputs that are always equal count only by the sum of their weights: 0.4 + 0.4
    # rounds to 0 + 0 on its own, but 0 + 1 is nearer to 0.8.
    rounded, _ = round_columns(np.array([[0.4, 0.4]]), np.ones(1), np.ones((2, 2)))
    assert rounded.sum() == 1


def test_rounding_beats_the_nearest_and_comes_near_the_best() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(5, 200)) + 2 * rng.normal(size=200)
    weights = rng.normal(size=(1, 5)) * 3
    hessian = inputs @ inputs.T

    def error(integers: np.ndarray) -> float:
        return float(np.square((weights - integers) @ inputs).sum())

    found = error(round_columns(weights, np.ones(1), hessian)[0])
    nearest = error(np.rint(weights))
    floors = np.floor(weights)
    best = min(error(floors + np.array(up)) for up in itertools.product((0, 1), repeat=5))
    assert found < nearest
    assert found <= 2 * best


def test_depthwise_rounding_is_column_rounding_of_each_channel() -> None:
    rng = np.random.default_rng(4)
    weights = rng.normal(size=(3, 9))
    samples = rng.normal(size=(3, 9, 40)) + rng.normal(size=(3, 1, 40))
    hessians = samples @ samples.transpose(0, 2, 1)
    scales = np.abs(weights).max(1) / 20
    for tries in ((1.0,), (1.0, 1.03, 1.07)):
        integers, chosen = round_taps(weights, scales, hessians, tries)
        for channel in range(3):
            row = slice(channel, channel + 1)
            alone, scale = round_columns(weights[row], scales[row], hessians[channel], tries)
            np.testing.assert_array_equal(integers[channel], alone[0])
            np.testing.assert_array_equal(chosen[row], scale)


def test_each_channel_takes_the_scale_of_least_error() -> None:
    rng = np.random.default_rng(6)
    samples = rng.normal(size=(4, 60)) + rng.normal(size=60)
    hessian = samples @ samples.T
    weights = rng.normal(size=(5, 4))
    scales = np.abs(weights).max(1) / 127
    tries = (1.0, 1.02, 1.05, 1.1)

    def errors(factor: float) -> np.ndarray:
        integers, steps = round_columns(weights, scales, hessian, (factor,), damping=0)
        return np.square((weights - integers * steps[:, np.newaxis]) @ samples).sum(1)

    each = np.stack([errors(factor) for factor in tries])
    integers, steps = round_columns(weights, scales, hessian, tries, damping=0)
    found = np.square((weights - integers * steps[:, np.newaxis]) @ samples).sum(1)
    np.testing.assert_allclose(found, each.min(0), rtol=1e-4)
    np.testing.assert_allclose(steps, scales * np.asarray(tries)[each.argmin(0)], rtol=1e-6)
    assert len(set(each.argmin(0))) > 1


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 6), (3, 2, 6), (5, 2, 7), (1, 1, 4)])
def test_patches_are_what_a_same_convolution_reads(kernel: int, stride: int, size: int) -> None:
    # Against the padding rule written out: total = (out - 1)·stride + kernel - size, the
    # smaller half before.
    values = np.arange(size * size * 2, dtype=np.float32).reshape(size, size, 2)
    out = -(-size // stride)
    found = patches(values, kernel, stride, np.arange(out * out)).reshape(
        out, out, kernel, kernel, 2
    )
    before = max((out - 1) * stride + kernel - size, 0) // 2
    for y, x, dy, dx in itertools.product(range(out), range(out), range(kernel), range(kernel)):
        row, column = y * stride + dy - before, x * stride + dx - before
        inside = 0 <= row < size and 0 <= column < size
        expected = values[row, column] if inside else np.zeros(2)
        np.testing.assert_array_equal(found[y, x, dy, dx], expected)


def test_bias_correction_restores_the_mean_behind_the_activation(
    graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing, statistics: Statistics
) -> None:
    quantized = quantize(graph, min_max(graph, statistics), preprocessing)
    before, after = [], []
    walk = Walk(quantized, photos, preprocessing)
    for op in walk:
        if op.kind not in WEIGHTED:
            continue
        tensor = quantized.tensors[op.output]
        assert tensor.quantization is not None
        scale = float(tensor.quantization.scale[0])

        def mean_error(op=op, tensor=tensor, scale=scale) -> float:
            values = np.stack(walk.run(op)).reshape(-1, tensor.shape[-1])
            real = tensor.quantization.dequantize(values).mean(0, dtype=np.float64)
            return float(np.abs(real - statistics[op.output].mean).mean()) / scale

        before.append(mean_error())
        correct(walk, op, statistics[op.output].mean)
        after.append(mean_error())
    # In steps of each output: what is left is the rounding of the bias and of clipped channels.
    assert np.mean(after) < 0.5 * np.mean(before)
    assert np.mean(after) < 0.15


def test_walk_gives_what_the_interpreter_gives(
    graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing, statistics: Statistics
) -> None:
    quantized = quantize(graph, min_max(graph, statistics), preprocessing)
    walk = Walk(quantized, photos[:2], preprocessing)
    for _ in walk:
        assert all(len(values) == 2 for values in walk.values.values())
    found = walk.values[quantized.outputs[0]]
    runner = Runner(to_flatbuffer(quantized), threads=1)
    for pixels, output in zip(photos, found, strict=False):
        np.testing.assert_array_equal(output, runner.run((pixels[np.newaxis] ^ 128).view(np.int8)))


def test_walk_forgets_what_nobody_reads(
    graph: Graph, photos: list[np.ndarray], preprocessing: Preprocessing, statistics: Statistics
) -> None:
    quantized = quantize(graph, min_max(graph, statistics), preprocessing)
    walk = Walk(quantized, photos[:1], preprocessing)
    assert max(len(walk.values) for _ in walk) <= 3


def test_a_large_network_gets_fewer_photos() -> None:
    small, large = (
        export(architecture(v, 10), random_weights(v, 10).tensors)
        for v in (get_variant("lite-w0.35-d0.35-s32"), get_variant("lite-w1-d0.35-s1024"))
    )
    assert affordable_photos(small, 100) == 100
    assert 4 <= affordable_photos(large, 100) < 50


def test_single_op_takes_its_activations_once(graph: Graph) -> None:
    addition = next(op for op in graph.ops if op.kind == "ADD")
    assert single_op(graph, addition).inputs == addition.inputs
