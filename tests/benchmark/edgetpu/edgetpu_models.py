"""Small quantized graphs for the Edge TPU's rules, and libraries built with gcc."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effnet_lite.quantize.tflite.file import pack, schema, unpack

HOST = Path(__file__).resolve().parents[1] / "host"


@dataclasses.dataclass(frozen=True)
class T:
    """A tensor: shape, a name of the schema's ``TensorType``, and data where it is a constant."""

    shape: Sequence[int]
    kind: str = "INT8"
    data: Any = None
    scales: int = 1
    zero: int = 0
    signature: Sequence[int] | None = None


@dataclasses.dataclass(frozen=True)
class Op:
    """An operator of named tensors; an input None is left out."""

    kind: str
    inputs: Sequence[str | None]
    outputs: Sequence[str]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: int = 1


def ints(*values: int) -> T:
    """A constant vector of int32, as axes and shapes are given."""
    return T((len(values),), "INT32", np.asarray(values, np.int32), scales=0)


def weights(*shape: int, scales: int = 1) -> T:
    """Constant int8 ones."""
    return T(shape, "INT8", np.ones(shape, np.int8), scales)


def bias(count: int) -> T:
    """Constant int32 zeros."""
    return T((count,), "INT32", np.zeros(count, np.int32))


def graph(tensors: Mapping[str, T], ops: Sequence[Op], outputs: Sequence[str]) -> bytes:
    """A model; its inputs are what has no data and is nobody's output."""
    s = schema()
    model, subgraph = s.ModelT(), s.SubGraphT()
    model.version, model.buffers, model.operatorCodes = 3, [s.BufferT()], []
    index = {name: number for number, name in enumerate(tensors)}
    subgraph.name = "main"
    subgraph.tensors = [_tensor(model, name, given) for name, given in tensors.items()]
    computed = {name for op in ops for name in op.outputs}
    subgraph.inputs = [
        index[name]
        for name, given in tensors.items()
        if given.data is None and name not in computed
    ]
    subgraph.outputs = [index[name] for name in outputs]
    subgraph.operators = [_operator(model, op, index) for op in ops]
    model.subgraphs = [subgraph]
    return pack(model)


def one(kind: str, inputs: Sequence[T | None], outputs: Sequence[T], version: int = 1,
        **options: Any) -> bytes:  # fmt: skip
    """A model that is one operator."""
    tensors = {f"in{n}": given for n, given in enumerate(inputs) if given is not None}
    names = [f"in{n}" if given is not None else None for n, given in enumerate(inputs)]
    tensors |= {f"out{n}": given for n, given in enumerate(outputs)}
    results = [f"out{n}" for n in range(len(outputs))]
    return graph(tensors, [Op(kind, names, results, options, version)], results)


def with_second_subgraph(data: bytes) -> bytes:
    """The model with its graph a second time."""
    model = unpack(data)
    model.subgraphs = [model.subgraphs[0], unpack(data).subgraphs[0]]
    return pack(model)


def as_compiled(data: bytes, kept: Sequence[str] = ()) -> bytes:
    """What edgetpu_compiler makes of a model that it maps wholly: one custom operator.

    Args:
        data: The model.
        kept: Metadata entries that stay.
    """
    s = schema()
    model = unpack(data)
    subgraph = model.subgraphs[0]
    ends = [int(index) for index in (*subgraph.inputs, *subgraph.outputs)]
    subgraph.tensors = [subgraph.tensors[index] for index in ends]
    for tensor in subgraph.tensors:
        tensor.buffer = 0
    count = len(subgraph.inputs)
    subgraph.inputs, subgraph.outputs = list(range(count)), list(range(count, len(ends)))
    operator = s.OperatorT()
    operator.inputs, operator.outputs, operator.opcodeIndex = subgraph.inputs, subgraph.outputs, 0
    operator.customOptions = np.arange(1000, dtype=np.int32).astype(np.uint8)
    subgraph.operators = [operator]
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = s.BuiltinOperator.CUSTOM
    code.customCode, code.version = "edgetpu-custom-op", 1
    model.operatorCodes, model.signatureDefs = [code], []
    entries = [entry for entry in model.metadata or () if entry.name.decode() in kept]
    buffers = [model.buffers[entry.buffer] for entry in entries]
    for number, entry in enumerate(entries):
        entry.buffer = 1 + number
    model.metadata, model.buffers = entries or None, [s.BufferT(), *buffers]
    return pack(model)


def gcc(library: Path, source: Path, *flags: str) -> Path:
    """A shared library; skips the test where there is no gcc."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    library.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, *flags]
    subprocess.run(list(map(str, command)), check=True)
    return library


def _tensor(model: Any, name: str, given: T) -> Any:
    s = schema()
    tensor = s.TensorT()
    tensor.name, tensor.shape = name, list(given.shape)
    tensor.type = getattr(s.TensorType, given.kind)
    tensor.shapeSignature = given.signature
    if given.scales and given.kind != "FLOAT32":
        tensor.quantization = s.QuantizationParametersT()
        tensor.quantization.scale = [0.5] * given.scales
        tensor.quantization.zeroPoint = [given.zero] * given.scales
    if given.data is not None:
        tensor.buffer = len(model.buffers)
        model.buffers.append(s.BufferT())
        model.buffers[-1].data = np.asarray(given.data)
    return tensor


def _operator(model: Any, op: Op, index: Mapping[str, int]) -> Any:
    s = schema()
    operator = s.OperatorT()
    operator.inputs = [-1 if name is None else index[name] for name in op.inputs]
    operator.outputs = [index[name] for name in op.outputs]
    options = _OPTIONS.get(op.kind, f"{op.kind.title().replace('_', '')}Options")
    if hasattr(s.BuiltinOptions, options):
        operator.builtinOptionsType = getattr(s.BuiltinOptions, options)
        operator.builtinOptions = getattr(s, f"{options}T")()
        for name, value in op.options.items():
            assert hasattr(operator.builtinOptions, name), name
            setattr(operator.builtinOptions, name, value)
    code = s.OperatorCodeT()
    builtin = getattr(s.BuiltinOperator, op.kind, None)
    if builtin is None:
        builtin, code.customCode = s.BuiltinOperator.CUSTOM, op.kind
    code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
    code.version = op.version
    operator.opcodeIndex = len(model.operatorCodes)
    model.operatorCodes.append(code)
    return operator


_OPTIONS = {
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions", "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions", "SUM": "ReducerOptions", "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
}  # fmt: skip
