"""The integer operators in plain NumPy: what the specification says, and nothing else.

real = scale · (integer - zero_point). Weighted sums are exact, and one rounding of one float64
product takes them to the output's steps: ``q = z_out + round(sum · s_in · s_w / s_out)``
(arXiv 1712.05877, equations 4, 5 and 7). Kernels approximate that factor with a fixed-point
number or a float32, so that theirs may differ by one where the product ends near one half.
Source: ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.quantize.graph import WEIGHTED, Graph, Op, Quantization, Tensor

Array = npt.NDArray[Any]
Reals = npt.NDArray[np.float64]
Values = dict[int, Array]


def run_op(graph: Graph, op: Op, values: Values) -> Array:
    """The output integers of one quantized operator.

    Args:
        graph: Quantized.
        op: Of any kind but QUANTIZE and DEQUANTIZE.
        values: Integers of the activations that it reads, by tensor index, batch 1.

    Returns:
        Integers of the output's shape and type.
    """
    output = graph.tensors[op.output]
    reals = _reals(graph, op, values)
    scale, zero_point = _scale(output), _zero_point(output)
    limits = np.iinfo(output.dtype)
    low, high = int(limits.min), int(limits.max)
    if op.options.get("relu6"):
        low, high = max(low, zero_point), min(high, zero_point + round(6 / scale))
    if op.kind == "AVERAGE_POOL_2D":
        # With one scale at both ends the kernels average the integers as they are, so that it
        # is their own sign that decides which way a half goes.
        integers = _nearest(reals / scale + zero_point)
    else:
        integers = _nearest(reals / scale) + zero_point
    return np.clip(integers, low, high).reshape(output.shape).astype(output.dtype)


def sums(graph: Graph, op: Op, values: Values) -> Array:
    """What an operator with weights adds up, bias included: exact, int64, (…, channels)."""
    source, weights, bias = (graph.tensors[index] for index in op.inputs)
    centred = _centred(source, values[op.inputs[0]])
    return _weighted_sums(op, centred, _constant(weights)) + _constant(bias)


def accumulator(graph: Graph, op: Op) -> type[np.signedinteger[Any]]:
    """The type that holds the sums, by the specification."""
    return np.int64 if graph.tensors[op.inputs[0]].dtype == "int16" else np.int32


def _reals(graph: Graph, op: Op, values: Values) -> Reals:
    """The operator's result before it is rounded, in the network's units."""
    if op.kind in WEIGHTED:
        scale = _scale(graph.tensors[op.inputs[0]])
        weight_scales = _quantization(graph.tensors[op.inputs[1]]).scale.astype(np.float64)
        # Sums that do not fit wrap round, as they do in a register.
        held = sums(graph, op, values).astype(accumulator(graph, op))
        return np.asarray(held * (scale * weight_scales))
    inputs = [index for index in op.inputs if graph.tensors[index].data is None]
    first, *others = (_dequantize(graph.tensors[index], values[index]) for index in inputs)
    if op.kind == "ADD":
        return first + others[0]
    if op.kind == "MUL":
        return np.asarray(first * others[0])
    if op.kind in ("MEAN", "AVERAGE_POOL_2D"):  # here both take the whole feature map
        return np.asarray(first.mean((1, 2), keepdims=True))
    if op.kind == "LOGISTIC":
        return 0.5 * (1 + np.tanh(first / 2))  # does not overflow
    if op.kind == "SOFTMAX":
        exponentials = np.exp(first - first.max())
        return np.asarray(exponentials / exponentials.sum())
    raise ValueError(f"{graph.tensors[op.output].name}: no reference for {op.kind}")


def _weighted_sums(op: Op, centred: Array, weights: Array) -> Array:
    """Exact sums, int64, of inputs less their zero point; (…, channels)."""
    if op.kind == "FULLY_CONNECTED":
        return _exact_product(centred.reshape(1, -1), weights.T)
    kernel, stride = weights.shape[1], op.options.get("stride", 1)
    side = -(-centred.shape[1] // stride)
    padding = max((side - 1) * stride + kernel - centred.shape[1], 0)
    before = padding // 2  # SAME: the odd one goes behind; 0 is what the zero point stands for
    padded = np.pad(centred, ((0, 0), *[(before, padding - before)] * 2, (0, 0)))
    end = (side - 1) * stride + 1
    total: Any = 0
    for row in range(kernel):
        for column in range(kernel):
            window = padded[:, row : row + end : stride, column : column + end : stride]
            taps = weights[:, row, column]
            if op.kind == "DEPTHWISE_CONV_2D":
                total = total + window * taps[0].astype(np.int64)
            else:
                total = total + _exact_product(window, taps.T)
    return np.asarray(total)


def _exact_product(left: Array, right: Array) -> Array:
    # Doubles go through BLAS, and exactly: 2^17 · 2^7 · 2^11 terms stay below 2^53.
    return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)


def _nearest(reals: Reals) -> Reals:
    """Halves away from zero."""
    return np.copysign(np.floor(np.abs(reals) + 0.5), reals)


def _centred(tensor: Tensor, values: Array) -> Array:
    return values.astype(np.int64) - _zero_point(tensor)


def _dequantize(tensor: Tensor, values: Array) -> Reals:
    return np.asarray(_centred(tensor, values) * _scale(tensor))


def _quantization(tensor: Tensor) -> Quantization:
    if tensor.quantization is None:
        raise ValueError(f"{tensor.name} is not quantized")
    return tensor.quantization


def _scale(tensor: Tensor) -> float:
    return float(_quantization(tensor).scale[0])


def _zero_point(tensor: Tensor) -> int:
    return int(_quantization(tensor).zero_point[0])


def _constant(tensor: Tensor) -> Array:
    if tensor.data is None:
        raise ValueError(f"{tensor.name} is not a constant")
    return tensor.data
