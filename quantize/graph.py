"""A TFLite graph in memory: what export builds, quantization rewrites and the writer saves.

Only the operators that EfficientNet needs, with constants as NumPy arrays, so that every
stage can be read and tested without a flatbuffer in hand.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import ConversionError

OpKind = Literal[
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "ADD",
    "MUL",
    "LOGISTIC",
    "MEAN",
    "AVERAGE_POOL_2D",
    "SOFTMAX",
    "QUANTIZE",
    "DEQUANTIZE",
]
#: Operators whose inputs are (activation, weights, bias).
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
#: Operators that only change how a value is stored.
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")

Array = npt.NDArray[Any]
#: Channel axis of the weights: conv (out,kh,kw,in), depthwise (1,kh,kw,out), dense (out,in).
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


@dataclasses.dataclass(frozen=True)
class Quantization:
    """real = scale · (integer - zero_point), arXiv 1712.05877 equation 1.

    Attributes:
        scale: float32, one value or one a channel.
        zero_point: int64, the same length.
        axis: The channel axis when there are several.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int = 0

    @staticmethod
    def per_tensor(scale: float, zero_point: int = 0) -> Quantization:
        """One scale for the whole tensor."""
        return Quantization(np.asarray([scale], np.float32), np.asarray([zero_point], np.int64))

    @staticmethod
    def per_channel(scale: Array, axis: int) -> Quantization:
        """Symmetric, one scale a channel."""
        return Quantization(np.asarray(scale, np.float32), np.zeros(len(scale), np.int64), axis)

    def dequantize(self, values: Array) -> npt.NDArray[np.float32]:
        """Integers to reals, same shape."""
        scale, zero = self.scale, self.zero_point
        if len(scale) > 1:
            shape = [1] * values.ndim
            shape[self.axis] = len(scale)
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        return ((values.astype(np.float64) - zero) * scale).astype(np.float32)


@dataclasses.dataclass
class Tensor:
    """A value of the graph.

    Attributes:
        name: Unique, e.g. ``block2a_expand_conv`` or ``block2a_expand_conv/kernel``.
        shape: Static.
        dtype: NumPy's name: float32, float16, int8, uint8, int16, int32, int64.
        data: The constant's value; None for an activation.
        quantization: None for floats.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    data: Array | None = None
    quantization: Quantization | None = None

    @property
    def constant(self) -> Array:
        """``data`` of what must have some; ConversionError otherwise."""
        if self.data is None:
            raise ConversionError(f"{self.name} is not a constant; expected weights of a layer")
        return self.data

    @property
    def quantized(self) -> Quantization:
        """``quantization`` of what must have one; ConversionError otherwise."""
        if self.quantization is None:
            raise ConversionError(f"{self.name} is not quantized")
        return self.quantization

    @property
    def scales(self) -> npt.NDArray[np.float64]:
        """``scale`` of what must be quantized, to compute with."""
        return self.quantized.scale.astype(np.float64)

    @property
    def reals(self) -> npt.NDArray[np.float64]:
        """What a symmetric constant along one axis, a bias, stands for, (channels,)."""
        values: npt.NDArray[np.float64] = self.constant.astype(np.float64) * self.scales
        return values


@dataclasses.dataclass
class Op:
    """One operator; inputs and outputs are indices into ``Graph.tensors``."""

    kind: OpKind
    inputs: list[int]
    output: int
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Graph:
    """Operators in execution order over one list of tensors."""

    tensors: list[Tensor] = dataclasses.field(default_factory=list)
    ops: list[Op] = dataclasses.field(default_factory=list)
    inputs: list[int] = dataclasses.field(default_factory=list)
    outputs: list[int] = dataclasses.field(default_factory=list)

    def add_tensor(self, tensor: Tensor) -> int:
        """Append a tensor; its index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: str, data: Array, quantization: Quantization | None = None) -> int:
        """Append a constant; its index."""
        return self.add_tensor(Tensor(name, data.shape, data.dtype.name, data, quantization))

    def add_op(
        self, kind: OpKind, inputs: list[int], name: str, shape: tuple[int, ...], **options: Any
    ) -> int:
        """Append an operator with a new float32 output; the output's index."""
        output = self.add_tensor(Tensor(name, shape))
        self.ops.append(Op(kind, inputs, output, options))
        return output

    def activations(self) -> list[int]:
        """Indices of the operators' outputs, in execution order."""
        return [op.output for op in self.ops]

    def elements(self) -> int:
        """Values of all activations together."""
        return sum(math.prod(self.tensors[tensor].shape) for tensor in self.activations())

    def multiply_adds(self, op: Op) -> int:
        """Of one operator; 0 without weights."""
        if op.kind not in WEIGHTED:
            return 0
        shape = self.tensors[op.inputs[1]].shape
        taps = shape[1:3] if op.kind == "DEPTHWISE_CONV_2D" else shape[1:]
        return math.prod(taps) * math.prod(self.tensors[op.output].shape)

    def swish_products(self) -> dict[int, int]:
        """x → x·σ(x), of every swish; squeeze-and-excite multiplies by the σ of something else."""
        gates = {op.output: op.inputs[0] for op in self.ops if op.kind == "LOGISTIC"}
        return {
            op.inputs[0]: op.output
            for op in self.ops
            if op.kind == "MUL" and gates.get(op.inputs[1]) == op.inputs[0]
        }

    def copy(self) -> Graph:
        """A copy that may be rewritten; the constants' arrays are shared."""
        return Graph(
            [dataclasses.replace(tensor) for tensor in self.tensors],
            copy.deepcopy(self.ops),
            list(self.inputs),
            list(self.outputs),
        )

    def with_outputs(self, outputs: list[int]) -> Graph:
        """The same graph with other outputs, later operators that nobody needs left out."""
        graph = self.copy()
        needed, ops = set(outputs), []
        for op in reversed(graph.ops):
            if op.output in needed:
                needed.update(op.inputs)
                ops.append(op)
        graph.ops, graph.outputs = ops[::-1], list(outputs)
        return graph
