"""What each channel of each activation does on the calibration images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from effnet_lite.progress import Progress
from effnet_lite.quantize.graph import Array, Graph

Vector = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class ChannelStatistics:
    """Over images and positions, in the network's units; each (channels,) float64.

    Attributes:
        low, high: Smallest and largest value.
        mean: Mean value.
        square: Mean of the squares.
    """

    low: Vector
    high: Vector
    mean: Vector
    square: Vector

    def affine(self, offset: Vector | float, scale: Vector | float) -> ChannelStatistics:
        """The statistics of ``(x - offset) / scale``, scale above 0."""
        low, high, mean = ((value - offset) / scale for value in (self.low, self.high, self.mean))
        square = (self.square - 2 * offset * self.mean + np.square(offset)) / np.square(scale)
        return ChannelStatistics(low, high, mean, square)


Statistics = dict[int, ChannelStatistics]


def collect(
    graph: Graph,
    activations: Iterable[list[Array]],
    progress: Progress | None = None,
    total: int | None = None,
) -> Statistics:
    """One pass over the images; memory does not depend on their number.

    Args:
        graph: The float32 graph.
        activations: Each image's operator outputs, from ``calibration.run_activations``.
        progress: Called after each image.
        total: How many images there are, for the progress.
    """
    tensors = graph.activations()
    sums: list[Vector] = []
    squares: list[Vector] = []
    lows: list[Vector] = []
    highs: list[Vector] = []
    count = 0
    for count, values in enumerate(activations, start=1):
        flat = [value.reshape(-1, value.shape[-1]) for value in values]
        low = [value.min(0).astype(np.float64) for value in flat]
        high = [value.max(0).astype(np.float64) for value in flat]
        mean = [value.mean(0, dtype=np.float64) for value in flat]
        square = [np.einsum("pc,pc->c", value, value) / len(value) for value in flat]
        if count == 1:
            lows, highs, sums, squares = low, high, mean, square
        else:
            lows = [np.minimum(a, b) for a, b in zip(lows, low, strict=True)]
            highs = [np.maximum(a, b) for a, b in zip(highs, high, strict=True)]
            sums = [a + b for a, b in zip(sums, mean, strict=True)]
            squares = [a + b for a, b in zip(squares, square, strict=True)]
        if progress:
            progress(count, total, "calibrating")
    return {
        tensor: ChannelStatistics(low, high, sum_ / count, square / count)
        for tensor, low, high, sum_, square in zip(tensors, lows, highs, sums, squares, strict=True)
    }
