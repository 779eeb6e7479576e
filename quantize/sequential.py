"""Walking a quantized graph operator by operator, with every photo's integers at hand.

Stages that change an operator's constants need its inputs as the quantized network really
produces them, the errors of earlier layers included. One walk runs every operator once for
each photo, where running the whole network for each layer would be quadratic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.quantize.graph import Graph, Op
from effnet_lite.quantize.tflite.runtime import Runner, TensorInfo, input_codec
from effnet_lite.quantize.tflite.writer import to_flatbuffer

Array = npt.NDArray[Any]

# What the activations of all photos together may take; with larger networks fewer photos
# take part, so that memory depends neither on the network nor on the calibration set.
MEMORY_BUDGET = 1024 * 2**20


class Walk:
    """The state of a walk: the integers of every tensor that a later operator still reads.

    Args:
        graph: Quantized, without QUANTIZE at its ends; its constants may be changed as the
            walk goes on.
        photos: Pixels of shape (size, size, 3).
        preprocessing: Gives the mean and std of the input.
    """

    def __init__(
        self, graph: Graph, photos: Iterable[Pixels], preprocessing: Preprocessing
    ) -> None:
        self.graph = graph
        encode = input_encoder(graph, preprocessing)
        self.values = {graph.inputs[0]: [encode(pixels) for pixels in photos]}
        self._count = len(self.values[graph.inputs[0]])
        self._last_use = {
            tensor: number for number, op in enumerate(graph.ops) for tensor in op.inputs
        }
        self._last_use.update(dict.fromkeys(graph.outputs, len(graph.ops)))

    def __iter__(self) -> Iterator[Op]:
        """Each operator in turn; after the caller is done with it, it is run and kept."""
        for number, op in enumerate(self.graph.ops):
            yield op
            self.values[op.output] = self.run(op)
            done = [tensor for tensor in self.values if self._last_use.get(tensor, -1) <= number]
            for tensor in done:
                del self.values[tensor]

    def run(self, op: Op) -> list[Array]:
        """The operator's raw output for every photo, with its constants as they are now."""
        inputs = [tensor for tensor in op.inputs if self.graph.tensors[tensor].data is None]
        if not inputs:
            return [self._constant(op)] * self._count
        runner = Runner(to_flatbuffer(single_op(self.graph, op)))
        outputs = []
        for values in zip(*(self.values[tensor] for tensor in dict.fromkeys(inputs)), strict=True):
            runner.set_inputs(values)
            runner.invoke()
            outputs.append(runner.output())
        return outputs

    def _constant(self, op: Op) -> Array:
        """What a DEQUANTIZE behind int8 weights gives (mixed.py), once for all photos."""
        source = self.graph.tensors[op.inputs[0]]
        return source.quantized.dequantize(source.constant)


def input_encoder(graph: Graph, preprocessing: Preprocessing) -> Callable[[Pixels], Array]:
    """How pixels become the integers of a quantized graph's input."""
    source = graph.tensors[graph.inputs[0]]
    scale, zero_point = source.quantized.scale[0], source.quantized.zero_point[0]
    info = TensorInfo(source.name, source.shape, source.dtype, float(scale), int(zero_point))
    return input_codec(info, preprocessing.mean, preprocessing.std)


def single_op(graph: Graph, op: Op) -> Graph:
    """A graph of one operator, its activations as inputs in the order of their first use."""
    inputs = [tensor for tensor in op.inputs if graph.tensors[tensor].data is None]
    return Graph(graph.tensors, [op], list(dict.fromkeys(inputs)), [op.output])


def affordable_photos(graph: Graph, count: int) -> int:
    """How many of ``count`` photos a walk may hold at once, at least 4."""
    live: dict[int, int] = {}
    last_use = {tensor: number for number, op in enumerate(graph.ops) for tensor in op.inputs}
    peak = 1
    for number, op in enumerate(graph.ops):
        live[op.output] = int(np.prod(graph.tensors[op.output].shape))
        peak = max(peak, sum(live.values()))
        live = {tensor: size for tensor, size in live.items() if last_use.get(tensor, 0) > number}
    return min(count, max(4, MEMORY_BUDGET // peak))
