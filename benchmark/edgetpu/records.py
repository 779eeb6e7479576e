"""What ``edgetpu check`` and ``edgetpu compile`` tell, in the same words."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why operators stay on the CPU.

    Attributes:
        operator: Their kind.
        count: How many.
        status: The compiler's words.
        reason: What is required and what was found; empty from a compiler's log.
        source: Where that rule comes from; empty from a compiler's log.
    """

    operator: str
    count: int
    status: str
    reason: str = ""
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Weights, biases and other constants of the mapped operators, in bytes.

    Attributes:
        cached_bytes: Stay on the chip from the first inference on.
        streamed_bytes: Are sent again for each inference.
        budget_bytes: What the chip has for them; None from a compiler's log without it.
    """

    cached_bytes: int
    streamed_bytes: int
    budget_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Mapping:
    """Where operators run.

    Attributes:
        mapped: Kind → how many are part of the Edge TPU operator.
        unmapped: Kind → how many stay on the CPU.
        reasons: For those that stay.
        parameters: Of the mapped ones.
    """

    mapped: dict[str, int]
    unmapped: dict[str, int]
    reasons: tuple[Reason, ...]
    parameters: Parameters

    @property
    def full(self) -> bool:
        """Whether the whole model runs on the Edge TPU."""
        return bool(self.mapped) and not self.unmapped

    def to_json(self) -> dict[str, Any]:
        """Keys that both commands have."""
        return {
            "full": self.full,
            "mapped": self.mapped,
            "unmapped": self.unmapped,
            "reasons": [dataclasses.asdict(reason) for reason in self.reasons],
            "parameters": dataclasses.asdict(self.parameters),
        }
