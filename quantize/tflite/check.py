"""Whether a model's tables fit together: what a runtime takes on trust and crashes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from effnet_lite.errors import InputError

#: How many inputs, from the first, an operator cannot do without; others need one. What comes
#: behind them (a bias, a gate) may be left out as tensor -1; the kernels check only that.
_NEEDED = {
    2: "ADD SUB MUL DIV POW MAXIMUM MINIMUM SQUARED_DIFFERENCE PRELU FLOOR_DIV FLOOR_MOD EQUAL "
    "NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL LOGICAL_AND LOGICAL_OR CONV_2D "
    "DEPTHWISE_CONV_2D FULLY_CONNECTED BATCH_MATMUL CONCATENATION PACK MEAN SUM REDUCE_MAX "
    "REDUCE_MIN REDUCE_PROD PAD MIRROR_PAD TRANSPOSE GATHER GATHER_ND EXPAND_DIMS ARG_MAX ARG_MIN "
    "TILE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SPLIT BROADCAST_TO TOPK_V2 EMBEDDING_LOOKUP",
    3: "TRANSPOSE_CONV PADV2 SLICE SELECT SELECT_V2 SPLIT_V BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND "
    "CONV_3D CONV_3D_TRANSPOSE ADD_N RANGE",
    4: "STRIDED_SLICE ONE_HOT",
}


def check_tables(model: Any, schema: Any) -> None:
    """Raise InputError unless every index, and what it refers to, is one that a kernel expects.

    Args:
        model: A ``ModelT``.
        schema: The module of generated classes.
    """
    buffers, codes = len(model.buffers or ()), len(model.operatorCodes or ())
    needed = _needed_inputs(model, schema)
    for graph in model.subgraphs:
        tensors = len(graph.tensors or ())
        _in_range("buffer", (tensor.buffer for tensor in graph.tensors or ()), 0, buffers)
        _in_range("tensor", integers(graph.inputs), 0, tensors)
        _in_range("tensor", integers(graph.outputs), 0, tensors)
        for operator in graph.operators or ():
            _in_range("operator code", (operator.opcodeIndex,), 0, codes)
            inputs = integers(operator.inputs)
            least = needed[operator.opcodeIndex]
            _in_range("tensor", inputs[:least], 0, tensors)
            _in_range("tensor", inputs[least:], -1, tensors)  # -1: left out
            _in_range("tensor", integers(operator.outputs), 0, tensors)
            _in_range("tensor", integers(operator.intermediates), -1, tensors)
        _check_zero_points(graph, schema)
    _in_range("buffer", (entry.buffer for entry in model.metadata or ()), 0, buffers)
    for signature in model.signatureDefs or ():
        index = signature.subgraphIndex
        _in_range("subgraph", (index,), 0, len(model.subgraphs))
        maps = [*(signature.inputs or ()), *(signature.outputs or ())]
        tensors = len(model.subgraphs[index].tensors or ())
        _in_range("tensor", (entry.tensorIndex for entry in maps), 0, tensors)


def integers(vector: Any) -> list[int]:
    """A vector of the generated classes, None where it is left out, as Python's numbers."""
    return [] if vector is None else [int(value) for value in vector]


def _needed_inputs(model: Any, schema: Any) -> list[int]:
    """By operator code."""
    operators = vars(schema.BuiltinOperator)
    counts = {operators[name]: count for count, names in _NEEDED.items()
              for name in names.split() if name in operators}  # fmt: skip
    counts[operators["CUSTOM"]] = 0
    codes = (
        max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes or ()
    )
    return [counts.get(code, 1) for code in codes]


def _check_zero_points(graph: Any, schema: Any) -> None:
    """Kernels fill tables of 256 entries by them."""
    ranges = {schema.TensorType.INT8: (-128, 127), schema.TensorType.UINT8: (0, 255)}
    for tensor in graph.tensors or ():
        if tensor.type not in ranges or tensor.quantization is None:
            continue
        low, high = ranges[tensor.type]
        for value in integers(tensor.quantization.zeroPoint):
            if not low <= value <= high:
                raise InputError(f"the model has a zero point of {value}, beyond {low} to {high}")


def _in_range(what: str, indices: Iterable[int], low: int, count: int) -> None:
    for index in indices:
        if not low <= index < count:
            raise InputError(f"the model refers to {what} {index}, but has {count}")
