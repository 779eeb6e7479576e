"""The graph in memory: what a tensor must have, and what an operator costs."""

from __future__ import annotations

import numpy as np
import pytest
from small_variants import LITE, B

from effnet_lite.errors import ConversionError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import random_weights
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import Graph, Quantization, Tensor


def test_a_tensor_that_lacks_what_it_must_have():
    tensor = Tensor("x", (1, 4))
    with pytest.raises(ConversionError, match="x is not a constant"):
        _ = tensor.constant
    for name in ("quantized", "scales"):
        with pytest.raises(ConversionError, match="x is not quantized"):
            getattr(tensor, name)


def test_the_reals_of_a_bias():
    scales = Quantization.per_channel(np.array([0.5, 0.25]), 0)
    bias = Tensor("b", (2,), "int32", np.array([3, -2], np.int32), scales)
    assert bias.reals.tolist() == [1.5, -0.5]
    assert bias.scales.dtype == np.float64


def test_multiply_adds_by_hand():
    graph = Graph([Tensor("x", (1, 8, 8, 3))], inputs=[0])
    weights = [
        graph.constant(str(shape), np.zeros(shape, np.float32))
        for shape in ((5, 3, 3, 3), (1, 3, 3, 5), (7, 5))
    ]
    bias = graph.constant("bias", np.zeros(7, np.float32))
    conv = graph.add_op("CONV_2D", [0, weights[0], bias], "c", (1, 4, 4, 5))
    taps = graph.add_op("DEPTHWISE_CONV_2D", [conv, weights[1], bias], "d", (1, 4, 4, 5))
    mean = graph.add_op("MEAN", [taps], "m", (1, 5))
    graph.add_op("FULLY_CONNECTED", [mean, weights[2], bias], "f", (1, 7))
    found = [graph.multiply_adds(op) for op in graph.ops]
    assert found == [4 * 4 * 5 * 27, 4 * 4 * 5 * 9, 0, 35]


def test_swish_is_told_from_squeeze_and_excite():
    lite, b = (
        export(architecture(row, 10), random_weights(row, 10).tensors)
        for row in map(get_variant, (LITE, B))
    )
    assert lite.swish_products() == {}
    found = b.swish_products()
    assert found
    names = [(b.tensors[x].name, b.tensors[y].name) for x, y in found.items()]
    assert not any("se_gate" in y for _, y in names)
    products = {op.output for op in b.ops if op.kind == "MUL"}
    assert products - set(found.values())  # the gates of squeeze-and-excite
