"""How ranges are chosen, against averages worked out by hand and searches by brute force."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from small_variants import LITE, B

from effnet_lite.errors import ConversionError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.photos import PhotoSet
from effnet_lite.lite.preprocessing import Preprocessing, preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import random_weights
from effnet_lite.quantize.calibration import Range, logits_of
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import Graph, Tensor
from effnet_lite.quantize.histograms import Histogram
from effnet_lite.quantize.pipeline import run_recipe
from effnet_lite.quantize.quantizer import activation_quantization, quantize
from effnet_lite.quantize.ranges import choose_ranges, least_error, least_expected_error
from effnet_lite.quantize.recipe import RANGES, get_recipe
from effnet_lite.quantize.statistics import ChannelStatistics, collect

NORMAL = np.random.default_rng(0).normal(size=20_000)
LAPLACE = np.random.default_rng(1).laplace(size=20_000)
UNIFORM = np.random.default_rng(2).uniform(size=400_000)
SAMPLES = {
    "normal": NORMAL,
    "laplace": LAPLACE,
    "lopsided": np.where(NORMAL < 0, NORMAL / 3, NORMAL**3),
    "half zeros": np.maximum(LAPLACE, 0),
    "outliers": np.concatenate([NORMAL, [-40.0, 90.0]]),
}


def seen(values: np.ndarray) -> Range:
    return Range(float(values.min()), float(values.max()))


def histogram(values: np.ndarray) -> Histogram:
    values = values.astype(np.float32)
    found = Histogram(seen(values))
    found.add(values)
    return found


def true_error(values: np.ndarray, wanted: Range) -> float:
    """Every value through the quantizer's own scale and zero point and back."""
    quantization = activation_quantization(wanted, "int8")
    integers = np.rint(values / quantization.scale[0]) + quantization.zero_point[0]
    back = quantization.dequantize(np.clip(integers, -128, 127))
    return float(np.square(values - back).mean())


def network(relu6: bool = False) -> Graph:
    """Hidden values, logits and probabilities; what computes them does not matter here."""
    graph = Graph([Tensor("image", (1, 2))], inputs=[0])
    hidden = graph.add_op("ADD", [0, 0], "hidden", (1, 2), relu6=relu6)
    logits = graph.add_op("ADD", [hidden, hidden], "logits", (1, 2))
    graph.outputs = [graph.add_op("SOFTMAX", [logits], "probability", (1, 2))]
    return graph


def choose(graph: Graph, method: str, images: list[np.ndarray], bits: int = 8) -> list[Range]:
    """Ranges of the operators' outputs when each of them takes an image's values."""
    activations = [[image.astype(np.float32)] * len(graph.ops) for image in images]
    statistics = collect(graph, activations)
    recipe = get_recipe(f"w8a{bits}-{method}")
    ranges = choose_ranges(recipe, graph, statistics, iter(activations))
    return [ranges[op.output] for op in graph.ops]


IMAGES = [np.array([[-1.0, 2.0]]), np.array([[-2.0, 8.0]]), np.array([[0.0, 5.0]])]


def test_the_average_is_over_the_images() -> None:
    # (-1 - 2 + 0) / 3 and (2 + 8 + 5) / 3, in any order
    for images in itertools.permutations(IMAGES):
        assert choose(network(), "average", list(images))[0] == Range(-1.0, 5.0)


def test_the_average_behind_a_relu6() -> None:
    # The smallest values 1, 2 and 3 average 2, but the range holds 0; (4 + 6 + 6.5) / 3 = 5.5.
    images = [np.array([[1.0, 4.0]]), np.array([[2.0, 6.0]]), np.array([[3.0, 6.5]])]
    assert choose(network(relu6=True), "average", images)[0] == Range(0.0, 5.5)
    assert choose(network(relu6=True), "average", images[2:])[0] == Range(0.0, 6.0)


@pytest.mark.parametrize("method", RANGES)
def test_logits_are_never_clipped(method: str) -> None:
    images = [NORMAL.reshape(-1, 2)] * 50 + [np.array([[-500.0, 900.0]])]
    graph = network()
    assert logits_of(graph) == graph.ops[1].output
    hidden, logits, _ = choose(graph, method, images)
    assert logits == Range(-500.0, 900.0)
    assert (hidden == logits) == (method == "minmax")


def test_int16_needs_no_clipping() -> None:
    values = [SAMPLES["outliers"].reshape(-1, 2)]
    assert choose(network(), "mse", values, 16) == choose(network(), "minmax", values, 16)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("share", [1.0, 0.7, 0.3])
def test_the_histogram_knows_the_error(name: str, share: float) -> None:
    values = SAMPLES[name]
    low, high = values.min(), values.max()
    for wanted in (Range(low * share, high * share), Range(low, high * share)):
        # What is smeared within a bin moves the error by a few parts in a thousand.
        expected = true_error(values, wanted)
        assert histogram(values).error(wanted) == pytest.approx(expected, rel=0.01)


def test_the_error_of_bins_wider_than_a_step() -> None:
    # Even from 0 to 1/64 in 64 bins of 1/4096, each of them 4 of the steps of (1/64) / 255.
    found = Histogram(Range(0.0, 1.0))
    found.counts[:64] = 10
    assert found.error(Range(0.0, 1 / 64)) == pytest.approx((1 / 64 / 255) ** 2 / 12, rel=1e-6)


def test_the_error_of_what_is_cut_off() -> None:
    # Even from 0.5 to 1, cut off at 0.5: ∫ (x - 0.5)² over that half is 0.5² / 3.
    found = Histogram(Range(0.0, 1.0))
    found.counts[2048:] = 10
    assert found.error(Range(0.0, 0.5)) == pytest.approx(0.5**2 / 3, rel=1e-6)


def test_zeros_cost_nothing_at_any_scale() -> None:
    values = np.append(np.zeros(10_000), [1.0, 1000.0])
    found = histogram(values)
    assert (found.zeros, int(found.counts.sum()), int(found.counts.min())) == (10_000, 2, 0)
    # 1 is three steps of these 85 / 255, and 1000, somewhere in a bin of 0.24, is cut off at 85.
    expected = (1000 - 85) ** 2 / len(values)
    assert found.error(Range(0, 85.0)) == pytest.approx(expected, rel=3e-4)


def test_values_pour_in_one_by_one_or_at_once() -> None:
    values = NORMAL.astype(np.float32).reshape(4, -1)
    parts = Histogram(seen(values))
    for part in values:
        parts.add(part)
    np.testing.assert_array_equal(parts.counts, histogram(values).counts)


@pytest.mark.parametrize("low", [0.0, -0.4, -1.0])
def test_uniform_values_are_not_clipped(low: float) -> None:
    # The best range ends half a step before the last value, where the last integer's share of
    # the axis does.
    found = least_error(histogram(low + (1 - low) * UNIFORM))
    step = (1 - low) / 255
    assert low <= found.low <= low + 1.5 * step
    assert 1 - 1.5 * step <= found.high <= 1


@pytest.mark.parametrize(
    ("relu6", "times", "high"),
    # With bulk values from -0.5 (0 behind a ReLU6) to 0.5 and one of 6, a range up to h costs
    # about bulk · ((h - low) / 255)² / 12 + (6 - h)², least at h = (6 + c · low) / (1 + c) with
    # c = bulk / (12 · 255²); where that is below 0.5, h stays there.
    [(False, 1, 3.80), (False, 20, 0.5), (True, 1, 3.97), (True, 20, 0.533)],
)
def test_a_far_outlier_is_clipped(relu6: bool, times: int, high: float) -> None:
    values = histogram(np.append(UNIFORM / 2 if relu6 else UNIFORM - 0.5, 6.0))
    values.counts[:-1] *= times
    found = least_error(values)
    assert found.high == pytest.approx(high, rel=0.05)
    assert found.low == pytest.approx(0 if relu6 else -0.5, rel=0.05)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_pair_of_ends_is_much_better(name: str) -> None:
    values = SAMPLES[name]
    found = true_error(values, least_error(histogram(values)))
    low, high = values.min(), values.max()
    shares = np.linspace(1 / 40, 1, 40)
    pairs = itertools.product(shares if low < 0 else [1.0], shares)
    best = min(true_error(values, Range(low * a, high * b)) for a, b in pairs)
    assert found <= 1.02 * best
    # … and it is worth the search where there is something to clip.
    assert found < true_error(values, Range(low, high))


def test_mirrored_values_get_a_mirrored_range() -> None:
    values = SAMPLES["lopsided"]
    found, mirrored = least_error(histogram(values)), least_error(histogram(-values))
    assert -mirrored.high == pytest.approx(found.low, rel=0.05)
    assert -mirrored.low == pytest.approx(found.high, rel=0.05)


@pytest.mark.parametrize("method", RANGES)
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 1e-30, 3e38])
def test_a_constant_keeps_its_range(method: str, value: float) -> None:
    found = choose(network(), method, [np.full((4, 2), value)] * 2)[0]
    assert (min(found.low, 0), max(found.high, 0)) == pytest.approx((min(value, 0), max(value, 0)))


@pytest.mark.parametrize("method", RANGES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(method: str, value: float) -> None:
    graph = network()
    graph.ops = graph.ops[:2]
    images = [np.array([[1.0, 2.0]]), np.array([[1.0, value]])]
    ranges = choose(graph, method, images)
    with pytest.raises(ConversionError, match="infinite or not a number"):
        quantize(graph, dict(zip(graph.activations(), ranges, strict=True)), Preprocessing(2))


@functools.cache
def quantized(variant: str, name: str) -> Graph:
    row = get_variant(variant)
    graph = export(architecture(row, 10), random_weights(row, 10).tensors)
    images = CalibrationSet(None, 3, PhotoSet("synthetic", ()), (), seed=0)
    return run_recipe(get_recipe(name), graph, images, preprocessing_for(row)).integers


@pytest.mark.parametrize("variant", [LITE, B])
@pytest.mark.parametrize("stages", ["", "+equalize"])
@pytest.mark.parametrize("ranges", ["average", "mse"])
def test_a_network_gets_finer_steps(variant: str, stages: str, ranges: str) -> None:
    found, widest = (quantized(variant, f"w8a8-{r}{stages}") for r in (ranges, "minmax"))
    logits = logits_of(found)
    finer = []
    for op in found.ops:
        pair = [graph.tensors[op.output].quantization for graph in (found, widest)]
        assert pair[0] is not None
        assert pair[1] is not None
        # Equalization predicts its ranges, so that measured ones differ by float32 rounding.
        assert pair[0].scale[0] <= pair[1].scale[0] * (1 + 1e-4)
        if op.output == logits or op.kind in ("LOGISTIC", "SOFTMAX"):
            assert pair[0] == pair[1]
        elif op.options.get("relu6"):
            assert pair[0].zero_point[0] == -128
        finer.append(pair[0].scale[0] < 0.99 * pair[1].scale[0])
    assert np.mean(finer) > 0.15


def tail_statistics(images: np.ndarray) -> ChannelStatistics:
    """Of (images, positions, channels)."""
    graph = Graph([Tensor("image", (1, 2))], inputs=[0])
    graph.add_op("ADD", [0, 0], "hidden", images.shape[1:])
    return collect(graph, ([image] for image in images.astype(np.float32)))[1]


def test_extremes_of_the_images() -> None:
    images = np.array([[[1.0], [4.0]], [[-2.0], [8.0]], [[0.0], [3.0]]])
    found = tail_statistics(images)
    assert (found.low_mean[0], found.high_mean[0]) == (-1 / 3, 5.0)
    assert found.low_deviation[0] == pytest.approx(np.std([1, -2, 0]))
    assert found.high_deviation[0] == pytest.approx(np.std([4, 8, 3]))


@pytest.mark.parametrize("positions", [9, 4096])
def test_tails_reach_where_further_images_go(positions: int) -> None:
    """Ranges from 40 images, judged on 2000 others: near the best of all, as minmax is not."""
    random = np.random.default_rng(positions)
    scales = random.uniform(0.7, 1, 16)
    made = random.laplace(size=(40, positions, 16)) * scales
    # As equalization does: to the same largest values in the very images that calibrate.
    reach = np.abs(made).max((0, 1))
    made /= reach
    seen = Range(-1.0, 1.0)
    found = least_expected_error(seen, tail_statistics(made), positions * 16)
    others = random.laplace(size=(2000 if positions < 100 else 60, positions, 16))
    others *= scales / reach
    errors = {
        factor: true_error(others, Range(-factor, factor)) for factor in np.arange(14, 40) / 20
    }
    least, of_seen = min(errors.values()), true_error(others, seen)
    assert true_error(others, found) < 1.5 * least
    assert true_error(others, found) < 0.9 * of_seen
    assert (found.high > 1) == (positions == 9)


def test_tails_leave_what_has_an_end_of_its_own() -> None:
    images = [random.reshape(1, 2) for random in np.random.default_rng(0).normal(size=(50, 2))]
    assert choose(network(relu6=True), "tails", images) == choose(
        network(relu6=True), "minmax", images
    )
    assert choose(network(), "tails", images, 16) == choose(network(), "minmax", images, 16)
    assert choose(network(), "tails", images)[0] != choose(network(), "minmax", images)[0]


def test_tails_of_one_image_and_of_no_spread() -> None:
    flat = np.zeros((1, 4, 2))
    flat[0, :, 0] = [-1, 0, 1, 2]
    for images in (flat, flat.repeat(5, 0)):
        found = least_expected_error(Range(-1.0, 2.0), tail_statistics(images), 8)
        assert 0.9 <= found.high / 2 <= 1.05
        assert 0.9 <= -found.low <= 1.05
