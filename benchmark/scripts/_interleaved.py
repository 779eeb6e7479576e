"""How much longer one thing takes than another on a machine that others use too.

Run by turns, both meet the same neighbours, clock rates and temperatures, so that the ratio
of their medians is steadier than either median.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
# Neighbours come and stay for several runs; single runs, drawn as if they were independent,
# would make the interval too narrow.
BLOCK = 10

Times = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Median of the second over the median of the first, with a 95 % bootstrap interval.

    Attributes:
        value, low, high: The ratio and the ends of its interval.
        first_ms, second_ms: The medians.
        rounds: Timed runs of each.
    """

    value: float
    low: float
    high: float
    first_ms: float
    second_ms: float
    rounds: int


def interleave(
    first: Callable[[], object], second: Callable[[], object], rounds: int, warmup: int = 10
) -> tuple[Times, Times]:
    """Time A B A B …: milliseconds of ``rounds`` runs of each, after ``warmup`` of each."""
    pairs = [(_timed(first), _timed(second)) for _ in range(warmup + rounds)][warmup:]
    one, other = 1000 * np.asarray(pairs, np.float64).T
    return one, other


def ratio(first: Times | Sequence[float], second: Times | Sequence[float], seed: int = 0) -> Ratio:
    """Ratio of medians; the bootstrap draws blocks of rounds (Künsch 1989), both times of each.

    Args:
        first, second: Milliseconds, shape (rounds,), taken by turns.
        seed: Of the bootstrap.
    """
    times = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    rounds = times.shape[1]
    block = max(1, min(BLOCK, rounds // 4))
    starts = np.random.default_rng(seed).integers(
        0, rounds - block + 1, (RESAMPLES, math.ceil(rounds / block), 1)
    )
    drawn = (starts + np.arange(block)).reshape(RESAMPLES, -1)[:, :rounds]
    one, other = np.median(times[:, drawn], axis=2)
    low, high = np.percentile(other / one, [2.5, 97.5])
    medians = np.median(times, axis=1)
    return Ratio(
        value=float(medians[1] / medians[0]),
        low=float(low),
        high=float(high),
        first_ms=float(medians[0]),
        second_ms=float(medians[1]),
        rounds=rounds,
    )


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
