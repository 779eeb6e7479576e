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

import dataclasses
import math
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration import logits_of
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.differentiable import forward
from effnet_lite.quantize.graph import Graph, Op
from effnet_lite.quantize.statistics import Matrix, Vector

PROBES = 2
# Elements of activations in one batch.
BATCH_ELEMENTS = 30_000_000
# Elements of a span, which are kept at once as well. All of Lite0-4 and B0-B3 are one span.
SPAN_ELEMENTS = 100_000_000
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
    logits = logits_of(graph)
    elements = graph.elements()
    count = min(images.count, max(4, TOTAL_ELEMENTS // elements))
    batch = min(count, max(1, BATCH_ELEMENTS // elements))
    spans = [
        _Span(span, whole, tensors)
        for span in spans_of(graph.with_outputs([logits]), SPAN_ELEMENTS)
    ]
    rng = np.random.default_rng(seed)
    # A softmax behind the logits has no part in them.
    sums: Gains = {
        op.output: np.zeros((graph.tensors[op.output].shape[-1],) * (1 + (op.output in whole)))
        for op in graph.ops
        if tensors is None or op.output in tensors
    }
    done = 0
    for inputs in _batches(images, preprocessing, count, batch):
        given = [inputs]
        for span in spans[:-1]:
            given.append(span.run(given[-1]))
        for _ in range(PROBES):
            signs = rng.choice([-1.0, 1.0], (batch, graph.tensors[logits].shape[-1]))
            # Σ v·(z - mean z) = Σ (v - mean v)·z
            above = (signs - signs.mean(-1, keepdims=True)).astype(np.float32)
            for span, value in zip(reversed(spans), reversed(given), strict=True):
                above, found = span.gradients(value, above)
                for tensor, squares in found.items():
                    sums[tensor] += squares.numpy()
        done += batch
        if progress:
            progress(done, count - count % batch, "measuring sensitivity")
    return {tensor: value / (done * PROBES) for tensor, value in sums.items()}


def spans_of(graph: Graph, elements: int) -> list[Graph]:
    """Cut a graph where one tensor holds all that goes on, into spans as short as that allows.

    Args:
        graph: With one output.
        elements: Values of activations that a span has at least, but the last.

    Returns:
        Graphs over the same tensors, each with the output of the one before as its input.
    """
    last_use = {tensor: number for number, op in enumerate(graph.ops) for tensor in op.inputs}
    spans: list[Graph] = []
    ops: list[Op] = []
    given, alive, size = graph.inputs, set(graph.inputs), 0
    for number, op in enumerate(graph.ops):
        ops.append(op)
        size += math.prod(graph.tensors[op.output].shape)
        alive = {tensor for tensor in alive if last_use[tensor] > number} | {op.output}
        if (len(alive) == 1 and size >= elements) or op is graph.ops[-1]:
            spans.append(dataclasses.replace(graph, ops=ops, inputs=given, outputs=[op.output]))
            ops, given, size = [], [op.output], 0
    return spans


class _Span:
    """Forward and backward through a part of the network.

    Gradients keep what the forward pass computed: span by span, with the forward pass made
    again, that is a span's activations and not the network's (Chen et al., "Training Deep Nets
    with Sublinear Memory Cost", arXiv 1604.06174).
    """

    def __init__(
        self, graph: Graph, whole: Collection[int], tensors: Collection[int] | None
    ) -> None:
        tf = import_tensorflow()
        (output,) = graph.outputs
        shapes = {op.output: graph.tensors[op.output].shape[1:] for op in graph.ops
                  if tensors is None or op.output in tensors}  # fmt: skip

        def gradients(inputs, above):  # type: ignore[no-untyped-def]
            batch = inputs.shape[0]
            nudges = {tensor: tf.zeros((batch, *shape)) for tensor, shape in shapes.items()}
            with tf.GradientTape() as tape:
                tape.watch((inputs, nudges))
                total = tf.reduce_sum(forward(graph, inputs, nudges).outputs[output] * above)
            below, found = tape.gradient(total, (inputs, nudges))
            flat = {t: tf.reshape(value, (-1, value.shape[-1])) for t, value in found.items()}
            return below, {
                tensor: tf.matmul(value, value, transpose_a=True)
                if tensor in whole
                else tf.reduce_sum(tf.square(value), 0)
                for tensor, value in flat.items()
            }

        def run(inputs):  # type: ignore[no-untyped-def]
            return forward(graph, inputs).outputs[output]

        #: (images, …) of the input to those of the output.
        self.run = tf.function(run, autograph=False)
        #: The input, and the gradient with respect to the output, to the one with respect to
        #: the input, and to the sums of squares or of products for each tensor.
        self.gradients = tf.function(gradients, autograph=False)


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
