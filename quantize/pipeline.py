"""Running a recipe: float graph and images in, integer graph out."""

from __future__ import annotations

from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.bias_correction import correct
from effnet_lite.quantize.calibration import Ranges, logits_of, run_activations
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.equalization import equalize
from effnet_lite.quantize.graph import WEIGHTED, Graph
from effnet_lite.quantize.quantizer import quantize, with_constants_of
from effnet_lite.quantize.ranges import choose_ranges
from effnet_lite.quantize.recipe import Recipe
from effnet_lite.quantize.rounding import round_weights
from effnet_lite.quantize.sequential import Walk, affordable_photos
from effnet_lite.quantize.statistics import Statistics, collect

# Logits of photos that calibration did not see go beyond those that it saw, and a clipped
# logit is a tie for the first place.
LOGITS_MARGIN = 1.1


def run_recipe(
    recipe: Recipe,
    graph: Graph,
    images: CalibrationSet,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
    seed: int = 0,
) -> Graph:
    """Calibrate, quantize, and apply the recipe's stages.

    Args:
        recipe: What to do.
        graph: Float32, from :func:`effnet_lite.quantize.export.export`.
        images: The images to calibrate on.
        preprocessing: Of the network.
        progress: Called as the work goes on.
        seed: Of what stages sample.

    Returns:
        The quantized graph, its input and output of the activation type.
    """
    activations = run_activations(graph, images.pixels(preprocessing), preprocessing)
    statistics = collect(graph, activations, progress, images.count)
    if "equalize" in recipe.stages:
        graph, statistics = equalize(graph, statistics)
    activations = run_activations(graph, images.pixels(preprocessing), preprocessing)
    ranges = choose_ranges(recipe, graph, statistics, activations, progress, images.count)
    _widen_logits(graph, ranges)
    quantized = quantize(graph, ranges, preprocessing)
    if {"round", "bias"}.intersection(recipe.stages):
        count = affordable_photos(quantized, images.count)
        if count < images.count:  # means of the photos that the walk takes, not of others
            some = run_activations(graph, images.pixels(preprocessing, count), preprocessing)
            statistics = collect(graph, some)
        walk = Walk(quantized, images.pixels(preprocessing, count), preprocessing)
        _refine(recipe, walk, graph, statistics, progress, seed)
    if recipe.activation_bits == 16:
        # Refined with int8 activations, because int16 kernels have no fast path on a CPU.
        return with_constants_of(quantized, quantize(graph, ranges, preprocessing, "int16"))
    return quantized


def _widen_logits(graph: Graph, ranges: Ranges) -> None:
    logits = logits_of(graph)
    ranges[logits] = ranges[logits].widened(LOGITS_MARGIN)


def _refine(
    recipe: Recipe,
    walk: Walk,
    graph: Graph,
    statistics: Statistics,
    progress: Progress | None,
    seed: int,
) -> None:
    """Round and correct layer by layer, each on what the layers before it really give."""
    for number, op in enumerate(walk, start=1):
        weights = graph.tensors[op.inputs[1]].data if op.kind in WEIGHTED else None
        if weights is not None and "round" in recipe.stages:
            round_weights(walk, op, weights, seed)
        if "bias" in recipe.stages:
            correct(walk, op, statistics[op.output].mean)
        if progress:
            progress(number, len(walk.graph.ops), "refining layers")
