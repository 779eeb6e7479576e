"""Small .tflite files that no benchmark can use, or only with care."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from tiny_models import build_tiny_model

from effnet_lite.quantize.tflite.file import pack, schema, unpack


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Shape, a name from the schema's ``TensorType``, and data where it is a constant."""

    shape: Sequence[int]
    kind: str = "FLOAT32"
    data: Any = None
    signature: Sequence[int] | None = None


def one_operator(
    kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], version: int = 1
) -> bytes:
    """A model that is one operator.

    Args:
        kind: A name or a number of the schema's ``BuiltinOperator``, or a custom operator.
        inputs: Of the operator; those without data are the model's.
        outputs: Of both.
        version: Of the operator.
    """
    s = schema()
    model = s.ModelT()
    model.version = 3
    model.buffers = [s.BufferT()]
    graph = s.SubGraphT()
    graph.name = "main"
    graph.tensors = []
    for number, given in enumerate([*inputs, *outputs]):
        tensor = s.TensorT()
        tensor.name, tensor.shape = f"tensor{number}", list(given.shape)
        tensor.type = getattr(s.TensorType, given.kind)
        tensor.shapeSignature = given.signature
        if given.data is not None:
            tensor.buffer = len(model.buffers)
            model.buffers.append(s.BufferT())
            model.buffers[-1].data = np.asarray(given.data)
        graph.tensors.append(tensor)
    graph.inputs = [number for number, given in enumerate(inputs) if given.data is None]
    graph.outputs = list(range(len(inputs), len(inputs) + len(outputs)))
    operator = s.OperatorT()
    operator.opcodeIndex, operator.outputs = 0, graph.outputs
    operator.inputs = list(range(len(inputs)))
    options = f"{kind.title().replace('_', '')}Options"
    if hasattr(s.BuiltinOptions, options):
        operator.builtinOptionsType = getattr(s.BuiltinOptions, options)
        operator.builtinOptions = getattr(s, f"{options}T")()
    graph.operators = [operator]
    model.subgraphs = [graph]
    code = s.OperatorCodeT()
    builtin = int(kind) if kind.isdigit() else getattr(s.BuiltinOperator, kind, None)
    if builtin is None:
        builtin, code.customCode = s.BuiltinOperator.CUSTOM, kind
    code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
    code.version = version
    model.operatorCodes = [code]
    return pack(model)


def no_inputs() -> bytes:
    """Adds two constants."""
    constant = Tensor((1, 4), data=np.ones(4, np.float32))
    return one_operator("ADD", [constant, constant], [Tensor((1, 4))])


def two_inputs() -> bytes:
    """Adds two images."""
    image = Tensor((1, 8, 8, 3))
    return one_operator("ADD", [image, image], [image])


def string_input() -> bytes:
    """Gives its texts another shape."""
    return one_operator("RESHAPE", [Tensor((1, 4), "STRING"), Tensor((1,), "INT32", np.int32([4]))],
                        [Tensor((4,), "STRING")])  # fmt: skip


def mirror(kind: str, shape: Sequence[int] = (1, 4)) -> bytes:
    """Takes and gives tensors of that type: a RESHAPE, which knows every type."""
    sides = np.asarray(shape, np.int32)
    return one_operator("RESHAPE", [Tensor(shape, kind), Tensor(sides.shape, "INT32", sides)],
                        [Tensor(shape, kind)])  # fmt: skip


def with_shapes(shape: Sequence[int], signature: Sequence[int] | None = None) -> bytes:
    """Rectifies one tensor of that shape, and of that ``shape_signature``."""
    tensor = Tensor(shape, signature=signature)
    return one_operator("RELU", [tensor], [tensor])


def dynamic_batch() -> bytes:
    """The tiny classifier, for batches of any size."""
    model = unpack(build_tiny_model())
    for tensor in (model.subgraphs[0].tensors[0], model.subgraphs[0].tensors[-1]):
        tensor.shapeSignature = [-1, *list(tensor.shape)[1:]]
    return pack(model)


def unknown_operator(kind: str = "MyOwnOperator", version: int = 1) -> bytes:
    """One operator that no runtime has: by default a custom one."""
    tensor = Tensor((1, 4))
    return one_operator(kind, [tensor], [tensor], version)


def compiled_for_edgetpu() -> bytes:
    """As edgetpu_compiler leaves a model of which it maps everything."""
    tensor = Tensor((1, 8, 8, 3), "UINT8")
    return one_operator("edgetpu-custom-op", [tensor], [Tensor((1, 10), "UINT8")])


def truncated() -> bytes:
    """The first half of the tiny classifier."""
    whole = build_tiny_model()
    return whole[: len(whole) // 2]
