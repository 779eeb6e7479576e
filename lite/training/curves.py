"""Learning curves: loss and top-1 of training and validation by epoch."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence

from effnet_lite.lite.training.loop import Epoch
from effnet_lite.pictures import COLOURS, picture

_INCHES = (9.0, 3.6)


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(path: str | os.PathLike[str], history: Sequence[Epoch], title: str) -> None:
    """Draw the epochs; the best one is marked.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        InputError: The disk refuses.
    """
    epochs = [epoch.epoch for epoch in history]
    best = next((epoch for epoch in reversed(history) if epoch.best), None)
    with picture(path, _INCHES, overwrite=True) as figure:
        left, right = figure.subplots(1, 2)
        figure.suptitle(title)
        lines = (
            (left, "loss", "training, as augmented", [epoch.loss for epoch in history]),
            (left, "loss", "validation", [epoch.validation_loss for epoch in history]),
            (right, "top-1, %", "training, as augmented", [100 * e.top1 for e in history]),
            (right, "top-1, %", "validation", [100 * e.validation_top1 for e in history]),
        )
        for number, (axes, name, label, values) in enumerate(lines):
            axes.plot(epochs, values, "o-", markersize=3, color=COLOURS[number % 2], label=label)
            axes.set_ylabel(name)
            axes.set_xlabel("epoch")
            axes.grid(alpha=0.3)
        if best:
            text = f"best: {best.validation_top1:.1%}, epoch {best.epoch}"
            for axes in (left, right):
                axes.axvline(best.epoch, color=COLOURS[2], linewidth=1, label=text)
        right.legend(fontsize=8)
