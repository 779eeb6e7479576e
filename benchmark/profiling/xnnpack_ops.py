"""Which of a file's operators each of XNNPACK's operators computes.

XNNPACK tells the times of its own operators, in execution order, without a word on where they
come from. They are lined up with the file's in three steps. TFLite cuts the operators that the
delegate takes into runs (tflite/graph_info.cc, PartitionGraphIntoIndependentNodeSubsets), each
of which is one runtime of XNNPACK. Within a run the order is kept. What does not stand one to
one is what XNNPACK adds (reshapes, conversions), fuses (x·σ(x), padding, a clamp) or computes
when it loads (float16 weights to float32): the alignment with the fewest of these is taken.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from effnet_lite.benchmark.profiling.litert_profiler import Event
from effnet_lite.errors import InputError

# The beginning of XNNPACK's name → kinds that are computed so.
_COMPUTES = {
    "Convolution": {"CONV_2D", "DEPTHWISE_CONV_2D"},
    "Fully Connected": {"CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL"},
    "Batch Matrix Multiply": {"BATCH_MATMUL"},
    "Deconvolution": {"TRANSPOSE_CONV"},
    "Add": {"ADD"},
    "Subtract": {"SUB"},
    "Multiply": {"MUL"},
    "Divide": {"DIV"},
    "Mean": {"MEAN", "AVERAGE_POOL_2D"},
    "Global Average Pooling": {"MEAN", "AVERAGE_POOL_2D"},
    "Average Pooling": {"AVERAGE_POOL_2D", "MEAN"},
    "Max Pooling": {"MAX_POOL_2D"},
    "Sigmoid": {"LOGISTIC"},
    "Clamp": {"RELU", "RELU6", "RELU_N1_TO_1"},
    "Constant Pad": {"PAD", "PADV2"},
    "Concatenate": {"CONCATENATION"},
    "Convert": {"QUANTIZE", "DEQUANTIZE", "CAST"},
    "Static Reshape": {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"},
    "Copy": {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CONCATENATION"},
    "Static Transpose": {"TRANSPOSE"},
    "Static Slice": {"SLICE", "STRIDED_SLICE"},
}
# A table of 256 entries: XNNPACK has no name for what it fused into it.
_TABLE = ("Invalid Unary Op", "Unary", "Lookup")
_ADDED = ("Static Reshape", "Convert", "Copy", "Transpose", "Static Transpose", "Constant Pad",
          "Pack", "Clamp")  # fmt: skip
# Kinds that may cost no operator, and whose time then is in the one before or after.
_INTO_PRODUCER = ("RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE")
_INTO_CONSUMER = ("PAD", "PADV2", "DEQUANTIZE")
# A step of the alignment; of equal costs the first is taken.
_MATCH, _SKIP, _ADD = range(3)
_NEVER = 10**9


@dataclasses.dataclass(frozen=True)
class Node:
    """An operator of the file.

    Attributes:
        kind: As ``CONV_2D``.
        inputs, outputs: Indices of tensors that are no constants.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass
class Owner:
    """What was measured of one node.

    Attributes:
        events: Positions in the list of events.
        timed_in: The node that has the time of this one, too, if both are one for XNNPACK.
    """

    events: list[int] = dataclasses.field(default_factory=list)
    timed_in: int | None = None


def assign(nodes: Sequence[Node], events: Sequence[Event]) -> list[Owner]:
    """Each event to one node; nodes without any run when the model is loaded, or in another.

    Args:
        nodes: Of the file, in its order.
        events: Of one run, in execution order.

    Raises:
        InputError: The events cannot be told apart.
    """
    owners = [Owner() for _ in nodes]
    for position, event in enumerate(events):
        if not event.delegated and event.index < len(nodes):
            owners[event.index].events.append(position)
    delegated = {number for number, owner in enumerate(owners) if not owner.events}
    runs = [run for run in _runs(nodes, delegated) if not _constant(nodes, run)]
    groups = list(_groups(events))
    if len(runs) != len(groups):
        raise InputError(_unclear(f"{len(groups)} parts where the file has {len(runs)}"))
    for run, group in zip(runs, groups, strict=True):
        _align(nodes, run, events, group, owners)
    return owners


def _runs(nodes: Sequence[Node], delegated: set[int]) -> Iterator[list[int]]:
    """The delegated nodes as TFLite cuts them: each as early as its inputs allow."""
    produced = {tensor for node in nodes for tensor in node.outputs}
    ready: set[int] = set()
    left = list(range(len(nodes)))
    while left:
        run: list[int] = []
        taken = None  # whether this run is the delegate's: its first node decides
        for number in left:
            node = nodes[number]
            mine = number in delegated
            if (taken is None or mine == taken) and not (set(node.inputs) & produced) - ready:
                taken = mine
                run.append(number)
                ready.update(node.outputs)
        if not run:
            raise InputError(_unclear("the file's operators form a circle"))
        if taken:
            yield run
        done = set(run)
        left = [number for number in left if number not in done]


def _groups(events: Sequence[Event]) -> Iterator[list[int]]:
    """Positions of the delegate's events, cut where its count starts again."""
    group: list[int] = []
    for position, event in enumerate(events):
        if group and (not event.delegated or event.index <= events[group[-1]].index):
            yield group
            group = []
        if event.delegated:
            group.append(position)
    if group:
        yield group


def _constant(nodes: Sequence[Node], run: Iterable[int]) -> bool:
    return all(not nodes[number].inputs for number in run)


def _align(
    nodes: Sequence[Node], run: Sequence[int], events: Sequence[Event], group: Sequence[int],
    owners: list[Owner],
) -> None:  # fmt: skip
    """The cheapest way through both lists; see the module's docstring."""
    gates = _gates(nodes, run)
    homes = [_home(nodes, run, number, gates) for number in run]
    names = [events[position].name for position in group]
    # By node and event that come next: the cost of the rest, and the step to take.
    costs = [[_NEVER] * (len(group) + 1) for _ in range(len(run) + 1)]
    steps = [[_ADD] * (len(group) + 1) for _ in range(len(run) + 1)]
    costs[-1][-1] = 0
    for i in range(len(run), -1, -1):
        for j in range(len(group), -1, -1):
            ways = [(costs[i][j], _ADD)]
            if i < len(run) and j < len(group) and _computes(
                names[j], nodes[run[i]], run[i] in gates
            ):  # fmt: skip
                ways.append((costs[i + 1][j + 1], _MATCH))
            if i < len(run) and homes[i] is not None:
                ways.append((costs[i + 1][j] + (homes[i] != run[i]), _SKIP))
            if j < len(group) and names[j].startswith(_ADDED):
                ways.append((costs[i][j + 1] + 1, _ADD))
            costs[i][j], steps[i][j] = min(ways)
    if costs[0][0] >= _NEVER:
        raise InputError(
            _unclear(f"{len(group)} operators that do not line up with {len(run)} of the file")
        )
    i = j = 0
    while i < len(run) or j < len(group):
        step = steps[i][j]
        if step == _SKIP:
            owners[run[i]].timed_in = None if homes[i] == run[i] else homes[i]
        else:  # what was added prepares the next operator, or finishes the last
            owners[run[min(i, len(run) - 1)]].events.append(group[j])
        i, j = i + (step != _ADD), j + (step != _SKIP)


@functools.cache
def _kinds(name: str) -> frozenset[str]:
    return frozenset().union(
        *(kinds for beginning, kinds in _COMPUTES.items() if name.startswith(beginning))
    )


def _computes(name: str, node: Node, gated: bool) -> bool:
    if name.startswith(_TABLE):
        return gated or len(node.inputs) == 1  # a table holds any function of one value
    # HARD_SWISH is HardSwish, RESIZE_BILINEAR is Resize Bilinear.
    return node.kind in _kinds(name) or _plain(name).startswith(_plain(node.kind))


@functools.cache
def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _home(
    nodes: Sequence[Node], run: Sequence[int], number: int, gates: Mapping[int, int]
) -> int | None:
    """Where a node's time is if no operator is its own: itself if it takes none, or None."""
    node = nodes[number]
    if not node.inputs:
        return number  # of constants only: computed when the model is loaded
    for product, gate in gates.items():
        if gate == number:
            return product
    for other in run:
        if node.kind in _INTO_CONSUMER and set(nodes[other].inputs) & set(node.outputs):
            return other
        if node.kind in _INTO_PRODUCER and set(nodes[other].outputs) & set(node.inputs):
            return other
    return number if node.kind in (*_INTO_PRODUCER, *_INTO_CONSUMER) else None


def _gates(nodes: Sequence[Node], run: Sequence[int]) -> dict[int, int]:
    """MUL → LOGISTIC of each x·σ(x)."""
    by_output = {
        nodes[number].outputs: number for number in run if nodes[number].kind == "LOGISTIC"
    }
    found = {}
    for number in run:
        node = nodes[number]
        for tensor in node.inputs if node.kind == "MUL" else ():
            gate = by_output.get((tensor,))
            if gate is not None and set(node.inputs) == {tensor, *nodes[gate].inputs}:
                found[number] = gate
    return found


def _unclear(what: str) -> str:
    return (
        f"XNNPACK reports {what}: its operators' times cannot be told apart here; "
        "profile the built-in kernels: --delegate none"
    )
