"""What times say, and how surely: percentiles, a mean, the ratio of two."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
# Neighbours come and stay for several runs; single runs, drawn as if they were independent,
# would make the interval too narrow.
BLOCK = 10
#: Of a verdict: one sweep makes many, and each that is wrong sends someone after nothing.
CONFIDENCE = 0.99
#: The furthest that an interval's ends are from 1, times or parts. Two launches that differ a lot
#: give 1e29 and more (one degree of freedom), which says as little and may not be a float.
FURTHEST = 1e9

Times = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Of the second to the first.

    Attributes:
        value, low, high: The ratio and the ends of its interval; those over launches stay
            within ``FURTHEST``.
        first_ms, second_ms: The medians.
        rounds: Timed runs of each.
    """

    value: float
    low: float
    high: float
    first_ms: float
    second_ms: float
    rounds: int


def mean_interval(
    launches: Sequence[Times | Sequence[float]], seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over several launches.

    Launches are drawn, and in each of them blocks of successive runs (Künsch 1989).

    Args:
        launches: Times in the order in which they were taken, by launch, at least one each.
        seed: Of the bootstrap.
    """
    random = np.random.default_rng(seed)
    means = np.stack([np.asarray(times)[_blocks(len(times), seed)].mean(1) for times in launches])
    chosen = random.integers(len(launches), size=(RESAMPLES, len(launches)))
    drawn = means[chosen, random.integers(RESAMPLES, size=chosen.shape)]
    weights = np.array([len(times) for times in launches])[chosen]
    low, high = np.percentile((drawn * weights).sum(1) / weights.sum(1), [2.5, 97.5])
    return float(low), float(high)


def ratio(first: Times | Sequence[float], second: Times | Sequence[float], seed: int = 0) -> Ratio:
    """Ratio of medians of one process's runs, with a 95 % block bootstrap interval.

    Args:
        first, second: Milliseconds, shape (rounds,), taken by turns; blocks take both.
        seed: Of the bootstrap.
    """
    times = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    rounds = times.shape[1]
    one, other = np.median(times[:, _blocks(rounds, seed)], axis=2)
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


def ratio_of_launches(first: Sequence[Times], second: Sequence[Times]) -> Ratio:
    """Ratio of medians over several launches of both, with a ``CONFIDENCE`` interval.

    Where a process's memory lies makes it a little faster or slower for as long as it runs
    (Georges et al., "Statistically rigorous Java performance evaluation", 2007; Kalibera and
    Jones, "Rigorous benchmarking in reasonable time", 2013), so that two processes of the same
    model differ however long they are timed. The pairs of processes, not the runs, are
    therefore the sample: Student's interval of the mean of the logarithms of their ratios.

    Args:
        first, second: Milliseconds by launch, at least 2 of the same number; a pair of
            launches ran by turns.
    """
    logs = [
        math.log(float(np.median(other) / np.median(one)))
        for one, other in zip(first, second, strict=True)
    ]
    return _over_launches(logs, first, second)


def ratio_of_turns(first: Sequence[Sequence[Times]], second: Sequence[Sequence[Times]]) -> Ratio:
    """As :func:`ratio_of_launches`, for launches whose turns are known.

    A launch's ratio is the median over its rounds of the ratio of the two turns' quickest
    runs: neighbours in time meet the same clock and the same company, and whatever else
    disturbs a run only makes it longer. On two cores with two other busy processes the
    intervals are a tenth to a fifth as wide as with medians of whole launches, on a quiet
    machine slightly narrower (measured).

    Args:
        first, second: Milliseconds by launch and turn; the turns of the same place are
            neighbours.
    """
    logs = [
        float(
            np.median([math.log(min(other) / min(one)) for one, other in zip(*turns, strict=True)])
        )
        for turns in zip(first, second, strict=True)
    ]
    whole = ([np.concatenate(launch) for launch in side] for side in (first, second))
    return _over_launches(logs, *whole)


def _over_launches(logs: Sequence[float], first: Sequence[Times], second: Sequence[Times]) -> Ratio:
    count = len(logs)
    if count < 2:
        raise ValueError(f"expected 2 or more pairs of launches, got {count}")
    middle = float(np.mean(logs))
    half = student_quantile(count - 1, CONFIDENCE) * float(np.std(logs, ddof=1)) / math.sqrt(count)
    medians = [float(np.median([np.median(times) for times in side])) for side in (first, second)]
    furthest = math.log(FURTHEST)
    return Ratio(
        value=math.exp(middle),
        low=math.exp(max(middle - half, -furthest)),
        high=math.exp(min(middle + half, furthest)),
        first_ms=medians[0],
        second_ms=medians[1],
        rounds=sum(map(len, first)),
    )


@functools.cache
def student_quantile(degrees: int, confidence: float) -> float:
    """t for which Student's variable of so many degrees of freedom stays within ±t.

    With t = √ν·tan θ the density is proportional to cos^(ν-1) θ, which a grid integrates.
    """
    angles = np.linspace(0, np.pi / 2, 200_001)
    density = np.cos(angles) ** (degrees - 1)
    within = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(degrees) * math.tan(float(np.interp(confidence * within[-1], within, angles)))


def _blocks(count: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of resamples, (RESAMPLES, count), drawn in blocks."""
    block = max(1, min(BLOCK, count // 4))
    starts = np.random.default_rng(seed).integers(
        0, count - block + 1, (RESAMPLES, math.ceil(count / block), 1)
    )
    return (starts + np.arange(block)).reshape(RESAMPLES, -1)[:, :count]
