"""Other outputs for an existing .tflite file: its logits, or every layer's activation."""

from __future__ import annotations

import dataclasses
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.quantize.graph import CONVERSIONS
from effnet_lite.quantize.tflite.file import pack, schema, unpack

# Operators that change how values are stored, not the values.
SUFFIX = "_quantized"


@dataclasses.dataclass(frozen=True)
class LayerName:
    """An operator's output: its name, the operator's kind, the shape."""

    name: str
    kind: str
    shape: tuple[int, ...]


def with_logits_output(model: bytes) -> bytes:
    """The same file ending before its softmax; unchanged where there is none.

    Softmax rounds small probabilities to nothing in 8 bits, so that figures are taken from
    the logits.
    """
    tree = unpack(model)
    subgraph = tree.subgraphs[0]
    tensor = int(subgraph.outputs[0])
    kinds = _kinds(tree)
    while True:
        producer = next((op for op in subgraph.operators if tensor in list(op.outputs)), None)
        kind = kinds[producer.opcodeIndex] if producer is not None else None
        if producer is None or kind not in (*CONVERSIONS, "SOFTMAX"):
            return model
        tensor = int(producer.inputs[0])
        if kind == "SOFTMAX":
            return _with_outputs(tree, [tensor])


def with_layer_outputs(model: bytes) -> tuple[bytes, list[LayerName]]:
    """The same file with every layer's activation as an output, in execution order.

    Raises:
        InputError: The file holds several subgraphs, whose layers cannot be lined up.
    """
    tree = unpack(model)
    if len(tree.subgraphs) != 1:
        raise InputError(f"expected a model with one subgraph, found {len(tree.subgraphs)}")
    subgraph = tree.subgraphs[0]
    kinds = _kinds(tree)
    names, outputs = [], []
    for op in subgraph.operators:
        kind = kinds[op.opcodeIndex]
        if kind in CONVERSIONS or len(op.outputs) != 1:
            continue
        tensor = subgraph.tensors[int(op.outputs[0])]
        shape = () if tensor.shape is None else tuple(int(side) for side in tensor.shape)
        outputs.append(int(op.outputs[0]))
        names.append(LayerName(tensor_name(tensor).removesuffix(SUFFIX), kind, shape))
    return _with_outputs(tree, outputs), names


def operator_kinds(tree: Any) -> list[str]:
    """The operators of an unpacked model in execution order, e.g. ``CONV_2D``."""
    kinds = _kinds(tree)
    return [kinds[op.opcodeIndex] for op in tree.subgraphs[0].operators or []]


def tensor_name(tensor: Any) -> str:
    """A tensor's name as text."""
    return _text(tensor.name)


def _with_outputs(tree: Any, outputs: list[int]) -> bytes:
    tree.subgraphs[0].outputs = outputs
    tree.signatureDefs = []  # they name the old outputs
    return pack(tree)


def _kinds(tree: Any) -> list[str]:
    s = schema()
    names = {code: name for name, code in vars(s.BuiltinOperator).items() if name[0] != "_"}
    kinds = []
    for code in tree.operatorCodes:
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        custom = builtin == s.BuiltinOperator.CUSTOM and code.customCode
        kinds.append(_text(custom) if custom else names.get(builtin, f"BUILTIN_{builtin}"))
    return kinds


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
