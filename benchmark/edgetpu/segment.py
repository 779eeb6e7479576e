"""Which operators become the one Edge TPU operator of a compiled model.

The compiler is a TFLite delegate ("Restored original execution plan after delegate
application failure", google-coral/edgetpu#512), so the graph is cut as TFLite cuts it for
every delegate (tensorflow/lite/graph_info.cc, PartitionGraphIntoIndependentNodeSubsets):
epochs alternate between operators that the delegate takes and operators that it leaves. An
epoch takes the first operator that is ready, and then every further one of its sort whose
inputs are there. The compiler keeps the first epoch of its own sort and refuses the rest with
"More than one subgraph is not supported": in #342 two operators before a TRANSPOSE were
mapped and 83 behind it, which ``-a`` would have mapped as well, were not.

So operators before the segment may stay on the CPU (a float input's CAST and QUANTIZE,
observed: compiler output of movenet_single_pose_lightning_ptq), and what follows the first
unmapped one in execution order is still mapped where it does not depend on it (the same
file: twelve convolutions behind the first ARG_MAX).
"""

from __future__ import annotations

from collections.abc import Sequence

from effnet_lite.benchmark.edgetpu.graph import Operation


def edge_segment(operations: Sequence[Operation], mappable: Sequence[bool]) -> set[int]:
    """Numbers of the operators that are compiled into the one custom operator.

    Args:
        operations: In execution order.
        mappable: Whether each could run on the Edge TPU.
    """
    missing = {tensor.index for operation in operations for tensor in operation.outputs}
    left = list(operations)
    while left:
        epoch, left = _epoch(left, mappable, missing)
        if not epoch:  # the rest waits for itself: a ring, which no interpreter would run
            break
        if mappable[epoch[0].number]:
            return {operation.number for operation in epoch}
    return set()


def blockers(
    operations: Sequence[Operation], mappable: Sequence[bool], mapped: set[int]
) -> dict[int, Operation]:
    """For each operator that is left out though it could be mapped: what stands before it.

    That is the earliest operator on a way to it that cannot run on the Edge TPU. Operators
    without one (a second segment beside the first) are missing.
    """
    first: dict[int, Operation] = {}  # by tensor
    found: dict[int, Operation] = {}
    for operation in operations:
        if operation.number in mapped:
            continue  # what stands before the segment does not hold up what is behind it
        before = [first[tensor.index] for tensor in operation.activations if tensor.index in first]
        if not mappable[operation.number]:
            before.append(operation)
        if not before:
            continue
        earliest = min(before, key=lambda one: one.number)
        first.update((tensor.index, earliest) for tensor in operation.outputs)
        if mappable[operation.number] and operation.number not in mapped:
            found[operation.number] = earliest
    return found


def _epoch(
    left: list[Operation], mappable: Sequence[bool], missing: set[int]
) -> tuple[list[Operation], list[Operation]]:
    """The next operators of one sort, and those that are left then."""
    epoch: list[Operation] = []
    while True:
        waiting = []
        for operation in left:
            ready = all(t is None or t.index not in missing for t in operation.inputs)
            if ready and (not epoch or mappable[operation.number] == mappable[epoch[0].number]):
                epoch.append(operation)
                missing.difference_update(tensor.index for tensor in operation.outputs)
            else:
                waiting.append(operation)
        if len(waiting) == len(left):
            return epoch, left
        left = waiting
