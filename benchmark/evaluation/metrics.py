"""Figures of one model, summed up photo by photo in any order.

Sums are of whole numbers, so that neither the order in which photos come nor how many processes
answer changes a digit. Expected calibration error, over M = 15 bins of the confidence of the
answer (Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3)::

    ECE = Σ |B_m| / n · |acc(B_m) - conf(B_m)|,   B_m: confidence in ((m - 1) / M, m / M]
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.quantize.fidelity import wilson_interval

BINS = 15
# Confidences are summed as multiples of this; float32 has 24 bits.
_STEP = 2.0**-40


@dataclasses.dataclass(frozen=True)
class ClassFigures:
    """One class of the data set, as one model sees it.

    Attributes:
        index, label: Of the class, not counting a background class.
        count: Photos of the class.
        top1, top5: Share of them (0-1) for which the class is the answer, or among five.
        interval: 95 % Wilson interval of ``top1``.
        answered: Photos of any class for which the class is the answer.
        precision: Share of those (0-1) that are of the class; None if there are none.
    """

    index: int
    label: str
    count: int
    top1: float
    top5: float
    interval: tuple[float, float]
    answered: int
    precision: float | None


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """Photos whose answer's confidence lies in one bin.

    Attributes:
        low, high: Limits of the confidence, the lower one exclusive.
        count: Photos.
        confidence, accuracy: Their means (0-1); None without a photo.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Figures:
    """All figures of one model.

    Attributes:
        count: Photos.
        top1, top5, topk: Share of right answers (0-1), among one, five or ``k``.
        k: As asked for.
        top1_interval, top5_interval: 95 % Wilson intervals.
        class_mean_top1: Mean of the classes' ``top1``: each counts the same, however many
            photos it has.
        ece: Expected calibration error (0-1).
        bins: What it is made of.
        classes: Those with photos, by index.
        confusion: (class, answer, photos) wherever there are photos, by class and answer; -1
            answers with the background class.
    """

    count: int
    top1: float
    top5: float
    topk: float
    k: int
    top1_interval: tuple[float, float]
    top5_interval: tuple[float, float]
    class_mean_top1: float
    ece: float
    bins: tuple[CalibrationBin, ...]
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, int, int], ...]

    def worst(self, count: int) -> list[ClassFigures]:
        """Classes that are surely bad: the upper ends of their intervals are lowest.

        By ``top1`` alone, a class with one photo that went wrong would come first.
        """
        missed = [entry for entry in self.classes if entry.top1 < 1]
        return sorted(missed, key=lambda entry: (entry.interval[1], entry.index))[:count]

    def confusions(self, count: int | None = None) -> list[tuple[int, int, int]]:
        """Wrong answers of ``confusion``, the most frequent first."""
        wrong = [entry for entry in self.confusion if entry[0] != entry[1]]
        return sorted(wrong, key=lambda entry: (-entry[2], entry))[:count]

    def to_json(self) -> dict[str, Any]:
        """Figures of one model in ``evaluate --json``."""
        return {
            "count": self.count,
            "top1": self.top1,
            "top5": self.top5,
            f"top{self.k}": self.topk,
            "top1_interval": list(self.top1_interval),
            "top5_interval": list(self.top5_interval),
            "class_mean_top1": self.class_mean_top1,
            "ece": self.ece,
            "calibration": [dataclasses.asdict(entry) for entry in self.bins],
            "classes": [dataclasses.asdict(entry) for entry in self.classes],
            "confusion": [list(entry) for entry in self.confusion],
        }


class Sums:
    """What has to be kept of a model's answers: grows with the classes, not with the photos.

    Args:
        k: Of the top-k figure.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._hits = [0, 0, 0]  # among 1, 5 and k
        self._confusion: collections.Counter[tuple[int, int]] = collections.Counter()
        self._top5: collections.Counter[int] = collections.Counter()
        self._bins = [[0, 0, 0] for _ in range(BINS)]  # photos, right, steps of confidence

    def add(self, answer: Answer, right: int) -> None:
        """One photo of class ``right``."""
        for number, size in enumerate((1, 5, self._k)):
            self._hits[number] += answer.rank < size
        self._confusion[right, answer.top[0]] += 1
        self._top5[right] += answer.rank < 5
        found = self._bins[max(0, math.ceil(answer.confidence * BINS) - 1)]
        found[0] += 1
        found[1] += answer.rank == 0
        found[2] += round(answer.confidence / _STEP)

    def figures(self, labels: Sequence[str]) -> Figures:
        """The figures of at least one photo."""
        count = sum(self._confusion.values())
        top1, top5, topk = (hits / count for hits in self._hits)
        classes = self._classes(labels)
        return Figures(
            count=count,
            top1=top1,
            top5=top5,
            topk=topk,
            k=self._k,
            top1_interval=wilson_interval(self._hits[0], count),
            top5_interval=wilson_interval(self._hits[1], count),
            class_mean_top1=math.fsum(entry.top1 for entry in classes) / len(classes),
            ece=sum(abs(right - steps * _STEP) for _, right, steps in self._bins) / count,
            bins=tuple(
                CalibrationBin(
                    low=number / BINS,
                    high=(number + 1) / BINS,
                    count=photos,
                    confidence=steps * _STEP / photos if photos else None,
                    accuracy=right / photos if photos else None,
                )
                for number, (photos, right, steps) in enumerate(self._bins)
            ),
            classes=classes,
            confusion=tuple((*pair, photos) for pair, photos in sorted(self._confusion.items())),
        )

    def _classes(self, labels: Sequence[str]) -> tuple[ClassFigures, ...]:
        photos: collections.Counter[int] = collections.Counter()
        answered: collections.Counter[int] = collections.Counter()
        for (right, answer), count in self._confusion.items():
            photos[right] += count
            answered[answer] += count
        found = []
        for index, count in sorted(photos.items()):
            hits = self._confusion[index, index]
            found.append(
                ClassFigures(
                    index=index,
                    label=labels[index],
                    count=count,
                    top1=hits / count,
                    top5=self._top5[index] / count,
                    interval=wilson_interval(hits, count),
                    answered=answered[index],
                    precision=hits / answered[index] if answered[index] else None,
                )
            )
        return tuple(found)
