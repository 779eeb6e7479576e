"""Each operator's place, and why: the table of ``operators.py`` applied to a graph."""

from __future__ import annotations

import dataclasses

from effnet_lite.benchmark.edgetpu import conditions, operators
from effnet_lite.benchmark.edgetpu.graph import Network, Operation, multiply_adds
from effnet_lite.benchmark.edgetpu.operators import Constraint
from effnet_lite.benchmark.edgetpu.segment import blockers, edge_segment


@dataclasses.dataclass(frozen=True)
class Placement:
    """An operator and where it runs.

    Attributes:
        number: Position in execution order.
        kind: As ``CONV_2D``.
        name, shape: Of its first output.
        mapped: Whether it becomes part of the Edge TPU operator.
        status: The compiler's words for why not; None if it is mapped.
        reason, source: What is required, what was found, and where the rule comes from.
        madds: Multiply-adds.
    """

    number: int
    kind: str
    name: str
    shape: tuple[int, ...]
    mapped: bool
    status: str | None
    reason: str | None
    source: str | None
    madds: int


@dataclasses.dataclass(frozen=True)
class Objection:
    """Why an operator cannot run on the Edge TPU, or why the compiler refuses its file.

    Attributes:
        status: The compiler's words.
        reason, source: As in :class:`Placement`.
        advice: What to change in the model; empty where there is nothing better to say.
    """

    status: str
    reason: str
    source: str
    advice: str = ""


def place(network: Network) -> tuple[Placement, ...]:
    """In execution order."""
    objections = [objection(operation) for operation in network.operations]
    mappable = [found is None for found in objections]
    refused = next(filter(None, map(refusal, network.operations)), None)
    mapped = set() if refused else edge_segment(network.operations, mappable)
    behind = blockers(network.operations, mappable, mapped)
    placements = []
    for operation, found in zip(network.operations, objections, strict=True):
        inside = operation.number in mapped
        why = found or refused
        if not inside and why is None:
            first = behind.get(operation.number)
            text = f"behind {first.kind} ({first.name})" if first else "not in the first segment"
            why = Objection(operators.SECOND_SEGMENT, text, operators.issue(461))
        placements.append(
            Placement(
                number=operation.number,
                kind=operation.kind,
                name=operation.name,
                shape=operation.shape,
                mapped=inside,
                status=None if inside or why is None else why.status,
                reason=None if inside or why is None else why.reason,
                source=None if inside or why is None else why.source,
                madds=multiply_adds(operation),
            )
        )
    return tuple(placements)


def objection(operation: Operation) -> Objection | None:
    """What keeps the operator off the Edge TPU; None if nothing does."""
    row = operators.OPERATORS.get(operation.kind)
    if row is None:
        return _not_in_the_table(operation)
    own = {constraint.holds for constraint in row.constraints}
    general = [constraint for constraint in operators.GENERAL if constraint.holds not in own]
    for constraint in (*general, *row.constraints, *operators.GENERAL_LAST):
        found = constraint.holds(operation)
        if found is not True:
            return Objection(
                constraint.status,
                f"required: {constraint.text}; found: {found}",
                constraint.source,
                constraint.advice,
            )
    return None


def refusal(operation: Operation) -> Objection | None:
    """Why the compiler refuses the whole file for this operator; None if it does not."""
    code, source = operators.FIRST_UNKNOWN_CODE
    if operation.code >= code:
        reason = f"compiler 16 refuses the file: it is older than {operation.kind}"
        return Objection(operators.VERSION, reason, source)
    last, source = operators.LAST_VERSIONS.get(operation.kind, (operation.version, ""))
    if operation.version <= last:
        return None
    reason = (
        f"compiler 16 refuses the file: it knows {operation.kind} up to version {last}, found: "
        f"{operation.version}"
    )
    return Objection(
        operators.VERSION, reason, source, "convert the model with an older TensorFlow (2.5 to 2.8)"
    )


def doubts(operation: Operation) -> list[Constraint]:
    """What a mapped operator does that nobody has seen the compiler map, or leave."""
    asked = operators.DOUBTS.get(operation.kind, ())
    return [constraint for constraint in asked if constraint.holds(operation) is not True]


def _not_in_the_table(operation: Operation) -> Objection:
    advice = operators.INSTEAD.get(operation.kind, "")
    if operation.kind in operators.POSTPROCESSING:
        advice = "it runs on the CPU in every compiled model: nothing to change"
    if operation.custom:
        reason = f"{operation.kind} is a custom operator, and no operator of the Edge TPU"
    else:
        reason = f"{operation.kind} is no operator of the Edge TPU"
    plain = conditions.eight_bit(operation) is True
    status = operators.NOT_SUPPORTED if plain else operators.DATA_TYPE
    return Objection(status, reason, operators.DOCS, advice)
