"""What is inside a .tflite file: tensors, operators, bytes, multiply-adds, description."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import os
from typing import Any

from effnet_lite.files import sha256
from effnet_lite.quantize.tflite.description import Description, read_description
from effnet_lite.quantize.tflite.file import read_model, schema, unpack
from effnet_lite.quantize.tflite.metadata import ModelMetadata, read_labels, read_metadata
from effnet_lite.quantize.tflite.surgery import operator_kinds, tensor_name


@dataclasses.dataclass(frozen=True)
class TensorSummary:
    """An input or output: name, static shape, type, and scale and zero point if quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """One operator.

    Attributes:
        number: Position in execution order.
        kind: As ``CONV_2D``.
        name: Of its output.
        shape, dtype: Of its output.
        bytes: Of its constants.
        madds: Multiply-adds; 0 for operators other than convolutions and dense layers.
    """

    number: int
    kind: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    madds: int


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Everything ``inspect`` tells of one file."""

    sha256: str
    bytes: int
    inputs: tuple[TensorSummary, ...]
    outputs: tuple[TensorSummary, ...]
    ops: dict[str, int]
    layers: tuple[LayerSummary, ...]
    metadata: ModelMetadata | None
    labels: tuple[str, ...] | None
    record: Description | None

    @property
    def madds(self) -> int:
        """Multiply-adds of one inference."""
        return sum(layer.madds for layer in self.layers)

    @property
    def constant_bytes(self) -> int:
        """Bytes of weights, biases and other constants."""
        return sum(layer.bytes for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """The document of ``inspect --json``."""
        document = {
            field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)
        }
        document["record"] = json.loads(self.record.to_json()) if self.record else None
        document["madds"], document["constant_bytes"] = self.madds, self.constant_bytes
        return document


def inspect(model: str | os.PathLike[str]) -> Inspection:
    """Read a .tflite file.

    Raises:
        InputError: Not a .tflite file, or a damaged one.
    """
    data = read_model(model)
    tree = unpack(data)
    graph = tree.subgraphs[0]
    types = {code: name.lower() for name, code in vars(schema().TensorType).items()
             if name[0] != "_"}  # fmt: skip
    kinds = operator_kinds(tree)
    return Inspection(
        sha256=sha256(data),
        bytes=len(data),
        inputs=tuple(_tensor(graph.tensors[int(i)], types) for i in _indices(graph.inputs)),
        outputs=tuple(_tensor(graph.tensors[int(i)], types) for i in _indices(graph.outputs)),
        ops=dict(collections.Counter(kinds).most_common()),
        layers=tuple(_layer(tree, number, kind, types) for number, kind in enumerate(kinds)),
        metadata=read_metadata(data),
        labels=read_labels(data),
        record=read_description(data),
    )


def _tensor(tensor: Any, types: dict[int, str]) -> TensorSummary:
    quantization = tensor.quantization
    scales = [] if quantization is None or quantization.scale is None else quantization.scale
    zeros = [] if quantization is None or quantization.zeroPoint is None else quantization.zeroPoint
    return TensorSummary(
        name=tensor_name(tensor),
        shape=_shape(tensor),
        dtype=types.get(tensor.type, str(tensor.type)),
        scale=float(scales[0]) if len(scales) else None,
        zero_point=int(zeros[0]) if len(zeros) else None,
    )


def _layer(tree: Any, number: int, kind: str, types: dict[int, str]) -> LayerSummary:
    graph = tree.subgraphs[0]
    op = graph.operators[number]
    outputs, inputs = _indices(op.outputs), _indices(op.inputs)
    summary = (
        _tensor(graph.tensors[outputs[0]], types)
        if outputs
        else TensorSummary("", (), "", None, None)
    )
    constants = [graph.tensors[i] for i in inputs if i >= 0 and _size(tree, graph.tensors[i])]
    # The second input, also where float16 weights come out of a DEQUANTIZE.
    weights = _shape(graph.tensors[inputs[1]]) if len(inputs) > 1 and inputs[1] >= 0 else ()
    return LayerSummary(
        number=number,
        kind=kind,
        name=summary.name,
        shape=summary.shape,
        dtype=summary.dtype,
        bytes=sum(_size(tree, tensor) for tensor in constants),
        madds=_madds(kind, summary.shape, weights),
    )


def _madds(kind: str, output: tuple[int, ...], weights: tuple[int, ...]) -> int:
    if kind == "CONV_2D" and len(weights) == 4:  # (out, kh, kw, in)
        return math.prod(output) * math.prod(weights[1:])
    if kind == "DEPTHWISE_CONV_2D" and len(weights) == 4:  # (1, kh, kw, out)
        return math.prod(output) * weights[1] * weights[2]
    if kind == "FULLY_CONNECTED" and len(weights) == 2:  # (out, in)
        return math.prod(output) * weights[1]
    return 0


def _size(tree: Any, tensor: Any) -> int:
    data = tree.buffers[tensor.buffer].data if tree.buffers else None
    return 0 if data is None else len(data)


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(side) for side in tensor.shape)


def _indices(vector: Any) -> list[int]:
    return [] if vector is None else [int(index) for index in vector]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value
