"""Which values of an activation int8 shall stand for; what lies outside is clipped.

``minmax``
    All values seen: nothing is clipped, and one outlier makes every step coarser.
``average``
    Each photo's smallest and largest value, averaged over the photos. Jacob et al. (arXiv
    1712.05877, section 3.1) take a moving average because the weights change while they
    train; here they do not, so every photo counts the same and their order does not matter.
    It is the limit of a bias-corrected moving average as its momentum goes to 1.
``mse``
    The range of least squared error, rounding and clipping together, over the values seen:
    ``argmin Σ (x - x̂(low, high))²``. Nagel et al., "A White Paper on Neural Network
    Quantization" (arXiv 2106.08295), section 3.1; Choukroun et al., "Low-bit
    Quantization of Neural Networks for Efficient Inference" (arXiv 1902.06822). Both ends are
    searched on a histogram (histograms.py) of a second pass. In int16, whose steps are 257
    times finer, nothing is worth clipping, and it is ``minmax``.
``tails``
    The range of least squared error on images that calibration did not see. A channel's largest
    value in an image follows a Gumbel distribution of some mode μ and width β, which the mean and
    deviation over the images tell, so that what comes beyond an end e adds ``2β²·exp(-(e - μ)/β)``
    an image, and likewise below:
    ``argmin N·step²/12 + Σ_c 2β_c²·exp(-(high - μ_c)/β_c) + …`` with N values an image. Gumbel,
    "Statistics of Extremes" (1958). Ranges become wider than what was seen where a photo has few
    positions and scales were fitted to these very photos (7x7: by 10 to 20 %), and narrower where
    it has many. Behind ReLU6 the end is known, and in int16 steps are fine enough: ``minmax``.
    Lite0-2 (measured): 0.3 to 0.5 dB over ``minmax`` behind ``equalize``, 0.1 to 0.2 dB and a KL
    .0001 lower behind ``balance``.

The logits always keep all values seen: two that are clipped are a tie.

In int8, what swish reads is clipped at -6 at the latest: x·σ(x) takes all below to -0.015…0,
but batch norms put values down to -150 there, and steps three times as coarse for those that
count. Measured with the activations alone in int8, on a B0 trained on 3068 photos: 8.6 dB
without and 11.6 dB with it for ``minmax``, 11.6 and 16.0 dB for ``mse``; up to 1 dB less at -8
and at -5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration import (
    INT8_STEPS,
    Range,
    Ranges,
    logits_of,
    min_max,
    with_relu6,
)
from effnet_lite.quantize.graph import Array, Graph
from effnet_lite.quantize.histograms import Histogram
from effnet_lite.quantize.recipe import Recipe
from effnet_lite.quantize.statistics import ChannelStatistics, Statistics, Vector

# Ends are tried at these shares of the widest range's, down to 1/1000 in steps of 19 % …
COARSE = 2.0 ** (-np.arange(40) / 4)
# … and then around the best, in steps of 2 %, where the error is flat.
FINE = 2.0 ** (np.arange(-8, 9) / 32)
# Of moving one end after the other; two settle it for most shapes.
MAX_ROUNDS = 8
# Ends of ``tails``, as shares of the values seen.
ENDS = np.arange(28, 81) / 40
# β at least, as a share of the range: channels that are the same in all photos have no tail.
MIN_TAIL = 1e-6
# Below this the quantizer takes the same scale for all.
MIN_WIDTH = 1e-9
# Swish is -0.015 there, and nearer to 0 below.
SWISH_LOW = -6.0
# Outputs whose scale the quantizer does not take from a range.
_WITHOUT_RANGE = ("LOGISTIC", "SOFTMAX", "AVERAGE_POOL_2D")


def choose_ranges(
    recipe: Recipe,
    graph: Graph,
    statistics: Statistics,
    activations: Iterable[Sequence[Array]],
    progress: Progress | None = None,
    total: int | None = None,
) -> Ranges:
    """The range of each activation, as the recipe wants it chosen.

    Args:
        recipe: Its ``ranges`` say how.
        graph: Float32, as it will be quantized.
        statistics: Of all its activations.
        activations: Each image's operator outputs, from ``calibration.run_activations`` of
            this graph; ``minmax`` leaves them alone.
        progress: Called as the work goes on.
        total: How many images there are, for the progress.
    """
    widest = min_max(graph, statistics)
    if recipe.activation_bits == 8:
        _clip_below_swish(graph, widest)
    if recipe.ranges == "average":
        chosen = _averages(graph, activations, progress, total)
        if recipe.activation_bits == 8:
            _clip_below_swish(graph, chosen)
    elif recipe.ranges == "mse" and recipe.activation_bits == 8:
        chosen = _least_errors(graph, widest, activations, progress, total)
    elif recipe.ranges == "tails" and recipe.activation_bits == 8:
        chosen = _extrapolated(graph, widest, statistics)
    else:
        return widest
    logits = logits_of(graph)
    chosen[logits] = widest[logits]
    return chosen


def _clip_below_swish(graph: Graph, ranges: Ranges) -> None:
    """Cut the lower ends of what swish reads, in place."""
    for tensor in graph.swish_products():
        found = ranges[tensor]
        ranges[tensor] = Range(max(found.low, SWISH_LOW), found.high)


def _averages(
    graph: Graph,
    activations: Iterable[Sequence[Array]],
    progress: Progress | None,
    total: int | None,
) -> Ranges:
    tensors = graph.activations()
    sums = np.zeros((len(tensors), 2))
    count = 0
    for count, values in enumerate(activations, start=1):
        sums += [(value.min(), value.max()) for value in values]
        if progress:
            progress(count, total, "averaging ranges")
    ends = (sums / count).tolist()
    ranges = {tensor: Range(*pair) for tensor, pair in zip(tensors, ends, strict=True)}
    return with_relu6(graph, ranges)


def _least_errors(
    graph: Graph,
    widest: Ranges,
    activations: Iterable[Sequence[Array]],
    progress: Progress | None,
    total: int | None,
) -> Ranges:
    histograms = {
        number: Histogram(widest[op.output])
        for number, op in enumerate(graph.ops)
        if op.kind not in _WITHOUT_RANGE and _is_searchable(widest[op.output])
    }
    for count, values in enumerate(activations, start=1):
        for number, histogram in histograms.items():
            histogram.add(values[number])
        if progress:
            progress(count, total, "counting values")
    chosen = dict(widest)
    for done, (number, histogram) in enumerate(histograms.items(), start=1):
        chosen[graph.ops[number].output] = least_error(histogram)
        if progress:
            progress(done, len(histograms), "choosing ranges")
    return chosen


def _extrapolated(graph: Graph, widest: Ranges, statistics: Statistics) -> Ranges:
    chosen = dict(widest)
    for op in graph.ops:
        tensor = op.output
        if (
            op.kind in _WITHOUT_RANGE
            or op.options.get("relu6")
            or not _is_searchable(widest[tensor])
        ):
            continue
        chosen[tensor] = least_expected_error(
            widest[tensor], statistics[tensor], int(np.prod(graph.tensors[tensor].shape))
        )
    return chosen


def least_expected_error(seen: Range, statistics: ChannelStatistics, values: int) -> Range:
    """The range of least squared error on further images, by the tails of the ones seen.

    Args:
        seen: What the calibration images reach.
        statistics: Of the activation.
        values: How many values an image has.
    """
    covered = seen.with_zero()
    low, high = covered.low, covered.high
    floor = MIN_TAIL * covered.width

    def beyond(ends: Vector, mean: Vector, deviation: Vector) -> Vector:
        width = np.maximum(deviation * np.sqrt(6) / np.pi, floor)
        mode = mean - np.euler_gamma * width
        far = np.clip((ends[:, np.newaxis] - mode) / width, -50, None)
        found: Vector = (2 * width**2 * np.exp(-far)).sum(1)
        return found

    above = beyond(high * ENDS, statistics.high_mean, statistics.high_deviation)
    below = beyond(-low * ENDS, -statistics.low_mean, statistics.low_deviation)
    if low > statistics.low.min():  # cut in front of swish: nothing below matters
        below = np.where(ENDS == 1, 0.0, np.inf)
    step = (high * ENDS[:, np.newaxis] - low * ENDS) / INT8_STEPS
    errors = values * step**2 / 12 + above[:, np.newaxis] + below
    top, bottom = np.unravel_index(errors.argmin(), errors.shape)
    return Range(float(low * ENDS[bottom]), float(high * ENDS[top]))


def _is_searchable(widest: Range) -> bool:
    # A tensor of zeros has no range to search; what is not finite, the quantizer refuses.
    return MIN_WIDTH < widest.with_zero().width < np.inf


def least_error(histogram: Histogram) -> Range:
    """The range within the histogram's whose int8 has the least squared error.

    Both ends together, then the lower and the upper one in turn until one of them is best
    where it is; an end that is 0, as ReLU6 has it, stays.
    """
    widest = best = histogram.range
    moves = [(True, True)]
    if widest.low < 0 < widest.high:
        moves += [(True, False), (False, True)] * MAX_ROUNDS
    for factors in (COARSE, FINE):
        for turn, (low, high) in enumerate(moves):
            base = widest if factors is COARSE else best
            candidates = [
                Range(
                    max(base.low * factor, widest.low) if low else best.low,
                    min(base.high * factor, widest.high) if high else best.high,
                )
                for factor in factors.tolist()
            ]
            found = min((best, *candidates), key=histogram.error)
            if turn > 1 and found == best:
                break
            best = found
    return best
