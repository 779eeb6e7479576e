"""What the activations do on real photos: the numbers every range is chosen from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer


@dataclasses.dataclass(frozen=True)
class Range:
    """The smallest and largest value that an activation took (in the network's units)."""

    low: float
    high: float

    def widened(self, factor: float) -> Range:
        """The same centre of zero, both ends moved out by ``factor``."""
        return Range(self.low * factor, self.high * factor)


Ranges = dict[int, Range]


def min_max(
    graph: Graph,
    photos: Iterable[Pixels],
    preprocessing: Preprocessing,
    progress: Progress | None = None,
    total: int | None = None,
) -> Ranges:
    """Smallest and largest value of every activation over the photos.

    One photo at a time: memory does not depend on their number.

    Args:
        graph: The float32 graph.
        photos: Pixels of shape (size, size, 3).
        preprocessing: Gives the mean and std of the graph's input.
        progress: Called after each photo.
        total: How many photos there are, for the progress.
    """
    activations = graph.activations()
    low = np.full(len(activations), np.inf)
    high = np.full(len(activations), -np.inf)
    for number, values in enumerate(run_activations(graph, photos, preprocessing), start=1):
        for position, value in enumerate(values):
            low[position] = min(low[position], value.min())
            high[position] = max(high[position], value.max())
        if progress:
            progress(number, total, "calibrating")
    return {
        tensor: Range(float(low[position]), float(high[position]))
        for position, tensor in enumerate(activations)
    }


def run_activations(
    graph: Graph, photos: Iterable[Pixels], preprocessing: Preprocessing
) -> Iterator[list[npt.NDArray[np.float32]]]:
    """Every operator's output for each photo, in execution order."""
    # All activations as outputs, rather than the runtime's "preserve all tensors" switch:
    # that one turns XNNPACK off and is several times slower.
    runner = Runner(to_flatbuffer(graph.with_outputs(graph.activations())))
    count = len(runner.outputs)
    for pixels in photos:
        runner.set_input(preprocessing.normalize(pixels)[np.newaxis])
        runner.invoke()
        yield [runner.output(number) for number in range(count)]
