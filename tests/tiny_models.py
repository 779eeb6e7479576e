"""Small .tflite models, written with the schema's object API: no TensorFlow, milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from effnet_lite.quantize.tflite.file import pack, schema

# schema.fbs, enums TensorType and BuiltinOperator.
FLOAT32, INT32, UINT8 = 0, 2, 3
FULLY_CONNECTED = 9

TinyModel = Callable[..., bytes]


def _tensor(s: Any, name: str, shape: list[int], kind: int, buffer: int, *, scale: float) -> Any:
    tensor = s.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, buffer
    if kind != FLOAT32:
        tensor.quantization = s.QuantizationParametersT()
        tensor.quantization.scale = [scale]
        tensor.quantization.zeroPoint = [128 if kind == UINT8 else 0]
    return tensor


def build_tiny_model(size: int = 8, classes: int = 10, quantized: bool = True) -> bytes:
    """(1, size, size, 3) → one fully connected layer with seeded weights → (1, classes).

    uint8 input, weights and output where ``quantized``, else float32.
    """
    s = schema()
    random = np.random.default_rng(size * 1000 + classes)
    weights = random.integers(0, 256, (classes, size * size * 3), dtype=np.uint8)
    bias = random.integers(-500, 500, classes, dtype=np.int32)
    kind = UINT8 if quantized else FLOAT32
    model = s.ModelT()
    model.version = 3
    model.buffers = [s.BufferT() for _ in range(3)]
    if quantized:
        model.buffers[1].data, model.buffers[2].data = weights, bias
    else:
        model.buffers[1].data = (weights.astype(np.float32) - 128) / 1000
        model.buffers[2].data = bias.astype(np.float32) / 1000
    graph = s.SubGraphT()
    graph.name = "main"
    # Input, weights and bias steps multiply up; an output step of 0.25 keeps the sums in range.
    graph.tensors = [
        _tensor(s, "image", [1, size, size, 3], kind, 0, scale=1 / 128),
        _tensor(s, "weights", [classes, size * size * 3], kind, 1, scale=1 / 128),
        _tensor(s, "bias", [classes], INT32 if quantized else FLOAT32, 2, scale=1 / 128**2),
        _tensor(s, "scores", [1, classes], kind, 0, scale=0.25),
    ]
    if quantized:
        graph.tensors[2].quantization.zeroPoint = [0]
    graph.inputs, graph.outputs = [0], [3]
    operator = s.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3]
    operator.builtinOptionsType = s.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = s.FullyConnectedOptionsT()
    graph.operators = [operator]
    model.subgraphs = [graph]
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = FULLY_CONNECTED
    code.version = 1
    model.operatorCodes = [code]
    signature = s.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [s.TensorMapT()], [s.TensorMapT()]
    signature.inputs[0].name, signature.inputs[0].tensorIndex = "image", 0
    signature.outputs[0].name, signature.outputs[0].tensorIndex = "scores", 3
    model.signatureDefs = [signature]
    return pack(model)


def run_model(model: bytes, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The raw output vector for (1, H, W, 3) uint8 pixels; floats get ``pixels / 255``."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    values = pixels if source["dtype"] == np.uint8 else (pixels / 255).astype(np.float32)
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"]).reshape(-1).copy()
