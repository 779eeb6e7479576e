"""Two models on the same photos: what differs, and whether more than by chance.

Photos that both get right or both get wrong say nothing about which is better. Of the b photos
that only the first gets right and the c that only the second gets right, McNemar's exact test
asks how likely a division at least as uneven is if both are equally good::

    p = min(1, 2 · P(X ≤ min(b, c))),   X ~ Binomial(b + c, 1/2)
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.quantize.drop import paired_interval
from effnet_lite.quantize.fidelity import wilson_interval

_FEW = 1000  # photos up to which whole numbers are exact and fast enough


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A model against the first one.

    Attributes:
        a, b: Short names of the first and the other model.
        a_index, b_index: Their places in ``models``.
        count: Photos.
        difference: Top-1 of the other minus top-1 of the first, in percentage points.
        interval: Its 95 % interval (Tango 1998).
        only_a, only_b: Photos that only the one or the other gets right.
        p_value: Of McNemar's exact test, two-sided; not adjusted for several comparisons.
        agreement: Share of photos (0-1) with the same answer, right or wrong.
        agreement_interval: 95 % Wilson interval.
    """

    a: str
    b: str
    a_index: int
    b_index: int
    count: int
    difference: float
    interval: tuple[float, float]
    only_a: int
    only_b: int
    p_value: float
    agreement: float
    agreement_interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """An entry of ``comparisons`` in ``evaluate --json``."""
        return dataclasses.asdict(self)


class Pair:
    """Counts of two models' answers."""

    def __init__(self) -> None:
        self._count = self._same = self._only_a = self._only_b = 0

    def add(self, a: Answer, b: Answer) -> None:
        """One photo."""
        self._count += 1
        self._same += a.top[0] == b.top[0]
        self._only_a += a.rank == 0 != b.rank
        self._only_b += b.rank == 0 != a.rank

    def comparison(self, a: str, b: str, b_index: int) -> Comparison:
        """The figures of at least one photo, with the first model as ``a``."""
        # paired_interval is of the loss, the first's share minus the other's.
        low, high = paired_interval(self._only_a, self._only_b, self._count)
        return Comparison(
            a=a,
            b=b,
            a_index=0,
            b_index=b_index,
            count=self._count,
            difference=100 * (self._only_b - self._only_a) / self._count,
            interval=(-100 * high, -100 * low),
            only_a=self._only_a,
            only_b=self._only_b,
            p_value=mcnemar(self._only_a, self._only_b),
            agreement=self._same / self._count,
            agreement_interval=wilson_interval(self._same, self._count),
        )


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value; 1 where no photo tells the models apart."""
    total, fewer = only_a + only_b, min(only_a, only_b)
    if not total:
        return 1.0
    if total <= _FEW:
        below = sum(math.comb(total, number) for number in range(fewer + 1))
        return min(1.0, 2 * float(below / 2**total))
    # From the largest term down, each from the one before: no factorial of a large number.
    term = math.exp(
        math.lgamma(total + 1)
        - math.lgamma(fewer + 1)
        - math.lgamma(total - fewer + 1)
        - total * math.log(2)
    )
    tail = 0.0
    for number in range(fewer, -1, -1):
        tail += term
        term *= number / (total - number + 1)
        if term < tail * 1e-17:
            break
    return min(1.0, 2 * tail)
