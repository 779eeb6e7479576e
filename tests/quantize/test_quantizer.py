"""Scales, zero points, integer weights and biases, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite.errors import ConversionError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import random_weights
from effnet_lite.quantize.calibration import Range
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import Graph, Op, Quantization, Tensor
from effnet_lite.quantize.quantizer import (
    MIN_DYNAMIC_ELEMENTS,
    activation_quantization,
    dynamic_range_weights,
    float16_weights,
    input_quantization,
    quantize,
    quantize_weights,
    weight_scales,
    with_io,
)
from effnet_lite.quantize.tflite.runtime import Runner, TensorInfo, input_codec
from effnet_lite.quantize.tflite.writer import to_flatbuffer


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        # 4 / 255; -128 + 1 / (4/255) = -128 + 63.75 = -64.25
        (-1, 3, 4 / 255, -64),
        # ReLU6: 0 is the lowest integer
        (0, 6, 6 / 255, -128),
        # 0 must be exact, so the range grows to hold it: 0…5 and -5…0
        (2, 5, 5 / 255, -128),
        (-5, -2, 5 / 255, 127),
        # -128 + 85 = -43 without a remainder
        (-1, 2, 3 / 255, -43),
        # -128 + 127.5 = -0.5, to the even neighbour
        (-1, 1, 2 / 255, 0),
    ],
)
def test_int8_activations(low, high, scale, zero_point):
    found = activation_quantization(Range(low, high), "int8")
    assert found.scale.dtype == np.float32
    assert found.scale.tolist() == [np.float32(scale)]
    assert found.zero_point.tolist() == [zero_point]


@pytest.mark.parametrize(("low", "high", "largest"), [(-2, 1, 2), (0, 6, 6), (-1, 3, 3)])
def test_int16_activations_are_symmetric(low, high, largest):
    found = activation_quantization(Range(low, high), "int16")
    assert found.scale.tolist() == [np.float32(largest / 32767)]
    assert found.zero_point.tolist() == [0]


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_an_activation_that_is_always_zero(dtype):
    found = activation_quantization(Range(0, 0), dtype)
    assert found.scale[0] > 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_activations_that_are_no_numbers(bad):
    with pytest.raises(ConversionError, match="weights"):
        activation_quantization(Range(bad, 1.0) if bad < 0 else Range(0.0, bad), "int8")


def test_the_input_takes_the_normalisation_in():
    lite = Preprocessing(8)
    # (pixel - 127) / 128 with q = pixel - 128: scale 1/128, zero point 127 - 128.
    assert as_pair(input_quantization(lite, "int8")) == (1 / 128, -1)
    b = Preprocessing(8, mean=(0.0,), std=(1.0,))
    assert as_pair(input_quantization(b, "int8")) == (1.0, -128)
    # Symmetric, and wide enough for the further end: (255 - 127) / 128 = 1.
    assert as_pair(input_quantization(lite, "int16")) == (np.float32(1 / 32767), 0)
    with pytest.raises(ConversionError, match="per channel"):
        input_quantization(Preprocessing(8, mean=(1.0, 2.0, 3.0)), "int8")


def as_pair(quantization):
    return float(quantization.scale[0]), int(quantization.zero_point[0])


@pytest.mark.parametrize(("dtype", "shift"), [("uint8", 0), ("int8", 128)])
@pytest.mark.parametrize(("mean", "std"), [(127.0, 128.0), (0.0, 1.0)])
def test_pixels_go_in_unchanged(dtype, shift, mean, std):
    inner = input_quantization(Preprocessing(8, mean=(mean,), std=(std,)), "int8")
    zero_point = int(inner.zero_point[0]) + (128 if dtype == "uint8" else 0)
    info = TensorInfo("image", (1, 1, 256, 3), dtype, float(inner.scale[0]), zero_point)
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    found = input_codec(info, (mean,), (std,))(pixels)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[0].astype(int), pixels.astype(int) - shift)


# One scale a channel. Row 0: 127/64 at most, so the scale is 1/64; 2.5 and 3.5 steps go to
# the even neighbour. Row 1 is all zeros. Row 2: -254/64 at most, the scale is 1/32.
WEIGHTS = np.asarray(
    [[127, 32, 2.5, 3.5, -2.5, -127], [0, 0, 0, 0, 0, 0], [-254, 127, 2, 1, -1, 3]], np.float32
) / np.float32(64)
SCALES = np.asarray([1 / 64, 1.0, 1 / 32], np.float32)
INTEGERS = np.asarray([[127, 32, 2, 4, -2, -127], [0] * 6, [-127, 64, 1, 0, 0, 2]], np.int8)


def test_weights():
    scales = weight_scales(WEIGHTS, 0)
    assert scales.dtype == np.float32
    np.testing.assert_array_equal(scales, SCALES)
    integers = quantize_weights(WEIGHTS, scales, 0)
    assert integers.dtype == np.int8
    np.testing.assert_array_equal(integers, INTEGERS)


def test_weights_along_the_last_axis():
    scales = weight_scales(WEIGHTS.T, 1)
    np.testing.assert_array_equal(scales, SCALES)
    np.testing.assert_array_equal(quantize_weights(WEIGHTS.T, scales, 1), INTEGERS.T)


def test_weights_never_take_the_lowest_integer():
    scales = np.asarray([1.0], np.float32)
    found = quantize_weights(np.asarray([[-500.0, -128.0, 500.0]], np.float32), scales, 0)
    assert found.tolist() == [[-127, -127, 127]]


def dense_graph():
    """(1, 6) → three outputs, with WEIGHTS."""
    graph = Graph()
    source = graph.add_tensor(Tensor("image", (1, 6)))
    weights = graph.constant("w", WEIGHTS)
    bias = graph.constant("b", np.asarray([0.1, -1.0, 1e9], np.float32))
    graph.inputs = [source]
    graph.outputs = [graph.add_op("FULLY_CONNECTED", [source, weights, bias], "y", (1, 3))]
    return graph


@pytest.mark.parametrize(
    ("activations", "dtype", "expected"),
    [
        # scale_input · scale_weight = 1/128 · (1/64, 1, 1/32): 0.1 · 8192 = 819.2,
        # -1 · 128; 1e9 · 4096 is beyond int32, so that its weights get a wider scale
        ("int8", "int32", [819, -128, 2**30]),
        # 1/32767 instead of 1/128: 0.1 · 32767 · 64 = 209708.8, -32767, and float32's 1e9
        # · 32767 · 32 fits int64
        ("int16", "int64", [209709, -32767, 1_048_544_000_000_000]),
    ],
)
def test_biases(activations, dtype, expected):
    graph = dense_graph()
    result = quantize(graph, {graph.outputs[0]: Range(-1, 1)}, Preprocessing(8), activations)
    bias = result.tensors[2]
    assert bias.dtype == bias.data.dtype.name == dtype
    # The product of two float32 scales is a double; 1e9 shows its last bits.
    np.testing.assert_allclose(bias.data.astype(float), expected, rtol=1e-7)
    assert bias.data.tolist()[:2] == expected[:2]
    wide = activations == "int8"  # the third channel's bias decides over its scale
    np.testing.assert_array_equal(result.tensors[1].data[: 3 - wide], INTEGERS[: 3 - wide])
    scales = [*SCALES[:2], np.float32(1e9 * 128 / 2**30) if wide else SCALES[2]]
    np.testing.assert_allclose(result.tensors[1].quantization.scale, scales, rtol=1e-7)
    assert result.tensors[1].quantization.zero_point.tolist() == [0, 0, 0]
    # The float graph is left as it was.
    assert graph.tensors[1].dtype == "float32"
    assert graph.tensors[1].data is WEIGHTS


def layer_graph(kind, stride, relu6, seed=0):
    """One convolution or dense layer with random weights, and ranges that fit it."""
    random = np.random.default_rng(seed)
    graph = Graph()
    source = graph.add_tensor(Tensor("image", (1, 9, 9, 3)))
    shapes = {"CONV_2D": (5, 3, 3, 3), "DEPTHWISE_CONV_2D": (1, 3, 3, 3)}
    kernel = random.normal(0, 0.4, shapes[kind]).astype(np.float32)
    channels = 5 if kind == "CONV_2D" else 3
    bias = random.normal(0, 0.5, channels).astype(np.float32)
    inputs = [source, graph.constant("w", kernel), graph.constant("b", bias)]
    side = -(-9 // stride)
    output = graph.add_op(kind, inputs, "y", (1, side, side, channels), stride=stride, relu6=relu6)
    graph.inputs, graph.outputs = [source], [output]
    return graph, {output: Range(0.0, 2.0) if relu6 else Range(-2.1, 1.7)}


def integer_reference(graph, pixels, stride, relu6):
    """The specification's arithmetic in plain NumPy: 64-bit sums, one rounding at the end."""
    source, weights, bias, output = (graph.tensors[i] for i in (0, 1, 2, 3))
    depthwise = graph.ops[0].kind == "DEPTHWISE_CONV_2D"
    zero_in = int(source.quantization.zero_point[0])
    centred = pixels[0].astype(np.int64) - zero_in
    side = output.shape[1]
    # SAME padding as TensorFlow splits it: the odd pixel at the bottom and right.
    total = max((side - 1) * stride + 3 - 9, 0)
    padded = np.pad(centred, ((total // 2, total - total // 2),) * 2 + ((0, 0),))
    sums = np.zeros(output.shape[1:], np.int64)
    for y in range(side):
        for x in range(side):
            window = padded[y * stride : y * stride + 3, x * stride : x * stride + 3]
            product = window * weights.data.astype(np.int64)
            sums[y, x] = product[0].sum((0, 1)) if depthwise else product.sum((1, 2, 3))
    sums += bias.data
    scale_out, zero_out = as_pair(output.quantization)
    multiplier = float(source.quantization.scale[0]) * weights.quantization.scale.astype(float)
    result = np.rint(sums * multiplier / scale_out) + zero_out
    low, high = (zero_out, zero_out + np.rint(6 / scale_out)) if relu6 else (-128, 127)
    return np.clip(result, max(low, -128), min(high, 127))


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("relu6", [False, True])
@pytest.mark.parametrize("delegate", [False, True], ids=["kernels", "xnnpack"])
def test_the_interpreter_agrees_with_the_specification(kind, stride, relu6, delegate):
    graph, ranges = layer_graph(kind, stride, relu6)
    quantized = quantize(graph, ranges, Preprocessing(9))
    random = np.random.default_rng(5)
    pixels = random.integers(-128, 128, (1, 9, 9, 3)).astype(np.int8)
    found = Runner(to_flatbuffer(quantized), 1, default_delegate=delegate).run(pixels)
    expected = integer_reference(quantized, pixels, stride, relu6)
    assert len(np.unique(expected)) > 20
    # Kernels multiply by a 31-bit fixed-point number: at most one step from exact rounding.
    assert np.abs(found[0].astype(int) - expected).max() <= 1
    assert (found[0] == expected).mean() > 0.95


@pytest.mark.parametrize("activations", ["int8", "int16"])
def test_integers_stand_for_the_float_results(activations):
    """Dequantized, the layer is within a few steps of the float layer."""
    graph, _ = layer_graph("CONV_2D", 1, relu6=False)
    random = np.random.default_rng(6)
    pixels = random.integers(0, 256, (9, 9, 3)).astype(np.uint8)
    preprocessing = Preprocessing(9)
    wanted = Runner(to_flatbuffer(graph)).run(preprocessing.normalize(pixels)[np.newaxis])
    ranges = {graph.outputs[0]: Range(float(wanted.min()), float(wanted.max()))}
    runner = Runner(to_flatbuffer(quantize(graph, ranges, preprocessing, activations)))
    encode = input_codec(runner.inputs[0], preprocessing.mean, preprocessing.std)
    found = runner.outputs[0].dequantize(runner.run(encode(pixels)))
    # Weights at 127 steps leave an error of 0.3 % of a weight's largest, 27 of them a pixel.
    assert np.abs(found - wanted).max() < 0.03


@pytest.fixture(scope="module", params=["lite-w0.35-d0.35-s64", "b-w0.35-d0.35-s64"])
def network(request):
    row = get_variant(request.param)
    graph = export(architecture(row, 10), random_weights(row, 10).tensors)
    return graph, {output: Range(-3.0, 6.0) for output in graph.activations()}


@pytest.mark.parametrize("activations", ["int8", "int16"])
def test_every_tensor_becomes_an_integer(network, activations):
    graph, ranges = network
    result = quantize(graph, ranges, Preprocessing(64), activations)
    assert [op.kind for op in result.ops] == [op.kind for op in graph.ops]
    for tensor in result.tensors:
        assert tensor.dtype in ("int8", activations, "int32", "int64"), tensor.name
    for op in result.ops:
        assert result.tensors[op.output].dtype == activations


def test_outputs_that_the_specification_fixes(network):
    graph, ranges = network
    for activations, expected in (("int8", (1 / 256, -128)), ("int16", (1 / 32768, 0))):
        result = quantize(graph, ranges, Preprocessing(64), activations)
        fixed = [op for op in result.ops if op.kind in ("SOFTMAX", "LOGISTIC")]
        assert fixed
        for op in fixed:
            assert as_pair(result.tensors[op.output].quantization) == expected
        for op in result.ops:
            if op.kind == "AVERAGE_POOL_2D":
                source, target = (result.tensors[i].quantization for i in (op.inputs[0], op.output))
                assert as_pair(source) == as_pair(target)


@pytest.mark.parametrize(
    ("io_type", "first", "last", "zero_point"),
    [
        ("uint8", "QUANTIZE", "QUANTIZE", 127),
        ("int8", "CONV_2D", "SOFTMAX", -1),
        ("float32", "QUANTIZE", "DEQUANTIZE", None),
    ],
)
def test_one_conversion_at_each_end(io_type, first, last, zero_point):
    row = get_variant("lite-w0.35-d0.35-s64")
    graph = export(architecture(row, 10), random_weights(row, 10).tensors)
    inner = quantize(graph, {i: Range(-3, 6) for i in graph.activations()}, Preprocessing(64))
    result = with_io(inner, io_type)
    kinds = [op.kind for op in result.ops]
    assert (kinds[0], kinds[-1]) == (first, last)
    assert sum("QUANTIZE" in kind for kind in kinds) == sum("QUANTIZE" in k for k in (first, last))
    source, target = result.tensors[result.inputs[0]], result.tensors[result.outputs[0]]
    assert source.dtype == target.dtype == io_type
    assert (source.name, target.name) == ("image", "probability")
    if zero_point is None:
        assert source.quantization is None
    else:
        assert as_pair(source.quantization) == (1 / 128, zero_point)
        # Softmax: 1/256 and the lowest integer.
        assert as_pair(target.quantization) == (1 / 256, 0 if io_type == "uint8" else -128)


def test_int16_takes_no_uint8():
    graph = dense_graph()
    inner = quantize(graph, {graph.outputs[0]: Range(-1, 1)}, Preprocessing(8), "int16")
    with pytest.raises(ConversionError, match="int16 activations"):
        with_io(inner, "uint8")


def test_float16_weights():
    graph = dense_graph()
    graph.tensors[2].data = np.asarray([0.1, -1.0, 2.0], np.float32)
    result = float16_weights(graph)
    assert [op.kind for op in result.ops] == ["DEQUANTIZE", "DEQUANTIZE", "FULLY_CONNECTED"]
    assert [result.tensors[i].dtype for i in result.ops[2].inputs] == ["float32"] * 3
    halves = [tensor for tensor in result.tensors if tensor.dtype == "float16"]
    np.testing.assert_array_equal(halves[0].data, WEIGHTS.astype(np.float16))
    with pytest.raises(ConversionError, match="does not fit float16"):
        float16_weights(dense_graph())  # its 1e9


def test_dynamic_range_leaves_small_tensors_in_float():
    row = get_variant("lite-w0.35-d0.35-s64")
    graph = export(architecture(row, 10), random_weights(row, 10).tensors)
    result = dynamic_range_weights(graph)
    kinds = {}
    for op in result.ops:
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weights, bias = (result.tensors[i] for i in op.inputs[1:])
            kinds[weights.name] = weights.dtype
            expected = "float32" if weights.data.size < MIN_DYNAMIC_ELEMENTS else "int8"
            assert weights.dtype == expected, weights.name
            assert bias.dtype == "float32"
        assert result.tensors[op.output].dtype == "float32"
    assert set(kinds.values()) == {"float32", "int8"}


def test_dequantize_by_channel():
    quantization = Quantization.per_channel(SCALES, 0)
    found = quantization.dequantize(INTEGERS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], INTEGERS[0] / np.float32(64))
    assert Quantization.per_tensor(0.5, 3).dequantize(np.asarray([3, 5])).tolist() == [0.0, 1.0]


def test_a_layer_without_constant_weights_is_refused():
    graph = dense_graph()
    graph.tensors[1].data = None
    with pytest.raises(ConversionError, match="not a constant"):
        quantize(graph, {graph.outputs[0]: Range(-1, 1)}, Preprocessing(8))


def test_other_outputs_leave_out_what_they_do_not_need():
    graph = dense_graph()
    output = graph.outputs[0]
    graph.ops.append(Op("SOFTMAX", [output], graph.add_tensor(Tensor("p", (1, 3)))))
    cut = graph.with_outputs([output])
    assert [op.kind for op in cut.ops] == ["FULLY_CONNECTED"]
    assert len(graph.ops) == 2
