"""The figures of a layer: by hand on one convolution, and on streams that are stored rescaled."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy_network import lively_weights
from small_variants import LITE, B

from effnet_lite import compare
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import Preprocessing, preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize import layer_errors
from effnet_lite.quantize.calibration import min_max, run_activations
from effnet_lite.quantize.equalization import equalize
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import Graph, Quantization, Tensor
from effnet_lite.quantize.layer_errors import compare_layers
from effnet_lite.quantize.layer_weights import LayerFile, WeightMatch, match_weights
from effnet_lite.quantize.quantizer import quantize
from effnet_lite.quantize.statistics import collect
from effnet_lite.quantize.streams import residual_streams, transform
from effnet_lite.quantize.synthetic import dead_leaves
from effnet_lite.quantize.tflite.writer import to_flatbuffer


def decibel(signal, noise):
    return pytest.approx(10 * math.log10(signal / noise), abs=1e-3)


def dense(weights, quantized=None, output=None):
    """(1, 2, 2, 3) pixels → a 1x1 convolution without bias; float32 or int8.

    ``quantized``: the weights' integers, at a step of 0.25, with pixels at a step of 1;
    ``output``: scale and zero point.
    """
    graph, channels = Graph(), len(weights)
    kernel = np.asarray(weights, np.float32).reshape(channels, 1, 1, 3)
    steps = None
    if quantized is None:
        image = Tensor("image", (1, 2, 2, 3))
        bias = graph.constant("bias", np.zeros(channels, np.float32))
    else:
        image = Tensor("image", (1, 2, 2, 3), "int8", None, Quantization.per_tensor(1, -128))
        kernel = np.asarray(quantized, np.int8).reshape(channels, 1, 1, 3)
        steps = Quantization.per_channel(np.full(channels, 0.25), 0)
        bias = graph.constant("bias", np.zeros(channels, np.int32), steps)
    graph.inputs = [graph.add_tensor(image)]
    constants = [graph.constant("kernel", kernel, steps), bias]
    result = graph.add_op("CONV_2D", [*graph.inputs, *constants], "sums", (1, 2, 2, channels))
    if output:
        tensor = graph.tensors[result]
        tensor.dtype, tensor.quantization = "int8", Quantization.per_tensor(*output)
    graph.outputs = [result]
    return to_flatbuffer(graph)


#: Pixels are the reals that go in.
PLAIN = Preprocessing(2, mean=(0.0,), std=(1.0,))


def one_layer(first, second, *pixels):
    photos = [np.asarray(photo, np.uint8).reshape(2, 2, 3) for photo in pixels]
    (layer,) = compare_layers(first, second, photos, PLAIN)
    return layer


# Steps of 0.25: 1, 0.25 for 0.26; -1.
WEIGHTS, INTEGERS = [[1, 0, 0.26], [0, -1, 0]], [[4, 0, 1], [0, -4, 0]]


def test_weights_by_hand():
    layer = one_layer(dense(WEIGHTS), dense(WEIGHTS, INTEGERS, (1, 0)), np.ones(12))
    assert layer.weights_sqnr_db == decibel(1 + 0.26**2 + 1, 0.01**2)
    assert not layer.rescaled


def test_activations_by_hand():
    # Reals (10.26, -3) and (20, -4), twice each, in steps of 0.5: 10.26 is stored as 10.5.
    # The quantized layer computes 10.25, of which the runtime makes 10 or 10.5.
    photo = [[10, 3, 1], [20, 4, 0]] * 2
    layer = one_layer(dense(WEIGHTS), dense(WEIGHTS, INTEGERS, (0.5, 0)), photo, photo)
    signal = 10.26**2 + 3**2 + 20**2 + 4**2
    assert layer.activation_sqnr_db == decibel(signal, 0.24**2)
    assert layer.sqnr_db in (decibel(signal, 0.24**2), decibel(signal, 0.26**2))
    assert layer.saturation == layer_errors.Saturation(0, 0, 2 * 8)


def test_saturation_by_hand():
    # Steps of 1 from -128 to 127. First channel: 200 is cut, 127 and 127.26 (127 + 0.26, less
    # than half a step beyond) are not. Second: -128 is not, -129 and -250 are.
    photo = [[200, 128, 0], [127, 0, 1], [127, 129, 0], [0, 250, 0]]
    layer = one_layer(dense(WEIGHTS), dense(WEIGHTS, INTEGERS, (1, 0)), photo)
    assert layer.saturation == layer_errors.Saturation(low=2, high=1, total=8)
    assert layer.saturation.share == 3 / 8
    assert layer.saturation.to_json() == {
        "low": 2, "high": 1, "total": 8, "low_share": 0.25, "high_share": 0.125,
    }  # fmt: skip
    signal = 200**2 + 127.26**2 + 127**2 + 128**2 + 129**2 + 250**2
    noise = 73**2 + 0.26**2 + 1**2 + 122**2
    assert layer.activation_sqnr_db == decibel(signal, noise)


def test_an_integer_at_its_limit_of_a_value_within_the_range_is_not_saturated():
    # The quantized weights are too large: 127 comes out where 100 and 120 should.
    layer = one_layer(
        dense([[1, 0, 0]]), dense([[1, 0, 0]], [[8, 0, 0]], (1, 0)), [[100, 0, 0], [120, 0, 0]] * 2
    )
    assert layer.saturation == layer_errors.Saturation(0, 0, 4)
    assert layer.activation_sqnr_db == math.inf
    assert layer.sqnr_db == decibel(2 * (100**2 + 120**2), 2 * (27**2 + 7**2))


def test_infinite_figures_become_null():
    layer = one_layer(dense(WEIGHTS), dense(WEIGHTS), np.ones(12))
    assert (layer.sqnr_db, layer.weights_sqnr_db) == (math.inf, math.inf)
    record = json.loads(json.dumps(layer.to_json(), allow_nan=False))
    assert {key: value for key, value in record.items() if value not in (None, [])} == {
        "name": "sums", "kind": "CONV_2D", "rescaled": False,
    }  # fmt: skip


def float_graph(name):
    variant = get_variant(name)
    graph = export(architecture(variant, 10), lively_weights(variant, 10), "logits")
    photos = [dead_leaves(variant.size, number, seed=3) for number in range(3)]
    preprocessing = preprocessing_for(variant)
    statistics = collect(graph, run_activations(graph, photos, preprocessing))
    return graph, statistics, photos, preprocessing


@pytest.mark.parametrize("variant", [LITE, B])
def test_an_equalized_float_model_has_no_errors(variant, monkeypatch):
    graph, statistics, photos, preprocessing = float_graph(variant)
    changed, _ = equalize(graph, statistics, 1.0)
    files = to_flatbuffer(graph), to_flatbuffer(changed)
    layers = compare_layers(*files, photos, preprocessing)
    # Only float32 rounding is left.
    assert min(layer.sqnr_db for layer in layers) > 60  # a sigmoid's; 90 elsewhere
    assert min(layer.weights_sqnr_db or math.inf for layer in layers) > 120
    rescaled = {layer.name for layer in layers if layer.rescaled}
    assert rescaled == {
        layer.name
        for layer in layers
        if layer.name.endswith(("project_conv", "add", "normalization"))
    }

    # Without the mapping the same files look far apart.
    def blind(first, second, pairs):
        return [WeightMatch() for _ in pairs]

    monkeypatch.setattr(layer_errors, "match_weights", blind)
    raw = compare_layers(*files, photos, preprocessing)
    assert max(layer.sqnr_db for layer in raw if layer.name in rescaled) < 30
    assert min(layer.sqnr_db for layer in raw if layer.name in rescaled) < 5


def test_a_rotated_float_model_has_no_errors():
    graph, _, photos, preprocessing = float_graph(LITE)
    changed = graph.copy()
    random = np.random.default_rng(0)
    streams = residual_streams(graph)
    for stream in streams:
        channels = graph.tensors[stream.tensors[0]].shape[-1]
        rotation = np.linalg.qr(random.normal(size=(channels, channels)))[0]
        matrix = rotation * random.uniform(0.5, 2, channels)
        offsets = {op.output: random.normal(size=channels) for op in stream.producers}
        transform(changed, stream, stream.with_sums(offsets), matrix)
    files = to_flatbuffer(graph), to_flatbuffer(changed)
    layers = compare_layers(*files, photos, preprocessing)
    assert min(layer.sqnr_db for layer in layers) > 80
    assert min(layer.weights_sqnr_db or math.inf for layer in layers) > 100
    tensors = [tensor for stream in streams for tensor in stream.tensors]
    rescaled = {layer.name for layer in layers if layer.rescaled}
    assert rescaled == {graph.tensors[tensor].name for tensor in tensors}
    # What int8 does to them counts in the units of the float model, too.
    statistics = collect(changed, run_activations(changed, photos, preprocessing))
    ranges = min_max(changed, statistics)
    quantized = to_flatbuffer(quantize(changed, ranges, preprocessing))
    for layer in compare_layers(files[0], quantized, photos, preprocessing):
        if layer.name in rescaled:
            assert layer.rescaled
            assert 25 < layer.activation_sqnr_db < 60
            assert layer.sqnr_db > 10  # 0 where the mixing is not undone


def test_an_equalized_int8_model_is_compared_in_the_float_models_units(converted, photos):
    int8 = converted("int8", recipe="w8a8-minmax+equalize+bias").output
    layers = compare(converted("float32").output, int8, photos, count=4).layers
    rescaled = [layer for layer in layers if layer.rescaled]
    assert {layer.name.split("_", 1)[1] for layer in rescaled} == {"project_conv", "add"}
    for layer in rescaled:
        # Not more than what storing it in 8 bits and some layers before it lose.
        assert layer.sqnr_db > 12
        assert 25 < layer.activation_sqnr_db < 60
        assert layer.saturation.share < 0.02
    assert all(layer.weights_sqnr_db > 25 for layer in layers if layer.weights_sqnr_db)


@pytest.mark.parametrize(
    ("precision", "low", "high"), [("float16", 65, 85), ("dynamic", 30, 60), ("int16x8", 30, 60)]
)
def test_weights_of_every_precision(converted, photos, precision, low, high):
    """float16 halves the last place at 2^-11, 7 bits and a sign give 40 dB and more."""
    layers = compare(
        converted("float32").output, converted(precision).output, photos, count=1
    ).layers
    assert not any(layer.rescaled for layer in layers)
    figures = {layer.name: layer.weights_sqnr_db for layer in layers}
    assert low < figures["top_conv"] < high
    assert figures["avg_pool"] is None


def test_every_layer_names_the_layers_that_it_reads(converted, photos):
    layers = compare(converted("float32").output, converted("int8").output, photos, count=1).layers
    read = {layer.name: [layers[number].name for number in layer.inputs] for layer in layers}
    assert read["stem_conv"] == []
    assert read["block1a_dwconv"] == ["stem_conv"]
    addition = next(name for name in read if name.endswith("_add"))
    assert read[addition][0] == addition.replace("_add", "_project_conv")
    assert len(read[addition]) == 2


def two_convolutions(first, second):
    """(1, 2, 2, 3) → 1x1 convolution → 1x1 convolution."""
    graph = Graph()
    x = graph.add_tensor(Tensor("image", (1, 2, 2, 3)))
    graph.inputs = [x]
    for name, weights in (("one", first), ("two", second)):
        kernel = np.asarray(weights, np.float32)[:, np.newaxis, np.newaxis]
        bias = graph.constant(f"{name}/bias", np.zeros(len(kernel), np.float32))
        inputs = [x, graph.constant(f"{name}/kernel", kernel), bias]
        x = graph.add_op("CONV_2D", inputs, name, (1, 2, 2, len(kernel)))
    graph.outputs = [x]
    return LayerFile(to_flatbuffer(graph))


def test_the_scale_of_a_stream_is_told_by_its_writer_and_undone_in_its_reader():
    random = np.random.default_rng(0)
    one, two = random.normal(size=(3, 3)), random.normal(size=(5, 3))
    one[1] = 0  # a dead channel: nothing tells its scale, and nothing depends on it
    scale = np.array([2.0, 7.0, 0.5])
    writer, reader = match_weights(
        two_convolutions(one, two),
        two_convolutions(one / scale[:, np.newaxis], two * scale),
        [(0, 0), (1, 1)],
    )
    np.testing.assert_allclose(writer.scale, [2.0, math.nan, 0.5], rtol=1e-6)
    assert writer.sqnr_db > 120
    assert reader.scale is None
    assert reader.sqnr_db > 120


def test_a_factor_that_the_reader_ignores_is_an_error():
    """Rescaling leaves the function alone; these weights are twice as large as they should be."""
    random = np.random.default_rng(0)
    one, two = random.normal(size=(3, 3)), random.normal(size=(5, 3))
    right = two_convolutions(one, two)
    for wrong in (two_convolutions(2 * one, two), two_convolutions(one, 2 * two)):
        matches = match_weights(right, wrong, [(0, 0), (1, 1)])
        assert [match.scale for match in matches] == [None, None]
        assert sorted(match.sqnr_db for match in matches) == [pytest.approx(0), math.inf]
    scaled = match_weights(right, two_convolutions(2 * one, two / 2), [(0, 0), (1, 1)])
    np.testing.assert_allclose(scaled[0].scale, 0.5, rtol=1e-6)
    assert min(match.sqnr_db for match in scaled) > 120


def test_mixed_channels_are_told_by_their_writer_and_undone_in_their_reader():
    random = np.random.default_rng(3)
    one, two = random.normal(size=(2, 6)), random.normal(size=(5, 2))
    matrix = np.array([[1.0, 2.0], [-1.0, 0.5]])
    mixed = two_convolutions(matrix @ one, two @ np.linalg.inv(matrix))
    writer, reader = match_weights(two_convolutions(one, two), mixed, [(0, 0), (1, 1)])
    np.testing.assert_allclose(writer.scale, np.linalg.inv(matrix), rtol=1e-5)
    assert min(writer.sqnr_db, reader.sqnr_db) > 100
    # A reader that does not take it back: the writer's weights are wrong, then.
    wrong = two_convolutions(matrix @ one, two)
    writer, reader = match_weights(two_convolutions(one, two), wrong, [(0, 0), (1, 1)])
    assert writer.scale is None
    assert writer.sqnr_db < 5
    assert reader.sqnr_db == math.inf


def test_rounding_is_not_rescaling():
    """One step for all weights takes small channels away, which no factor explains."""
    random = np.random.default_rng(1)
    one = random.normal(size=(4, 3)) * np.array([[1], [1], [0.01], [0.001]])
    two = random.normal(size=(5, 4))
    step = np.abs(one).max() / 127
    writer, reader = match_weights(
        two_convolutions(one, two),
        two_convolutions(np.rint(one / step) * step, two),
        [(0, 0), (1, 1)],
    )
    assert writer.scale is None
    assert 30 < writer.sqnr_db < 60
    assert reader.sqnr_db == math.inf


def test_weights_of_another_shape_or_another_network_are_not_rescaled():
    random = np.random.default_rng(2)
    one, two = random.normal(size=(4, 3)), random.normal(size=(5, 4))
    (other,) = match_weights(
        two_convolutions(one, two), two_convolutions(random.normal(size=(4, 3)), two), [(0, 0)]
    )
    assert other.scale is None
    assert other.sqnr_db < 3
    assert match_weights(
        two_convolutions(one, two), two_convolutions(one[:3], two[:, :3]), [(0, 0)]
    ) == [WeightMatch()]
