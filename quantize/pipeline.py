"""Running a recipe: float graph and images in, integer graph out."""

from __future__ import annotations

from typing import NamedTuple

from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress, Whole
from effnet_lite.quantize.additions import share_scales
from effnet_lite.quantize.balance import balance, weighed
from effnet_lite.quantize.bias_correction import activated, correct
from effnet_lite.quantize.calibration import Range, Ranges, logits_of, run_activations
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.equalization import equalize
from effnet_lite.quantize.graph import WEIGHTED, Graph
from effnet_lite.quantize.mixed import Cost, widen
from effnet_lite.quantize.quantizer import quantize, with_constants_of
from effnet_lite.quantize.ranges import choose_ranges
from effnet_lite.quantize.recipe import WIDE, Recipe
from effnet_lite.quantize.rotation import rotatable_tensors, rotate
from effnet_lite.quantize.rounding import round_weights
from effnet_lite.quantize.sensitivity import Gains, error_gains
from effnet_lite.quantize.sequential import Walk, affordable_photos
from effnet_lite.quantize.statistics import Statistics, collect
from effnet_lite.quantize.stem import refine_stem

# Logits of photos that calibration did not see go beyond those that it saw, and a clipped
# logit is a tie for the first place.
LOGITS_MARGIN = 1.1
# The lowest logits say nothing: cutting some makes the steps of the others finer.
LOGITS_LOW = 0.9
# Stages that go by what an error does to the logits.
_WITH_GAINS = frozenset({"rotate", "balance"})
# The stretches of a recipe in order: the seconds that each takes on two quiet cores (Lite0, for B
# ranges and wide layers B0, 100 photos), and the ranges or stages that it is there for; without
# any it always is. Other networks take longer, but about as much longer everywhere.
_STRETCHES: dict[str, tuple[float, frozenset[str]]] = {
    "calibrating": (4.0, frozenset()),
    "measuring the first layer": (2.0, frozenset({"stem"})),
    "measuring sensitivity": (8.0, _WITH_GAINS),
    "rotating streams": (40.0, frozenset({"rotate"})),
    "averaging ranges": (4.0, frozenset({"average"})),
    "counting values": (15.0, frozenset({"mse"})),
    "choosing ranges": (5.0, frozenset({"mse"})),
    "measuring what int8 costs": (40.0, frozenset(WIDE)),
    "measuring what wide layers cost": (5.0, frozenset(WIDE)),
    "refining layers": (27.0, frozenset({"round", "bias"})),
}
# Photos that refine a network with int16 activations: a minute for B0.
INT16_PHOTOS = 20


class Outcome(NamedTuple):
    """What a recipe made.

    Attributes:
        floats: The float graph that the integers stand for: of the function of the given one,
            rescaled by the stages.
        integers: The quantized graph, its input and output of the activation type.
        wide: What the stages ``int16`` and ``float`` cost, none without them.
    """

    floats: Graph
    integers: Graph
    wide: tuple[Cost, ...] = ()


def run_recipe(
    recipe: Recipe,
    graph: Graph,
    images: CalibrationSet,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
    seed: int = 0,
) -> Outcome:
    """Calibrate, quantize, and apply the recipe's stages.

    Args:
        recipe: What to do.
        graph: Float32, from :func:`effnet_lite.quantize.export.export`.
        images: The images to calibrate on.
        preprocessing: Of the network.
        progress: Called as the work goes on, as one whole of ``progress.PARTS`` parts.
        seed: Of what stages sample.

    Raises:
        MissingDependencyError: A stage needs TensorFlow, and it is not installed.
        ConversionError: The network cannot be quantized.
    """
    if _WITH_GAINS.intersection(recipe.stages):
        import_tensorflow()  # rather fail now than after the calibration
    progress = Whole(progress, expected(recipe)) if progress else None
    activations = run_activations(graph, images.pixels(preprocessing), preprocessing)
    statistics = collect(graph, activations, progress, images.count)
    if "stem" in recipe.stages:
        graph, statistics = refine_stem(graph, statistics, images, preprocessing, progress)
    gains: Gains | None = None
    if _WITH_GAINS.intersection(recipe.stages):
        whole = rotatable_tensors(graph) if "rotate" in recipe.stages else []
        gains = error_gains(graph, images, preprocessing, seed, progress, weighed(graph), whole)
    if "rotate" in recipe.stages and gains is not None:
        graph, gains = rotate(graph, statistics, gains, images, preprocessing, seed, progress)
        activations = run_activations(graph, images.pixels(preprocessing), preprocessing)
        statistics = collect(graph, activations)
    if "equalize" in recipe.stages:
        graph, statistics = equalize(graph, statistics)
        gains = None  # they were those of the channels before
    if "balance" in recipe.stages and gains is not None:
        graph, statistics, gains = balance(graph, statistics, gains)
    activations = run_activations(graph, images.pixels(preprocessing), preprocessing)
    ranges = choose_ranges(recipe, graph, statistics, activations, progress, images.count)
    _margin_of_logits(graph, ranges)
    if gains is not None:
        share_scales(graph, ranges, gains)
    wide = recipe.activation_bits == 16
    # int16 kernels are a hundred times slower than int8 ones on a CPU, so that int16 activations
    # take the constants of a network refined with int8. Not behind swish, where int8 clips
    # (ranges.py) and int16 does not: 31 dB instead of 10 on a trained B0.
    itself = wide and any(op.kind == "LOGISTIC" for op in graph.ops)
    dense = "dense" in recipe.stages
    quantized = quantize(graph, ranges, preprocessing, "int16" if itself else "int8", dense)
    costs: tuple[Cost, ...] = ()
    for kind in recipe.wide:
        # Before rounding and bias correction, which make up for what int8 does to a layer.
        photos = images.pixels(preprocessing)
        quantized, costs = widen(quantized, graph, ranges, photos, preprocessing, kind, progress)
    if {"round", "bias"}.intersection(recipe.stages):
        wanted = min(images.count, INT16_PHOTOS) if itself else images.count
        count = affordable_photos(quantized, wanted)
        if count < images.count:  # means of the photos that the walk takes, not of others
            some = run_activations(graph, images.pixels(preprocessing, count), preprocessing)
            statistics = collect(graph, some)
        walk = Walk(quantized, images.pixels(preprocessing, count), preprocessing)
        _refine(recipe, walk, graph, statistics, progress, seed)
    if wide and not itself:
        target = quantize(graph, ranges, preprocessing, "int16", dense)
        quantized = with_constants_of(quantized, target)
    return Outcome(graph, quantized, costs)


def expected(recipe: Recipe) -> dict[str, float]:
    """How long each stretch of a recipe takes, by its label, in order; only ratios matter."""
    parts = {recipe.ranges, *recipe.stages}
    return {
        label: seconds
        for label, (seconds, needed_by) in _STRETCHES.items()
        if not needed_by or needed_by & parts
    }


def _margin_of_logits(graph: Graph, ranges: Ranges) -> None:
    logits = logits_of(graph)
    seen = ranges[logits]
    ranges[logits] = Range(seen.low * LOGITS_LOW, seen.high * LOGITS_MARGIN)


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
        if "bias" in recipe.stages and op.kind in WEIGHTED:
            tensor = activated(walk.graph, op)
            correct(walk, op, statistics[tensor].mean, swish=tensor != op.output)
        if progress:
            progress(number, len(walk.graph.ops), "refining layers")
