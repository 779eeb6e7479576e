"""Residual additions in shared steps: exact, and only where that pays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mild_network import MildNetwork
from numpy_network import mild_weights
from small_variants import LITE

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.additions import _chain, _cheapest, share_scales
from effnet_lite.quantize.calibration import Range, min_max
from effnet_lite.quantize.export import export
from effnet_lite.quantize.quantizer import quantize
from effnet_lite.quantize.sequential import Walk
from effnet_lite.quantize.streams import residual_streams

DEEP = "lite-w0.35-d1.1-s32"  # streams of up to four additions


@pytest.fixture(scope="module", params=[LITE, DEEP])
def network(request, photos):
    return MildNetwork(request.param, photos, 8, "logits")


def gains_of(graph, random):
    return {
        op.output: random.uniform(0.5, 2, graph.tensors[op.output].shape[-1]) for op in graph.ops
    }


def width(wanted):
    return max(wanted.high, 0) - min(wanted.low, 0)


def test_additions_in_shared_steps_are_exact(network):
    graph, preprocessing, images = network.graph, network.preprocessing, network.pixels
    ranges = min_max(graph, network.statistics)
    # With gains of 0 for the projections nothing speaks against one width for all.
    gains = {op.output: np.full(1, float(op.kind == "ADD")) for op in graph.ops}
    share_scales(graph, ranges, gains)
    quantized = quantize(graph, ranges, preprocessing)
    shared = set()
    for op in quantized.ops:
        if op.kind == "ADD":
            kinds = [quantized.tensors[t].quantization for t in (*op.inputs, op.output)]
            assert len({float(kind.scale[0]) for kind in kinds}) == 1
            shared.add(op.output)
    assert shared
    walk, seen = Walk(quantized, images, preprocessing), 0
    for op in walk:
        if op.output not in shared:
            continue
        points = [int(quantized.tensors[t].quantization.zero_point[0]) for t in op.inputs]
        out = int(quantized.tensors[op.output].quantization.zero_point[0])
        given = zip(*(walk.values[t] for t in op.inputs), strict=True)
        for (one, other), found in zip(given, walk.run(op), strict=True):
            wanted = (one.astype(int) - points[0]) + (other.astype(int) - points[1]) + out
            np.testing.assert_array_equal(found, np.clip(wanted, -128, 127))
            seen += 1
    assert seen == len(shared) * len(images)


def test_ranges_only_grow_and_keep_zero_on_a_step(network):
    graph = network.graph
    before = min_max(graph, network.statistics)
    after = dict(before)
    share_scales(graph, after, gains_of(graph, np.random.default_rng(0)))
    for tensor, wanted in before.items():
        found = after[tensor]
        if found == wanted:
            continue
        step = width(found) / 255
        assert found.low <= min(wanted.low, 0) + step
        assert found.high >= wanted.high - step
        assert -found.low / step == pytest.approx(round(-found.low / step), abs=1e-9)


def test_no_cut_costs_less():
    """Against every way to cut a stream of four additions, the cost written out anew."""
    row = get_variant(DEEP)
    graph = export(architecture(row, 10), mild_weights(row), "logits")
    stream = max(residual_streams(graph), key=lambda stream: len(stream.additions))
    chain = _chain(stream)
    count = len(chain.sums)
    assert count >= 4
    random = np.random.default_rng(3)

    def value(runs, ranges, gains):
        """Rounding errors of all tensors: a sum in shared steps has none."""
        widths = {tensor: width(ranges[tensor]) for tensor in stream.tensors}
        for run in runs:
            widths |= dict.fromkeys(run, max(widths[tensor] for tensor in run))
        exact = {total for run in runs for total in run if total in chain.sums[1:]
                 and chain.sums[chain.sums.index(total) - 1] in run}  # fmt: skip
        return sum(widths[t] ** 2 * gains[t].sum() for t in stream.tensors if t not in exact)

    cuts_seen = set()
    for _ in range(30):
        ranges = {t: Range(-random.uniform(1, 3), random.uniform(1, 3)) for t in stream.tensors}
        for tensor in chain.added[1:]:
            ranges[tensor] = Range(-random.uniform(0.2, 1.5), random.uniform(0.2, 1.5))
        gains = gains_of(graph, random)
        totals = {}
        for cuts in itertools.product((False, True), repeat=count - 1):
            edges = [0, *(place for place, cut in enumerate(cuts, 1) if cut), count]
            runs = [
                chain.sums[start:stop] + chain.added[start + 1 : stop]
                for start, stop in itertools.pairwise(edges)
                if stop - start > 1
            ]
            totals[cuts] = value(runs, ranges, gains)
        found = _cheapest(chain, ranges, gains)
        assert value(found, ranges, gains) == pytest.approx(min(totals.values()))
        cuts_seen.add(min(totals, key=totals.get))
    assert len(cuts_seen) > 2
