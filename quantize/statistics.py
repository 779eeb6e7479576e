"""What each channel of each activation does on the calibration images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from effnet_lite.progress import Progress
from effnet_lite.quantize.graph import Array, Graph

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class ChannelStatistics:
    """Over images and positions, in the network's units; each (channels,) float64.

    Attributes:
        low, high: Smallest and largest value.
        mean: Mean value.
        square: Mean of the squares.
        low_mean, low_deviation: Of the images' smallest values, mean and standard deviation.
        high_mean, high_deviation: Of the images' largest values.
    """

    low: Vector
    high: Vector
    mean: Vector
    square: Vector
    low_mean: Vector
    low_deviation: Vector
    high_mean: Vector
    high_deviation: Vector

    def affine(self, offset: Vector | float, scale: Vector | float) -> ChannelStatistics:
        """The statistics of ``(x - offset) / scale``, scale above 0."""
        moved = {
            name: (getattr(self, name) - offset) / scale
            for name in ("low", "high", "mean", "low_mean", "high_mean")
        }
        square = (self.square - 2 * offset * self.mean + np.square(offset)) / np.square(scale)
        return ChannelStatistics(
            **moved,
            square=square,
            low_deviation=self.low_deviation / scale,
            high_deviation=self.high_deviation / scale,
        )


Statistics = dict[int, ChannelStatistics]


def collect(
    graph: Graph,
    activations: Iterable[Sequence[Array]],
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
    sums: list[_Sums] = []
    count = 0
    for count, values in enumerate(activations, start=1):
        found = [_Sums.of(value.reshape(-1, value.shape[-1])) for value in values]
        sums = found if count == 1 else [a + b for a, b in zip(sums, found, strict=True)]
        if progress:
            progress(count, total, "calibrating")
    return {tensor: each.over(count) for tensor, each in zip(tensors, sums, strict=True)}


@dataclasses.dataclass(frozen=True)
class _Sums:
    """Of one activation over some images; ``added`` is what is divided by their number."""

    low: Vector
    high: Vector
    added: Vector

    @staticmethod
    def of(values: Array) -> _Sums:
        """Of one image's (positions, channels)."""
        low, high = (end(0).astype(np.float64) for end in (values.min, values.max))
        mean = values.mean(0, dtype=np.float64)
        square = np.einsum("pc,pc->c", values, values) / len(values)
        return _Sums(low, high, np.stack([mean, square, low, low**2, high, high**2]))

    def __add__(self, other: _Sums) -> _Sums:
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return _Sums(low, high, self.added + other.added)

    def over(self, count: int) -> ChannelStatistics:
        mean, square, low, low_square, high, high_square = self.added / count
        with np.errstate(invalid="ignore"):  # infinite values, which the quantizer refuses
            low_deviation, high_deviation = (
                np.sqrt(np.maximum(mean_square - mean**2, 0))
                for mean, mean_square in ((low, low_square), (high, high_square))
            )
        return ChannelStatistics(
            self.low, self.high, mean, square, low, low_deviation, high, high_deviation
        )
