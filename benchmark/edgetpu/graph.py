"""A .tflite file's operators and tensors, as the Edge TPU's rules ask for them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite.file import schema, unpack
from effnet_lite.quantize.tflite.refusal import EDGETPU_OPERATOR
from effnet_lite.quantize.tflite.surgery import operator_kinds, tensor_name

# Operators of TFLite with weights: where the weights are among the inputs.
_WEIGHTS = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}
_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_LSTM_WEIGHTS = range(1, 9)


@dataclasses.dataclass(frozen=True, eq=False)
class TensorView:
    """A tensor.

    Attributes:
        index: In its subgraph.
        name: As in the file.
        shape: Static.
        dynamic: Whether the file gives a side no fixed length.
        dtype: A name of the schema's ``TensorType``.
        scales: How many there are: 0 not quantized, 1 per tensor, more per channel.
        zero_point: Of the first channel.
        data: Raw bytes of a constant, uint8; None for what is computed.
        buffer: Of the constant.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dynamic: bool
    dtype: str
    scales: int
    zero_point: int
    data: npt.NDArray[np.uint8] | None = dataclasses.field(repr=False)
    buffer: int

    @property
    def constant(self) -> bool:
        """Whether its value is in the file."""
        return self.data is not None

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)

    @property
    def eight_bit(self) -> bool:
        """Whether it holds quantized 8-bit values."""
        return self.dtype in ("INT8", "UINT8") and self.scales > 0

    def integers(self) -> list[int]:
        """The values of a constant int32 tensor; empty for any other."""
        if self.data is None or self.dtype != "INT32" or len(self.data) % 4:
            return []
        return [int(value) for value in self.data.view("<i4")]


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """An operator.

    Attributes:
        number: Position in execution order.
        kind: As ``CONV_2D``; a custom operator's own name.
        code: Of the schema's ``BuiltinOperator``.
        version: Of the operator.
        inputs: None where an optional one is left out.
        outputs: What it computes.
        options: The schema's table of options; None where there is none.
    """

    number: int
    kind: str
    code: int
    version: int
    inputs: tuple[TensorView | None, ...]
    outputs: tuple[TensorView, ...]
    options: Any = dataclasses.field(repr=False)

    @property
    def custom(self) -> bool:
        """Whether the operator is not TFLite's own."""
        return bool(self.code == schema().BuiltinOperator.CUSTOM)

    @property
    def name(self) -> str:
        """Of its first output."""
        return self.outputs[0].name if self.outputs else ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its first output."""
        return self.outputs[0].shape if self.outputs else ()

    @property
    def activations(self) -> list[TensorView]:
        """Inputs that are computed."""
        return [tensor for tensor in self.inputs if tensor and not tensor.constant]

    @property
    def constants(self) -> list[TensorView]:
        """Inputs whose values are in the file."""
        return [tensor for tensor in self.inputs if tensor and tensor.constant]

    def option(self, name: str, default: int = 0) -> int:
        """A number of the options."""
        value = getattr(self.options, name, None)
        return default if value is None else int(value)

    def input(self, number: int) -> TensorView | None:
        """An input; None where it is left out."""
        return self.inputs[number] if number < len(self.inputs) else None


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """The main subgraph of a file.

    Attributes:
        operations: In execution order.
        inputs, outputs: Of the subgraph.
        subgraphs: How many the file has.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[TensorView, ...]
    outputs: tuple[TensorView, ...]
    subgraphs: int

    @property
    def dynamic(self) -> bool:
        """Whether a tensor has a side of any length."""
        computed = (tensor for op in self.operations for tensor in op.outputs)
        return any(tensor.dynamic for tensor in (*self.inputs, *computed))


def read_network(data: bytes) -> Network:
    """Of a checked .tflite file.

    Raises:
        InputError: edgetpu_compiler has compiled the file already.
    """
    tree = unpack(data)
    graph = tree.subgraphs[0]
    types = {code: name for name, code in vars(schema().TensorType).items() if name[0] != "_"}
    tensors = [_tensor(tree, number, types) for number in range(len(_list(graph.tensors)))]

    def pick(indices: Any) -> tuple[TensorView, ...]:
        return tuple(tensors[int(index)] for index in _list(indices) if index >= 0)

    operations = []
    for number, (kind, op) in enumerate(
        zip(operator_kinds(tree), _list(graph.operators), strict=True)
    ):
        if kind == EDGETPU_OPERATOR:
            raise InputError(
                f"the model is compiled for the Edge TPU already (operator {number} is "
                f"{EDGETPU_OPERATOR}); give the .tflite from before edgetpu_compiler"
            )
        code = tree.operatorCodes[op.opcodeIndex]
        operations.append(
            Operation(
                number=number,
                kind=kind,
                code=int(max(code.builtinCode, code.deprecatedBuiltinCode)),
                version=int(code.version),
                inputs=tuple(tensors[int(i)] if i >= 0 else None for i in _list(op.inputs)),
                outputs=pick(op.outputs),
                options=op.builtinOptions,
            )
        )
    return Network(tuple(operations), pick(graph.inputs), pick(graph.outputs), len(tree.subgraphs))


def multiply_adds(operation: Operation) -> int:
    """Of one run; 0 for operators without weights."""
    if operation.kind == _LSTM:
        steps = operation.shape[-2] if len(operation.shape) > 1 else 1
        weights = [operation.input(number) for number in _LSTM_WEIGHTS]
        return steps * sum(tensor.elements for tensor in weights if tensor)
    number = _WEIGHTS.get(operation.kind)
    weights_of = operation.input(number) if number is not None else None
    if weights_of is None or not operation.outputs:
        return 0
    shape, computed = weights_of.shape, operation.outputs[0].elements
    if operation.kind == "CONV_2D" and len(shape) == 4:  # (out, kh, kw, in)
        return computed * math.prod(shape[1:])
    if operation.kind == "DEPTHWISE_CONV_2D" and len(shape) == 4:  # (1, kh, kw, out)
        return computed * shape[1] * shape[2]
    if operation.kind == "FULLY_CONNECTED" and len(shape) == 2:  # (out, in)
        return computed * shape[1]
    if operation.kind == "TRANSPOSE_CONV" and len(shape) == 4:  # every input meets every weight
        source = operation.input(2)
        return source.elements * math.prod(shape[:3]) if source else 0
    return 0


def _tensor(tree: Any, number: int, types: dict[int, str]) -> TensorView:
    tensor = tree.subgraphs[0].tensors[number]
    shape = tuple(int(side) for side in _list(tensor.shape))
    signature = [int(side) for side in _list(tensor.shapeSignature)]
    quantization = tensor.quantization
    scales = [] if quantization is None else _list(quantization.scale)
    zeros = [] if quantization is None else _list(quantization.zeroPoint)
    raw = tree.buffers[tensor.buffer].data if tree.buffers else None
    data = None
    if raw is not None and len(raw):
        data = np.frombuffer(raw, np.uint8) if isinstance(raw, bytes) else np.asarray(raw, np.uint8)
    return TensorView(
        index=number,
        name=tensor_name(tensor),
        shape=shape,
        dynamic=any(side < 0 for side in (*signature, *shape)),
        dtype=types.get(tensor.type, f"type {tensor.type}"),
        scales=len(scales),
        zero_point=int(zeros[0]) if zeros else 0,
        data=data,
        buffer=int(tensor.buffer),
    )


def _list(vector: Any) -> list[Any]:
    return [] if vector is None else list(vector)
