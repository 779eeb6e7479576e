"""What a model answers for one photo, in numbers of the data set's classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

#: Figures of the top-5; of networks with fewer classes, of all of them.
TOP = 5


@dataclasses.dataclass(frozen=True)
class Answer:
    """One model's answer.

    Attributes:
        top: The most probable classes, best first; -1 is a background class. Of equal ones
            the lower number comes first.
        confidence: Probability of the first (0-1).
        rank: How many classes come before the right one, by the same rule.
    """

    top: tuple[int, ...]
    confidence: float
    rank: int

    def to_json(self) -> list[Any]:
        """Compact: a journal has one for each photo and model."""
        return [list(self.top), self.confidence, self.rank]

    @classmethod
    def from_json(cls, record: Any) -> Answer:
        """The answer of :meth:`to_json`.

        Raises:
            ValueError, TypeError: Something else.
        """
        top, confidence, rank = record
        answer = cls(tuple(int(number) for number in top), float(confidence), int(rank))
        if not answer.top or not 0 <= answer.confidence <= 1 or answer.rank < 0:
            raise ValueError(f"no answer: {record}")
        return answer


def answer_of(
    output: npt.NDArray[np.float32], confidence: float, right: int, offset: int
) -> Answer:
    """The answer in a model's output.

    Args:
        output: Probabilities or logits, (outputs,), all finite.
        confidence: The probability of the highest.
        right: The photo's class.
        offset: The output of class 0.
    """
    wanted = right + offset
    before = (output > output[wanted]).sum() + (output[:wanted] == output[wanted]).sum()
    return Answer(
        top=tuple(int(number) - offset for number in best(output, TOP)),
        confidence=min(1.0, max(0.0, confidence)),
        rank=int(before),
    )


def best(output: npt.NDArray[Any], count: int) -> npt.NDArray[np.intp]:
    """Indices of the highest values, highest first; of equal ones the lower index first."""
    count = min(count, len(output))
    least = output[np.argpartition(-output, count - 1)[count - 1]]
    # All that reach the last place: which of equal ones a partition takes is left to chance.
    candidates = np.flatnonzero(output >= least)
    order = np.argsort(-output[candidates], kind="stable")
    chosen: npt.NDArray[np.intp] = candidates[order[:count]]
    return chosen
