"""The float32 graph as ONNX: the same network and weights for runtimes that read no .tflite.

The layout is ONNX's, channels first, as PyTorch's exporter would write it; padding is that of
TFLite, spelt out. ``onnx`` is imported inside, because the other scripts do without.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import numpy as np

from effnet_lite.quantize.graph import Graph, Op

OPSET = 17
#: The oldest format that holds the opset: runtimes lag behind ``onnx``.
IR_VERSION = 8

_SIMPLE = {"ADD": "Add", "MUL": "Mul", "LOGISTIC": "Sigmoid", "MEAN": "GlobalAveragePool",
           "AVERAGE_POOL_2D": "GlobalAveragePool"}  # fmt: skip


def to_onnx(graph: Graph) -> Any:
    """An ``onnx.ModelProto`` from the input ``image``, (1, 3, size, size) float32.

    Args:
        graph: From :func:`effnet_lite.quantize.export.export`, with a classifier.
    """
    import onnx

    writer = _Writer(graph)
    for op in graph.ops:
        writer.add(op)
    ends = {}
    for index in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[index]
        ends[index] = onnx.helper.make_tensor_value_info(
            tensor.name, onnx.TensorProto.FLOAT, channels_first(tensor.shape)
        )
    inputs, outputs = ([ends[index] for index in side] for side in (graph.inputs, graph.outputs))
    inner = onnx.helper.make_graph(
        writer.nodes, "efficientnet", inputs, outputs, writer.initializers
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(inner, opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(N, H, W, C) as (N, C, H, W); anything else as it is."""
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TFLite pads for ``SAME``: the odd one behind.

    Args:
        size, kernel, stride: Along one side.
    """
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def add(self, op: Op) -> None:
        names = [self.graph.tensors[index].name for index in op.inputs]
        output = self.graph.tensors[op.output].name
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self.convolution(op, names, output)
        elif op.kind == "FULLY_CONNECTED":
            self.node("Flatten", names[:1], f"{output}/flat", axis=1)
            for index in op.inputs[1:]:
                self.constant(self.graph.tensors[index].name, self.graph.tensors[index].constant)
            self.node("Gemm", [f"{output}/flat", *names[1:]], output, transB=1)
        elif op.kind == "SOFTMAX":
            self.node("Softmax", names, output, axis=-1)
        elif op.kind in _SIMPLE:
            # All averages are over the whole image; the axes of MEAN are an input of TFLite's.
            count = 1 if op.kind == "MEAN" else None
            self.node(_SIMPLE[op.kind], names[:count], output)
        else:
            raise ValueError(f"{output}: no ONNX operator for {op.kind}")

    def convolution(self, op: Op, names: list[str], output: str) -> None:
        tensors = self.graph.tensors
        weights, bias = (tensors[index].constant for index in op.inputs[1:])
        depthwise = op.kind == "DEPTHWISE_CONV_2D"
        # (1, kh, kw, out) or (out, kh, kw, in) to (out, in, kh, kw)
        kernel = weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
        self.constant(names[1], np.ascontiguousarray(kernel))
        self.constant(names[2], bias)
        shape, stride = tensors[op.inputs[0]].shape, op.options.get("stride", 1)
        (top, bottom), (left, right) = (
            same_padding(size, side, stride)
            for size, side in zip(shape[1:3], weights.shape[1:3], strict=True)
        )
        relu6 = op.options.get("relu6", False)
        self.node(
            "Conv", names, f"{output}/sum" if relu6 else output,
            kernel_shape=weights.shape[1:3], strides=[stride, stride],
            pads=[top, left, bottom, right], group=shape[3] if depthwise else 1,
        )  # fmt: skip
        if relu6:
            limits = [f"{output}/low", f"{output}/high"]
            for name, value in zip(limits, (0, 6), strict=True):
                self.constant(name, np.asarray(value, np.float32))
            self.node("Clip", [f"{output}/sum", *limits], output)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def constant(self, name: str, value: Any) -> None:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(value, name))
