"""Two things by turns on a machine that others use too.

Both then meet the same neighbours, clock rates and temperatures, so that the ratio of their
medians is steadier than either median.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from effnet_lite.benchmark.intervals import Times


def interleave(
    first: Callable[[], object], second: Callable[[], object], rounds: int, warmup: int = 10
) -> tuple[Times, Times]:
    """Time A B A B …: milliseconds of ``rounds`` runs of each, after ``warmup`` of each."""
    pairs = [(_timed(first), _timed(second)) for _ in range(warmup + rounds)][warmup:]
    one, other = 1000 * np.asarray(pairs, np.float64).T
    return one, other


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
