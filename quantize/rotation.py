"""Stage ``rotate``: residual streams stored in coordinates where rounding costs the logits least.

Nothing between a projection and the next expansion is non-linear (streams.py), so a stream's
tensors may be stored as

    x' = R·(x - o),   W' = R·W and b' = R·(b - o) for what writes them,
                      W' = W·R⁻¹ and b' = b + W·o for what reads them,

with any invertible R, one a stream: the network computes the same function with the same
operators. ``equalize`` and ``balance`` choose a diagonal R, with which every channel gets its
8 bits whether it matters or not. Mixing channels shares the bits out: what matters little for
the logits is made small beside the rest before an orthogonal Q spreads it all over the
channels, and spread channels have no outliers, either. Rotating by Q alone is QuaRot (Ashkboos
et al., arXiv 2404.00456), learning it SpinQuant (Liu et al., arXiv 2405.16406).

White rounding noise (Widrow & Kollár, "Quantization Noise", 2008) of the tensors t of a stream
adds to the power of the logits' error

    Σ_t (D_t / 255)² / 12 · tr(R⁻ᵀ·G_t·R⁻¹)

with D_t the width of the range that holds all channels of x' and G_t the sensitivity of
sensitivity.py. If mixed channels are alike, D_t² goes with tr(S·C_t) / n, S = Rᵀ·R and C_t the
covariance of x. Then the derivative by S vanishes where ``S·A·S = B`` with

    A = Σ_t tr(S⁻¹·G_t)·C_t / n,   B = Σ_t tr(S·C_t) / n·G_t,

so that S is the geometric mean of A⁻¹ and B (Bhatia, "Positive Definite Matrices", 2007, 4.1),
and R = Q·√S. From there Adam lowers the first sum itself, D_t taken from the positions of the
photos that lie farthest out. A matrix has many numbers to fit to a hundred photos: every
fourth photo only counts for D_t and has no gradient, the best R with it is kept, and a
diagonal one where that is no worse, as it is with 320 channels of 7x7 positions.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration import INT8_STEPS, run_activations
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.equalization import equal_ranges
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.sensitivity import Gains
from effnet_lite.quantize.statistics import Matrix, Statistics, Vector
from effnet_lite.quantize.streams import Offsets, Stream, residual_streams, transform

Table = npt.NDArray[np.float32]

# Photos that are looked at, and of each tensor the positions farthest out, over all of them.
PHOTOS = 100
POSITIONS = 6000
VALUES = 1_500_000  # … and no more than that many values
HELD_BACK = 4  # one photo in so many
# Eigenvalues at least, as a share of the largest: R stays far from singular.
FLOOR = 1e-4
ROUNDS = 30  # of the fixed point; it settles in ten
STEPS, PATIENCE = 100, 30  # at most, and without a better R
# Of Adam (arXiv 1412.6980), in shares of the range; less after half and after four fifths.
LEARNING_RATE = 0.01
SOFTNESS = 0.01  # of the maximum, as a share of the range, so that it has a gradient
DIAGONALS = (0.5, 0.75, 1.0)  # strengths of ``equalize`` that a rotation must beat


def rotatable(graph: Graph) -> list[Stream]:
    """The streams of a graph that only 1x1 convolutions and dense layers read."""
    return [stream for stream in residual_streams(graph) if stream.shiftable]


def rotatable_tensors(graph: Graph) -> list[int]:
    """Their tensors, whose gains :func:`rotate` wants whole."""
    return [tensor for stream in rotatable(graph) for tensor in stream.tensors]


def rotate(
    graph: Graph,
    statistics: Statistics,
    gains: Gains,
    images: CalibrationSet,
    preprocessing: Preprocessing,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Graph, Gains]:
    """Store the residual streams in other coordinates, where that pays.

    Args:
        graph: Float32; left as it is.
        statistics: Of all its activations.
        gains: From :func:`sensitivity.error_gains`; matrices for the tensors of
            :func:`rotatable` streams.
        images: Calibration images.
        preprocessing: Of the network.
        seed: Of the rotations that are started from.
        progress: Called after each stream.

    Returns:
        A graph of the same function, and the gains of its activations, all (channels,).
    """
    result = graph.copy()
    changed = {tensor: gain.diagonal() if gain.ndim > 1 else gain for tensor, gain in gains.items()}
    streams = rotatable(graph)
    if not streams:
        return result, changed
    count = min(images.count, PHOTOS)
    photos = list(images.pixels(preprocessing, count))
    samples = _sample(graph, photos, preprocessing, rotatable_tensors(graph))
    rng = np.random.default_rng(seed)
    for number, stream in enumerate(streams, start=1):
        search = _Search(stream, samples, gains)
        start = np.linalg.qr(rng.normal(size=(search.channels, search.channels)))[0]
        noise, offsets, matrix = search.minimise(start)
        if noise < _least_diagonal(stream, statistics, changed):
            transform(result, stream, offsets, matrix)
            inverse = np.linalg.inv(matrix)
            for tensor in stream.tensors:
                changed[tensor] = np.einsum("ij,ik,kj->j", inverse, gains[tensor], inverse)
        if progress:
            progress(number, len(streams), "rotating streams")
    return result, changed


def geometric_mean(one: Matrix, other: Matrix) -> Matrix:
    """The symmetric positive S with ``S·one·S = other``, (n, n)."""
    half, inverse = _power(one, 0.5), _power(one, -0.5)
    return inverse @ _power(half @ other @ half, 0.5) @ inverse


def _power(matrix: Matrix, exponent: float) -> Matrix:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    least = max(float(values[-1]) * FLOOR, 1e-30)  # a stream may be constant
    found: Matrix = (vectors * np.maximum(values, least) ** exponent) @ vectors.T
    return found


def _least_diagonal(stream: Stream, statistics: Statistics, gains: Gains) -> float:
    """The noise of the stream with its channels rescaled, at the best strength."""
    found = []
    for strength in DIAGONALS:
        offsets, scale = equal_ranges(statistics, stream, strength)
        known = [(t, statistics[t].affine(offset, scale)) for t, offset in offsets.items()]
        widths = [(t, float(each.high.max() - each.low.min())) for t, each in known]
        found.append(sum(_noise(width, float(gains[t] @ scale**2)) for t, width in widths))
    return min(found)


def _noise(width: float, gain: float) -> float:
    return (width / INT8_STEPS) ** 2 / 12 * gain


@dataclasses.dataclass(frozen=True)
class _Sample:
    """What one activation does: (channels,), (channels, channels), (positions, channels).

    ``held`` and ``fitted`` are centred positions of the photos that are held back, or not.
    """

    mean: Vector
    covariance: Matrix
    held: Table
    fitted: Table


def _sample(
    graph: Graph,
    photos: list[Pixels],
    preprocessing: Preprocessing,
    tensors: list[int],
) -> dict[int, _Sample]:
    part = graph.with_outputs(tensors)
    order = part.activations()

    def flat(values: Sequence[Table]) -> dict[int, Table]:
        found = dict(zip(order, values, strict=True))
        return {t: found[t].reshape(-1, found[t].shape[-1]) for t in tensors}

    channels = {t: part.tensors[t].shape[-1] for t in tensors}
    means: dict[int, Vector] = {t: np.zeros(count) for t, count in channels.items()}
    squares: dict[int, Matrix] = {t: np.zeros((count, count)) for t, count in channels.items()}
    for values in map(flat, run_activations(part, photos, preprocessing)):
        for t, table in values.items():
            means[t] += table.mean(0, dtype=np.float64) / len(photos)
            squares[t] += (table.T @ table).astype(np.float64) / (len(table) * len(photos))
    covariances = {t: squares[t] - np.outer(means[t], means[t]) for t in tensors}
    whiten = {t: _power(covariances[t], -0.5).astype(np.float32) for t in tensors}
    far: dict[int, list[Table]] = {t: [] for t in tensors}
    for values in map(flat, run_activations(part, photos, preprocessing)):
        for t, table in values.items():
            centred = table - means[t].astype(np.float32)
            wanted = max(1, min(POSITIONS, VALUES // table.shape[1]) // len(photos))
            distance = np.square(centred @ whiten[t]).sum(1)
            far[t].append(centred[np.argsort(-distance, kind="stable")[:wanted]])
    return {
        t: _Sample(
            means[t],
            covariances[t],
            np.concatenate(far[t][::HELD_BACK]),
            # One photo alone is both.
            np.concatenate([each for n, each in enumerate(far[t]) if n % HELD_BACK] or far[t]),
        )
        for t in tensors
    }


class _Search:
    """The noise of one stream as a function of R and o, and its least."""

    def __init__(self, stream: Stream, samples: dict[int, _Sample], gains: Gains) -> None:
        self.stream = stream
        self.samples = {tensor: samples[tensor] for tensor in stream.tensors}
        self.gains = {tensor: gains[tensor] for tensor in stream.tensors}
        self.producers = [op.output for op in stream.producers]
        self.channels = len(samples[stream.tensors[0]].mean)

    def minimise(self, rotation: Matrix) -> tuple[float, Offsets, Matrix]:
        """The least noise that is found, and its offsets and R.

        Args:
            rotation: The orthogonal Q to start from.
        """
        matrix = rotation @ _power(self._closed_form(), 0.5)
        reach = max(float(np.abs(each.fitted @ matrix.T).max()) for each in self.samples.values())
        matrix /= reach  # values from -1 to 1: Adam's steps are shares of that
        moved = np.zeros((len(self.producers), self.channels))
        first: list[Matrix] = [np.zeros_like(matrix), np.zeros_like(moved)]
        second = [np.zeros_like(matrix), np.zeros_like(moved)]
        best, least, found = (matrix, moved), float("inf"), 0
        for step in itertools.count(1):
            noise, value, gradients = self._evaluate(matrix, moved)
            if noise < least:
                best, least, found = (matrix, moved), noise, step
            if step > STEPS or step - found >= PATIENCE:
                break
            rate = LEARNING_RATE * (1 if 2 * step < STEPS else 0.3 if 5 * step < 4 * STEPS else 0.1)
            changes = []
            for number, gradient in enumerate(gradients):
                relative = gradient / max(value, 1e-300)
                first[number] = 0.9 * first[number] + 0.1 * relative
                second[number] = 0.99 * second[number] + 0.01 * relative**2
                size = np.sqrt(second[number] / (1 - 0.99**step)) + 1e-12
                changes.append(rate * first[number] / (1 - 0.9**step) / size)
            # Of (1 + change)·R, so that steps are the same in whatever units x is.
            matrix = matrix - 2 / np.sqrt(self.channels) * changes[0] @ matrix
            moved = moved - changes[1]
        matrix, moved = best
        inverse = np.linalg.inv(matrix)
        offsets = {
            tensor: self.samples[tensor].mean + inverse @ shift
            for tensor, shift in zip(self.producers, moved, strict=True)
        }
        return least, self.stream.with_sums(offsets), matrix

    def _closed_form(self) -> Matrix:
        """S for channels that are alike once they are mixed."""
        found = np.eye(self.channels)
        for _ in range(ROUNDS):
            inverse = np.linalg.inv(found)
            one, other = np.zeros_like(found), np.zeros_like(found)
            for tensor, sample in self.samples.items():
                one += np.sum(inverse * self.gains[tensor]) * sample.covariance
                other += np.sum(found * sample.covariance) * self.gains[tensor]
            found = geometric_mean(one, other)
        return found

    def _evaluate(self, matrix: Matrix, moved: Matrix) -> tuple[float, float, list[Matrix]]:
        """Noise with all photos, and with those that are fitted; gradients of the latter.

        The gradients are by a change A of ``(1 + A)·R`` and by each producer's R·o.
        """
        inverse = np.linalg.inv(matrix)
        shifts = self.stream.with_sums(dict(zip(self.producers, moved, strict=True)))
        narrow = matrix.T.astype(np.float32)
        noise = total = 0.0
        by_matrix = np.zeros_like(matrix)
        by_shift = {tensor: np.zeros(self.channels) for tensor in shifts}
        for tensor, sample in self.samples.items():
            shift = shifts[tensor].astype(np.float32)
            inner = inverse.T @ self.gains[tensor] @ inverse
            gain = float(np.trace(inner))
            stored = sample.fitted @ narrow - shift
            held = sample.held @ narrow - shift
            high, low = float(stored.max()), float(stored.min())
            width = max(high, float(held.max())) - min(low, float(held.min()))
            noise += _noise(width, gain)
            value, slope, rows = _soft_width(stored, high, low)
            total += _noise(value, gain)
            factor = 2 * value * gain / (12 * INT8_STEPS**2)
            by_matrix += factor * (slope.T @ stored[rows]) - 2 * _noise(value, 1.0) * inner
            by_matrix += factor * np.outer(slope.sum(0), shift)
            by_shift[tensor] -= factor * slope.sum(0)
        for op in reversed(self.stream.additions):
            for given in op.inputs:
                by_shift[given] = by_shift[given] + by_shift[op.output]
        return noise, total, [by_matrix, np.stack([by_shift[t] for t in self.producers])]


def _soft_width(
    stored: Table, high: float, low: float
) -> tuple[float, Matrix, npt.NDArray[np.intp]]:
    """Softened largest less smallest value; its gradient by the values of some rows, and which."""
    unit = max(SOFTNESS * (high - low), 1e-12)
    # Others are e⁻²⁰ of the largest.
    rows = np.flatnonzero((stored.max(1) > high - 20 * unit) | (stored.min(1) < low + 20 * unit))
    near = stored[rows].astype(np.float64)
    above, below = np.exp((near - high) / unit), np.exp((low - near) / unit)
    width = high - low + unit * float(np.log(above.sum()) + np.log(below.sum()))
    return width, above / above.sum() - below / below.sum(), rows
