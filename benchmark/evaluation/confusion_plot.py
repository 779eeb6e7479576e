"""A picture of confusion: which class was taken for which, a panel a model."""

from __future__ import annotations

import collections
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from effnet_lite.benchmark.evaluation.results import Evaluation, ModelEvaluation
from effnet_lite.pictures import picture
from effnet_lite.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 24
_MOST_MODELS = 4
_LONGEST_NAME = 22
_CELL, _AROUND = 0.34, (3.4, 3.6)  # inches

Shares = npt.NDArray[np.float64]


def draw(result: Evaluation, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write the picture; the same evaluation gives the same bytes.

    A row is a class, and its cells say which share of its photos got which answer. With more
    than 24 classes, those that are confused most are shown, and the rest is one column.

    Args:
        result: Of the models the first four are drawn.
        path: Ends in .png, .svg or .pdf.
        overwrite: Replace an existing file.

    Raises:
        UsageError, MissingDependencyError, InputError: As ``pictures.check_picture``.
    """
    models = result.models[:_MOST_MODELS]
    shown = shown_classes(models)
    side = (len(shown) + 1) * _CELL
    inches = (len(models) * (side + _AROUND[0]), side + _AROUND[1])
    with picture(path, inches, overwrite) as figure:
        panels = figure.subplots(1, len(models), squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            _draw_panel(axes, result, model, shown)
        of = len(models[0].figures.classes)
        what = "all classes" if len(shown) >= of else f"the {len(shown)} most confused of {of}"
        figure.suptitle(f"Answers on {result.count} photos, {what}; % of a class's photos")


def shown_classes(models: Sequence[ModelEvaluation]) -> list[int]:
    """Classes with photos, by index; where there are many, those of the most wrong answers."""
    present = {entry.index for model in models for entry in model.figures.classes}
    if len(present) <= MOST_CLASSES:
        return sorted(present)
    wrong: collections.Counter[tuple[int, int]] = collections.Counter()
    for model in models:
        for right, answer, count in model.figures.confusions():
            wrong[right, answer] += count
    # First those that both have a row, the most frequent first.
    pairs = sorted(wrong, key=lambda pair: (pair[1] not in present, -wrong[pair], pair))
    chosen: set[int] = set()
    for pair in pairs:
        more = present.intersection(pair) - chosen
        if len(chosen) + len(more) <= MOST_CLASSES:
            chosen |= more
    rest = sorted(present - chosen)
    return sorted([*chosen, *rest[: MOST_CLASSES - len(chosen)]])


def shares(model: ModelEvaluation, shown: Sequence[int]) -> Shares:
    """Rows: the shown classes; columns: answers, these classes and all others (0-1)."""
    places = {index: number for number, index in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown) + 1))
    for right, answer, count in model.figures.confusion:
        if right in places:
            counts[places[right], places.get(answer, len(shown))] += count
    found: Shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    return found


def _draw_panel(
    axes: Axes, result: Evaluation, model: ModelEvaluation, shown: Sequence[int]
) -> None:
    from matplotlib.patches import Rectangle

    values = shares(model, shown)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    for row, column in zip(*np.nonzero(values), strict=True):
        share = values[row, column]
        # Numbers say it where shades of one colour are hard to tell apart.
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
                  color="white" if share > 0.6 else "black")  # fmt: skip
    for place in range(len(shown)):  # where right answers are
        axes.add_patch(Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, linewidth=0.5))
    names = [_short(result.label(index)) for index in shown]
    axes.set_xticks(range(len(shown) + 1), [*names, "any other"], rotation=90, fontsize=8)
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.set_title(
        f"{_short(model.name, 40)}\ntop-1 {model.figures.top1:.1%}, ECE {model.figures.ece:.3f}",
        fontsize=10,
    )


def _short(name: str, most: int = _LONGEST_NAME) -> str:
    text = printable(name)
    return text if len(text) <= most else text[: most - 1] + "…"
