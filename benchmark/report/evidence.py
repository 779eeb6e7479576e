"""Joins documents by model: everything that is known of each candidate, and who is on the front."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from effnet_lite.benchmark.report.arenas import ACCURACY, Arena, Measured, make_arenas
from effnet_lite.benchmark.report.collected import Collected, Failure
from effnet_lite.benchmark.report.documents import Entry
from effnet_lite.benchmark.report.files_seen import File
from effnet_lite.benchmark.report.readings import (
    Accuracy,
    Change,
    Fidelity,
    Interval,
    Photos,
    Profile,
    Speed,
    Timing,
)
from effnet_lite.finite import finite


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One model file, and what is known of it.

    Attributes:
        sha256, path, bytes: Of the file; path and bytes None if no document says.
        name: Short, and of this candidate alone.
        group: In a sweep: those with a common float parent.
        variant, precision, recipe: None if no document says.
        parent: sha256 of the float model that it was made from; None if unknown, or none.
        timings: One a setting; the last that was taken.
        accuracies: One a data set.
        fidelity: Against its float parent; None if nobody compared them.
        profiles: Times by operator.
        quality, quality_interval, quality_kind: What it is judged by (0-1): ``top-1 accuracy``
            where it was evaluated, else ``agreement with its float parent``, which is 1 for the
            parent itself; None without either. On which photos, ``accuracy`` or ``fidelity``
            say.
        accuracy: Behind the quality; None if that is an agreement.
        timing: In the setting that most candidates share, or another; None if never timed.
        speed, change: Time and accuracy against its parent, or, without one, against the first
            model of the same command; None if they were not measured together.
        on_front: Nobody with figures of the same photos and setting is better in quality,
            latency and size at once.
    """

    sha256: str
    name: str
    path: str | None
    bytes: int | None
    group: str | None
    variant: str | None
    precision: str | None
    recipe: str | None
    parent: str | None
    timings: tuple[Timing, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()
    fidelity: Fidelity | None = None
    profiles: tuple[Profile, ...] = ()
    quality: float | None = None
    quality_interval: Interval | None = None
    quality_kind: str | None = None
    accuracy: Accuracy | None = None
    timing: Timing | None = None
    speed: Speed | None = None
    change: Change | None = None
    on_front: bool = False

    @property
    def p50_ms(self) -> float | None:
        """Median latency in the setting of ``timing``."""
        return self.timing.p50_ms if self.timing else None

    @property
    def agreement(self) -> tuple[float, int] | None:
        """Share of photos (0-1) with the float parent's answer, and how many photos.

        Of an evaluation, which has most photos, or else of a comparison.
        """
        if self.change and self.change.a == self.parent:
            return self.change.agreement, self.change.photos.count
        return (self.fidelity.agreement, self.fidelity.count) if self.fidelity else None

    def to_json(self) -> dict[str, Any]:
        """Without single times, classes and layers."""
        fidelity = self.fidelity
        return {
            "name": self.name,
            "file": self.path,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "group": self.group,
            "variant": self.variant,
            "precision": self.precision,
            "recipe": self.recipe,
            "parent": self.parent,
            "quality": self.quality,
            "quality_interval": self.quality_interval,
            "quality_kind": self.quality_kind,
            "top5": self.accuracy.top5 if self.accuracy else None,
            "agreement": self.agreement[0] if self.agreement else None,
            "sqnr_db": fidelity.sqnr_db if fidelity else None,
            "p50_ms": self.p50_ms,
            "setting": str(self.timing.setting) if self.timing else None,
            "noise": list(self.timing.noise) if self.timing else [],
            "speed": _against(self.speed),
            "change": _against(self.change),
            "on_front": self.on_front,
        }


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Everything in the documents.

    Attributes:
        candidates: In order of appearance, but those of a group together.
        arenas: Candidates that may be compared, each with its front.
        failures: What could not be made or measured.
        notes: What a reader must know, a sentence each.
        commands: Command lines, in order.
        versions: Of packages, by name; more than one where the documents differ.
        machines: What ran the commands.
    """

    candidates: tuple[Candidate, ...]
    arenas: tuple[Arena, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]
    versions: dict[str, tuple[str, ...]]
    machines: tuple[str, ...]

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Those on the front."""
        return tuple(candidate for candidate in self.candidates if candidate.on_front)

    def candidate(self, sha256: str | None) -> Candidate | None:
        """The one with this file."""
        return next((found for found in self.candidates if found.sha256 == sha256), None)

    def to_json(self) -> dict[str, Any]:
        """Candidates with their figures, the front's names, notes and failures."""
        document: dict[str, Any] = finite(
            {
                "candidates": [candidate.to_json() for candidate in self.candidates],
                "front": [candidate.name for candidate in self.front],
                "notes": self.notes,
                "failures": [dataclasses.asdict(failure) for failure in self.failures],
            }
        )
        return document


def join(entries: Sequence[Entry], notes: Iterable[str] = ()) -> Evidence:
    """Put together what the documents say of each file, told apart by its sha256.

    Of several measurements of the same thing in the same way the last one counts. Bytes come
    from the documents, or from the file if it is still there.

    Args:
        entries: As :func:`effnet_lite.benchmark.report.documents.read_documents` gives them.
        notes: What was found while they were read.

    Raises:
        InputError: A value in a document is not what it should be.
    """
    collected = Collected()
    for entry in entries:
        collected.add(entry)
    files = collected.files.known()
    parents = {file.sha256: collected.parent(file) for file in files}
    measured = [collected.measured(file, parents) for file in files]
    photos = _commonest(accuracy.photos for one in measured for accuracy in one.accuracies)
    arenas, more = make_arenas(measured, photos)
    candidates = [
        _candidate(collected, file, one, arenas, parents)
        for file, one in zip(files, measured, strict=True)
    ]
    return Evidence(
        candidates=tuple(candidates),
        arenas=arenas,
        failures=tuple(collected.failures.values()),
        notes=tuple(dict.fromkeys([*notes, *collected.files.notes, *collected.notes, *more])),
        commands=tuple(dict.fromkeys(collected.commands)),
        versions={name: tuple(found) for name, found in collected.versions.items()},
        machines=tuple(dict.fromkeys(collected.machines)),
    )


def _candidate(
    collected: Collected,
    file: File,
    measured: Measured,
    arenas: Sequence[Arena],
    parents: dict[str, str | None],
) -> Candidate:
    mine, parent = file.sha256, parents[file.sha256]
    homes = [arena for arena in arenas if mine in arena.members]
    # Accuracy before agreement; the arenas come with the most common setting first.
    home = min(homes, key=lambda arena: arena.kind != ACCURACY, default=None)
    point = home.members[mine] if home else None
    timing = point.timing if point and point.timing else next(iter(measured.timings), None)
    accuracy = point.accuracy if point else None
    return Candidate(
        sha256=mine,
        name=file.name,
        path=file.path,
        bytes=file.bytes,
        group=file.group,
        variant=file.variant,
        precision=file.precision,
        recipe=file.recipe,
        parent=parent if parent != mine else None,
        timings=measured.timings,
        accuracies=measured.accuracies,
        fidelity=measured.fidelity,
        profiles=tuple(found for (sha, _), found in collected.profiles.items() if sha == mine),
        quality=point.quality if point else None,
        quality_interval=point.interval if point else None,
        quality_kind=home.kind if home and point and point.quality is not None else None,
        accuracy=accuracy,
        timing=timing,
        speed=collected.speed(mine, timing.setting, parent) if timing else None,
        change=collected.change(mine, accuracy.photos, parent) if accuracy else None,
        on_front=bool(point and point.on_front),
    )


def _against(pair: Speed | Change | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    figure = {"ratio": pair.ratio} if isinstance(pair, Speed) else {"points": pair.points}
    return {"against": pair.a, **figure, "interval": pair.interval, "verdict": pair.verdict}


def _commonest(values: Iterable[Photos]) -> tuple[Photos, ...]:
    return tuple(value for value, _ in collections.Counter(values).most_common())
