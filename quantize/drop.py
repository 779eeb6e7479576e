"""How many points of top-1 a quantized model loses, and what a number of photos can prove.

The same photos go through both models, and what counts is the upper end of a two-sided 95 %
interval, so that a lucky draw of photos does not pass: a model that really loses the limit
passes with a probability of 2.5 %, as far as the intervals' approximations hold, and one
that loses more with a smaller one. Two measures:

- *agreement*, without labels: the share of photos whose top-1 class is another. Each counts
  as lost, even where the quantized model is right and the float one wrong. Wilson's interval.
- *accuracy*, with labels: top-1 of the float model minus top-1 of the quantized one, with
  Tango's score interval for paired proportions, see :func:`paired_interval`.

Both intervals end at ``z² / (n + z²)`` if no answer of n photos changed, whatever the
accuracy: no result of n photos is sure to prove less.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from effnet_lite.quantize.fidelity import wilson_interval

Z = 1.96  # two-sided 95 %
# Fewer labelled photos among others say less than the agreement on all of them.
LABELLED_ENOUGH = 50
# With k times the fewest photos, Wilson's interval passes models that lose up to
# 1 - 1/√k of the limit: with 9 times, two thirds of it.
PHOTOS_FACTOR = 9


@dataclasses.dataclass(frozen=True)
class Drop:
    """A loss of top-1.

    Attributes:
        judged_by: ``accuracy`` or ``agreement``.
        photos: How many it was measured on.
        points: In percentage points; below 0 where the quantized model is right more often.
        interval: The 95 % interval of ``points``.
    """

    judged_by: str
    photos: int
    points: float
    interval: tuple[float, float]

    def within(self, limit: float) -> bool:
        """Whether it is proven that no more than ``limit`` points are lost."""
        return self.interval[1] <= limit

    def to_json(self) -> dict[str, Any]:
        """A part of a rung of ``convert --json``."""
        return {
            "judged_by": self.judged_by,
            "photos": self.photos,
            "drop_points": self.points,
            "drop_interval": list(self.interval),
        }


def top1_drop(
    wanted: Sequence[int],
    found: Sequence[int],
    known: Sequence[int | None] | None,
    limit: float,
) -> Drop:
    """The drop from the float model's answers to the quantized model's.

    Accuracy is what counts if all photos are labelled, or at least ``LABELLED_ENOUGH`` and
    as many as can prove ``limit``. Not so if the float model itself is right on no more than
    ``limit`` per cent of them: with such labels any model would pass. The quantized model's
    answers have no say in the choice.

    Args:
        wanted, found: Top-1 class of each photo, of the float and of the quantized model.
        known: The right class of each, None where it is not known.
        limit: Points that may be lost.
    """
    count = len(wanted)
    rows = list(zip(wanted, found, known or [None] * count, strict=True))
    labelled = [(one == right, other == right) for one, other, right in rows if right is not None]
    enough = len(labelled) >= max(LABELLED_ENOUGH, fewest_photos(limit))
    if enough or len(labelled) == count:
        right_float = sum(one for one, _ in labelled)
        if 100 * right_float > limit * len(labelled):
            lost = sum(one and not other for one, other in labelled)
            won = sum(other and not one for one, other in labelled)
            low, high = paired_interval(lost, won, len(labelled))
            points = 100 * (lost - won) / len(labelled)
            return Drop("accuracy", len(labelled), points, (100 * low, 100 * high))
    differing = sum(one != other for one, other, _ in rows)
    low, high = wilson_interval(differing, count, Z)
    return Drop("agreement", count, 100 * differing / count, (100 * low, 100 * high))


def paired_interval(lost: int, won: int, count: int, z: float = Z) -> tuple[float, float]:
    """Tango's score interval of the difference between two paired proportions, (-1 to 1).

    All δ that the score test does not reject, |T(δ)| ≤ z, with b lost, c won, n photos::

        T(δ) = (b - c - n·δ) / √(n·(2q + δ·(1 - δ)))
        q    = (√(B² - 8n·C) - B) / 4n,   B = (2n - b + c)·δ - b - c,   C = -c·δ·(1 - δ)

    where q is the likeliest probability of winning a photo if the difference is δ. (Tango,
    "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17, 1998.) It holds for small counts, also
    for b = c = 0, where the usual (Wald) interval has no width.

    Args:
        lost: Photos that only the float model gets right.
        won: Photos that only the quantized model gets right.
        count: All photos.
        z: Quantile of the normal distribution.
    """

    def score(difference: float) -> float:
        b = (2 * count - lost + won) * difference - lost - won
        c = -won * difference * (1 - difference)
        q = (math.sqrt(max(0.0, b**2 - 8 * count * c)) - b) / (4 * count)
        variance = count * (2 * q + difference * (1 - difference))
        distance = lost - won - count * difference
        if distance == 0:
            return 0.0
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    def where(value: float) -> float:
        low, high = -1.0, 1.0
        for _ in range(50):  # T falls as δ grows; to 2^-49
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > value else (low, middle)
        return (low + high) / 2

    return where(z), where(-z)


def least_provable(photos: int) -> float:
    """Points: the upper end of the interval if no answer of so many photos changed."""
    return 100 * Z**2 / (photos + Z**2)


def fewest_photos(limit: float) -> int:
    """The fewest photos that can prove a drop of at most ``limit`` points (more than 0)."""
    photos = max(1, math.ceil(Z**2 * (100 - limit) / limit))
    return photos if least_provable(photos) <= limit else photos + 1


def enough_photos(limit: float) -> int:
    """So many that a model that loses two thirds of ``limit`` points usually passes."""
    return PHOTOS_FACTOR * fewest_photos(limit)
