"""Graph → .tflite flatbuffer. The same graph always gives the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from effnet_lite.quantize.graph import Graph, Op, Tensor
from effnet_lite.quantize.tflite.file import pack, schema

# The least operator versions that have the feature, as TensorFlow's converter writes them
# (tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc). A runtime refuses a
# version that is newer than itself, so a needlessly high one shuts old boards out.
_VERSIONS_INT = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "ADD": 2,
    "MUL": 2,
    "LOGISTIC": 2,
    "MEAN": 2,
    "AVERAGE_POOL_2D": 2,
    "SOFTMAX": 2,
    "QUANTIZE": 1,
    "DEQUANTIZE": 2,
}
# int8 weights with float activations, one scale a channel.
_VERSIONS_HYBRID = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12}

SIGNATURE = "serving_default"


def to_flatbuffer(graph: Graph, description: str = "") -> bytes:
    """Write the graph with one signature, ``serving_default``, named by its tensors."""
    s = schema()
    model = s.ModelT()
    model.version = 3
    model.description = description
    model.buffers = [s.BufferT()]  # buffer 0 is empty by convention
    subgraph = s.SubGraphT()
    subgraph.name = "main"
    used = _used_tensors(graph)
    index = {old: new for new, old in enumerate(used)}
    subgraph.tensors = [_tensor(s, model, graph.tensors[old]) for old in used]
    subgraph.inputs = [index[i] for i in graph.inputs]
    subgraph.outputs = [index[i] for i in graph.outputs]
    codes: dict[tuple[str, int], int] = {}
    subgraph.operators = [_operator(s, graph, op, index, codes) for op in graph.ops]
    model.operatorCodes = [_operator_code(s, *key) for key in codes]
    model.subgraphs = [subgraph]
    model.signatureDefs = [_signature(s, graph, index)]
    return pack(model)


def _used_tensors(graph: Graph) -> list[int]:
    used = set(graph.inputs)
    for op in graph.ops:
        used.update(op.inputs, [op.output])
    return sorted(used)


def _tensor(s: Any, model: Any, tensor: Tensor) -> Any:
    result = s.TensorT()
    result.name = tensor.name
    result.shape = np.asarray(tensor.shape, np.int32)
    result.type = getattr(s.TensorType, tensor.dtype.upper())
    if tensor.data is None:
        result.buffer = 0
    else:
        buffer = s.BufferT()
        little_endian = tensor.data.astype(tensor.data.dtype.newbyteorder("<"), copy=False)
        buffer.data = np.frombuffer(little_endian.tobytes(), np.uint8)
        model.buffers.append(buffer)
        result.buffer = len(model.buffers) - 1
    if tensor.quantization is not None:
        parameters = s.QuantizationParametersT()
        parameters.scale = tensor.quantization.scale
        parameters.zeroPoint = tensor.quantization.zero_point
        parameters.quantizedDimension = tensor.quantization.axis
        result.quantization = parameters
    return result


def _operator(
    s: Any, graph: Graph, op: Op, index: dict[int, int], codes: dict[tuple[str, int], int]
) -> Any:
    result = s.OperatorT()
    key = (op.kind, _version(graph, op))
    result.opcodeIndex = codes.setdefault(key, len(codes))
    result.inputs = [index[i] for i in op.inputs]
    result.outputs = [index[op.output]]
    name, options = _options(s, graph, op)
    if name:
        result.builtinOptionsType = getattr(s.BuiltinOptions, name)
        result.builtinOptions = options
    return result


def _version(graph: Graph, op: Op) -> int:
    types = [graph.tensors[i].dtype for i in (op.inputs[0], op.output)]
    if op.kind == "DEQUANTIZE":
        return 3 if types[0] == "float16" else _VERSIONS_INT[op.kind]
    if any(kind.startswith(("int", "uint")) for kind in types):
        return _VERSIONS_INT[op.kind]
    weights = graph.tensors[op.inputs[1]].dtype if op.kind in _VERSIONS_HYBRID else "float32"
    return _VERSIONS_HYBRID[op.kind] if weights == "int8" else 1


def _operator_code(s: Any, kind: str, version: int) -> Any:
    code = s.OperatorCodeT()
    code.builtinCode = getattr(s.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = code.builtinCode  # all below 127, readable by old runtimes
    code.version = version
    return code


def _options(s: Any, graph: Graph, op: Op) -> tuple[str | None, Any]:
    if op.kind == "CONV_2D":
        options = s.Conv2DOptionsT()
        _conv_options(s, op, options)
        return "Conv2DOptions", options
    if op.kind == "DEPTHWISE_CONV_2D":
        options = s.DepthwiseConv2DOptionsT()
        _conv_options(s, op, options)
        options.depthMultiplier = 1
        return "DepthwiseConv2DOptions", options
    if op.kind == "FULLY_CONNECTED":
        options = s.FullyConnectedOptionsT()
        options.asymmetricQuantizeInputs = graph.tensors[op.inputs[0]].dtype == "float32"
        return "FullyConnectedOptions", options
    if op.kind == "ADD":
        options = s.AddOptionsT()
        # The schema's default claims power-of-two scales, which int16 kernels would believe.
        options.potScaleInt16 = False
        return "AddOptions", options
    if op.kind == "MUL":
        return "MulOptions", s.MulOptionsT()
    if op.kind == "MEAN":
        options = s.ReducerOptionsT()
        options.keepDims = True
        return "ReducerOptions", options
    if op.kind == "AVERAGE_POOL_2D":
        options = s.Pool2DOptionsT()
        options.padding = s.Padding.VALID
        options.filterWidth = options.filterHeight = op.options["size"]
        options.strideW = options.strideH = op.options["size"]
        return "Pool2DOptions", options
    if op.kind == "SOFTMAX":
        options = s.SoftmaxOptionsT()
        options.beta = 1.0
        return "SoftmaxOptions", options
    return None, None


def _conv_options(s: Any, op: Op, options: Any) -> None:
    options.padding = s.Padding.SAME
    options.strideW = options.strideH = op.options.get("stride", 1)
    options.dilationWFactor = options.dilationHFactor = 1
    relu6 = op.options.get("relu6", False)
    options.fusedActivationFunction = (
        s.ActivationFunctionType.RELU6 if relu6 else s.ActivationFunctionType.NONE
    )


def _signature(s: Any, graph: Graph, index: dict[int, int]) -> Any:
    signature = s.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = [_signature_tensor(s, graph, index, i) for i in graph.inputs]
    signature.outputs = [_signature_tensor(s, graph, index, i) for i in graph.outputs]
    return signature


def _signature_tensor(s: Any, graph: Graph, index: dict[int, int], tensor: int) -> Any:
    entry = s.TensorMapT()
    entry.name = graph.tensors[tensor].name
    entry.tensorIndex = index[tensor]
    return entry
