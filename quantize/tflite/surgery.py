"""Other outputs for an existing .tflite file: logits, the last feature map, every activation."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.quantize.graph import CONVERSIONS
from effnet_lite.quantize.tflite.file import pack, schema, unpack

# Operators that change how values are stored, not the values.
SUFFIX = "_quantized"
# Those that change a vector's shape, not its order.
_RESHAPES = ("RESHAPE", "SQUEEZE")
# Those that make probabilities of logits.
_SQUASHES = ("SOFTMAX", "LOGISTIC")
_EXPECTED_HEAD = "expected a model that ends in global average pooling and one dense layer"


@dataclasses.dataclass(frozen=True)
class LayerName:
    """An operator's output: its name, the operator's kind, the shape."""

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class PooledHead:
    """A classifier behind global average pooling.

    Attributes:
        logits: The tensor that the classifier writes.
        probabilities: Whether a softmax (or sigmoid) stands between it and the output.
    """

    logits: int
    probabilities: bool


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


def with_feature_map_output(model: bytes) -> tuple[bytes, PooledHead]:
    """The same file with the feature map that its classifier pools as a second output.

    The first output stays what it is. The feature map's shape is (1, height, width, channels).

    Raises:
        InputError: The first output is not that of one dense layer (or 1x1 convolution)
            right behind global average pooling.
    """
    tree = unpack(model)
    if len(tree.subgraphs) != 1:
        raise InputError(f"expected a model with one subgraph, found {len(tree.subgraphs)}")
    subgraph = tree.subgraphs[0]
    if subgraph.outputs is None or not len(subgraph.outputs):
        raise InputError("the model has no output")
    back = _Backwards(tree)
    logits, passed = back.skip(int(subgraph.outputs[0]), (*_RESHAPES, *_SQUASHES))
    classifier = back.input_of(logits, ("FULLY_CONNECTED", "CONV_2D"))
    pooled, _ = back.skip(classifier, _RESHAPES)
    features = back.input_of(pooled, ("AVERAGE_POOL_2D", "MEAN"))
    before, after = back.shape(features), back.shape(pooled)
    if len(before) != 4 or before[0] != 1 or math.prod(after) != before[3]:
        raise InputError(f"{_EXPECTED_HEAD}, found pooling of {before} to {after}")
    if before[1] * before[2] == 1:
        raise InputError(f"expected a last feature map of several places, found one of {before}")
    head = PooledHead(logits, not passed.isdisjoint(_SQUASHES))
    return _with_outputs(tree, [int(subgraph.outputs[0]), features]), head


def operator_kinds(tree: Any) -> list[str]:
    """The operators of an unpacked model in execution order, e.g. ``CONV_2D``."""
    kinds = _kinds(tree)
    return [kinds[op.opcodeIndex] for op in tree.subgraphs[0].operators or []]


def tensor_name(tensor: Any) -> str:
    """A tensor's name as text."""
    return _text(tensor.name)


class _Backwards:
    """From a tensor to what it was computed from."""

    def __init__(self, tree: Any) -> None:
        kinds = _kinds(tree)
        self._tensors = tree.subgraphs[0].tensors or []
        self._writers = {
            int(tensor): (kinds[op.opcodeIndex], [] if op.inputs is None else list(op.inputs))
            for op in tree.subgraphs[0].operators or []
            for tensor in (() if op.outputs is None else op.outputs)
        }

    def skip(self, tensor: int, kinds: tuple[str, ...]) -> tuple[int, set[str]]:
        """Behind operators of these kinds and conversions; the tensor, and the kinds met."""
        met = set()
        for _ in self._writers:  # no more steps than that, even in a graph that is a ring
            kind, inputs = self._writers.get(tensor, ("", []))
            if kind not in (*CONVERSIONS, *kinds) or not inputs:
                break
            tensor = int(inputs[0])
            met.add(kind)
        return tensor, met

    def input_of(self, tensor: int, kinds: tuple[str, ...]) -> int:
        """The first input of the operator that writes the tensor, which must be of these kinds."""
        kind, inputs = self._writers.get(tensor, ("", []))
        if kind not in kinds or not inputs or inputs[0] < 0:
            raise InputError(
                f"{_EXPECTED_HEAD}, found {kind or 'nothing'} in place of {' or '.join(kinds)}"
            )
        return int(inputs[0])

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Static; empty where the file has none."""
        shape = self._tensors[tensor].shape
        return () if shape is None else tuple(int(side) for side in shape)


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
