"""Float graph → integer graph, by the TFLite quantization specification.

int8 activations are asymmetric per tensor, int16 ones symmetric; weights are int8,
symmetric, one scale a channel; biases are int32 (int64 with int16 activations) at
``scale_input · scale_weight``. Source: the specification at
ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec and
arXiv 1712.05877.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import ConversionError
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.calibration import INT8_STEPS, Range, Ranges
from effnet_lite.quantize.graph import (
    CHANNEL_AXIS,
    WEIGHTED,
    Graph,
    Op,
    Quantization,
    Tensor,
)

ActivationType = Literal["int8", "int16"]
IOType = Literal["uint8", "int8", "float32"]

# Operators whose output range the specification fixes: (scale, zero point) by type.
_FIXED_OUTPUT = {
    "LOGISTIC": {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)},
    "SOFTMAX": {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)},
}
# TensorFlow's converter leaves smaller tensors in float too: they save nothing.
MIN_DYNAMIC_ELEMENTS = 1024
# Of an int32 bias: the sum over the inputs, and what bias correction adds, need the rest.
MAX_BIAS = 2**30
# Operators that must keep their input's scale, because they only pick or average.
_SAME_SCALE = ("AVERAGE_POOL_2D",)


def quantize(
    graph: Graph,
    ranges: Ranges,
    preprocessing: Preprocessing,
    activations: ActivationType = "int8",
    one_dense_scale: bool = False,
) -> Graph:
    """Give every tensor of a float graph its integer type.

    Args:
        graph: Float32, as :func:`effnet_lite.quantize.export.export` builds it.
        ranges: Range of each activation, by tensor index.
        preprocessing: Its mean and std are folded into the input's scale and zero point.
        activations: ``int8`` or ``int16``.
        one_dense_scale: Give a dense layer's weights one scale, not one a channel.

    Returns:
        A graph of the same operators and tensor indices whose input and output are of the
        activation type; :func:`with_io` puts the wanted types around it.
    """
    result = graph.copy()
    for tensor in result.inputs:
        _set(result.tensors[tensor], activations, input_quantization(preprocessing, activations))
    for op in result.ops:
        quantization = output_quantization(result, op, ranges, activations)
        _set(result.tensors[op.output], activations, quantization)
        if op.kind in WEIGHTED:
            _quantize_constants(result, op, one_dense_scale and op.kind == "FULLY_CONNECTED")
    return result


def with_constants_of(source: Graph, target: Graph) -> Graph:
    """``target`` with the weights and biases of ``source``, biases at its own scales.

    Args:
        source, target: The same network quantized with different activations; ``target``
            is changed.
    """
    for given, op in zip(source.ops, target.ops, strict=True):
        if op.kind not in WEIGHTED:
            continue
        weights, bias = (source.tensors[index] for index in given.inputs[1:3])
        target.tensors[op.inputs[1]] = dataclasses.replace(weights)
        quantize_bias(target, op, bias.reals, weights.quantized.scale)
    return target


def output_quantization(
    graph: Graph, op: Op, ranges: Ranges, dtype: ActivationType
) -> Quantization:
    """Scale and zero point of what an operator writes.

    Args:
        graph: What the operator reads is quantized already.
        op: Of ``graph``.
        ranges: Range of each activation, by tensor index.
        dtype: ``int8`` or ``int16``.
    """
    if op.kind in _FIXED_OUTPUT:
        return Quantization.per_tensor(*_FIXED_OUTPUT[op.kind][dtype])
    if op.kind in _SAME_SCALE:
        return graph.tensors[op.inputs[0]].quantized
    return activation_quantization(ranges[op.output], dtype)


def activation_quantization(wanted: Range, dtype: ActivationType) -> Quantization:
    """Scale and zero point that cover a range and represent 0 exactly.

    int8: ``scale = (high - low) / 255``, ``zero_point = round(-128 - low / scale)``;
    int16: ``scale = max(|low|, |high|) / 32767``, zero point 0.
    """
    covered = wanted.with_zero()
    low, high = covered.low, covered.high
    if not np.isfinite([low, high]).all():
        raise ConversionError(
            "an activation is infinite or not a number on the calibration photos; "
            "check the weights file"
        )
    if dtype == "int16":
        return Quantization.per_tensor(max(-low, high, 1e-9) / 32767)
    scale = max(covered.width, 1e-9) / INT8_STEPS
    return Quantization.per_tensor(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def input_quantization(preprocessing: Preprocessing, dtype: ActivationType) -> Quantization:
    """The input tensor's scale and zero point with the normalisation folded in.

    ``scale · (q - zero_point) = (pixel - mean) / std`` with ``q = pixel - 128`` for int8, so
    raw pixels go in without any arithmetic.
    """
    if len(preprocessing.mean) != 1 or len(preprocessing.std) != 1:
        raise ConversionError("a mean or std per channel cannot be folded into the input's scale")
    mean, std = preprocessing.mean[0], preprocessing.std[0]
    if dtype == "int16":
        return Quantization.per_tensor(max(abs(mean), abs(255 - mean)) / std / 32767)
    return Quantization.per_tensor(1 / std, round(mean) - 128)


def quantize_bias(
    graph: Graph, op: Op, reals: npt.NDArray[np.float64], weight_scales: npt.NDArray[np.float32]
) -> None:
    """Store an operator's bias in steps of its sums; int64 behind int16 activations.

    Args:
        graph: Quantized but for this bias, which is changed.
        op: One of the operators with weights.
        reals: The bias, (channels,).
        weight_scales: Of its weights, (channels,), or (1,) where they have one.
    """
    activation, bias = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[2]]
    scales = activation.scales[0] * weight_scales.astype(np.float64)
    kind = np.int64 if activation.dtype == "int16" else np.int32
    limits = np.iinfo(kind)
    rounded = np.rint(reals / scales)
    integers = np.clip(rounded, float(limits.min), float(limits.max)).astype(kind)
    bias.data, bias.dtype = integers, integers.dtype.name
    bias.quantization = Quantization.per_channel(scales, 0)


def weight_scales(weights: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """One symmetric scale a channel: ``max|w| / 127``, float32 (channels,)."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=others).astype(np.float64)
    # A channel of zeros gets any scale; a tiny one would overflow the bias.
    return np.where(largest > 0, largest / 127, 1.0).astype(np.float32)


def quantize_weights(
    weights: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], axis: int
) -> npt.NDArray[np.int8]:
    """Nearest integers in -127…127 (the specification leaves -128 out)."""
    shape = [1] * weights.ndim
    shape[axis] = -1
    integers = np.rint(weights / scales.reshape(shape).astype(np.float64))
    clipped: npt.NDArray[np.int8] = np.clip(integers, -127, 127).astype(np.int8)
    return clipped


def with_io(graph: Graph, io_type: IOType) -> Graph:
    """Put one QUANTIZE (or DEQUANTIZE) at each end, so that callers see ``io_type``.

    Raises:
        ConversionError: uint8 around int16 activations, which no kernel converts.
    """
    result = graph.copy()
    inner, outer = result.inputs[0], result.outputs[0]
    if result.tensors[inner].dtype == io_type:
        return result
    if io_type == "uint8" and result.tensors[inner].dtype == "int16":
        raise ConversionError("int16 activations take float32 or int8 input, not uint8")
    source = result.tensors[inner]
    outside = result.add_tensor(_outside(source, io_type, source.name))
    source.name += "_quantized"
    result.ops.insert(0, Op("QUANTIZE", [outside], inner))
    result.inputs = [outside]
    sink = result.tensors[outer]
    outside = result.add_tensor(_outside(sink, io_type, sink.name))
    sink.name += "_quantized"
    kind: Literal["DEQUANTIZE", "QUANTIZE"] = "DEQUANTIZE" if io_type == "float32" else "QUANTIZE"
    result.ops.append(Op(kind, [outer], outside))
    result.outputs = [outside]
    return result


def float16_weights(graph: Graph) -> Graph:
    """Constants stored as float16, each behind a DEQUANTIZE; computation stays float32."""
    result = graph.copy()
    ops: list[Op] = []
    for op in result.ops:
        for position, index in enumerate(op.inputs):
            constant = result.tensors[index]
            if constant.data is None or constant.dtype != "float32":
                continue
            wide = result.add_tensor(dataclasses.replace(constant, data=None))
            with np.errstate(over="ignore"):
                half = constant.data.astype(np.float16)
            if not np.isfinite(half).all():
                raise ConversionError(f"{constant.name} does not fit float16; use --fp32 or --int8")
            constant.name, constant.dtype, constant.data = f"{constant.name}_f16", "float16", half
            ops.append(Op("DEQUANTIZE", [index], wide))
            op.inputs[position] = wide
        ops.append(op)
    result.ops = ops
    return result


def dynamic_range_weights(graph: Graph) -> Graph:
    """int8 weights with float32 activations, which the kernels quantize as they run."""
    result = graph.copy()
    for op in result.ops:
        if op.kind not in WEIGHTED:
            continue
        weights = result.tensors[op.inputs[1]]
        if weights.data is None or weights.data.size < MIN_DYNAMIC_ELEMENTS:
            continue
        axis = CHANNEL_AXIS[op.kind]
        scales = weight_scales(weights.data, axis)
        if op.kind == "FULLY_CONNECTED":
            # One scale for the matrix: per-channel needs operator version 12, which boards
            # with tflite-runtime 2.14 do not know.
            quantization = Quantization.per_tensor(float(scales.max()))
            scales = np.full_like(scales, scales.max())
        else:
            quantization = Quantization.per_channel(scales, axis)
        data = quantize_weights(weights.data, scales, axis)
        weights.data, weights.dtype, weights.quantization = data, "int8", quantization
    return result


def _quantize_constants(graph: Graph, op: Op, one_scale: bool) -> None:
    weights, bias = (graph.tensors[index] for index in op.inputs[1:3])
    axis = CHANNEL_AXIS[op.kind]
    scales = weight_scales(weights.constant, axis)
    if graph.tensors[op.inputs[0]].dtype == "int8":
        scales = np.maximum(scales, _least_scales(graph, op, bias.constant))
    if one_scale:
        scales = scales.max(keepdims=True)
    weights.data = quantize_weights(weights.constant, scales, axis)
    weights.dtype, weights.quantization = "int8", Quantization.per_channel(scales, axis)
    quantize_bias(graph, op, bias.constant.astype(np.float64), scales)


def _least_scales(graph: Graph, op: Op, bias: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weight scales that leave the bias within half of int32, (channels,).

    Trained networks have channels whose weights are next to nothing beside their bias (dozens
    in Lite0). With scales for such weights the bias would be cut to int32, and what the inputs
    add to it wrap round to the other sign.
    """
    scale = graph.tensors[op.inputs[0]].scales[0]
    least: npt.NDArray[np.float32] = (np.abs(bias) / (scale * MAX_BIAS)).astype(np.float32)
    return least


def _set(tensor: Tensor, dtype: str, quantization: Quantization | None) -> None:
    tensor.dtype, tensor.quantization = dtype, quantization


def _outside(inner: Tensor, io_type: IOType, name: str) -> Tensor:
    if io_type == "float32" or inner.quantization is None:
        return Tensor(name, inner.shape, "float32")
    shift = {"uint8": 128, "int8": 0}[io_type]
    if inner.dtype == "int16":  # int8 in front of int16: the same reals in 256 steps
        quantization = Quantization.per_tensor(float(inner.quantization.scale[0]) * 256)
    else:
        zero_point = int(inner.quantization.zero_point[0]) + shift
        quantization = Quantization.per_tensor(float(inner.quantization.scale[0]), zero_point)
    return Tensor(name, inner.shape, io_type, None, quantization)
