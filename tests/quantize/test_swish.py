"""What is particular about swish in int8: where its input's range ends, and biases behind it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy_network import lively_weights
from small_variants import LITE, B

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.bias_correction import activated, correct
from effnet_lite.quantize.calibration import min_max, run_activations
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import WEIGHTED
from effnet_lite.quantize.quantizer import quantize
from effnet_lite.quantize.ranges import SWISH_LOW, choose_ranges
from effnet_lite.quantize.recipe import RANGES, get_recipe
from effnet_lite.quantize.sequential import Walk
from effnet_lite.quantize.statistics import collect
from effnet_lite.quantize.synthetic import dead_leaves

PHOTOS = [dead_leaves(64, number, seed=3) for number in range(4)]


@functools.cache
def network(variant):
    """Float graph, statistics on the photos, preprocessing."""
    row = get_variant(variant)
    graph = export(architecture(row, 10), lively_weights(row, 10), "logits")
    preprocessing = preprocessing_for(row)
    return graph, collect(graph, run_activations(graph, PHOTOS, preprocessing)), preprocessing


def chosen(variant, recipe):
    graph, statistics, preprocessing = network(variant)
    activations = run_activations(graph, PHOTOS, preprocessing)
    return choose_ranges(get_recipe(recipe), graph, statistics, activations)


def swish_inputs(graph):
    """By the names that export gives."""
    ends = ("stem_conv", "top_conv", "expand_conv", "dwconv", "se_reduce")
    return {op.output for op in graph.ops if graph.tensors[op.output].name.endswith(ends)}


@pytest.mark.parametrize("ranges", RANGES)
def test_ranges_of_what_swish_reads_end_where_it_is_nothing(ranges):
    graph, statistics, _ = network(B)
    found = chosen(B, f"w8a8-{ranges}")
    inputs = swish_inputs(graph)
    lows = {tensor: float(statistics[tensor].low.min()) for tensor in inputs}
    assert min(lows.values()) < 4 * SWISH_LOW
    assert all(found[tensor].low >= SWISH_LOW for tensor in inputs)
    if ranges == "minmax":
        widest = min_max(graph, statistics)
        for tensor in graph.activations():
            low = max(lows[tensor], SWISH_LOW) if tensor in inputs else widest[tensor].low
            assert (found[tensor].low, found[tensor].high) == (low, widest[tensor].high)


def test_the_gates_of_squeeze_and_excite_keep_their_range():
    graph, statistics, _ = network(B)
    wide = dict(statistics)
    for op in graph.ops:
        if graph.tensors[op.output].name.endswith("se_expand"):
            wide[op.output] = wide[op.output].affine(0.0, 0.01)
    found = choose_ranges(get_recipe("fast"), graph, wide, ())
    lows = [found[op.output].low for op in graph.ops
            if graph.tensors[op.output].name.endswith("se_expand")]  # fmt: skip
    assert min(lows) < 4 * SWISH_LOW


def test_int16_and_the_lite_family_keep_all_values():
    assert chosen(B, "w8a16-minmax") == min_max(*network(B)[:2])
    assert chosen(LITE, "w8a8-minmax") == min_max(*network(LITE)[:2])


def test_behind_the_activation():
    graph = network(B)[0]
    names = {op.output: graph.tensors[op.output].name for op in graph.ops}
    behind = {names[op.output]: names[activated(graph, op)] for op in graph.ops
              if op.kind in WEIGHTED}  # fmt: skip
    assert behind["stem_conv"] == "stem_activation"
    assert behind["block2a_dwconv"] == "block2a_activation"
    assert behind["block2a_se_reduce"] == "block2a_se_activation"
    for name in ("normalization", "block2a_se_expand", "block2a_project_conv", "logits"):
        assert behind[name] == name
    lite = network(LITE)[0]
    assert all(activated(lite, op) == op.output for op in lite.ops)


def test_bias_correction_restores_the_mean_behind_swish():
    graph, statistics, preprocessing = network(B)
    quantized = quantize(graph, chosen(B, "fast"), preprocessing)
    walk = Walk(quantized, PHOTOS, preprocessing)
    before, after, in_front = [], [], []
    for op in walk:
        tensor = activated(quantized, op)
        if op.kind not in WEIGHTED or tensor == op.output:
            continue
        wanted = statistics[tensor].mean

        def error(op=op, wanted=wanted):
            info = quantized.tensors[op.output]
            x = info.quantization.dequantize(np.concatenate(walk.run(op))).astype(np.float64)
            mean = (x / (1 + np.exp(-x))).reshape(-1, len(wanted)).mean(0)
            return float(np.abs(mean - wanted).mean())

        before.append(error())
        stored = quantized.tensors[op.inputs[2]].data
        correct(walk, op, statistics[op.output].mean)
        in_front.append(error())
        quantized.tensors[op.inputs[2]].data = stored
        correct(walk, op, wanted, swish=True)
        after.append(error())
    assert np.mean(after) < 0.5 * np.mean(before)
    # In front of swish it would make up for all that the range clips.
    assert np.mean(in_front) > np.mean(before)
