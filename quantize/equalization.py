"""Stage ``equalize``: channels rescaled so that one range per tensor fits them all.

The network computes the same function afterwards; only its intermediate tensors change.

Between a projection and the next expansion nothing is non-linear, so each
channel may be shifted and scaled at will: with ``x' = (x - o) / s`` a projection's weights
and bias are divided by s, and a 1x1 convolution that reads x' gets ``W' = W·s`` and
``b' = b + W·o``. Tensors that an addition joins share s; their offsets add up. Every
channel then fills the range, as if int8 had one scale and zero point a channel. Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv
1906.04721), section 4.1, scales pairs of layers; the shifts, and doing it for a whole
residual stream, are ours.

Nothing is scaled through ReLU6, although ``relu6(s·x) = s·relu6(x)`` holds while ``s·x``
stays below 6: photos that calibration did not see go further, and even with a margin of 4
what is clipped costs more than the finer steps gain (Lite1: 23 dB instead of 37 for the
depthwise outputs, measured).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from effnet_lite.errors import ConversionError
from effnet_lite.quantize.graph import CHANNEL_AXIS, WEIGHTED, Graph, Op
from effnet_lite.quantize.statistics import ChannelStatistics, Statistics, Vector

# How far towards equal ranges: at 1 the tensors of one stream, which share their scales, are
# equalized for the worst of them, and the next layer's weights become as unequal as the
# channels were (Lite1: 24.1, 24.7 and 24.2 dB at 0, 0.5 and 1, measured).
STRENGTH = 0.5


def equalize(
    graph: Graph,
    statistics: Statistics,
    strength: float = STRENGTH,
) -> tuple[Graph, Statistics]:
    """Shift and rescale the channels of every residual stream.

    Args:
        graph: Float32; left as it is.
        statistics: Of all its activations.
        strength: 0 leaves the scales alone and only shifts, 1 equalizes fully.

    Returns:
        A graph of the same function, and the statistics of its tensors.
    """
    result, found = graph.copy(), dict(statistics)
    for group in _residual_groups(graph):
        _equalize_group(result, found, group, strength)
    return result, found


@dataclasses.dataclass(frozen=True)
class _Group:
    """Tensors that additions join, with who writes and who reads them."""

    producers: tuple[Op, ...]
    additions: tuple[Op, ...]
    readers: tuple[Op, ...]

    @property
    def tensors(self) -> list[int]:
        return [op.output for op in (*self.producers, *self.additions)]


def _residual_groups(graph: Graph) -> list[_Group]:
    parent: dict[int, int] = {}

    def root(tensor: int) -> int:
        while parent.setdefault(tensor, tensor) != tensor:
            tensor = parent[tensor]
        return tensor

    for op in graph.ops:
        if op.kind == "ADD":
            for tensor in op.inputs:
                parent[root(tensor)] = root(op.output)
        elif op.kind in WEIGHTED:
            root(op.output)
    members: dict[int, list[Op]] = {}
    for op in graph.ops:
        if op.output in parent:
            members.setdefault(root(op.output), []).append(op)
    groups = (_group(graph, ops) for ops in members.values())
    return [group for group in groups if group]


def _group(graph: Graph, ops: list[Op]) -> _Group | None:
    """None unless every writer is linear and every reader can take the scale back."""
    producers = tuple(op for op in ops if op.kind in WEIGHTED)
    additions = tuple(op for op in ops if op.kind == "ADD")
    tensors = {op.output for op in ops}
    if any(tensor not in tensors for op in additions for tensor in op.inputs):
        return None
    if any(op.options.get("relu6") for op in producers) or tensors & set(graph.outputs):
        return None
    readers = tuple(op for op in graph.ops if op.kind != "ADD" and tensors.intersection(op.inputs))
    if not readers or any(op.kind not in WEIGHTED or op.inputs[0] not in tensors for op in readers):
        return None
    return _Group(producers, additions, readers)


def _equalize_group(graph: Graph, statistics: Statistics, group: _Group, strength: float) -> None:
    # Zero padding means zero in the original units: a shifted tensor would need another
    # value there.
    shift = all(_is_pointwise(graph, op) for op in group.readers)
    offsets = _offsets(statistics, group, shift)
    centred = {tensor: statistics[tensor].affine(offset, 1.0) for tensor, offset in offsets.items()}
    scale = _group_scale(list(centred.values())) ** strength
    for tensor, values in centred.items():
        statistics[tensor] = values.affine(0.0, scale)
    for op in group.producers:
        _divide_output(graph, op, offsets[op.output], scale)
    for op in group.readers:
        _multiply_input(graph, op, offsets[op.inputs[0]], scale)


def _offsets(statistics: Statistics, group: _Group, shift: bool) -> dict[int, Vector]:
    """The middle of each written tensor's channels; additions add their inputs' up."""
    offsets: dict[int, Vector] = {}
    for op in group.producers:
        values = statistics[op.output]
        middle = (values.low + values.high) / 2
        offsets[op.output] = middle if shift else np.zeros_like(middle)
    for op in group.additions:
        offsets[op.output] = offsets[op.inputs[0]] + offsets[op.inputs[1]]
    return offsets


def _group_scale(members: list[ChannelStatistics]) -> Vector:
    """The largest reach of each channel over the tensors, each relative to its typical one."""
    reaches = [np.maximum(np.abs(values.low), np.abs(values.high)) for values in members]
    relative = [reach / max(float(np.median(reach)), 1e-12) for reach in reaches]
    largest = np.max(relative, axis=0)
    floor = max(float(largest.max()) * 1e-3, 1e-12)  # dead channels stay as they are
    scale: Vector = np.maximum(largest, floor)
    return scale


def _divide_output(graph: Graph, op: Op, offset: Vector, scale: Vector) -> None:
    """Make the operator write ``(x - offset) / scale``."""
    weights, bias = _constants(graph, op)
    shape = [1] * weights.ndim
    shape[CHANNEL_AXIS[op.kind]] = -1
    _store(graph, op, weights / scale.reshape(shape), (bias - offset) / scale)


def _multiply_input(graph: Graph, op: Op, offset: Vector, scale: Vector) -> None:
    """Make the operator read ``(x - offset) / scale`` and compute what it did from x."""
    weights, bias = _constants(graph, op)
    if offset.any():  # only 1x1 convolutions and dense layers
        bias = bias + weights.reshape(len(bias), -1) @ offset
    _store(graph, op, weights * scale, bias)  # the input channel is the last axis of all three


def _is_pointwise(graph: Graph, op: Op) -> bool:
    shape = graph.tensors[op.inputs[1]].shape
    return op.kind == "FULLY_CONNECTED" or (op.kind == "CONV_2D" and shape[1:3] == (1, 1))


def _constants(graph: Graph, op: Op) -> tuple[Vector, Vector]:
    """Copies of an operator's weights and bias, float64, to compute with."""
    weights, bias = (graph.tensors[index] for index in op.inputs[1:3])
    if weights.data is None or bias.data is None:
        raise ConversionError(f"{weights.name} is not a constant; expected weights of a layer")
    return weights.data.astype(np.float64), bias.data.astype(np.float64)


def _store(graph: Graph, op: Op, weights: Vector, bias: Vector) -> None:
    """Put an operator's weights and bias back as float32."""
    graph.tensors[op.inputs[1]].data = weights.astype(np.float32)
    graph.tensors[op.inputs[2]].data = bias.astype(np.float32)
