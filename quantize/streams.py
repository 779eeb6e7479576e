"""Residual streams: tensors that additions join, which may be shifted and rescaled at will.

Between a projection and the next expansion nothing is non-linear. With ``x' = (x - o) / s``,
one o and one s a channel, a projection's weights and bias are divided by s, and a 1x1
convolution that reads x' gets ``W' = W·s`` and ``b' = b + W·o``: the network computes the same
function. Tensors that an addition joins share s; their offsets add up. A matrix may stand in
the place of 1 / s (rotation.py).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from effnet_lite.quantize.graph import CHANNEL_AXIS, WEIGHTED, Graph, Op
from effnet_lite.quantize.statistics import Matrix, Statistics, Vector

Offsets = dict[int, Vector]


@dataclasses.dataclass(frozen=True)
class Stream:
    """The tensors of one stream, by who writes and who reads them.

    Attributes:
        producers: Operators with weights and without an activation.
        additions: Of two tensors of the stream.
        readers: Operators with weights.
        shiftable: Whether every reader is 1x1: zero padding means zero in the original units,
            and a shifted tensor would need another value there.
    """

    producers: tuple[Op, ...]
    additions: tuple[Op, ...]
    readers: tuple[Op, ...]
    shiftable: bool

    @property
    def tensors(self) -> list[int]:
        """Indices of all tensors, those of the producers first."""
        return [op.output for op in (*self.producers, *self.additions)]

    def with_sums(self, offsets: Offsets) -> Offsets:
        """The producers' offsets, and those of the additions that follow from them."""
        offsets = dict(offsets)
        for op in self.additions:
            offsets[op.output] = offsets[op.inputs[0]] + offsets[op.inputs[1]]
        return offsets


def residual_streams(graph: Graph) -> list[Stream]:
    """Every stream whose writers are linear and whose readers can take the scale back."""
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
    streams = (_stream(graph, ops) for ops in members.values())
    return [stream for stream in streams if stream]


def rescale(
    graph: Graph, statistics: Statistics, stream: Stream, offsets: Offsets, scale: Vector
) -> None:
    """Store a stream's tensors as ``(x - offset) / scale``; graph and statistics are changed.

    Args:
        graph: Float32.
        statistics: Of its activations, in the units they have before.
        stream: Of the graph.
        offsets: Of all its tensors, from :meth:`Stream.with_sums`; each (channels,).
        scale: (channels,), above 0.
    """
    for tensor in stream.tensors:
        statistics[tensor] = statistics[tensor].affine(offsets[tensor], scale)
    for op in stream.producers:
        divide_output(graph, op, offsets[op.output], scale)
    for op in stream.readers:
        multiply_input(graph, op, offsets[op.inputs[0]], scale)


def transform(graph: Graph, stream: Stream, offsets: Offsets, matrix: Matrix) -> None:
    """Store a stream's tensors as ``R·(x - offset)``; the graph is changed.

    Args:
        graph: Float32.
        stream: Of the graph, and ``shiftable``.
        offsets: Of all its tensors, from :meth:`Stream.with_sums`; each (channels,).
        matrix: R, (channels, channels), invertible.
    """
    inverse = np.linalg.inv(matrix)
    for op in stream.producers:
        weights, bias = constants_of(graph, op)
        mixed = (matrix @ weights.reshape(len(weights), -1)).reshape(weights.shape)
        store_constants(graph, op, mixed, matrix @ (bias - offsets[op.output]))
    for op in stream.readers:
        weights, bias = constants_of(graph, op)
        rows = weights.reshape(len(weights), -1)
        mixed = (rows @ inverse).reshape(weights.shape)
        store_constants(graph, op, mixed, bias + rows @ offsets[op.inputs[0]])


def divide_output(graph: Graph, op: Op, offset: Vector | float, scale: Vector) -> None:
    """Make the operator write ``(x - offset) / scale``."""
    weights, bias = constants_of(graph, op)
    shape = [1] * weights.ndim
    shape[CHANNEL_AXIS[op.kind]] = -1
    store_constants(graph, op, weights / scale.reshape(shape), (bias - offset) / scale)


def multiply_input(graph: Graph, op: Op, offset: Vector, scale: Vector) -> None:
    """Make the operator read ``(x - offset) / scale`` and compute what it did from x."""
    weights, bias = constants_of(graph, op)
    if offset.any():  # only 1x1 convolutions and dense layers
        bias = bias + weights.reshape(len(bias), -1) @ offset
    # The input channel is the last axis of all three kinds of weights.
    store_constants(graph, op, weights * scale, bias)


def _stream(graph: Graph, ops: list[Op]) -> Stream | None:
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
    return Stream(producers, additions, readers, all(is_pointwise(graph, op) for op in readers))


def is_pointwise(graph: Graph, op: Op) -> bool:
    """Whether the operator reads one position for each that it writes."""
    shape = graph.tensors[op.inputs[1]].shape
    return op.kind == "FULLY_CONNECTED" or (op.kind == "CONV_2D" and shape[1:3] == (1, 1))


def constants_of(graph: Graph, op: Op) -> tuple[Vector, Vector]:
    """Copies of an operator's weights and bias, float64, to compute with."""
    weights, bias = (graph.tensors[index].constant for index in op.inputs[1:3])
    return weights.astype(np.float64), bias.astype(np.float64)


def store_constants(graph: Graph, op: Op, weights: Vector, bias: Vector) -> None:
    """Put an operator's weights and bias back as float32."""
    graph.tensors[op.inputs[1]].data = weights.astype(np.float32)
    graph.tensors[op.inputs[2]].data = bias.astype(np.float32)
