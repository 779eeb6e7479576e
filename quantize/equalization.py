"""Stage ``equalize``: channels rescaled so that one range per tensor fits them all.

The network computes the same function afterwards; only its intermediate tensors change.

The channels of every residual stream (streams.py) are shifted to the middle of their ranges
and scaled towards equal ones, as if int8 had one scale and zero point a channel. Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv
1906.04721), section 4.1, scales pairs of layers; the shifts, and doing it for a whole
residual stream, are ours.

Nothing is scaled through ReLU6, although ``relu6(s·x) = s·relu6(x)`` holds while ``s·x``
stays below 6: photos that calibration did not see go further, and even with a margin of 4
what is clipped costs more than the finer steps gain (Lite1: 23 dB instead of 37 for the
depthwise outputs, measured).
"""

from __future__ import annotations

import numpy as np

from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.statistics import ChannelStatistics, Statistics, Vector
from effnet_lite.quantize.streams import Offsets, Stream, rescale, residual_streams

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
    for stream in residual_streams(graph):
        offsets, scale = equal_ranges(statistics, stream, strength)
        rescale(result, found, stream, offsets, scale)
    return result, found


def equal_ranges(
    statistics: Statistics, stream: Stream, strength: float = STRENGTH
) -> tuple[Offsets, Vector]:
    """The offsets and the scale that :func:`equalize` gives a stream's tensors."""
    offsets = _middles(statistics, stream)
    centred = [statistics[tensor].affine(offset, 1.0) for tensor, offset in offsets.items()]
    return offsets, _largest_reach(centred) ** strength


def _middles(statistics: Statistics, stream: Stream) -> Offsets:
    """The middle of each written tensor's channels; additions add their inputs' up."""
    offsets: Offsets = {}
    for op in stream.producers:
        values = statistics[op.output]
        middle = (values.low + values.high) / 2
        offsets[op.output] = middle if stream.shiftable else np.zeros_like(middle)
    return stream.with_sums(offsets)


def _largest_reach(members: list[ChannelStatistics]) -> Vector:
    """The largest reach of each channel over the tensors, each relative to its typical one."""
    reaches = [np.maximum(np.abs(values.low), np.abs(values.high)) for values in members]
    relative = [reach / max(float(np.median(reach)), 1e-12) for reach in reaches]
    largest = np.max(relative, axis=0)
    floor = max(float(largest.max()) * 1e-3, 1e-12)  # dead channels stay as they are
    scale: Vector = np.maximum(largest, floor)
    return scale
