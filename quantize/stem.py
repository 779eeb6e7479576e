"""Stage ``stem``: the first layer's channels made finer, and the noisiest computed twice.

One range, 0 to 6, holds all channels behind the first layer's ReLU6, and some of them hardly
move in it: in Lite1 one varies by 0.4 around 3 and gives half of the error of the whole tensor,
because the depthwise layer that reads it takes differences of neighbours. Two things are done,
and the network computes the same function after both:

- A channel that stays below 6 on the calibration images is scaled up to fill the range, and
  the depthwise layer takes the factor back. Pixels are bounded and photos many times the size
  of the layer, so that nothing far beyond what calibration saw is to come; deeper layers hold
  channels that stay silent for a hundred photos and answer to the next (equalization.py).
- Training leaves channels that no pixel can wake: their bias is below 0 by more than their
  weights can add. They are computed all the same, so each becomes one more copy of a noisy
  channel: m copies, each a share 1/m of what the projection reads, stored with offsets
  j·step/m, j = 0…m-1. Their roundings are those of a step m times finer between them, and the
  error's power falls by m² (known offsets as dither: Lipshitz, Wannamaker and Vanderkooy,
  "Quantization and Dither: A Theoretical Survey", 1992). Which channels: by what
  rounding one channel alone does to the logits of a few images.

Measured on 500 photos, with everything else of ``best``: Lite0 25.7 → 26.2 dB, Lite1 25.3 →
25.8, Lite2 25.5 → 26.2. It costs nothing when the model runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration import INT8_STEPS, logits_of, run_activations
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.graph import Graph, Op
from effnet_lite.quantize.statistics import Statistics, Vector, collect
from effnet_lite.quantize.streams import (
    constants_of,
    divide_output,
    is_pointwise,
    multiply_input,
    store_constants,
)
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

# What may still come above the largest value that calibration saw, and how far a channel that
# is next to silent may be scaled up.
HEADROOM, MOST = 1.03, 3.0
# Images that the channels' errors are measured on: their order is the same from image to image.
IMAGES = 8


@dataclasses.dataclass(frozen=True)
class Stem:
    """The operators of a pattern: first layer with ReLU6 → depthwise → projection."""

    first: Op
    depthwise: Op
    projection: Op


def find_stem(graph: Graph) -> Stem | None:
    """The pattern where the network begins with it: the Lite family does, B has swish."""
    following = graph.inputs[0]
    found = []
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"):
        readers = [op for op in graph.ops if following in op.inputs]
        if len(readers) != 1 or readers[0].kind != kind:
            return None
        found.append(readers[0])
        following = readers[0].output
    stem = Stem(*found)
    fits = stem.first.options.get("relu6") and is_pointwise(graph, stem.projection)
    return stem if fits else None


def refine_stem(
    graph: Graph,
    statistics: Statistics,
    images: CalibrationSet,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
) -> tuple[Graph, Statistics]:
    """Scale and copy the first layer's channels; other networks come back as they are.

    Args:
        graph: Float32; left as it is.
        statistics: Of all its activations.
        images: The first ``IMAGES`` of them tell which channels are noisy.
        preprocessing: Of the network.
        progress: Called after each image.

    Returns:
        A graph of the same function, and the statistics of its tensors.
    """
    stem = find_stem(graph)
    if stem is None:
        return graph, statistics
    result, found = graph.copy(), dict(statistics)
    _fill_range(result, found, stem)
    dead = _dead_channels(result, stem, preprocessing)
    if len(dead):
        step = min(float(found[stem.first.output].high.max()), 6.0) / INT8_STEPS
        some = list(images.pixels(preprocessing, IMAGES))
        errors = _rounding_errors(result, stem, some, preprocessing, step, progress)
        errors[dead] = 0
        _copy(result, stem, share_out(errors, dead), step)
        part = result.with_outputs([stem.first.output, stem.depthwise.output])
        found |= collect(part, run_activations(part, images.pixels(preprocessing), preprocessing))
    return result, found


def share_out(errors: Vector, dead: Iterable[int]) -> dict[int, int]:
    """Which channel each dead one copies: always the one whose error falls most.

    Args:
        errors: Error power of each channel by itself, (channels,); falls as 1/m² with m copies.
        dead: Channels to give away.

    Returns:
        Dead channel → channel to copy; none where nothing is left to gain.
    """
    copies = np.ones(len(errors))
    owners = {}
    for channel in dead:
        gain = errors * (1 / copies**2 - 1 / (copies + 1) ** 2)
        best = int(gain.argmax())
        if gain[best] > 0:
            owners[int(channel)] = best
            copies[best] += 1
    return owners


def _fill_range(graph: Graph, statistics: Statistics, stem: Stem) -> None:
    tensor = stem.first.output
    seen = np.maximum(statistics[tensor].high, 1e-6)
    scale = 1 / np.clip(6 / (HEADROOM * seen), 1.0, MOST)
    statistics[tensor] = statistics[tensor].affine(0.0, scale)
    divide_output(graph, stem.first, 0.0, scale)
    multiply_input(graph, stem.depthwise, np.zeros(1), scale)


def _dead_channels(graph: Graph, stem: Stem, preprocessing: Preprocessing) -> npt.NDArray[np.intp]:
    """Channels of the first layer that are 0 whatever the pixels are."""
    weights, bias = constants_of(graph, stem.first)
    ends = [preprocessing.normalize(np.full(3, pixel)).astype(np.float64) for pixel in (0, 255)]
    most = np.maximum(*(weights * end for end in ends)).reshape(len(bias), -1)
    # Zero padding may stand in for any pixel.
    return np.flatnonzero(bias + np.maximum(most, 0).sum(1) <= 0)


def _rounding_errors(
    graph: Graph,
    stem: Stem,
    images: list[Pixels],
    preprocessing: Preprocessing,
    step: float,
    progress: Progress | None,
) -> Vector:
    """What rounding one channel alone adds to the centred logits' error power, (channels,)."""
    tensor, logits = stem.first.output, logits_of(graph)
    behind = graph.with_outputs([logits])
    behind.ops = [op for op in behind.ops if op.output != tensor]
    behind.inputs = [tensor]
    rest = Runner(to_flatbuffer(behind))
    errors = np.zeros(graph.tensors[tensor].shape[-1])
    first = run_activations(graph.with_outputs([tensor]), images, preprocessing)
    for done, (values,) in enumerate(first, start=1):
        clean = rest.run(values)
        rounded = np.rint(values / np.float32(step)) * np.float32(step)
        for channel in range(len(errors)):
            noisy = values.copy()
            noisy[..., channel] = rounded[..., channel]
            if not np.array_equal(noisy, values):
                moved = rest.run(noisy) - clean
                errors[channel] += np.square(moved - moved.mean()).sum()
        if progress:
            progress(done, len(images), "measuring the first layer")
    return errors


def _copy(graph: Graph, stem: Stem, owners: dict[int, int], step: float) -> None:
    """Make the channels copies, in place: key of value."""
    first, first_bias = constants_of(graph, stem.first)
    taps, taps_bias = constants_of(graph, stem.depthwise)
    reads, reads_bias = constants_of(graph, stem.projection)
    clips = stem.depthwise.options.get("relu6")
    for channel in owners:  # what they gave so far was the same everywhere
        gave = np.clip(taps_bias[channel], 0, 6) if clips else taps_bias[channel]
        reads_bias += reads[..., channel].reshape(len(reads), -1).sum(1) * gave
    for owner in set(owners.values()):
        group = [owner, *(channel for channel, of in owners.items() if of == owner)]
        reads[..., group] = reads[..., [owner]] / len(group)
        for number, channel in enumerate(group):
            offset = step * number / len(group)
            first[channel], first_bias[channel] = first[owner], first_bias[owner] + offset
            taps[..., channel] = taps[..., owner]
            # Padding stays 0, so that along the border the offset is taken back in part only.
            taps_bias[channel] = taps_bias[owner] - offset * taps[..., owner].sum()
    store_constants(graph, stem.first, first, first_bias)
    store_constants(graph, stem.depthwise, taps, taps_bias)
    store_constants(graph, stem.projection, reads, reads_bias)
