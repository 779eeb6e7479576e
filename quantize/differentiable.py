"""A float graph as TensorFlow operations, for the stages that need gradients.

How far an error in an activation moves the logits (sensitivity.py), and which image has given
statistics (synthetic.py), are questions for a gradient; everything else runs the .tflite
itself, and does not load TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from effnet_lite.errors import ConversionError
from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.quantize.graph import WEIGHTED, Graph, Op


@dataclasses.dataclass(frozen=True)
class Activations:
    """What the operators computed, TensorFlow tensors by the output's index in the graph.

    Attributes:
        outputs: Of every operator, (N, …).
        sums: Of the operators with weights, before a fused ReLU6.
    """

    outputs: Mapping[int, Any]
    sums: Mapping[int, Any]


def forward(graph: Graph, images: Any, nudges: Mapping[int, Any] | None = None) -> Activations:
    """Run a graph on a batch; traceable, so that ``tf.function`` and gradients work.

    Args:
        graph: Float32.
        images: Normalised, (N, size, size, 3) float32.
        nudges: Added to operators' outputs, by index: the gradient with respect to a nudge
            of zeros is the one with respect to the output.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
        ConversionError: An operator that EfficientNet does not have.
    """
    tf = import_tensorflow()
    values, sums = {graph.inputs[0]: images}, {}
    for op in graph.ops:
        inputs = [values[index] for index in op.inputs if index in values]
        if op.kind in WEIGHTED:
            value = sums[op.output] = _weighted(tf, graph, op, inputs[0])
            if op.options.get("relu6"):
                value = tf.nn.relu6(value)
        elif op.kind in _PLAIN:
            value = _PLAIN[op.kind](tf, *inputs)
        else:
            raise ConversionError(f"no gradient for the operator {op.kind}")
        if nudges and op.output in nudges:
            value = value + nudges[op.output]
        values[op.output] = value
    del values[graph.inputs[0]]
    return Activations(values, sums)


_PLAIN: dict[str, Callable[..., Any]] = {
    "ADD": lambda tf, one, other: one + other,
    "MUL": lambda tf, one, other: one * other,
    "LOGISTIC": lambda tf, value: tf.sigmoid(value),
    "MEAN": lambda tf, value: tf.reduce_mean(value, (1, 2), keepdims=True),
    "AVERAGE_POOL_2D": lambda tf, value: tf.reduce_mean(value, (1, 2), keepdims=True),
    "SOFTMAX": lambda tf, value: tf.nn.softmax(value),
}


def _weighted(tf: Any, graph: Graph, op: Op, value: Any) -> Any:
    weights, bias = (np.asarray(graph.tensors[index].data) for index in op.inputs[1:3])
    stride = op.options.get("stride", 1)
    if op.kind == "CONV_2D":
        summed = tf.nn.conv2d(value, weights.transpose(1, 2, 3, 0), stride, "SAME")
    elif op.kind == "DEPTHWISE_CONV_2D":
        kernel = weights.transpose(1, 2, 3, 0)
        summed = tf.nn.depthwise_conv2d(value, kernel, (1, stride, stride, 1), "SAME")
    else:
        summed = tf.reshape(value, (-1, weights.shape[1])) @ weights.T
    return summed + bias
