"""Who may be compared with whom: figures of the same photos, taken in the same setting.

An arena holds candidates with a quality measured on one yardstick and times of one setting, and
has a front of its own. Agreement is with a candidate's own float parent: of two candidates with
different parents it does not say which is better, so that each parent has an arena.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from effnet_lite.benchmark.report.pareto import front
from effnet_lite.benchmark.report.readings import (
    Accuracy,
    Fidelity,
    Interval,
    Photos,
    Setting,
    Timing,
)

ACCURACY = "top-1 accuracy"
AGREEMENT = "agreement with its float parent"
SIZE_STEP = 10_000  # bytes that count as a difference


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """What a quality was measured on.

    Attributes:
        kind: ``ACCURACY``, ``AGREEMENT``, or empty where nothing was measured.
        root: The data set's digest, or the float parent's sha256.
        photos, count: Which photos, and how many.
    """

    kind: str
    root: str = ""
    photos: str = ""
    count: int = 0


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a candidate can be judged by; see :class:`evidence.Candidate`."""

    sha256: str
    name: str
    bytes: int | None
    timings: tuple[Timing, ...]
    accuracies: tuple[Accuracy, ...]
    fidelity: Fidelity | None
    agreement_with: Yardstick | None


@dataclasses.dataclass(frozen=True)
class Point:
    """A candidate in an arena; a quality is 0-1, and None is what is not known."""

    sha256: str
    quality: float | None
    interval: Interval | None
    accuracy: Accuracy | None
    timing: Timing | None
    bytes: int | None
    on_front: bool = False

    @property
    def latency_ms(self) -> float | None:
        """The median; the mean where a source gives no more."""
        if self.timing is None:
            return None
        return self.timing.p50_ms if self.timing.p50_ms is not None else self.timing.mean_ms


@dataclasses.dataclass(frozen=True)
class Arena:
    """Candidates that may be compared.

    Attributes:
        yardstick: Of their quality.
        setting: Of their times; None where nobody has any.
        points: In the candidates' order.
    """

    yardstick: Yardstick
    setting: Setting | None
    points: tuple[Point, ...]

    @property
    def kind(self) -> str:
        """Of the quality; empty where there is none."""
        return self.yardstick.kind

    @property
    def members(self) -> dict[str, Point]:
        """By sha256."""
        return {point.sha256: point for point in self.points}


def make_arenas(
    measured: Sequence[Measured], photos: Sequence[Photos]
) -> tuple[tuple[Arena, ...], list[str]]:
    """All arenas, those of the most common photos and setting first, and what to say of them.

    Args:
        measured: The candidates.
        photos: Data sets, the most common first: who was judged on several counts there.
    """
    settings = [
        setting
        for setting, _ in collections.Counter(
            timing.setting for one in measured for timing in one.timings if _latency(timing)
        ).most_common()
    ]
    members: dict[Yardstick, list[Point]] = {}
    for one in measured:
        for yardstick, point in _judged(one, measured, photos):
            members.setdefault(yardstick, []).append(point)
    if not members and measured:
        members[Yardstick("")] = [
            Point(one.sha256, None, None, None, None, one.bytes) for one in measured
        ]
    by_sha = {one.sha256: one for one in measured}
    arenas = [
        arena
        for yardstick, points in members.items()
        for arena in _by_setting(yardstick, points, settings, by_sha)
    ]
    order = {setting: place for place, setting in enumerate(settings)}
    arenas.sort(key=lambda arena: order[arena.setting] if arena.setting else len(order))
    return tuple(arenas), _notes(measured, members, settings, photos)


def _judged(
    one: Measured, everybody: Sequence[Measured], photos: Sequence[Photos]
) -> list[tuple[Yardstick, Point]]:
    """The candidate's yardsticks: one, but a parent may have that of several children."""
    for on in photos:
        for accuracy in one.accuracies:
            if accuracy.photos == on:
                point = Point(one.sha256, accuracy.top1, accuracy.top1_interval, accuracy, None,
                              one.bytes)  # fmt: skip
                found = [(Yardstick(ACCURACY, on.digest, "data set", on.count), point)]
                return found + _as_parent(one, everybody)
    if one.agreement_with and one.fidelity:
        fidelity = one.fidelity
        point = Point(one.sha256, fidelity.agreement, fidelity.interval, None, None, one.bytes)
        return [(one.agreement_with, point)]
    return _as_parent(one, everybody)


def _as_parent(one: Measured, everybody: Sequence[Measured]) -> list[tuple[Yardstick, Point]]:
    """Where its children are judged by how far they agree with it: wholly."""
    yardsticks = dict.fromkeys(
        other.agreement_with
        for other in everybody
        if other.agreement_with and other.agreement_with.root == one.sha256
        and not other.accuracies
    )  # fmt: skip
    point = Point(one.sha256, 1.0, None, None, None, one.bytes)
    return [(yardstick, point) for yardstick in yardsticks]


def _by_setting(
    yardstick: Yardstick,
    points: Sequence[Point],
    settings: Sequence[Setting],
    by_sha: dict[str, Measured],
) -> list[Arena]:
    arenas: list[Arena] = []
    placed: set[str] = set()
    for setting in settings:
        timed = [_timed(point, setting, by_sha[point.sha256]) for point in points]
        if not any(point.timing for point in timed):
            continue
        # Who has no times at all is shown once, beside the first.
        shown = [point for point in timed if point.timing or not (arenas or _has_times(
            by_sha[point.sha256]))]  # fmt: skip
        placed |= {point.sha256 for point in shown}
        arenas.append(_with_front(yardstick, setting, shown))
    rest = [point for point in points if point.sha256 not in placed]
    if rest:
        arenas.append(_with_front(yardstick, None, rest))
    return arenas


def _timed(point: Point, setting: Setting, one: Measured) -> Point:
    timing = next((found for found in one.timings if found.setting == setting), None)
    if timing is None or _latency(timing) is None:
        return point
    return dataclasses.replace(point, timing=timing)


def _with_front(yardstick: Yardstick, setting: Setting | None, points: Sequence[Point]) -> Arena:
    """The front in whatever is known of anybody: a dimension that nobody has does not count."""
    dimensions: list[list[float | None]] = [
        [point.latency_ms for point in points],
        # As shown: nobody ships a less accurate model for a few bytes of another label or name.
        [None if point.bytes is None else round(point.bytes / SIZE_STEP) for point in points],
    ]
    costs = [column for column in dimensions if any(value is not None for value in column)]
    judged = any(point.quality is not None for point in points)
    qualities = [point.quality if judged else 0.0 for point in points]
    enough = len(costs) + judged > 1
    chosen = front(list(zip(qualities, *costs, strict=True))) if enough else [False] * len(points)
    return Arena(yardstick, setting, tuple(
        dataclasses.replace(point, on_front=on_front)
        for point, on_front in zip(points, chosen, strict=True)
    ))  # fmt: skip


def _latency(timing: Timing) -> float | None:
    return timing.p50_ms if timing.p50_ms is not None else timing.mean_ms


def _has_times(one: Measured) -> bool:
    return any(_latency(timing) is not None for timing in one.timings)


def _notes(
    measured: Sequence[Measured],
    members: dict[Yardstick, list[Point]],
    settings: Sequence[Setting],
    photos: Sequence[Photos],
) -> list[str]:
    found = []
    if len(photos) > 1:
        counts = ", ".join(str(on.count) for on in photos)
        found.append(
            f"models were evaluated on {len(photos)} different sets of photos ({counts} photos): "
            "their accuracies are not compared across them"
        )
    if len(settings) > 1:
        found.append(
            f"times were taken in {len(settings)} settings (device, runtime, delegate, threads): "
            "they are not compared across them"
        )
    kinds = {yardstick.kind for yardstick in members}
    if {ACCURACY, AGREEMENT} <= kinds:
        found.append(
            "some models have an accuracy and some only an agreement with their float parent: "
            "the two are not compared"
        )
    if sum(yardstick.kind == AGREEMENT for yardstick in members) > 1:
        found.append(
            "agreement is with each model's own float parent, on its own photos, and does not "
            "say which of two with different parents is better: each has a front of its own; "
            "photos with classes (--data) would give one front"
        )
    judged = {point.sha256 for points in members.values() for point in points}
    some_timed = any(map(_has_times, measured))
    for one in measured:
        lacking = [
            what
            for what, lacks in (
                ("accuracy or agreement", one.sha256 not in judged),
                ("latency", some_timed and not _has_times(one)),
                ("size", one.bytes is None),
            )
            if lacks
        ]
        if lacking:
            found.append(f"{one.name} has no {' and no '.join(lacking)}: it is on no front")
    return found
