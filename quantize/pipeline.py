"""Running a recipe: float graph and images in, integer graph out."""

from __future__ import annotations

from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize import bias_correction
from effnet_lite.quantize.calibration import Ranges, min_max, run_activations
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.quantizer import quantize
from effnet_lite.quantize.recipe import Recipe
from effnet_lite.quantize.sequential import Walk, affordable_photos, channel_means

# Logits of photos that calibration did not see go beyond those that it saw, and a clipped
# logit is a tie for the first place; costs 0.1 dB (measured on Lite0-2).
LOGITS_MARGIN = 1.25


def run_recipe(
    recipe: Recipe,
    graph: Graph,
    images: CalibrationSet,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
) -> Graph:
    """Calibrate, quantize, and apply the recipe's stages.

    Args:
        recipe: What to do.
        graph: Float32, from :func:`effnet_lite.quantize.export.export`.
        images: The images to calibrate on.
        preprocessing: Of the network.
        progress: Called as the work goes on.

    Returns:
        The quantized graph, its input and output of the activation type.
    """
    ranges = min_max(graph, images.pixels(preprocessing), preprocessing, progress, images.count)
    _widen_logits(graph, ranges)
    quantized = quantize(
        graph, ranges, preprocessing, "int16" if recipe.activation_bits == 16 else "int8"
    )
    if "bias" in recipe.stages:
        _correct_biases(graph, quantized, images, preprocessing, progress)
    return quantized


def _widen_logits(graph: Graph, ranges: Ranges) -> None:
    last = graph.ops[-1]
    logits = last.inputs[0] if last.kind == "SOFTMAX" else last.output
    ranges[logits] = ranges[logits].widened(LOGITS_MARGIN)


def _correct_biases(
    graph: Graph,
    quantized: Graph,
    images: CalibrationSet,
    preprocessing: Preprocessing,
    progress: Progress | None,
) -> None:
    count = affordable_photos(quantized, images.count)
    wanted = channel_means(
        graph, run_activations(graph, images.pixels(preprocessing, count), preprocessing)
    )
    walk = Walk(quantized, images.pixels(preprocessing, count), preprocessing)
    for number, op in enumerate(walk, start=1):
        bias_correction.correct(walk, op, wanted[op.output])
        if progress:
            progress(number, len(quantized.ops), "correcting biases")
