from __future__ import annotations

import math

import pytest

from effnet_lite.benchmark.report.pareto import front


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], ()),
        ([(0.7, 5.0)], (True,)),
        ([(0.7, 5.0), (0.8, 9.0)], (True, True)),
        ([(0.7, 5.0), (0.8, 4.0)], (False, True)),
        ([(0.8, 5.0), (0.8, 4.0)], (False, True)),  # equal in one, worse in the other
        ([(0.8, 5.0), (0.8, 5.0)], (True, True)),  # ties stay
        ([(0.8, 5.0, 3.0), (0.9, 4.0, 3.1)], (True, True)),  # three dimensions
        ([(0.8, 5.0, 3.0), (0.8, 5.0, 2.9)], (False, True)),
        ([(None, 1.0), (0.1, 2.0)], (False, True)),  # lacks a figure: neither on it nor in the way
        ([(0.9, None), (0.1, 2.0)], (False, True)),
        ([(math.nan, 1.0), (0.1, 2.0)], (False, True)),
        ([(0.0, 5.0), (-0.0, 5.0)], (True, True)),
    ],
)
def test_front(points, expected):
    assert front(points) == expected


def test_everybody_off_the_front_is_dominated_by_somebody_on_it():
    points = [(((7 * n) % 11) / 11, float((5 * n) % 13), float((3 * n) % 7)) for n in range(60)]
    chosen = front(points)
    best = [point for point, on_front in zip(points, chosen, strict=True) if on_front]
    for point, on_front in zip(points, chosen, strict=True):
        beaten = [other for other in best if other != point and other[0] >= point[0]
                  and other[1] <= point[1] and other[2] <= point[2]]  # fmt: skip
        assert bool(beaten) is not on_front
