"""What edgetpu_compiler would map of a model, without it."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.edgetpu import operators
from effnet_lite.benchmark.edgetpu.advice import advise, warn
from effnet_lite.benchmark.edgetpu.graph import Network, Operation, TensorView, read_network
from effnet_lite.benchmark.edgetpu.latency import Estimate, Work, estimate
from effnet_lite.benchmark.edgetpu.placement import Placement, place
from effnet_lite.benchmark.edgetpu.records import Mapping, Parameters, Reason
from effnet_lite.errors import InputError, UsageError
from effnet_lite.files import sha256
from effnet_lite.quantize.tflite.file import read_model

#: Bytes that the chip has for parameters. It has 8 MiB; programs and scratch take a part that
#: differs by model: used + remaining is 6.9 to 7.2 MiB in the logs of google-coral/edgetpu#60,
#: #356, #512 and WongKinYiu/yolov7#1672, and up to 7.9 MiB for models of a few operators.
ON_CHIP_BYTES = 7 * 2**20
MAX_ON_CHIP_BYTES = 2**30

_DEPTHWISE = "DEPTHWISE_CONV_2D"


@dataclasses.dataclass(frozen=True)
class EdgeTpuCheck:
    """What ``edgetpu check`` tells of one file.

    Attributes:
        model, sha256: The file.
        mapping: Operators by place, reasons, parameters.
        placements: Every operator, in execution order.
        cut: The first operator behind the start of the segment that cannot be mapped; None
            where there is none.
        edgetpu_madds, cpu_madds: Multiply-adds on either side.
        estimate: Of the Edge TPU's part; None where nothing is mapped.
        advice: What to change in the model.
        warnings: What may come differently, or what the compiler may refuse.
    """

    model: str
    sha256: str
    mapping: Mapping
    placements: tuple[Placement, ...]
    cut: Placement | None
    edgetpu_madds: int
    cpu_madds: int
    estimate: Estimate | None
    advice: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def full(self) -> bool:
        """Whether the whole model runs on the Edge TPU."""
        return self.mapping.full

    def to_json(self) -> dict[str, Any]:
        """The document of ``edgetpu check --json``."""
        return {
            "model": self.model,
            "sha256": self.sha256,
            **self.mapping.to_json(),
            "cut": dataclasses.asdict(self.cut) if self.cut else None,
            "madds": {"edgetpu": self.edgetpu_madds, "cpu": self.cpu_madds},
            "estimate": dataclasses.asdict(self.estimate) if self.estimate else None,
            "advice": list(self.advice),
            "warnings": list(self.warnings),
            "operators": [dataclasses.asdict(placement) for placement in self.placements],
        }


def edgetpu_check(
    model: str | os.PathLike[str], on_chip_bytes: int = ON_CHIP_BYTES
) -> EdgeTpuCheck:
    """Say what of a model runs on the Edge TPU, why the rest does not, and what streams.

    Args:
        model: A .tflite file.
        on_chip_bytes: What the chip has for parameters.

    Raises:
        InputError: Not a .tflite file, damaged, without operators, or compiled already.
        UsageError: ``on_chip_bytes`` is out of range.
    """
    if not 0 <= on_chip_bytes <= MAX_ON_CHIP_BYTES:
        raise UsageError(
            f"the bytes on the chip must be 0 to {MAX_ON_CHIP_BYTES:,}, got {on_chip_bytes:,}"
        )
    data = read_model(model)
    network = read_network(data)
    if not network.operations:
        raise InputError(f"{model} has no operators to map")
    placements = place(network)
    there = [placement for placement in placements if placement.mapped]
    here = [placement for placement in placements if not placement.mapped]
    inside = [network.operations[placement.number] for placement in there]
    parameters = _parameters(inside, on_chip_bytes)
    return EdgeTpuCheck(
        model=Path(model).name,
        sha256=sha256(data),
        mapping=Mapping(_counts(there), _counts(here), _reasons(here), parameters),
        placements=placements,
        cut=_cut(placements),
        edgetpu_madds=sum(placement.madds for placement in there),
        cpu_madds=sum(placement.madds for placement in here),
        estimate=estimate(_work(network, there, parameters)) if there else None,
        advice=advise(network, placements, parameters),
        warnings=warn(network, inside),
    )


def _counts(placements: Sequence[Placement]) -> dict[str, int]:
    return dict(collections.Counter(placement.kind for placement in placements).most_common())


def _reasons(placements: Sequence[Placement]) -> tuple[Reason, ...]:
    """One for each kind and status, in execution order; the reason is that of the first."""
    groups: dict[tuple[str, str], list[Placement]] = {}
    for placement in placements:
        groups.setdefault((placement.kind, placement.status or ""), []).append(placement)
    return tuple(
        Reason(kind, len(group), status, group[0].reason or "", group[0].source or "")
        for (kind, status), group in groups.items()
    )


def _cut(placements: Sequence[Placement]) -> Placement | None:
    start = min((placement.number for placement in placements if placement.mapped), default=-1)
    for placement in placements:
        if placement.number > start and placement.status not in (None, operators.SECOND_SEGMENT):
            return placement
    return None


def _parameters(inside: Sequence[Operation], budget: int) -> Parameters:
    """Each buffer once, however many operators use it."""
    found: dict[int, TensorView] = {}
    for operation in inside:
        settings = operators.OPERATORS[operation.kind].settings
        for number, tensor in enumerate(operation.inputs):
            if tensor and number not in settings:
                found[tensor.buffer] = tensor
    total = sum(tensor.data.size for tensor in found.values() if tensor.data is not None)
    cached = min(total, budget)
    return Parameters(cached, total - cached, budget)


def _work(network: Network, there: Sequence[Placement], parameters: Parameters) -> Work:
    depthwise = sum(placement.madds for placement in there if placement.kind == _DEPTHWISE)
    every = sum(placement.madds for placement in there)
    moved = _crossing_bytes(network, {placement.number for placement in there})
    return Work(every - depthwise, depthwise, moved + parameters.streamed_bytes)


def _crossing_bytes(network: Network, inside: set[int]) -> int:
    """Of the tensors that go to the Edge TPU and come back."""
    read: dict[int, TensorView] = {}
    written: dict[int, TensorView] = {}
    wanted = {tensor.index for tensor in network.outputs}
    for operation in network.operations:
        if operation.number in inside:
            read.update((tensor.index, tensor) for tensor in operation.activations)
            written.update((tensor.index, tensor) for tensor in operation.outputs)
        else:
            wanted.update(tensor.index for tensor in operation.activations)
    sent = sum(tensor.elements for index, tensor in read.items() if index not in written)
    return sent + sum(tensor.elements for index, tensor in written.items() if index in wanted)
