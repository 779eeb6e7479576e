"""What the activations do on real photos: the numbers every range is chosen from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.statistics import Statistics
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

#: From the smallest to the largest integer.
INT8_STEPS = 255


@dataclasses.dataclass(frozen=True)
class Range:
    """The smallest and largest value that an activation took (in the network's units)."""

    low: float
    high: float

    def with_zero(self) -> Range:
        """What a quantized tensor covers: 0, which padding is, is always in it."""
        return Range(min(self.low, 0.0), max(self.high, 0.0))

    @property
    def width(self) -> float:
        """From end to end."""
        return self.high - self.low


Ranges = dict[int, Range]


def min_max(graph: Graph, statistics: Statistics) -> Ranges:
    """From the smallest to the largest value that any channel took."""
    ranges = {
        tensor: Range(float(values.low.min()), float(values.high.max()))
        for tensor, values in statistics.items()
    }
    return with_relu6(graph, ranges)


def with_relu6(graph: Graph, ranges: Ranges) -> Ranges:
    """The same ranges, those behind a ReLU6 from 0 to 6 at most; ``ranges`` is changed."""
    for op in graph.ops:
        if op.options.get("relu6"):
            ranges[op.output] = Range(0.0, min(ranges[op.output].high, 6.0))
    return ranges


def logits_of(graph: Graph) -> int:
    """Index of the logits, which a softmax may follow."""
    last = graph.ops[-1]
    return last.inputs[0] if last.kind == "SOFTMAX" else last.output


class Outputs(Sequence[npt.NDArray[np.float32]]):
    """What operators computed of one image, read when asked for and gone with the next image.

    The interpreter has them all; a copy of them all would be as much again, 3.8 GB for B7.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner: Runner | None = runner
        self._count = len(runner.outputs)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> npt.NDArray[np.float32]: ...
    @overload
    def __getitem__(self, number: slice) -> list[npt.NDArray[np.float32]]: ...
    def __getitem__(
        self, number: int | slice
    ) -> npt.NDArray[np.float32] | list[npt.NDArray[np.float32]]:
        """A copy of an operator's output, or of several."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(self._count))]
        if self._runner is None:
            raise RuntimeError("expected to be read before the next image runs, found it late")
        return self._runner.output(range(self._count)[number])

    def close(self) -> None:
        """Let nobody read what may be another image's."""
        self._runner = None


def run_activations(
    graph: Graph, photos: Iterable[Pixels], preprocessing: Preprocessing
) -> Iterator[Outputs]:
    """Every operator's output for each photo, in execution order."""
    # All activations as outputs, rather than the runtime's "preserve all tensors" switch:
    # that one turns XNNPACK off and is several times slower.
    runner = Runner(to_flatbuffer(graph.with_outputs(graph.activations())))
    for pixels in photos:
        runner.set_input(preprocessing.normalize(pixels)[np.newaxis])
        runner.invoke()
        found = Outputs(runner)
        yield found
        found.close()
