"""What ``evaluate`` found."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.evaluation.metrics import Figures
from effnet_lite.benchmark.evaluation.paired import Comparison
from effnet_lite.files import write_bytes
from effnet_lite.finite import finite

_COLUMNS = ("model", "class", "label", "photos", "top1", "low", "high", "top5", "answered",
            "precision")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ModelEvaluation:
    """One model.

    Attributes:
        model, sha256: The file.
        name: A short name that tells it apart from the others.
        figures: Over all photos that could be read.
    """

    model: Path
    sha256: str
    name: str
    figures: Figures


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A photo that could not be used: its name in the data set, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Run:
    """How the figures came about; they do not depend on it.

    Attributes:
        processes, threads: Worker processes, and CPU threads of each model in each of them.
        evaluated: Photos evaluated in this run; the rest were in the journal.
        seconds: From the start of the workers to the last answer.
        photos_per_s: ``evaluated`` over ``seconds``; None if nothing was to be done.
        peak_rss_mib: Of this process.
        worker_peak_rss_mib: Of the greatest worker process.
    """

    processes: int
    threads: int
    evaluated: int
    seconds: float
    photos_per_s: float | None
    peak_rss_mib: float | None
    worker_peak_rss_mib: float | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Everything one ``evaluate`` found.

    Attributes:
        data, kind: The data set's path, and ``folders``, ``table`` or ``tfrecord``.
        digest: sha256 over the sha256 of each readable photo in order.
        count: Photos that could be read and have a class that the models know.
        models: In the order in which they were given.
        comparisons: Of the others with the first.
        labels: The models' classes, without a background class.
        unreadable: Photos that could not be used.
        unknown: Classes of the data set that the models do not know, with their photos.
        without_class: Photos that nothing tells the class of.
        limit, seed: Of the draw of photos; no limit takes all.
        notes: What a user should know, a sentence each.
        run: How it was done; no part of a comparison of two evaluations.
    """

    data: Path
    kind: str
    digest: str
    count: int
    models: tuple[ModelEvaluation, ...]
    comparisons: tuple[Comparison, ...]
    labels: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    unknown: tuple[tuple[str, int], ...]
    without_class: int
    limit: int | None
    seed: int
    notes: tuple[str, ...]
    run: Run = dataclasses.field(compare=False)

    def label(self, index: int) -> str:
        """The name of a class in ``Figures.confusion``."""
        return self.labels[index] if index >= 0 else "background"

    def to_json(self) -> dict[str, Any]:
        """The document of ``evaluate --json``; the figures at its top are the first model's."""
        first = self.models[0].figures
        models = [
            {
                "model": str(entry.model),
                "name": entry.name,
                "sha256": entry.sha256,
                **entry.figures.to_json(),
            }
            for entry in self.models
        ]
        named = sorted({index for model in self.models for row in model.figures.confusion
                        for index in row[:2]})  # fmt: skip
        document: dict[str, Any] = {
            "count": self.count,
            "top1": first.top1,
            "top5": first.top5,
            "top1_interval": list(first.top1_interval),
            "top5_interval": list(first.top5_interval),
            "ece": first.ece,
            "data": {
                "path": str(self.data),
                "kind": self.kind,
                "digest": self.digest,
                "limit": self.limit,
                "seed": self.seed,
            },
            "models": models,
            "comparisons": [entry.to_json() for entry in self.comparisons],
            "labels": {str(index): self.label(index) for index in named},
            "unreadable": [dataclasses.asdict(entry) for entry in self.unreadable],
            "unknown_classes": [{"class": name, "photos": count} for name, count in self.unknown],
            "without_class": self.without_class,
            "notes": list(self.notes),
            "run": dataclasses.asdict(self.run),
        }
        return _text(finite(document))  # type: ignore[no-any-return]


def write_csv(result: Evaluation, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """One line a model and class.

    Raises:
        InputError: The file exists and ``overwrite`` is off, or cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for model in result.models:
        for entry in model.figures.classes:
            writer.writerow(
                [model.name, entry.index, entry.label, entry.count, entry.top1, *entry.interval,
                 entry.top5, entry.answered, _cell(entry.precision)]
            )  # fmt: skip
    write_bytes(path, buffer.getvalue().encode("utf-8", "replace"), overwrite)


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def _text(tree: Any) -> Any:
    """The same tree without lone surrogates, which names of files may have and JSON may not."""
    if isinstance(tree, dict):
        return {key: _text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_text(value) for value in tree]
    return tree.encode("utf-8", "replace").decode() if isinstance(tree, str) else tree
