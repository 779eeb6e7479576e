"""The file says what the stages decided, and the interpreter computes what the file says."""

from __future__ import annotations

import collections
import copy
import functools

import numpy as np
import pytest
from integer_reference import accumulator, run_op, sums
from numpy_network import lively_weights
from small_variants import LITE, B

from effnet_lite import convert
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import Preprocessing, preprocessing_for
from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.calibration import Range
from effnet_lite.quantize.calibration_set import choose
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import CHANNEL_AXIS, WEIGHTED, Graph, Tensor
from effnet_lite.quantize.pipeline import run_recipe
from effnet_lite.quantize.quantizer import quantize, with_io
from effnet_lite.quantize.recipe import get_recipe
from effnet_lite.quantize.sequential import Walk, single_op
from effnet_lite.quantize.tflite.description import read_description
from effnet_lite.quantize.tflite.file import schema, unpack
from effnet_lite.quantize.tflite.metadata import read_labels
from effnet_lite.quantize.tflite.runtime import Runner, input_codec
from effnet_lite.quantize.tflite.surgery import with_layer_outputs
from effnet_lite.quantize.tflite.writer import to_flatbuffer

FAST, FAST16 = "w8a8-minmax", "w8a16-minmax"
FULL, FULL16 = f"{FAST}+stem+equalize+round+bias", f"{FAST16}+stem+equalize+round+bias"
DENSE = f"{FAST}+stem+equalize+dense+round+bias"
RECIPES = [FAST, FULL, DENSE, FAST16, FULL16]
PHOTOS = 4
LABELS = tuple(f"class {number}" for number in range(10))


@functools.cache
def float_graph(variant):
    row = get_variant(variant)
    return export(architecture(row, len(LABELS)), lively_weights(row, len(LABELS)))


@functools.cache
def preprocessing_of(variant):
    return preprocessing_for(get_variant(variant))


@pytest.fixture(scope="module")
def decide(photos):
    """``decide(variant, recipe)``: the graph that the stages end in, made once."""
    images = choose(photos, PHOTOS)

    @functools.cache
    def make(variant, recipe):
        graph = float_graph(variant)
        return run_recipe(get_recipe(recipe), graph, images, preprocessing_of(variant)).integers

    return make


@pytest.fixture(scope="module")
def pixels(photos):
    """``pixels(variant)``: the photos that calibrated, (size, size, 3) uint8 each."""
    return lambda variant: list(choose(photos, PHOTOS).pixels(preprocessing_of(variant)))


# What a file says, operator by operator: name of a field → number, text, tuple or array. The
# numbers are those of tensorflow/lite/schema/schema.fbs.
KINDS = {0: "ADD", 1: "AVERAGE_POOL_2D", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
         9: "FULLY_CONNECTED", 14: "LOGISTIC", 18: "MUL", 25: "SOFTMAX", 40: "MEAN",
         114: "QUANTIZE"}  # fmt: skip
DTYPES = {0: "float32", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}
SAME, VALID = 0, 1
NONE, RELU6 = 0, 3
OPTIONS = {
    "CONV_2D": (1, "Conv2DOptions", {"dilationHFactor": 1, "dilationWFactor": 1}),
    "DEPTHWISE_CONV_2D": (
        2,
        "DepthwiseConv2DOptions",
        {"dilationHFactor": 1, "dilationWFactor": 1, "depthMultiplier": 1},
    ),
    "AVERAGE_POOL_2D": (5, "Pool2DOptions", {"padding": VALID, "fusedActivationFunction": NONE}),
    "FULLY_CONNECTED": (
        8,
        "FullyConnectedOptions",
        {
            "fusedActivationFunction": NONE,
            "weightsFormat": 0,
            "keepNumDims": False,
            "asymmetricQuantizeInputs": False,
        },
    ),
    "SOFTMAX": (9, "SoftmaxOptions", {"beta": 1.0}),
    "ADD": (11, "AddOptions", {"fusedActivationFunction": NONE, "potScaleInt16": False}),
    "MUL": (21, "MulOptions", {"fusedActivationFunction": NONE}),
    "MEAN": (27, "ReducerOptions", {"keepDims": True}),
}
GEOMETRY = {
    "CONV_2D": ("padding", "strideH", "strideW", "fusedActivationFunction"),
    "DEPTHWISE_CONV_2D": ("padding", "strideH", "strideW", "fusedActivationFunction"),
    "AVERAGE_POOL_2D": ("strideH", "strideW", "filterHeight", "filterWidth"),
}


def option_names(kind):
    return (*OPTIONS[kind][2], *GEOMETRY.get(kind, ())) if kind in OPTIONS else ()


def decided(graph):
    """What a file of the graph should say."""
    found = []
    for op in graph.ops:
        record = {"kind": op.kind, **options_of(op)}
        for place, index in [*enumerate(op.inputs), ("output", op.output)]:
            tensor = graph.tensors[index]
            scales = tensor.quantization
            record |= about(
                place,
                tensor.name,
                tensor.shape,
                tensor.dtype,
                tensor.data,
                scales and (scales.scale, scales.zero_point, scales.axis),
            )
        found.append(record)
    ends = (tuple(graph.tensors[i].name for i in end) for end in (graph.inputs, graph.outputs))
    return found, *ends


def options_of(op):
    if op.kind not in OPTIONS:
        return {}
    given = op.options
    geometry = dict.fromkeys(GEOMETRY.get(op.kind, ()), given.get("size", given.get("stride", 1)))
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        fused = RELU6 if given.get("relu6") else NONE
        geometry |= {"padding": SAME, "fusedActivationFunction": fused}
    return {**OPTIONS[op.kind][2], **geometry}


def about(place, name, shape, dtype, data, scales):
    record = {"name": name, "shape": tuple(shape), "dtype": dtype, "data": data}
    if scales is not None:
        record |= dict(zip(("scale", "zero point", "quantized dimension"), scales, strict=True))
    where = place if place == "output" else f"input {place}"
    return {f"{where} {field}": value for field, value in record.items()}


def constant(data, dtype, shape):
    """A buffer as the tensor's type, little-endian; None for one that is empty."""
    if data is None or not len(data):
        return None
    wanted = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), wanted).reshape(shape)


def by_objects(data):
    """What a file says, by our own ``unpack``."""
    model = unpack(data)
    (main,) = model.subgraphs
    names = [tensor.name.decode() for tensor in main.tensors]
    assert len(set(names)) == len(names)
    found = []
    for operator in main.operators:
        kind = KINDS[model.operatorCodes[operator.opcodeIndex].builtinCode]
        options = operator.builtinOptions
        record = {"kind": kind} | {name: getattr(options, name) for name in option_names(kind)}
        (output,) = operator.outputs
        for place, index in [*enumerate(operator.inputs), ("output", output)]:
            tensor = main.tensors[index]
            dtype, scales = DTYPES[tensor.type], tensor.quantization
            record |= about(
                place,
                names[index],
                tensor.shape,
                dtype,
                constant(model.buffers[tensor.buffer].data, dtype, tensor.shape),
                scales and (scales.scale, scales.zeroPoint, scales.quantizedDimension),
            )
        found.append(record)
    return found, *(tuple(names[i] for i in end) for end in (main.inputs, main.outputs))


def by_accessors(data):
    """What a file says, by the generated accessors alone, offset by offset."""
    s = schema()
    model = s.Model.GetRootAs(data, 0)
    assert model.SubgraphsLength() == 1
    main = model.Subgraphs(0)

    def name(index):
        return main.Tensors(index).Name().decode()

    found = []
    for number in range(main.OperatorsLength()):
        operator = main.Operators(number)
        kind = KINDS[model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]
        record = {"kind": kind}
        if kind in OPTIONS:
            code, table, _ = OPTIONS[kind]
            assert operator.BuiltinOptionsType() == code, f"operator {number} {kind}"
            options = getattr(s, table)()
            options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
            for field in option_names(kind):
                record[field] = getattr(options, field[0].upper() + field[1:])()
        assert operator.OutputsLength() == 1
        inputs = [operator.Inputs(place) for place in range(operator.InputsLength())]
        for place, index in [*enumerate(inputs), ("output", operator.Outputs(0))]:
            tensor = main.Tensors(index)
            dtype, shape = DTYPES[tensor.Type()], tensor.ShapeAsNumpy()
            buffer, scales = model.Buffers(tensor.Buffer()), tensor.Quantization()
            record |= about(
                place,
                name(index),
                shape,
                dtype,
                constant(buffer.DataAsNumpy() if buffer.DataLength() else None, dtype, shape),
                scales
                and (
                    scales.ScaleAsNumpy(),
                    scales.ZeroPointAsNumpy(),
                    scales.QuantizedDimension(),
                ),
            )
        found.append(record)
    inputs = tuple(name(main.Inputs(i)) for i in range(main.InputsLength()))
    outputs = tuple(name(main.Outputs(i)) for i in range(main.OutputsLength()))
    return found, inputs, outputs


READERS = {"objects": by_objects, "accessors": by_accessors}


def assert_says(found, wanted):
    """Fail with the operator, the field and the first element that differ."""
    assert [record["kind"] for record in found[0]] == [record["kind"] for record in wanted[0]]
    for number, (given, expected) in enumerate(zip(found[0], wanted[0], strict=True)):
        where = f"operator {number} {expected['kind']} {expected['output name']}"
        assert given.keys() == expected.keys(), where
        for field, value in expected.items():
            difference = first_difference(given[field], value)
            assert not difference, f"{where}, {field}: {difference}"
    assert found[1:] == wanted[1:]


def first_difference(found, wanted):
    """In words; empty where both are the same to the last bit."""
    if not isinstance(wanted, np.ndarray) or not isinstance(found, np.ndarray):
        return "" if found is wanted or found == wanted else f"expected {wanted}, found {found}"
    if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
        return f"expected {wanted.dtype} {wanted.shape}, found {found.dtype} {found.shape}"
    if found.tobytes() == wanted.tobytes():
        return ""
    places = np.argwhere(found != wanted)
    if not len(places):
        return "the same values in other bits"
    place = tuple(places[0])
    return (
        f"{len(places)} of {wanted.size} differ, the first at {[int(i) for i in place]}: "
        f"expected {wanted[place]!r}, found {found[place]!r}"
    )


def decided_around(graph, io_type):
    """What the file of the graph with ``io_type`` at both ends should say."""
    graph = graph.copy()
    inner = graph.tensors[graph.inputs[0]]
    if inner.dtype == io_type:
        return decided(graph)
    ends = [graph.inputs[0], graph.outputs[0]]
    outside = []
    for index in ends:
        tensor = graph.tensors[index]
        scale, zero_point = tensor.quantization.scale, tensor.quantization.zero_point
        scales = {
            "float32": None,
            "uint8": (scale, zero_point + 128, 0),  # the same reals, 128 integers higher
            "int8": (scale * np.float32(256), zero_point, 0),  # around int16
        }[io_type]
        outside.append((tensor.name, tensor.shape, io_type, None, scales))
        tensor.name += "_quantized"
    inside = [
        (t.name, t.shape, t.dtype, None, (t.quantization.scale, t.quantization.zero_point, 0))
        for t in (graph.tensors[index] for index in ends)
    ]
    before = {"kind": "QUANTIZE"} | about(0, *outside[0]) | about("output", *inside[0])
    kind = "DEQUANTIZE" if io_type == "float32" else "QUANTIZE"
    after = {"kind": kind} | about(0, *inside[1]) | about("output", *outside[1])
    records = [before, *decided(graph)[0], after]
    return records, *((name,) for name, *_ in outside)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("variant", [LITE, B])
def test_a_file_says_what_the_stages_decided(decide, variant, recipe, reader):
    graph = decide(variant, recipe)
    wanted = decided(copy.deepcopy(graph))
    assert_says(READERS[reader](to_flatbuffer(graph)), wanted)
    for io_type in ("int8", "float32", *(("uint8",) if recipe in (FAST, FULL) else ())):
        data = to_flatbuffer(with_io(graph, io_type))
        assert_says(READERS[reader](data), decided_around(graph, io_type))
    # Wrapping left the graph as it was.
    assert_says(decided(graph), wanted)


@pytest.fixture(scope="module")
def converting(photos, weights_file, tmp_path_factory):
    """``converting(variant, precision, recipe)``: what the stages decided, and the file's bytes."""
    folder = tmp_path_factory.mktemp("exact")

    @functools.cache
    def make(variant, precision, recipe):
        caught = []

        def catch(*arguments, **options):
            outcome = run_recipe(*arguments, **options)
            caught.append(copy.deepcopy(outcome.integers))  # before anybody can change it
            return outcome

        path = folder / f"{variant}-{precision}-{recipe}.tflite"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("effnet_lite.quantize.convert.run_recipe", catch)
            convert(
                variant,
                precision,
                weights_file(variant, len(LABELS)),
                path,
                calibration=photos,
                calibration_count=PHOTOS,
                recipe=recipe,
                labels=LABELS,
                check=False,
            )
        (graph,) = caught
        return graph, path.read_bytes()

    return make


CONVERSIONS = [("int8", "fast"), ("int8", "default"), ("int16x8", "default")]
OUTSIDE = {"int8": "uint8", "int16x8": "float32"}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("precision", "recipe"), CONVERSIONS)
@pytest.mark.parametrize("variant", [LITE, B])
def test_a_conversion_writes_what_the_stages_decided(
    converting, variant, precision, recipe, reader
):
    graph, data = converting(variant, precision, recipe)
    assert_says(READERS[reader](data), decided_around(graph, OUTSIDE[precision]))
    # The metadata and the archive that could have moved something are really there.
    assert read_description(data).variant == variant
    assert read_labels(data) == LABELS


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("variant", [LITE, B])
def test_a_file_keeps_the_specifications_rules(decide, variant, recipe):
    """What is in the file, against the specification's table alone."""
    activations = "int16" if recipe in (FAST16, FULL16) else "int8"
    fixed = {"int8": (np.float32(1 / 256), -128), "int16": (np.float32(1 / 32768), 0)}[activations]
    records, _, _ = by_accessors(to_flatbuffer(decide(variant, recipe)))
    for record in records:
        kind, where = record["kind"], record["output name"]
        places = ["output", "input 0", *(["input 1"] if kind in ("ADD", "MUL") else [])]
        for place in places:
            assert record[f"{place} dtype"] == activations, where
            assert record[f"{place} scale"].shape == record[f"{place} zero point"].shape == (1,)
            assert record[f"{place} scale"][0] > 0, where
            zero_point = record[f"{place} zero point"][0]
            assert -128 <= zero_point <= 127 if activations == "int8" else zero_point == 0, where
        output = (record["output scale"][0], record["output zero point"][0])
        if kind in ("SOFTMAX", "LOGISTIC"):
            assert output == fixed, where
        if kind == "AVERAGE_POOL_2D":
            assert output == (record["input 0 scale"][0], record["input 0 zero point"][0]), where
        if kind in WEIGHTED:
            bias_type = "int64" if activations == "int16" else "int32"
            one_scale = recipe == DENSE and kind == "FULLY_CONNECTED"
            assert_constants_keep_the_rules(record, bias_type, one_scale)


def assert_constants_keep_the_rules(record, bias_type, one_scale):
    where = record["output name"]
    weights, scales = record["input 1 data"], record["input 1 scale"]
    axis = CHANNEL_AXIS[record["kind"]]
    assert record["input 1 dtype"] == "int8", where
    assert weights.min() >= -127, f"{where}: -128 among the weights"
    assert record["input 1 quantized dimension"] == axis, where
    assert scales.dtype == np.float32, where
    assert weights.shape[axis] == record["output shape"][-1], where
    assert scales.shape == ((1,) if one_scale else (weights.shape[axis],)), where
    assert not record["input 1 zero point"].any(), where
    assert record["input 2 dtype"] == bias_type, where
    assert record["input 2 quantized dimension"] == 0, where
    assert not record["input 2 zero point"].any(), where
    # The product of two float32 has 48 bits, so that it is rounded once, to the nearest
    # float32, whether it was made in float32 or in float64.
    wanted = record["input 0 scale"][0] * scales
    assert not first_difference(record["input 2 scale"], wanted), f"{where}: scales of the bias"


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("variant", [LITE, B])
def test_a_file_takes_raw_pixels(decide, variant, recipe):
    """``scale · (q - zero_point)`` of its input is ``(pixel - mean) / std`` of its pixel."""
    preprocessing = preprocessing_of(variant)
    pixel = np.arange(256)
    wanted = (pixel - preprocessing.mean[0]) / preprocessing.std[0]
    graph = decide(variant, recipe)
    for io_type, integers in (("int8", pixel - 128), ("uint8", pixel)):
        if graph.tensors[graph.inputs[0]].dtype == "int8":
            first = by_accessors(to_flatbuffer(with_io(graph, io_type)))[0][0]
            assert first["input 0 dtype"] == io_type
            scale, zero_point = first["input 0 scale"][0], first["input 0 zero point"][0]
            np.testing.assert_array_equal(float(scale) * (integers - zero_point), wanted)
    if graph.tensors[graph.inputs[0]].dtype == "int16":
        first = by_accessors(to_flatbuffer(graph))[0][0]
        scale = float(first["input 0 scale"][0])
        integers = np.rint(wanted / scale)
        assert np.abs(integers).max() == 32767
        np.testing.assert_allclose(scale * integers, wanted, rtol=0, atol=scale / 2)


@pytest.mark.parametrize("variant", [LITE, B])
def test_fast_only_rounds_to_the_nearest(decide, variant):
    """From the file back to the float network: half a step away at most, every channel."""
    graph = float_graph(variant)
    records, _, _ = by_accessors(to_flatbuffer(decide(variant, FAST)))
    for op, record in zip(graph.ops, records, strict=True):
        if op.kind not in WEIGHTED:
            continue
        weights, bias = (graph.tensors[index].data.astype(np.float64) for index in op.inputs[1:])
        shape = [1] * weights.ndim
        shape[CHANNEL_AXIS[op.kind]] = -1
        scales = record["input 1 scale"].astype(np.float64)
        integers = record["input 1 data"].astype(np.float64)
        step = scales.reshape(shape)
        half = 0.5 + 1e-6  # scales are float32
        assert_near(integers, weights / step, half, f"{record['output name']}, weights")
        # Every channel uses its whole range.
        others = tuple(axis for axis, side in enumerate(shape) if side == 1)
        assert (np.abs(integers).max(others) == 127).all(), record["output name"]
        steps = bias / (float(record["input 0 scale"][0]) * scales)
        assert_near(record["input 2 data"], steps, half, f"{record['output name']}, bias")


def assert_near(found, wanted, bound, where):
    beyond = np.argwhere(np.abs(found - wanted) > bound)
    assert not len(beyond), (
        f"{where}: {len(beyond)} of {found.size} are not the nearest, the first at "
        f"{beyond[0].tolist()}: {found[tuple(beyond[0])]} for {wanted[tuple(beyond[0])]}"
    )


@pytest.mark.parametrize("variant", [LITE])  # B is refined with int16 activations
def test_int16_activations_keep_the_refined_constants(decide, variant):
    narrow, wide = (
        by_accessors(to_flatbuffer(decide(variant, name)))[0] for name in (FULL, FULL16)
    )
    for at8, at16 in zip(narrow, wide, strict=True):
        if at8["kind"] not in WEIGHTED:
            continue
        where = at8["output name"]
        for field in ("input 1 data", "input 1 scale"):
            assert not (said := first_difference(at16[field], at8[field])), f"{where}: {said}"
        reals = at8["input 2 data"] * at8["input 2 scale"].astype(np.float64)
        found = at16["input 2 data"] * at16["input 2 scale"].astype(np.float64)
        # Half a step of the finer biases; float32 scales lose a part in 2^24 of the rest.
        bound = 0.51 * at16["input 2 scale"] + 2.0**-22 * np.abs(reals)
        assert_near(found, reals, bound, f"{where}, reals of the bias")


# The share of outputs that may be one step from the reference, at least one output of each
# kind. Measured over three seeds of LITE and B, and on Lite0: with XNNPACK 21 of 8.9 million
# of CONV_2D, 6 of 4.6 million of DEPTHWISE_CONV_2D, 2 of 5,632 of ADD, 2 of 7,360 of MEAN,
# 41 of 789,312 of MUL, none of the others: what ends within float32's precision of one half.
SHARES = dict.fromkeys((*KINDS.values(),), 1e-3)
# Without XNNPACK, fixed-point multipliers that round twice: at most 0.4 % of the weighted
# sums, 0.6 % of MUL, 27 % of MEAN.
KERNEL_SHARES = dict.fromkeys(SHARES, 0.02) | {"MEAN": 0.5}
# The multipliers of the int16 kernels have but 16 bits, as many as their results: at most 4 %
# of the weighted sums, 18 % of MEAN, 26 % of LOGISTIC. SOFTMAX reads a table.
INT16_SHARES = dict.fromkeys(SHARES, 0.1) | {"MEAN": 0.5, "LOGISTIC": 0.5, "SOFTMAX": 1.0}
# 18 steps of 1/32768 measured.
INT16_SOFTMAX_STEPS = 32


def assert_computes(graph, photos, preprocessing, shares, run=Walk.run):
    """Every operator of a walk against the reference on the same integers."""
    counts, differing = collections.Counter(), collections.Counter()
    walk = Walk(graph, photos, preprocessing)
    for op in walk:
        name = graph.tensors[op.output].name
        wide = graph.tensors[op.output].dtype == "int16"
        allowed = INT16_SOFTMAX_STEPS if wide and op.kind == "SOFTMAX" else 1
        for number, found in enumerate(run(walk, op)):
            values = {tensor: given[number] for tensor, given in walk.values.items()}
            if op.kind in WEIGHTED:
                assert_fits(graph, op, values)
            wanted = run_op(graph, op, values)
            steps = np.abs(found.astype(int) - wanted.astype(int))
            assert steps.max() <= allowed, (
                f"{op.kind} {name}, photo {number}: {first_difference(found, wanted)}"
            )
            counts[op.kind] += steps.size
            differing[op.kind] += int(np.count_nonzero(steps))
    for kind, count in counts.items():
        assert differing[kind] <= max(1, shares[kind] * count), (
            f"{kind}: {differing[kind]} of {count} outputs are not the nearest integer"
        )


def assert_fits(graph, op, values):
    limits = np.iinfo(accumulator(graph, op))
    found = sums(graph, op, values)
    beyond = np.argwhere((found < limits.min) | (found > limits.max))
    assert not len(beyond), (
        f"{op.kind} {graph.tensors[op.output].name}: {len(beyond)} of {found.size} sums leave "
        f"{limits.dtype}, the first at {beyond[0].tolist()}: {found[tuple(beyond[0])]}"
    )


def without_xnnpack(walk, op):
    graph = single_op(walk.graph, op)
    runner = Runner(to_flatbuffer(graph), threads=1, default_delegate=False)
    outputs = []
    for values in zip(*(walk.values[tensor] for tensor in graph.inputs), strict=True):
        runner.set_inputs(values)
        runner.invoke()
        outputs.append(runner.output())
    return outputs


@pytest.mark.parametrize(
    ("recipe", "run", "shares"),
    [
        (FAST, Walk.run, SHARES),
        (FULL, Walk.run, SHARES),
        (FAST, without_xnnpack, KERNEL_SHARES),
        (FAST16, Walk.run, INT16_SHARES),
    ],
    ids=["fast", "default", "fast-kernels", "int16"],
)
@pytest.mark.parametrize("variant", [LITE, B])
def test_the_interpreter_computes_what_the_integers_say(
    decide, pixels, variant, recipe, run, shares
):
    graph = decide(variant, recipe)
    assert_computes(graph, pixels(variant)[:2], preprocessing_of(variant), shares, run)


@pytest.fixture(scope="module")
def lite0(lite_weights, sample_photos):
    """Lite0 with ImageNet weights as ``fast`` quantizes it, a photo not seen, its preprocessing."""
    row = get_variant("lite0")
    preprocessing = preprocessing_for(row)
    weights = load_weights(lite_weights("lite0"), row)
    graph = export(architecture(row, weights.classes), weights.tensors)
    images = choose("samples", PHOTOS)
    quantized = run_recipe(get_recipe(FAST), graph, images, preprocessing).integers
    return quantized, preprocessing.pixels(images.check.paths[0]), preprocessing


def test_lite0_is_computed_as_the_integers_say(lite0):
    graph, photo, preprocessing = lite0
    assert_computes(graph, [photo], preprocessing, SHARES)


def test_the_sums_of_lite0_fit(lite0):
    graph, photo, preprocessing = lite0
    walk = Walk(graph, [photo], preprocessing)
    for op in walk:
        if op.kind in WEIGHTED:
            assert_fits(graph, op, {tensor: given[0] for tensor, given in walk.values.items()})


@pytest.mark.parametrize("bias", [-4.0, 3.0])
def test_a_channel_without_weights_is_its_bias(bias):
    """ImageNet networks have some: |w| of 1e-6, biases of about -1, and ReLU6."""
    graph = Graph()
    kernel = np.asarray([[0.1, -0.2, 0.05], [1e-6, -1e-6, 5e-7]], np.float32)
    source = graph.add_tensor(Tensor("image", (1, 16, 16, 3)))
    weights = graph.constant("w", kernel.reshape(2, 1, 1, 3))
    biases = graph.constant("b", np.asarray([0.5, bias], np.float32))
    inputs = [source, weights, biases]
    output = graph.add_op("CONV_2D", inputs, "y", (1, 16, 16, 2), stride=1, relu6=True)
    graph.inputs, graph.outputs = [source], [output]
    quantized = quantize(graph, {output: Range(0.0, 6.0)}, Preprocessing(16))
    pixels = np.random.default_rng(0).integers(-128, 128, (1, 16, 16, 3)).astype(np.int8)
    runner = Runner(to_flatbuffer(quantized), threads=1)
    found = runner.outputs[0].dequantize(runner.run(pixels))[..., 1]
    np.testing.assert_allclose(found, np.clip(bias, 0, 6), atol=6 / 255)


@pytest.mark.parametrize(("precision", "recipe"), CONVERSIONS)
@pytest.mark.parametrize("variant", [LITE, B])
def test_a_file_runs_as_its_operators_do_one_by_one(converting, pixels, variant, precision, recipe):
    """Layer for layer, and from raw pixels to the last integer."""
    graph, data = converting(variant, precision, recipe)
    preprocessing = preprocessing_of(variant)
    photos = pixels(variant)[:2]
    walk, kept = Walk(graph, photos, preprocessing), {}
    for _ in walk:
        kept |= walk.values
    kept |= walk.values
    layered, names = with_layer_outputs(data)
    assert [layer.name for layer in names] == [graph.tensors[op.output].name for op in graph.ops]
    whole, layers = Runner(data, threads=1), Runner(layered, threads=1)
    encode = input_codec(whole.inputs[0], preprocessing.mean, preprocessing.std)
    last = graph.tensors[graph.outputs[0]].quantization
    for number, photo in enumerate(photos):
        source = photo[np.newaxis] if precision == "int8" else encode(photo)
        layers.run(source)
        for place, op in enumerate(graph.ops):
            difference = first_difference(layers.output(place), kept[op.output][number])
            where = f"{op.kind} {graph.tensors[op.output].name}, photo {number}"
            assert not difference, f"{where}: {difference}"
        integers = kept[graph.outputs[0]][number]
        wanted = (
            (integers.view(np.uint8) ^ 128) if precision == "int8" else last.dequantize(integers)
        )
        assert not (said := first_difference(whole.run(source), wanted)), f"photo {number}: {said}"
