"""The network as a float32 TFLite graph, straight from the plan and its tensors.

Batch norm is folded into the convolution before it, ReLU6 is fused, the batch is 1 and
every shape static. TensorFlow is not needed; its converter, given the Keras model, writes
the same operators (a test compares them), but takes a hundred times longer and not always
the same bytes.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.architecture import B_MEAN, B_STD, BN_EPSILON, Architecture, Block
from effnet_lite.quantize.graph import Graph, Tensor

Tensors = dict[str, npt.NDArray[np.float32]]

HEADS = ("softmax", "logits")


def export(plan: Architecture, tensors: Tensors, head: str = "softmax") -> Graph:
    """Build the float32 graph.

    Args:
        plan: The architecture.
        tensors: Canonical tensors (``layer/weight``) as :class:`lite.weights.Weights` holds.
        head: ``softmax`` puts one behind the logits; ``logits`` leaves them as they are. A
            plan without classes ends in its last feature map whatever ``head`` says.

    Returns:
        A graph from ``image`` (1, size, size, 3) to ``logits`` and ``probability``
        (1, classes).
    """
    return _Exporter(plan, tensors).run(head)


def fold_batch_norm(
    kernel: npt.NDArray[np.float32], axis: int, statistics: Tensors
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A convolution's kernel and bias that include the batch norm behind it.

    ``w' = w·γ/√(σ²+ε)``, ``b' = β - μ·γ/√(σ²+ε)`` (arXiv 1712.05877, section 3.2), in
    float64 because the networks have channels whose σ² is far below ε.

    Args:
        kernel: Any shape; ``axis`` is the output channel's.
        axis: The channel axis.
        statistics: gamma, beta, moving_mean, moving_variance, each (channels,).
    """
    wide = {name: value.astype(np.float64) for name, value in statistics.items()}
    factor = wide["gamma"] / np.sqrt(wide["moving_variance"] + BN_EPSILON)
    shape = [1] * kernel.ndim
    shape[axis] = -1
    bias = wide["beta"] - wide["moving_mean"] * factor
    return (kernel * factor.reshape(shape)).astype(np.float32), bias.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each channel, in the network's units, (channels,)."""

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]


def expected_moments(plan: Architecture, tensors: Tensors) -> dict[str, Moments]:
    """What each convolution with a folded batch norm gave in training, before the activation.

    The mean is β and the standard deviation ``|γ|·σ/√(σ²+ε)``: nearly |γ|, but for the
    channels whose σ² is below ε (arXiv 1906.04721, section 4.2.1).

    Args:
        plan: The architecture.
        tensors: As for :func:`export`.

    Returns:
        Moments by the name of the convolution's output in the exported graph.
    """
    moments = {}
    for layer, norm in itertools.pairwise(plan.layers()):
        if norm.kind == "bn":
            variance = tensors[f"{norm.name}/moving_variance"].astype(np.float64)
            std = np.abs(tensors[f"{norm.name}/gamma"]) * np.sqrt(
                variance / (variance + BN_EPSILON)
            )
            moments[layer.name] = Moments(tensors[f"{norm.name}/beta"], std.astype(np.float32))
    return moments


class _Exporter:
    def __init__(self, plan: Architecture, tensors: Tensors) -> None:
        self.plan = plan
        self.tensors = tensors
        self.graph = Graph()
        self.relu6 = plan.variant.family.activation == "relu6"

    def run(self, head: str) -> Graph:
        graph, plan = self.graph, self.plan
        size = plan.variant.size
        x = graph.add_tensor(Tensor("image", (1, size, size, 3)))
        graph.inputs = [x]
        if plan.variant.family.name == "b":
            x = self.normalization(x)
        x = self.conv(x, "stem_conv", "stem_bn", stride=2, activation="stem")
        for block in plan.blocks:
            x = self.block(x, block)
        x = self.conv(x, "top_conv", "top_bn", activation="top")
        if plan.classes:
            x = self.head(x, head)
        graph.outputs = [x]
        return graph

    def normalization(self, x: int) -> int:
        # One depthwise 1x1 convolution: exact per-channel scales in int8, where the Keras
        # layers' multiplication and subtraction would round twice.
        mean = self.tensors.get("normalization/mean", np.asarray(B_MEAN, np.float32))
        variance = self.tensors.get(
            "normalization/variance", np.square(np.asarray(B_STD, np.float32))
        )
        # Keras' Normalization divides by max(√variance, epsilon).
        std = np.maximum(np.sqrt(variance.astype(np.float64)), 1e-7)
        kernel = (1 / (255 * std)).astype(np.float32).reshape(1, 1, 1, 3)
        bias = (-mean / std).astype(np.float32)
        return self.weighted("DEPTHWISE_CONV_2D", x, "normalization", kernel, bias)

    def block(self, inputs: int, block: Block) -> int:
        x, name = inputs, block.name
        if block.expands:
            x = self.conv(
                x, f"{name}_expand_conv", f"{name}_expand_bn", activation=f"{name}_expand"
            )
        x = self.depthwise(x, block)
        if block.se_filters:
            x = self.squeeze_excite(x, block)
        x = self.conv(x, f"{name}_project_conv", f"{name}_project_bn")
        if block.residual:
            shape = self.graph.tensors[x].shape
            x = self.graph.add_op("ADD", [x, inputs], f"{name}_add", shape)
        return x

    def depthwise(self, x: int, block: Block) -> int:
        name = f"{block.name}_dwconv"
        kernel = self.tensors[f"{name}/depthwise_kernel"].transpose(3, 0, 1, 2)
        kernel, bias = fold_batch_norm(kernel, 3, self.statistics(f"{block.name}_bn"))
        fused = self.relu6
        x = self.weighted("DEPTHWISE_CONV_2D", x, name, kernel, bias, block.stride, fused)
        return x if fused else self.swish(x, block.name)

    def squeeze_excite(self, x: int, block: Block) -> int:
        graph, name = self.graph, f"{block.name}_se"
        shape = graph.tensors[x].shape
        axes = graph.constant(f"{name}_squeeze/axes", np.asarray([1, 2], np.int32))
        squeezed = graph.add_op("MEAN", [x, axes], f"{name}_squeeze", (1, 1, 1, shape[3]))
        squeezed = self.conv(squeezed, f"{name}_reduce", None, activation=name)
        gate = self.conv(squeezed, f"{name}_expand", None)
        gate = graph.add_op("LOGISTIC", [gate], f"{name}_gate", (1, 1, 1, shape[3]))
        return graph.add_op("MUL", [x, gate], f"{name}_excite", shape)

    def head(self, x: int, head: str) -> int:
        graph, plan = self.graph, self.plan
        x = graph.add_op(
            "AVERAGE_POOL_2D", [x], "avg_pool", (1, 1, 1, plan.head_filters), size=plan.final_size
        )
        kernel = np.ascontiguousarray(self.tensors["predictions/kernel"].T)
        weights = graph.constant("predictions/kernel", kernel)
        bias = graph.constant("predictions/bias", self.tensors["predictions/bias"])
        x = graph.add_op("FULLY_CONNECTED", [x, weights, bias], "logits", (1, plan.classes))
        if head == "softmax":
            x = graph.add_op("SOFTMAX", [x], "probability", (1, plan.classes))
        return x

    def conv(
        self, x: int, name: str, bn: str | None, stride: int = 1, activation: str | None = None
    ) -> int:
        kernel = self.tensors[f"{name}/kernel"].transpose(3, 0, 1, 2)
        if bn:
            kernel, bias = fold_batch_norm(kernel, 0, self.statistics(bn))
        else:
            bias = self.tensors[f"{name}/bias"]
        fused = activation is not None and self.relu6
        x = self.weighted("CONV_2D", x, name, kernel, bias, stride, fused)
        return self.swish(x, activation) if activation and not fused else x

    def weighted(
        self,
        kind: Any,
        x: int,
        name: str,
        kernel: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
        stride: int = 1,
        relu6: bool = False,
    ) -> int:
        graph = self.graph
        _, height, width, _ = graph.tensors[x].shape
        shape = (1, -(-height // stride), -(-width // stride), len(bias))
        weights = graph.constant(f"{name}/kernel", np.ascontiguousarray(kernel))
        biases = graph.constant(f"{name}/bias", bias)
        return graph.add_op(kind, [x, weights, biases], name, shape, stride=stride, relu6=relu6)

    def swish(self, x: int, name: str) -> int:
        shape = self.graph.tensors[x].shape
        gate = self.graph.add_op("LOGISTIC", [x], f"{name}_sigmoid", shape)
        return self.graph.add_op("MUL", [x, gate], f"{name}_activation", shape)

    def statistics(self, bn: str) -> Tensors:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return {name: self.tensors[f"{bn}/{name}"] for name in names}
