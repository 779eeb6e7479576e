"""What each operator of a .tflite file reads, writes and needs, for its place in a roofline."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from effnet_lite.benchmark.profiling.roofline import FLOAT32, INT8
from effnet_lite.benchmark.profiling.xnnpack_ops import Node
from effnet_lite.quantize.graph import WEIGHTED
from effnet_lite.quantize.tflite.file import schema, unpack
from effnet_lite.quantize.tflite.surgery import operator_kinds


@dataclasses.dataclass(frozen=True)
class Work:
    """A file's operators as a graph: constants are read, but nobody's output.

    Attributes:
        nodes: Without constants.
        reads: Tensors that each reads, constants too.
        dtypes: Of the weights, as :class:`Peaks` has them; None without weights.
        sizes: Bytes of each tensor.
        outputs: Of the file.
    """

    nodes: list[Node]
    reads: list[set[int]]
    dtypes: list[str | None]
    sizes: list[int]
    outputs: set[int]

    def bytes_of(self, group: set[int]) -> int:
        """What operators that are computed as one read and write."""
        written = {tensor for number in group for tensor in self.nodes[number].outputs}
        others = (reads for number, reads in enumerate(self.reads) if number not in group)
        wanted = self.outputs.union(*others)
        read = set().union(*(self.reads[number] for number in group)) - written
        kept = written & wanted if len(group) > 1 else written
        return sum(self.sizes[tensor] for tensor in (*read, *kept))


def read_work(data: bytes) -> Work:
    """Of the file's main subgraph.

    Raises:
        InputError: Not a .tflite file, or a damaged one.
    """
    tree = unpack(data)
    graph = tree.subgraphs[0]
    names = {code: name.lower() for name, code in vars(schema().TensorType).items()
             if name[0] != "_"}  # fmt: skip
    types = [names.get(tensor.type, "") for tensor in graph.tensors]
    held = [_held(tree, tensor) for tensor in graph.tensors]
    sizes = [
        held[number] or math.prod(map(int, _list(tensor.shape))) * _bits(types[number]) // 8
        for number, tensor in enumerate(graph.tensors)
    ]
    nodes, reads, dtypes = [], [], []
    for kind, op in zip(operator_kinds(tree), _list(graph.operators), strict=True):
        inputs = [int(tensor) for tensor in _list(op.inputs) if tensor >= 0]
        nodes.append(
            Node(
                kind=kind,
                inputs=tuple(tensor for tensor in inputs if not held[tensor]),
                outputs=tuple(int(tensor) for tensor in _list(op.outputs)),
            )
        )
        reads.append(set(inputs))
        weights = types[inputs[1]] if kind in WEIGHTED and len(inputs) > 1 else None
        dtypes.append(weights and (FLOAT32 if weights.startswith("float") else INT8))
    return Work(nodes, reads, dtypes, sizes, {int(tensor) for tensor in _list(graph.outputs)})


def _held(tree: Any, tensor: Any) -> int:
    """Bytes of a constant; 0 of an activation."""
    data = tree.buffers[tensor.buffer].data if tree.buffers else None
    return 0 if data is None else len(data)


def _bits(dtype: str) -> int:
    """Of one value; 0 of what has no fixed size."""
    if dtype == "bool":
        return 8
    digits = re.search(r"\d+$", dtype)
    return int(digits[0]) if digits else 0


def _list(vector: Any) -> list[Any]:
    return [] if vector is None else list(vector)
