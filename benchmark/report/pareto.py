"""Which candidates are worth shipping.

Of two candidates a and b with a quality q to raise and costs c₁ … cₙ to lower, a dominates b
(Pareto dominance; Ehrgott, "Multicriteria Optimization", 2005, definition 2.1) if::

    q(a) ≥ q(b)  and  cᵢ(a) ≤ cᵢ(b) for each i,  with at least one of them strict

The front is what nobody dominates. Two with the same figures do not dominate each other: both
stay. Figures count as they are; whether a difference is more than chance is for the reader,
who sees the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: A quality, then costs; None is a figure that is not known.
Point = Sequence[float | None]


def front(points: Sequence[Point]) -> tuple[bool, ...]:
    """Which points nobody dominates.

    Args:
        points: Each with its quality first, which is better when higher, and then costs, which
            are better when lower; all of the same length. A point that lacks a figure is never
            on the front, and dominates nobody.

    Returns:
        Whether each point is on the front, in the order given.
    """
    known = [_known(point) for point in points]
    return tuple(
        mine is not None
        and not any(_dominates(other, mine) for other in known if other is not None)
        for mine in known
    )


def _known(point: Point) -> tuple[float, ...] | None:
    """The point with everything to be lowered; None if it lacks a figure."""
    figures = [figure for figure in point if figure is not None and not math.isnan(figure)]
    if len(figures) < len(point):
        return None
    return (-figures[0], *figures[1:])


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
