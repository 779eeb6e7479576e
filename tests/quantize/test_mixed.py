"""Layers kept wide: their borders, what they compute, and which ones are chosen."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from integer_reference import run_op
from numpy_network import lively_weights
from small_variants import LITE, B

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize import mixed
from effnet_lite.quantize.calibration import Range, min_max, run_activations
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import WEIGHTED
from effnet_lite.quantize.mixed import Segment, choose, keep_wide, segments, wide_layers, widen
from effnet_lite.quantize.quantizer import quantize
from effnet_lite.quantize.sequential import Walk
from effnet_lite.quantize.statistics import collect
from effnet_lite.quantize.synthetic import dead_leaves
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

KINDS = ("int16", "float")
DTYPES = {"int16": "int16", "float": "float32"}
PHOTOS = [dead_leaves(64, number, seed=3) for number in range(4)]


@functools.cache
def network(variant):
    """Float graph, ranges on the photos, preprocessing."""
    row = get_variant(variant)
    graph = export(architecture(row, 10), lively_weights(row, 10))
    preprocessing = preprocessing_for(row)
    activations = run_activations(graph, PHOTOS, preprocessing)
    return graph, min_max(graph, collect(graph, activations)), preprocessing


@functools.cache
def int8(variant):
    graph, ranges, preprocessing = network(variant)
    return quantize(graph, ranges, preprocessing)


def outputs(graph):
    """The graph's output for each photo, real."""
    runner = Runner(to_flatbuffer(graph), threads=1)
    found = [runner.run((pixels[np.newaxis] ^ 128).view(np.int8)) for pixels in PHOTOS]
    return np.concatenate([runner.outputs[0].dequantize(value) for value in found])


def segment(graph, name):
    return next(found for found in segments(graph) if found.name == name)


def test_every_operator_but_softmax_is_in_one_whole_segment():
    graph = network(B)[0]
    whole = [found for found in segments(graph) if found.parent is None]
    tensors = sorted(tensor for found in whole for tensor in found.outputs)
    assert tensors == sorted(op.output for op in graph.ops if op.kind != "SOFTMAX")
    assert [found.name for found in whole][:2] == ["stem", "block1a"]
    assert [found.name for found in whole][-2:] == ["top", "head"]


def test_the_parts_of_a_block():
    graph = network(B)[0]
    block = segment(graph, "block2a")
    parts = [found for found in segments(graph) if found.parent == "block2a"]
    names = [found.name for found in parts]
    assert names == ["block2a_expand", "block2a_dwconv", "block2a_se", "block2a_project"]
    assert sorted(t for found in parts for t in found.outputs) == sorted(block.outputs)
    assert math.isclose(sum(sum(p.costs.values()) for p in parts), sum(block.costs.values()))
    excite = next(t for t in parts[2].outputs if graph.tensors[t].name == "block2a_se_excite")
    assert parts[2].costs[excite] == mixed.ELEMENT_COST * math.prod(graph.tensors[excite].shape)
    # 1x1: every output value takes one multiply-add an input channel.
    conv = next(t for t in parts[0].outputs if graph.tensors[t].name == "block2a_expand_conv")
    channels = graph.tensors[parts_input(graph, conv)].shape[-1]
    values = math.prod(graph.tensors[conv].shape)
    assert parts[0].costs[conv] == (channels + mixed.ELEMENT_COST) * values


def parts_input(graph, tensor):
    return next(op.inputs[0] for op in graph.ops if op.output == tensor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", [LITE, B])
def test_borders_are_converted_once_each_way(variant, kind):
    graph, ranges, _ = network(variant)
    block = segment(graph, "block2a")
    result = keep_wide(int8(variant), ranges, block.outputs, kind)
    result_ops = [op for op in result.ops if op.kind not in ("QUANTIZE", "DEQUANTIZE")]
    assert [op.kind for op in result_ops] == [op.kind for op in graph.ops]
    # Indices and names stay with what the operators write.
    assert [op.output for op in result_ops] == graph.activations()
    for op in result_ops:
        wide = op.output in block.outputs
        assert result.tensors[op.output].dtype == (DTYPES[kind] if wide else "int8")
        assert result.tensors[op.output].name == graph.tensors[op.output].name
        inputs = [t for t in op.inputs if result.tensors[t].data is None]
        assert {result.tensors[t].dtype for t in inputs} == {result.tensors[op.output].dtype}
    borders = [op for op in result.ops if op.kind in ("QUANTIZE", "DEQUANTIZE")]
    borders = [op for op in borders if result.tensors[op.inputs[0]].data is None]
    assert [result.tensors[op.inputs[0]].name for op in borders] == [
        "block1a_project_conv",
        "block2a_project_conv",
    ]
    assert wide_layers(result) == tuple(
        graph.tensors[op.output].name for op in graph.ops if op.output in block.outputs
    )


def test_the_way_into_int16_is_exact():
    graph, ranges, _ = network(B)
    result = keep_wide(int8(B), ranges, segment(graph, "block2a").outputs, "int16")
    entry = next(op for op in result.ops if op.kind == "QUANTIZE")
    source, twin = result.tensors[entry.inputs[0]], result.tensors[entry.output]
    every = np.arange(-128, 128)
    integers = 128 * (every - source.quantization.zero_point[0])
    assert np.abs(integers).max() <= 32767
    assert twin.quantization.zero_point[0] == 0
    np.testing.assert_allclose(
        twin.quantization.dequantize(integers), source.quantization.dequantize(every), rtol=1e-6
    )
    walk = Walk(result, PHOTOS[:1], network(B)[2])
    for op in walk:
        if op is entry:
            stored = walk.values[op.inputs[0]][0].astype(np.int64)
            zero_point = source.quantization.zero_point[0]
            np.testing.assert_array_equal(walk.run(op)[0], 128 * (stored - zero_point))


def test_operators_in_int16_compute_what_the_specification_says():
    graph, ranges, preprocessing = network(B)
    result = keep_wide(int8(B), ranges, segment(graph, "block2a").outputs, "int16")
    walk = Walk(result, PHOTOS[:1], preprocessing)
    seen = set()
    for op in walk:
        if result.tensors[op.output].dtype != "int16" or op.kind == "QUANTIZE":
            continue
        values = {t: walk.values[t][0] for t in op.inputs if result.tensors[t].data is None}
        expected = run_op(result, op, values).astype(np.int64)
        # Fixed-point multipliers of 15 bits, and LOGISTIC's table, cost a few steps of 65,536.
        assert np.abs(walk.run(op)[0] - expected).max() <= 8, op.kind
        seen.add(op.kind)
    assert seen == {"CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC", "MUL", "MEAN"}


@pytest.mark.parametrize(("kind", "least_db"), [("int16", 50), ("float", 110)])
def test_an_island_computes_what_float_does_with_the_same_weights(kind, least_db):
    """Stem and two blocks; int8 stands at 24 dB there, int16 steps are 257 times finer."""
    graph, ranges, preprocessing = network(B)
    wide = frozenset().union(*(segment(graph, s).outputs for s in ("stem", "block1a", "block2a")))
    last = [next(t for t in wide if graph.tensors[t].name == "block2a_project_conv")]
    rounded = graph.with_outputs(last)
    for op in int8(B).with_outputs(last).ops:
        for index in op.inputs[1:] if op.kind in WEIGHTED else ():
            stored = int8(B).tensors[index]
            rounded.tensors[index].data = stored.quantization.dequantize(stored.data)
    runner = Runner(to_flatbuffer(rounded), threads=1)
    expected = np.concatenate([runner.run(preprocessing.normalize(p)[None]) for p in PHOTOS])
    result = keep_wide(int8(B), ranges, wide, kind).with_outputs(last)
    assert result.tensors[last[0]].dtype == DTYPES[kind]
    assert sqnr(expected, outputs(result)) > least_db
    assert sqnr(expected, outputs(int8(B).with_outputs(last))) < 30


def sqnr(wanted, found):
    noise = np.square(wanted - found).sum()
    return 10 * math.log10(np.square(wanted).sum() / noise) if noise else math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_int8_weights_are_stored_as_they_are(kind):
    graph, ranges, _ = network(B)
    block = segment(graph, "block2a")
    result = keep_wide(int8(B), ranges, block.outputs, kind)
    sizes = [len(to_flatbuffer(found)) for found in (int8(B), result)]
    assert abs(sizes[1] - sizes[0]) < 0.05 * sizes[0]
    stored = {t.data.tobytes() for t in result.tensors if t.data is not None}
    for op in int8(B).ops:
        if op.kind in WEIGHTED:
            assert int8(B).tensors[op.inputs[1]].data.tobytes() in stored


@pytest.mark.parametrize("kind", KINDS)
def test_the_given_graph_stays(kind):
    graph, ranges, _ = network(B)
    before = to_flatbuffer(int8(B))
    first = to_flatbuffer(keep_wide(int8(B), ranges, segment(graph, "stem").outputs, kind))
    assert to_flatbuffer(int8(B)) == before
    assert to_flatbuffer(keep_wide(int8(B), ranges, segment(graph, "stem").outputs, kind)) == first


def test_a_wide_head_still_ends_in_int8():
    graph, ranges, _ = network(B)
    for graph_ in (int8(B), int8(B).with_outputs([graph.ops[-1].inputs[0]])):
        result = keep_wide(graph_, ranges, segment(graph, "head").outputs, "float")
        assert result.tensors[result.outputs[0]].dtype == "int8"
        assert outputs(result).shape == (len(PHOTOS), 10)


def candidates(**costs):
    return [Segment(name, {number: cost}) for number, (name, cost) in enumerate(costs.items())]


def noise_of(*parts):
    """Independent errors: what is wide contributes none."""
    return lambda wide: sum(part for number, part in enumerate(parts) if number not in wide)


def chosen(*arguments):
    """The names, in order."""
    return [segment.name for segment in choose(*arguments)]


def test_what_is_good_enough_is_measured_once():
    calls = []

    def noise(wide):
        calls.append(wide)
        return mixed.TARGET

    assert choose(candidates(a=1.0, b=1.0), noise) == ()
    assert calls == [frozenset()]


def test_the_greatest_gain_for_its_cost_comes_first():
    # Without a: 10·log10(1/0.4) = 4.0 dB for 10; without b: 1.5 dB for 1.
    target = mixed.TARGET
    costly, equal = candidates(a=10.0, b=1.0), candidates(a=1.0, b=1.0)
    assert chosen(costly, noise_of(1.2 * target, 0.5 * target)) == ["b", "a"]
    assert chosen(costly, noise_of(0.9 * target, 0.5 * target)) == ["b"]
    assert chosen(equal, noise_of(0.9 * target, 0.5 * target)) == ["a"]


def test_gains_below_the_least_are_left():
    # With b wide a is 0.02 of 0.52: 0.17 dB. The third part nothing takes away.
    assert chosen(candidates(a=1.0, b=1.0), noise_of(0.02, 0.48, 0.5)) == ["b"]
    many = [1.0] * 50  # 0.09 dB each
    assert chosen(candidates(**{f"s{n}": 1.0 for n in range(50)}), noise_of(*many)) == []


def test_what_needs_its_neighbour_is_measured_again():
    # b gains nothing until a is wide, as a tensor between them has it.
    def noise(wide):
        return {0: 1.0, 1: 0.5, 2: 0.95, 3: 0.02}[(0 in wide) + 2 * (1 in wide)]

    assert sorted(chosen(candidates(a=1.0, b=1.0), noise)) == ["a", "b"]


def test_parts_are_measured_where_the_whole_gains():
    calls = []

    def noise(wide):
        calls.append(wide)
        return 0.5 if 0 in wide else 1.0

    block = Segment("x", {0: 1.0, 1: 9.0})
    other = Segment("y", {2: 1.0, 3: 1.0})
    parts = [Segment("x_a", {0: 1.0}, "x"), Segment("x_b", {1: 9.0}, "x")]
    parts += [Segment("y_a", {2: 1.0}, "y")]
    assert chosen([block, other, *parts], noise) == ["x_a"]
    assert frozenset({2}) not in calls


@pytest.mark.parametrize(
    ("name", "kind"),
    [("block3a_dwconv", "int16"), ("block3a_dwconv", "float"), ("block5a_expand", "float")],
)
def test_the_bad_layer_is_found(name, kind, monkeypatch):
    """One layer whose ranges are far too wide: it is chosen, and nothing else."""
    graph, ranges, preprocessing = network(B)
    bad = segment(graph, name)
    # Range and weights of the first operator: the tensor behind the last is stored in int8.
    first = next(op for op in graph.ops if op.output in bad.outputs)
    seen = ranges[first.output]
    broken = ranges | {first.output: Range(40 * seen.low, 40 * seen.high)}
    quantized = quantize(graph, broken, preprocessing)
    good = judge(int8(B))
    assert judge(quantized) < good - 2
    # As good as without the broken ranges is good enough.
    monkeypatch.setattr(mixed, "TARGET", 10 ** (-(good - 0.3) / 10))
    result, costs = widen(quantized, graph, ranges, PHOTOS, preprocessing, kind)
    assert set(wide_layers(result)) <= {graph.tensors[t].name for t in bad.outputs}
    # Most of what was lost is back. Not all to the decibel: random weights answer to one step
    # more or less, which int16 rounds otherwise than float.
    assert judge(result) > (judge(quantized) + good) / 2
    # What it is said to cost is what it costs.
    assert [cost.name for cost in costs[:1]] == [None]
    assert {cost.kind for cost in costs} == {kind}
    assert {cost.photos for cost in costs} == {len(PHOTOS)}
    parts = frozenset().union(*(segment(graph, cost.name).outputs for cost in costs[1:]))
    assert set(wide_layers(result)) == {graph.tensors[tensor].name for tensor in parts}
    assert [cost.bytes for cost in costs[:: len(costs) - 1]] == [
        len(to_flatbuffer(found)) for found in (quantized, result)
    ]
    assert costs[0].sqnr_db == pytest.approx(judge(quantized), abs=1e-3)
    as_float = keep_wide(quantized, ranges, parts, "float")
    assert costs[-1].sqnr_db == pytest.approx(judge(as_float), abs=1e-3)
    assert [cost.agreement for cost in costs[:: len(costs) - 1]] == [
        agreement(found) for found in (quantized, as_float)
    ]
    assert costs[0].latency == 1
    assert all(0 < cost.latency < math.inf for cost in costs)


def judge(graph):
    """SQNR of the logits in dB."""
    return sqnr(*logits_of_both(graph))


def agreement(graph):
    """Share of the photos of the same class."""
    wanted, found = logits_of_both(graph)
    return (wanted.argmax(1) == found.argmax(1)).mean()


def logits_of_both(graph):
    """Centred, of the float network and of this one, which may end in a conversion."""
    float_graph, _, preprocessing = network(B)
    logits = [float_graph.ops[-1].inputs[0]]
    runner = Runner(to_flatbuffer(float_graph.with_outputs(logits)), threads=1)
    wanted = np.concatenate([runner.run(preprocessing.normalize(p)[None]) for p in PHOTOS])
    softmax = next(op for op in graph.ops if op.kind == "SOFTMAX")
    found = outputs(graph.with_outputs([softmax.inputs[0]]))
    return [value - value.mean(1, keepdims=True) for value in (wanted, found)]


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_needs_it_the_graph_is_returned_as_it_is(kind, monkeypatch):
    graph, ranges, preprocessing = network(LITE)
    monkeypatch.setattr(mixed, "TARGET", 1.0)
    result, costs = widen(int8(LITE), graph, ranges, PHOTOS, preprocessing, kind)
    assert result is int8(LITE)
    assert [cost.name for cost in costs] == [None]


def test_one_class_has_no_error():
    row = get_variant(B)
    graph = export(architecture(row, 1), lively_weights(row, 1), "logits")
    preprocessing = preprocessing_for(row)
    activations = run_activations(graph, PHOTOS, preprocessing)
    ranges = min_max(graph, collect(graph, activations))
    quantized = quantize(graph, ranges, preprocessing)
    result, (cost,) = widen(quantized, graph, ranges, PHOTOS, preprocessing, "float")
    assert result is quantized
    assert (cost.sqnr_db, cost.agreement) == (math.inf, 1)
    assert cost.to_json()["sqnr_db"] is None


def test_a_walk_takes_weights_that_are_widened_on_loading():
    graph, ranges, preprocessing = network(B)
    result = keep_wide(int8(B), ranges, segment(graph, "block2a").outputs, "float")
    walk = Walk(result, PHOTOS, preprocessing)
    for _ in walk:
        assert all(len(values) == len(PHOTOS) for values in walk.values.values())
    found = np.concatenate(walk.values[result.outputs[0]])
    output = result.tensors[result.outputs[0]]
    # Kernels for weights that are no constants add up in another order.
    difference = output.quantization.dequantize(found) - outputs(result)
    assert np.abs(difference).max() <= 2 / 256
