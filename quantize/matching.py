"""Images that a network takes for photos: moved until its batch norms see what they know.

A batch norm keeps the mean and variance that each channel had in training, so behind it the
mean is β and the standard deviation |γ| (Nagel et al., DFQ, arXiv 1906.04721, section 4.2;
``export.expected_moments`` is exact). Starting from dead leaves, Adam moves the pixels until
the convolutions give those statistics over all images together, and each image is taken for
a class of its own, so that the logits reach as far as those of photos:

    Σ_layers log(1 + Σ_channels ((mean - β)² + (std - |γ|)²) / Σ_channels γ²)
    + 0.1 · cross-entropy

Cai et al., "ZeroQ" (arXiv 2001.00281); Yin et al., "DeepInversion" (arXiv
1911.11715); Haroush et al., "The Knowledge Within" (arXiv 1912.01274).
The start stands in for their priors of total variation and L2.

The images take turns in batches, which bounds the memory; those that rest count with the
sums of their last turn. Each turn shifts and mirrors them at random, so that no pixel serves
one position of a stride alone; then the mirror images are as good, and calibrate too
(Lite1, 16 images: 22.4 dB without, 23.4 with them, measured).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration import logits_of
from effnet_lite.quantize.differentiable import forward
from effnet_lite.quantize.export import Moments
from effnet_lite.quantize.graph import Graph

# The most images that get MIN_STEPS are made; fewer overfit (Lite0, 37 steps: 24.2 dB with
# 32 and 23.0 with 16), fewer steps leave the loss high.
IMAGES = (32, 16, 8)
MIN_STEPS, MAX_STEPS = 20, 60
MAX_BATCH = 8
# Multiply-adds of all forward passes together: 43 steps of Lite2, three minutes of a core.
COST_BUDGET = 1.2e12
MEMORY_BUDGET = 2 * 2**30
# Float32 values held for each value of an activation, gradients included (2.8 to 5.1 measured).
COPIES = 5
# Levels of 0-255 that a step moves a pixel at first; half a cosine takes it to 0. Twice as
# fast ends at a loss a third higher.
RATE = 3.0
# Of Adam: how much of the gradient's mean and mean square a step keeps.
MEAN_DECAY, SQUARE_DECAY = 0.9, 0.99
CLASS_WEIGHT = 0.1
MAX_SHIFT = 2  # pixels either way; with 8 the loss ends higher (Lite1: 4.2, not 3.8)

Array = npt.NDArray[np.float32]
Shift = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much matching a network gets.

    Attributes:
        images: How many are moved.
        steps: Turns of each.
        batch: How many take their turn together; divides ``images``.
    """

    images: int
    steps: int
    batch: int


def affordable(graph: Graph) -> Effort | None:
    """What the budgets of multiply-adds and bytes pay for; None where that is too little."""
    cost = sum(graph.multiply_adds(op) for op in graph.ops)
    held = 4 * COPIES * graph.elements()
    turns = int(COST_BUDGET // cost)
    images = next((count for count in IMAGES if turns // count >= MIN_STEPS), 0)
    if not images or held > MEMORY_BUDGET:
        return None
    batch = MAX_BATCH
    while batch * held > MEMORY_BUDGET:
        batch //= 2
    return Effort(images, min(MAX_STEPS, turns // images), batch)


def match(
    graph: Graph,
    expected: Mapping[str, Moments],
    start: Sequence[Pixels],
    preprocessing: Preprocessing,
    effort: Effort,
    seed: int = 0,
    confident: bool = True,
    progress: Progress | None = None,
) -> list[Pixels]:
    """Move images until the network's sums have the expected statistics.

    Args:
        graph: Float32, from :func:`effnet_lite.quantize.export.export`.
        expected: Of the convolutions' sums by the name of their output, from
            :func:`effnet_lite.quantize.export.expected_moments`.
        start: ``effort.images`` images, (size, size, 3).
        preprocessing: Of the network.
        effort: How long, see :func:`affordable`.
        seed: Of classes, shifts and mirrorings.
        confident: Whether each image shall be of a class; not for a head without training.
        progress: Called after each turn of a batch.

    Returns:
        As many images, uint8.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
    """
    rng = np.random.default_rng(seed)
    target = _Target(graph, expected, preprocessing, CLASS_WEIGHT if confident else 0.0)
    classes = np.resize(rng.permutation(target.classes), len(start)).astype(np.int32)
    count = len(start) // effort.batch
    pixels = np.stack(start).astype(np.float32)
    parts = zip(np.split(pixels, count), np.split(classes, count), strict=True)
    batches = [_Batch(*part) for part in parts]
    sums = np.stack([target.sums(batch.pixels) for batch in batches])
    total = effort.steps * count
    for turn in range(total):
        number = turn % count
        batch = batches[number]
        shift, mirror = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, 2), bool(rng.integers(2))
        resting = sums.sum(0) - sums[number]
        found = target.gradient(batch, resting / count, 1 / count, shift, mirror)
        gradient, sums[number] = found
        batch.move(gradient, RATE * 0.5 * (1 + np.cos(np.pi * turn / total)))
        if progress:
            progress(turn + 1, total, "matching synthetic images to the network")
    return [np.rint(image).astype(np.uint8) for batch in batches for image in batch.pixels]


def distance(
    graph: Graph,
    expected: Mapping[str, Moments],
    images: Sequence[Pixels],
    preprocessing: Preprocessing,
) -> float:
    """The loss of images without the classes' part: 0 where all statistics are as expected."""
    target = _Target(graph, expected, preprocessing, 0.0)
    sums = [target.sums(image[np.newaxis].astype(np.float32)) for image in images]
    return float(target.loss(np.mean(sums, 0)))


class _Batch:
    """Images that take their turn together, their classes, and Adam's memory of them."""

    def __init__(self, pixels: Array, classes: npt.NDArray[np.int32]) -> None:
        self.pixels, self.classes = pixels, classes
        self._mean, self._square = np.zeros_like(pixels), np.zeros_like(pixels)
        self._turns = 0

    def move(self, gradient: Array, rate: float) -> None:
        """One step of Adam (Kingma & Ba, arXiv 1412.6980), kept within 0-255."""
        self._turns += 1
        self._mean += (1 - MEAN_DECAY) * (gradient - self._mean)
        self._square += (1 - SQUARE_DECAY) * (np.square(gradient) - self._square)
        mean = self._mean / (1 - MEAN_DECAY**self._turns)
        square = self._square / (1 - SQUARE_DECAY**self._turns)
        moved = self.pixels - rate * mean / (np.sqrt(square) + 1e-12)
        self.pixels = np.clip(moved, 0, 255).astype(np.float32)


class _Target:
    """The loss and its gradient; all channels of all layers in one vector of length K."""

    def __init__(
        self,
        graph: Graph,
        expected: Mapping[str, Moments],
        preprocessing: Preprocessing,
        class_weight: float,
    ) -> None:
        self._tf = import_tensorflow()
        self._logits = logits_of(graph)
        self._graph = graph.with_outputs([self._logits])
        self._preprocessing = preprocessing
        self._class_weight = class_weight
        names = {op.output: graph.tensors[op.output].name for op in graph.ops}
        self._moments = {
            tensor: expected[name] for tensor, name in names.items() if name in expected
        }
        stds = [layer.std for layer in self._moments.values()]
        self._stds = np.concatenate(stds)
        # Relative to the layer's scale; of a layer without any variance, nothing to divide by.
        weights = [np.full(len(std), 1 / max(np.square(std).sum(), 1e-12)) for std in stds]
        self._weights = np.concatenate(weights).astype(np.float32)
        self._layer = np.repeat(np.arange(len(stds)), [len(std) for std in stds])
        compiled = functools.partial(self._tf.function, autograph=False)
        self._run_sums = compiled(lambda pixels: self._forward(pixels)[0])
        self._run_gradient = compiled(self._trace)

    @property
    def classes(self) -> int:
        return self._graph.tensors[self._logits].shape[-1]

    def sums(self, pixels: Array) -> Array:
        """Mean of x - β and of (x - β)² over a batch (N, size, size, 3), (2, K)."""
        return np.asarray(self._run_sums(self._tf.constant(pixels)))

    def loss(self, sums: Any) -> Any:
        """What is missing to the expected statistics; ``sums`` of all images, (2, K)."""
        tf = self._tf
        offset = sums[0]
        std = tf.sqrt(tf.maximum(sums[1] - tf.square(offset), 1e-12))
        errors = tf.square(offset) + tf.square(std - self._stds)
        layers = tf.math.segment_sum(self._weights * errors, self._layer)
        return tf.reduce_sum(tf.math.log1p(layers))

    def gradient(
        self, batch: _Batch, resting: Array, share: float, shift: Shift, mirror: bool
    ) -> tuple[Array, Array]:
        """Of the loss with respect to a batch's pixels; and the batch's sums.

        Args:
            batch: The images that move.
            resting: What the other batches add to the mean of the sums, (2, K).
            share: Of this batch in that mean.
            shift: Pixels down and to the right.
            mirror: Whether left and right are swapped.
        """
        tf = self._tf
        values = (batch.pixels, batch.classes, resting, np.float32(share), shift, mirror)
        gradient, sums = self._run_gradient(*(tf.constant(value) for value in values))
        return np.asarray(gradient), np.asarray(sums)

    def _trace(
        self, pixels: Any, classes: Any, resting: Any, share: Any, shift: Any, mirror: Any
    ) -> tuple[Any, Any]:
        tf = self._tf
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            moved = tf.roll(pixels, shift, (1, 2))
            sums, logits = self._forward(tf.where(mirror, moved[:, :, ::-1], moved))
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
            loss = self.loss(resting + share * sums)
            loss += self._class_weight * tf.reduce_mean(entropy)
        return tape.gradient(loss, pixels), sums

    def _forward(self, pixels: Any) -> tuple[Any, Any]:
        """Sums (2, K) and logits (N, classes) of a batch."""
        values = self._preprocessing.mean, self._preprocessing.std
        mean, std = (np.asarray(value, np.float32) for value in values)
        found = forward(self._graph, (pixels - mean) / std)
        sums = [
            _sums(self._tf, found.sums[tensor], layer.mean)
            for tensor, layer in self._moments.items()
        ]
        return self._tf.concat(sums, 1), found.outputs[self._logits]


def _sums(tf: Any, values: Any, centre: Array) -> Any:
    """Mean of ``x - centre`` and of its square for each channel, (2, channels).

    With a gradient of its own: TensorFlow's takes as long as all of the network.
    """

    def sums(x: Any) -> tuple[Any, Any]:
        flat = tf.reshape(x, (-1, x.shape[-1]))
        count = tf.cast(tf.shape(flat)[0], tf.float32)
        average = tf.fill((1, tf.shape(flat)[0]), 1 / count)
        squares = tf.math.squared_difference(flat, centre)

        def gradient(upstream: Any) -> Any:
            slope = 2 * upstream[1] / count
            return x * slope + (upstream[0] / count - slope * centre)

        return tf.concat([average @ flat - centre, average @ squares], 0), gradient

    return tf.custom_gradient(sums)(values)
