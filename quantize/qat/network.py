"""From an integer graph to a Keras model that computes what it computes, and can learn.

Where the recipe ends (pipeline.py), training begins: batch norms are folded, streams rescaled,
ranges chosen, weights rounded against their layers' errors and biases corrected, so that step 0
is the file that ``convert`` writes. Each weight starts inside the step that the recipe gave it,
as near as that allows to its float value, and is free from there.

Scales and zero points stay as they are. A clipped value pulls at the end of its range, but what
a wider range costs all others in rounding has no gradient through the straight-through
estimator; ranges.py weighs the two, on the same photos. And weights hardly move: a short
training at a rate of hundredths of a step shifts a few of them by one. What comes out is the
recipe's graph with other integers: the same operators, by construction.

Each operator becomes one Keras layer that is annotated for tensorflow-model-optimization
(quantizers.py). A kernel is kept in steps of int8 and a bias in tenths of a step of the layer's
output: folding the batch norms in makes float weights differ by orders of magnitude between
channels, in steps one learning rate fits them all. A bias moves a whole channel, and so has a
finer unit.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import ConversionError
from effnet_lite.lite.keras import import_tf_keras
from effnet_lite.quantize.calibration import logits_of
from effnet_lite.quantize.graph import WEIGHTED, Graph, Op, Tensor
from effnet_lite.quantize.qat.quantizers import MOST, import_tfmot, quantizer_classes

Array = npt.NDArray[Any]

# Of the way from a weight's step to where it would be rounded to the next one: how far off a
# weight may start. Stage ``round`` puts many across, as near to that border as can be, where the
# first noise would undo its choice: of Lite0's, 150 steps at a rate of .0001 moved 100 000.
INSIDE = 0.5
# Steps of the output that a bias variable counts.
BIAS_UNIT = 0.1
PREFIX = "quant_"
_KERNELS = {
    "CONV_2D": "kernel",
    "DEPTHWISE_CONV_2D": "depthwise_kernel",
    "FULLY_CONNECTED": "kernel",
}
# Keras' layouts: (k, k, in, out), (k, k, in, 1), (in, out).
_TO_KERAS = {
    "CONV_2D": (1, 2, 3, 0),
    "DEPTHWISE_CONV_2D": (1, 2, 3, 0),
    "FULLY_CONNECTED": (1, 0),
}
_FROM_KERAS = {
    "CONV_2D": (3, 0, 1, 2),
    "DEPTHWISE_CONV_2D": (3, 0, 1, 2),
    "FULLY_CONNECTED": (1, 0),
}
_SUPPORTED = (*WEIGHTED, "ADD", "MUL", "LOGISTIC", "MEAN", "AVERAGE_POOL_2D", "SOFTMAX")


@dataclasses.dataclass(frozen=True)
class QatModel:
    """A network with the roundings of its file.

    Attributes:
        keras: From normalised images (N, size, size, 3) to logits (N, classes), the int8 of
            every operator's output included.
        integers: The graph that training started from; left as it is.
    """

    keras: Any
    integers: Graph

    @functools.cached_property
    def variables(self) -> dict[str, Any]:
        """What is trained, by ``layer/weight``: kernels in steps of int8, and biases."""
        return {
            # The variables' own names are those of tfmot's wrappers, which it numbers.
            f"{layer.name.removeprefix(PREFIX)}/{_last(variable.name)}": variable
            for layer in self.keras.layers
            for variable in layer.trainable_variables
        }

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """Copies of the variables' values."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def load(self, state: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Take values that :meth:`state` gave."""
        for name, variable in self.variables.items():
            variable.assign(state[name])

    def with_features(self, tensor: int) -> Any:
        """The Keras model with a second output: that tensor of the graph, rounded."""
        found = self.integers.tensors[tensor]
        layer = self.keras.get_layer(PREFIX + found.name)
        reals = layer.output * float(found.scales[0])
        return import_tf_keras().Model(self.keras.input, [self.keras.output, reals])

    def to_graph(self) -> Graph:
        """The integer graph with the weights and biases as they are now.

        Raises:
            ConversionError: A weight or bias is not finite.
        """
        graph, state = self.integers.copy(), self.state()
        for op in graph.ops:
            if op.kind not in WEIGHTED:
                continue
            name = graph.tensors[op.output].name
            kernel, bias = state[f"{name}/{_KERNELS[op.kind]}"], state[f"{name}/bias"]
            if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
                raise ConversionError(f"{name} has weights that are infinite or not a number")
            weights, biases = (graph.tensors[index] for index in op.inputs[1:3])
            whole = np.clip(np.rint(kernel), -MOST, MOST).astype(np.int8)
            weights.data = np.ascontiguousarray(whole.transpose(_FROM_KERAS[op.kind]))
            limits = np.iinfo(np.int32)
            sums = np.rint(bias.astype(np.float64) / _bias_factors(graph, op))
            biases.data = np.clip(sums, limits.min, limits.max).astype(np.int32)
        return graph


def quantize_aware(floats: Graph, integers: Graph) -> QatModel:
    """Make the Keras model.

    A fused ReLU6 must end within its output's range, as :mod:`effnet_lite.quantize.ranges` has it.

    Args:
        floats, integers: Of one network, from :func:`effnet_lite.quantize.pipeline.run_recipe`
            with int8 activations.

    Raises:
        ConversionError: An operator that EfficientNet does not have, or one that is not int8.
        MissingDependencyError: TensorFlow, tf_keras or tfmot is not installed.
    """
    _check(integers)
    model = QatModel(_Network(integers).build(), integers)
    model.load(_initial(floats, integers))
    return model


class _Network:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.public = import_tfmot().quantization.keras
        self.layers = import_tf_keras().layers
        self.classes = quantizer_classes()

    def build(self) -> Any:
        graph, layers = self.graph, self.layers
        source, logits = graph.tensors[graph.inputs[0]], graph.tensors[logits_of(graph)]
        inputs = layers.Input(source.shape[1:], name="normalized")
        first = layers.Activation("linear", name=source.name)
        rounded = self.rounded(first, source, [1 / float(source.scales[0])])
        values = {graph.inputs[0]: rounded(inputs)}
        for op in graph.ops:
            if op.kind == "SOFTMAX":
                continue
            given = [values[index] for index in op.inputs if index in values]
            output = graph.tensors[op.output]
            if op.kind == "FULLY_CONNECTED":
                given = [layers.Flatten(name=f"{output.name}_flat")(given[0])]
            values[op.output] = self.layer(op, output)(given[0] if len(given) == 1 else given)
        reals = layers.Rescaling(float(logits.scales[0]), name=f"{logits.name}_real")
        annotated = import_tf_keras().Model(inputs, reals(values[logits_of(graph)]))
        with self.classes.scope():
            return self.public.quantize_apply(
                annotated, self.classes.Scheme(), quantized_layer_name_prefix=PREFIX
            )

    def layer(self, op: Op, output: Tensor) -> Any:
        layers, name = self.layers, output.name
        given = [float(self.graph.tensors[index].scales[0]) for index in self.activations(op)]
        step = float(output.scales[0])
        if op.kind in WEIGHTED:
            factors = _factors(self.graph, op).tolist()
            bias = {"factors": _bias_factors(self.graph, op).tolist()}
            return self.rounded(self.weighted(op, name), output, factors, bias)
        if op.kind == "ADD":
            ratios = [scale / step for scale in given]
            return self.rounded(self.classes.Sum(ratios, name=name), output, [1.0])
        if op.kind == "LOGISTIC":
            return self.rounded(self.classes.Sigmoid(given[0], name=name), output, [1 / step])
        if op.kind == "MUL":
            return self.rounded(layers.Multiply(name=name), output, [given[0] * given[1] / step])
        if op.kind == "MEAN":
            pool = layers.GlobalAveragePooling2D(keepdims=True, name=name)
            return self.rounded(pool, output, [given[0] / step])
        pool = layers.AveragePooling2D(op.options["size"], name=name)
        return self.rounded(pool, output, [1.0], away=True)

    def weighted(self, op: Op, name: str) -> Any:
        # ReLU6 needs no activation: behind it ranges lie within 0 to 6, and clip as it does.
        layers, stride = self.layers, op.options.get("stride", 1)
        shape = self.graph.tensors[op.inputs[1]].shape
        if op.kind == "CONV_2D":
            return layers.Conv2D(shape[0], shape[1:3], stride, "same", name=name)
        if op.kind == "DEPTHWISE_CONV_2D":
            return layers.DepthwiseConv2D(shape[1:3], stride, "same", name=name)
        return layers.Dense(shape[0], name=name)

    def activations(self, op: Op) -> list[int]:
        return [index for index in op.inputs if self.graph.tensors[index].data is None]

    def rounded(
        self,
        layer: Any,
        output: Tensor,
        factors: list[float],
        bias: dict[str, Any] | None = None,
        away: bool = False,
    ) -> Any:
        zero = int(output.quantized.zero_point[0])
        ends = {"low": float(-128 - zero), "high": float(127 - zero)}
        middle = {"middle": float(-zero)} if away else {}
        config = self.classes.Rounding({"factors": factors, **ends, **middle}, bias)
        return self.public.quantize_annotate_layer(layer, config)


def _check(graph: Graph) -> None:
    for op in graph.ops:
        if op.kind not in _SUPPORTED:
            raise ConversionError(f"quantization-aware training cannot learn through {op.kind}")
        output = graph.tensors[op.output]
        if output.dtype != "int8":
            raise ConversionError(
                f"quantization-aware training takes int8 activations, and {output.name} is "
                f"{output.dtype}; use a w8a8 recipe without int16 or float"
            )


def _initial(floats: Graph, integers: Graph) -> dict[str, npt.NDArray[np.float32]]:
    """Each weight in the step that it has, as near to the float one as that allows."""
    state = {}
    for op in integers.ops:
        if op.kind not in WEIGHTED:
            continue
        name, kernel = integers.tensors[op.output].name, _KERNELS[op.kind]
        weights, bias = (integers.tensors[index] for index in op.inputs[1:3])
        wanted = floats.tensors[op.inputs[1]].constant.astype(np.float64)
        shape = [1] * wanted.ndim
        shape[weights.quantized.axis] = -1
        whole = weights.constant.astype(np.float64)
        room = INSIDE / 2
        inside = np.clip(wanted / weights.scales.reshape(shape), whole - room, whole + room)
        state[f"{name}/{kernel}"] = inside.astype(np.float32).transpose(_TO_KERAS[op.kind])
        state[f"{name}/bias"] = (bias.constant * _bias_factors(integers, op)).astype(np.float32)
    return state


def _factors(graph: Graph, op: Op) -> npt.NDArray[np.float64]:
    """What a step of each channel's sums is in steps of the output, (channels,).

    float32 products in the order that XNNPACK takes.
    """
    source, weights, output = (graph.tensors[index].quantized.scale for index in
                               (op.inputs[0], op.inputs[1], op.output))  # fmt: skip
    factors: npt.NDArray[np.float64] = (source * weights / output).astype(np.float64)
    return factors


def _bias_factors(graph: Graph, op: Op) -> npt.NDArray[np.float64]:
    """What a step of each channel's sums is in units of the bias variable, (channels,)."""
    return _factors(graph, op) / BIAS_UNIT


def _last(name: str) -> str:
    return name.removesuffix(":0").rpartition("/")[2]
