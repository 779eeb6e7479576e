"""What to change in a model so that more of it runs on the Edge TPU, and what to beware of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from effnet_lite.benchmark.edgetpu import operators
from effnet_lite.benchmark.edgetpu.graph import Network, Operation
from effnet_lite.benchmark.edgetpu.placement import Placement, doubts, objection, refusal
from effnet_lite.benchmark.edgetpu.records import Parameters

_FLOAT = ("FLOAT32", "FLOAT16")
_CONVERSIONS = ("CAST", "DEQUANTIZE", "QUANTIZE")


def advise(
    network: Network, placements: Sequence[Placement], parameters: Parameters
) -> tuple[str, ...]:
    """One line each: what holds for the whole model first, then operators as they come."""
    computed = [tensor for op in network.operations for tensor in op.outputs]
    if not any(tensor.eight_bit for tensor in computed):
        return ("quantize the model to 8 bits: effnet-lite convert --int8",)
    lines = list(_of_the_model(network, parameters))
    if network.dynamic:
        lines.insert(0, "fix every shape when converting, the batch to 1 above all")
    changes: dict[tuple[str, str], list[str]] = {}
    for operation in network.operations:
        if placements[operation.number].mapped or _at_the_ends(network, operation):
            continue
        found = objection(operation) or refusal(operation)
        if found and found.advice:
            changes.setdefault((operation.kind, found.advice), []).append(operation.name)
    for (kind, advice), names in changes.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"{kind} ({names[0]}{more}): {advice}")
    return tuple(lines)


def warn(network: Network, inside: Sequence[Operation]) -> tuple[str, ...]:
    """What may come differently, one line each.

    Args:
        network: The model.
        inside: Its mapped operators.
    """
    lines = []
    if network.subgraphs > 1:
        lines.append(f"the file has {network.subgraphs} subgraphs; only the first was looked at")
    if network.dynamic:
        lines.append(
            "the compiler refuses a file that has tensors of any size "
            f"({operators.issue(829)})"
        )  # fmt: skip
    lines += [
        f"{found.reason} ({found.source})" for found in map(refusal, network.operations) if found
    ]
    untried: dict[str, list[str]] = {}
    for operation in inside:
        for constraint in doubts(operation):
            text = f"{constraint.text} ({constraint.source}); {constraint.advice}"
            untried.setdefault(f"{operation.kind}|{text}", []).append(operation.name)
    for key, names in untried.items():
        kind, _, text = key.partition("|")
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"{kind} ({names[0]}{more}): likely mapped, certain only where {text}")
    lines += _large(inside)
    return tuple(dict.fromkeys(lines))


def _of_the_model(network: Network, parameters: Parameters) -> Iterator[str]:
    for side, tensors in (("input", network.inputs), ("output", network.outputs)):
        if any(tensor.dtype in _FLOAT for tensor in tensors):
            yield (
                f"give the model uint8 {side} (convert --input uint8): float {side} is converted "
                "on the CPU"
            )
    if parameters.streamed_bytes:
        yield (
            f"{parameters.streamed_bytes / 1e6:.2f} MB of parameters stream at each inference: a "
            "smaller variant, or one split over several Edge TPUs, keeps them on the chip"
        )


def _at_the_ends(network: Network, operation: Operation) -> bool:
    """A conversion of the model's own input or output, of which the lines above tell."""
    if operation.kind not in _CONVERSIONS:
        return False
    ends = {tensor.index for tensor in (*network.inputs, *network.outputs)}
    return any(tensor.index in ends for tensor in (*operation.activations, *operation.outputs))


def _large(inside: Sequence[Operation]) -> Iterator[str]:
    outputs = [tensor for operation in inside for tensor in operation.outputs]
    largest = max(outputs, key=lambda tensor: tensor.elements, default=None)
    if largest and largest.elements > operators.LARGEST_ACTIVATION:
        yield (
            f"{largest.name} takes {largest.elements / 2**20:.1f} MiB: the compiler may refuse the "
            f"file for its large activations ({operators.issue(439)})"
        )
