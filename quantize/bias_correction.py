"""Stage ``bias``: biases that give every channel its float mean back, after the activation.

Rounding weights shifts the mean of each output channel, and the shifts add up over layers.
For each layer in turn, on the quantized network's own inputs:

    b ← b + (E[a(Wx + b)] - E[a(Ŵx̂ + b̂)]) / E[a']

where a is the activation (the fused ReLU6, swish, or none) and E[a'] its mean slope: for ReLU6
the share of outputs that it does not clip. Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction" (arXiv 1906.04721), section 4.2, with the means taken behind
the activation: before it, as in the paper, much of the correction falls on values that are
clipped away. Before swish, where ranges end at -6 (ranges.py), it would make up for all that is
clipped: a B0 of 79.5 % accuracy came to 18 %, behind swish to 79.5 %.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from effnet_lite.quantize.graph import WEIGHTED, Graph, Op
from effnet_lite.quantize.sequential import Walk

# ReLU6 makes the mean a curve in the bias; two Newton steps settle it.
STEPS = 2
# A channel that is clipped almost everywhere tells next to nothing about its bias.
MIN_SLOPE = 0.05
# Below -1.28 swish falls, and a channel's mean slope may be 0 or less: half of the slope at 0
# moves it a little, and the right way wherever it does any harm.
MIN_SWISH_SLOPE = 0.25


def activated(graph: Graph, op: Op) -> int:
    """The tensor behind an operator's activation: swish's product, or its own output."""
    return graph.swish_products().get(op.output, op.output)


def correct(walk: Walk, op: Op, wanted: npt.NDArray[np.float64], swish: bool = False) -> None:
    """Shift the biases of one operator, in place.

    Args:
        walk: Standing before ``op``.
        op: One of the operators with weights, and not kept in float (mixed.py); others are
            left alone.
        wanted: The float network's mean of each channel of :func:`activated`, (channels,).
        swish: Whether a swish stands between the two.
    """
    if op.kind not in WEIGHTED or walk.graph.tensors[op.output].dtype == "float32":
        return
    for _ in range(STEPS):
        if swish:
            mean, slope = _swish_statistics(walk, op)
            slope = np.maximum(slope, MIN_SWISH_SLOPE)
        else:
            mean, slope = _output_statistics(walk, op)
            slope = np.maximum(slope, MIN_SLOPE)
        _shift_bias(walk.graph, op, (wanted - mean) / slope)


def _swish_statistics(
    walk: Walk, op: Op
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean of swish(x) and of its slope, each channel over the photos; x what ``op`` writes."""
    tensor = walk.graph.tensors[op.output]
    limits = np.iinfo(tensor.dtype)
    x = tensor.quantized.dequantize(np.arange(limits.min, limits.max + 1)).astype(np.float64)
    gate = 1 / (1 + np.exp(-x))
    swish, slope = x * gate, gate * (1 + x * (1 - gate))
    slope[[0, -1]] = 0.0  # clipped: the bias moves nothing
    total = np.zeros((2, tensor.shape[-1]))
    outputs = walk.run(op)
    for output in outputs:
        places = output.reshape(-1, tensor.shape[-1]).astype(np.intp) - limits.min
        total += [swish[places].mean(0), slope[places].mean(0)]
    mean, mean_slope = total / len(outputs)
    return mean, mean_slope


def _output_statistics(
    walk: Walk, op: Op
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean (reals) and unclipped share of each output channel over the photos."""
    tensor = walk.graph.tensors[op.output]
    outputs = walk.run(op)
    channels = tensor.shape[-1]
    limits = np.iinfo(tensor.dtype)
    total, inside = np.zeros(channels), np.zeros(channels)
    for output in outputs:
        flat = output.reshape(-1, channels)
        total += flat.mean(0, dtype=np.float64)
        inside += ((flat > limits.min) & (flat < limits.max)).mean(0)
    scale, zero_point = tensor.quantized.scale[0], tensor.quantized.zero_point[0]
    mean = (total / len(outputs) - zero_point) * np.float64(scale)
    clips = op.options.get("relu6", False)
    return mean, inside / len(outputs) if clips else np.ones(channels)


def _shift_bias(graph: Graph, op: Op, shift: npt.NDArray[np.float64]) -> None:
    bias = graph.tensors[op.inputs[2]]
    integers = bias.constant
    limits = np.iinfo(integers.dtype)
    moved = integers + np.rint(shift / bias.scales)
    bias.data = np.clip(moved, float(limits.min), float(limits.max)).astype(integers.dtype)
