"""How far errors in an activation move the logits.

An error e of one activation, of variance σ² in every element and without pattern, as rounding
makes it, adds to the power of the error of the centred logits z

    Σ_k E[Δz_k²] = σ² · Σ_k E[Σ_p (∂z_k / ∂a_p)²]

with p over the positions of a channel. For channels whose errors go together, with covariance C
at every position, it is tr(C·G), where G, (channels, channels), has products of two channels'
derivatives in the place of the squares, and the above on its diagonal. The sum over the classes
k is estimated with random signs v: E_v[(∂(v·z)/∂a)²] is the sum of the squares, and likewise
with products (Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1990),
so that one backward pass a probe gives it for all activations at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration import logits_of
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.differentiable import forward
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.statistics import Matrix, Vector

PROBES = 2
# Elements of activations in one batch: gradients keep them all at once.
BATCH_ELEMENTS = 30_000_000
# Elements over all images: a minute or two on two cores, and 100 images of Lite2.
TOTAL_ELEMENTS = 1_500_000_000

Gains = dict[int, Vector | Matrix]


def error_gains(
    graph: Graph,
    images: CalibrationSet,
    preprocessing: Preprocessing,
    seed: int = 0,
    progress: Progress | None = None,
    tensors: Collection[int] | None = None,
    whole: Collection[int] = (),
) -> Gains:
    """What a unit of error variance in each channel adds to the logits' error power.

    Args:
        graph: Float32.
        images: As many of them are used as ``TOTAL_ELEMENTS`` allows, at least 4.
        preprocessing: Of the network.
        seed: Of the probes.
        progress: Called after each batch.
        tensors: Which activations' gains; None for all. Each takes memory, several times its
            own size.
        whole: Of which of them the matrix G.

    Returns:
        By activation, (channels,), 0 or more; (channels, channels) for those in ``whole``.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
    """
    tf = import_tensorflow()
    logits = logits_of(graph)
    elements = graph.elements()
    count = min(images.count, max(4, TOTAL_ELEMENTS // elements))
    batch = min(count, max(1, BATCH_ELEMENTS // elements))
    shapes = {op.output: graph.tensors[op.output].shape[1:] for op in graph.ops
              if tensors is None or op.output in tensors}  # fmt: skip

    def squares(inputs, signs):  # type: ignore[no-untyped-def]
        nudges = {tensor: tf.zeros((batch, *shape)) for tensor, shape in shapes.items()}
        with tf.GradientTape() as tape:
            tape.watch(nudges)
            answers = forward(graph, inputs, nudges).outputs[logits]
            centred = answers - tf.reduce_mean(answers, axis=-1, keepdims=True)
            total = tf.reduce_sum(centred * signs)
        # A softmax behind the logits has no part in them.
        found = tape.gradient(total, nudges, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        flat = {t: tf.reshape(value, (-1, value.shape[-1])) for t, value in found.items()}
        return {
            tensor: tf.matmul(value, value, transpose_a=True)
            if tensor in whole
            else tf.reduce_sum(tf.square(value), 0)
            for tensor, value in flat.items()
        }

    traced = tf.function(squares, autograph=False)
    rng = np.random.default_rng(seed)
    sums: Gains = {
        tensor: np.zeros((shape[-1],) * (2 if tensor in whole else 1))
        for tensor, shape in shapes.items()
    }
    done = 0
    for inputs in _batches(images, preprocessing, count, batch):
        for _ in range(PROBES):
            signs = rng.choice([-1.0, 1.0], (batch, graph.tensors[logits].shape[-1]))
            for tensor, value in traced(inputs, signs.astype(np.float32)).items():
                sums[tensor] += value.numpy()
        done += batch
        if progress:
            progress(done, count - count % batch, "measuring sensitivity")
    return {tensor: value / (done * PROBES) for tensor, value in sums.items()}


def _batches(
    images: CalibrationSet, preprocessing: Preprocessing, count: int, size: int
) -> Iterator[npt.NDArray[np.float32]]:
    """Normalised images, (size, height, width, 3); what does not fill a batch is left out."""
    batch = []
    for pixels in images.pixels(preprocessing, count):
        batch.append(preprocessing.normalize(pixels))
        if len(batch) == size:
            yield np.stack(batch)
            batch = []
