"""Stage ``balance``: the residual streams' scales that add least error to the logits.

``equalize`` makes the channels' ranges equal, whatever they matter. Here scales s and offsets o
of each stream (streams.py; ``x' = (x - o) / s``) minimise what rounding adds to the logits, by
the gains g of sensitivity.py:

    Σ_t (D_t / 255)² / 12 · Σ_c g_tc s_c²  +  κ · Σ_r Σ_j (W_rj / 127)² / 12 · g_rj · M_r

over the tensors t of the stream, where D_t is the width of the range that holds all channels of
x', and over the layers r that read it, where W_rj = max_c |w_jc s_c| sets the step of row j and
M_r = Σ_c E[x'_c²] is what its rounding errors meet. The first sum wants channels that fill the
range, the second weights of equal size; κ is how much of the error rounding.py leaves (0.6).
White rounding noise of variance step²/12: Widrow & Kollár, "Quantization Noise" (2008). The
function of the network stays the same. Lite1 gained 0.4 dB over ``equalize`` with ``minmax``
ranges; with ``tails``, which both take in the recipes, they are within 0.1 dB of each other, and
KL is up to .0002 lower (Lite0-2, measured on 500 photos).
"""

from __future__ import annotations

import numpy as np

from effnet_lite.quantize.calibration import INT8_STEPS
from effnet_lite.quantize.equalization import equal_ranges
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.sensitivity import Gains
from effnet_lite.quantize.statistics import Statistics, Vector
from effnet_lite.quantize.streams import Offsets, Stream, constants_of, rescale, residual_streams

ROUNDING_SHARE = 0.6  # κ
STEPS = 400
# Of Adam (arXiv 1412.6980), in log s and in o / s; a quarter of it after half of the steps,
# a sixteenth for the last quarter.
LEARNING_RATE = 0.03


def weighed(graph: Graph) -> set[int]:
    """The activations whose gains decide: of the streams, and of the layers that read them."""
    streams = residual_streams(graph)
    written = {op.output for stream in streams for op in stream.readers}
    return written.union(*(stream.tensors for stream in streams))


def balance(graph: Graph, statistics: Statistics, gains: Gains) -> tuple[Graph, Statistics, Gains]:
    """Shift and rescale the channels of every residual stream.

    Args:
        graph: Float32; left as it is.
        statistics: Of all its activations.
        gains: Of the activations that are :func:`weighed`, from :func:`sensitivity.error_gains`.

    Returns:
        A graph of the same function, and the statistics and gains of its tensors.
    """
    result, found, changed = graph.copy(), dict(statistics), dict(gains)
    for stream in residual_streams(graph):
        offsets, scale = _Noise(graph, statistics, gains, stream).minimise()
        rescale(result, found, stream, offsets, scale)
        changed |= {tensor: gains[tensor] * scale**2 for tensor in stream.tensors}
    return result, found, changed


class _Noise:
    """The error power of one stream as a function of log s and o, and its gradient."""

    def __init__(self, graph: Graph, statistics: Statistics, gains: Gains, stream: Stream) -> None:
        self.stream = stream
        self.statistics = statistics
        self.gains = gains
        self.start, self.unit = equal_ranges(statistics, stream)
        self.readers = []
        for op in stream.readers:
            if op.kind == "DEPTHWISE_CONV_2D":
                continue  # each row has one channel's weights: what s does to the step cancels
            weights = np.abs(constants_of(graph, op)[0])
            # Kernels wider than one pixel: the largest of a channel's taps.
            rows = weights.reshape(len(weights), -1, weights.shape[-1]).max(1)
            taps = weights[0].size // weights.shape[-1]
            self.readers.append((op.inputs[0], rows, taps * ROUNDING_SHARE * gains[op.output]))

    def minimise(self) -> tuple[Offsets, Vector]:
        """Offsets and scale after ``STEPS`` of Adam on the logarithm, or the start's if better."""
        producers = [op.output for op in self.stream.producers]
        point = np.stack([np.log(self.unit), *(self.start[t] / self.unit for t in producers)])
        first = second = np.zeros_like(point)
        best, least = point, np.inf
        for step in range(1, STEPS + 1):
            value, gradient = self(point)
            if value < least:
                best, least = point, value
            if not self.stream.shiftable:
                gradient[1:] = 0
            gradient = gradient / max(value, 1e-300)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            rate = LEARNING_RATE * (
                1 if 2 * step < STEPS else 0.25 if 4 * step < 3 * STEPS else 1 / 16
            )
            moment = second / (1 - 0.999**step)
            point = point - rate * first / (1 - 0.9**step) / (np.sqrt(moment) + 1e-12)
        return self._offsets(best), np.exp(best[0])

    def __call__(self, point: Vector) -> tuple[float, Vector]:
        """The error power, and its gradient by log s (first row) and each producer's o / unit."""
        scale, offsets = np.exp(point[0]), self._offsets(point)
        by_scale = np.zeros_like(scale)
        by_offset = {tensor: np.zeros_like(scale) for tensor in offsets}
        total = 0.0
        for tensor, offset in offsets.items():
            known, gain = self.statistics[tensor], self.gains[tensor]
            high, low = (known.high - offset) / scale, (known.low - offset) / scale
            top, bottom = int(high.argmax()), int(low.argmin())
            width = high[top] - low[bottom]
            spread = float(gain @ scale**2) / (12 * INT8_STEPS**2)
            total += width**2 * spread
            by_scale += width**2 / (12 * INT8_STEPS**2) * 2 * gain * scale**2
            by_scale[top] -= 2 * width * spread * high[top]
            by_scale[bottom] += 2 * width * spread * low[bottom]
            by_offset[tensor][top] -= 2 * width * spread / scale[top]
            by_offset[tensor][bottom] += 2 * width * spread / scale[bottom]
        for tensor, rows, gain in self.readers:
            known, offset = self.statistics[tensor], offsets[tensor]
            scaled = rows * scale
            largest = scaled.argmax(1)
            steps = scaled[np.arange(len(rows)), largest]
            moment = known.square - 2 * offset * known.mean + offset**2
            squares = np.maximum(moment, 0) / scale**2  # rounding may take it below 0
            power, met = float(gain @ steps**2) / (12 * 127**2), float(squares.sum())
            total += power * met
            np.add.at(by_scale, largest, 2 * gain * steps**2 / (12 * 127**2) * met)
            by_scale -= 2 * power * squares
            by_offset[tensor] += power * 2 * (offset - known.mean) / scale**2
        for op in reversed(self.stream.additions):
            for given in op.inputs:
                by_offset[given] = by_offset[given] + by_offset[op.output]
        producers = [by_offset[op.output] * self.unit for op in self.stream.producers]
        return total, np.stack([by_scale, *producers])

    def _offsets(self, point: Vector) -> Offsets:
        producers = zip(self.stream.producers, point[1:], strict=True)
        return self.stream.with_sums({op.output: row * self.unit for op, row in producers})
