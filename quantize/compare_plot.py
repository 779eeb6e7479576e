"""A picture of a comparison: every layer's SQNR and saturation in execution order."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from effnet_lite.errors import InputError
from effnet_lite.pictures import COLOURS, check_picture, picture
from effnet_lite.quantize.compare import Comparison
from effnet_lite.quantize.layer_errors import LayerError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES = (14.0, 7.0)
_MOST_TICKS, _LONGEST_NAME, _WIDEST_LABELS = 60, 24, 180  # characters

# More than colour tells them apart, too.
_LINES: dict[str, dict[str, Any]] = {
    "accumulated": {"color": COLOURS[0], "marker": "o", "linestyle": "-", "linewidth": 2.0},
    "activation alone": {"color": COLOURS[1], "marker": "^", "linestyle": "--", "linewidth": 1.2},
    "weights alone": {"color": COLOURS[-1], "marker": "s", "linestyle": ":", "linewidth": 1.2},
}


def draw(
    comparison: Comparison,
    path: str | os.PathLike[str],
    overwrite: bool = False,
    title: str = "",
) -> None:
    """Write the picture, 1400 pixels wide as .png; the same comparison gives the same bytes.

    Args:
        comparison: With layers.
        path: Ends in .png, .svg or .pdf.
        overwrite: Replace an existing file.
        title: Stands before the figures of the whole model.

    Raises:
        UsageError, MissingDependencyError: As ``pictures.check_picture``.
        InputError: As there, or the comparison has no layers.
    """
    if not comparison.layers:
        check_picture(path, overwrite)
        raise InputError("expected a comparison with figures by layer, found none to draw")
    with picture(path, _INCHES, overwrite) as figure:
        _draw(figure, comparison, title)


def _draw(figure: Figure, comparison: Comparison, title: str) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    layers = comparison.layers
    _draw_sqnr(upper, layers)
    _draw_saturation(lower, layers)
    _mark_blocks(upper, lower, [layer.name for layer in layers])
    upper.tick_params(axis="x", which="both", length=0)
    if any(layer.kind == "LOGISTIC" for layer in layers):
        lower.set_xlabel(f"{lower.get_xlabel()}; marks beside the lines are gates")
    upper.set_xlim(-0.5, len(layers) - 0.5)
    figure.suptitle("\n".join(filter(None, [title, _headline(comparison)])), fontsize=12)


def _headline(comparison: Comparison) -> str:
    fidelity = comparison.fidelity
    sqnr = f"{fidelity.sqnr_db:.1f} dB" if math.isfinite(fidelity.sqnr_db) else "infinite"
    return (
        f"top-1 agreement {fidelity.top1_agreement:.1%}, SQNR of the logits {sqnr}, "
        f"KL {fidelity.kl:.4f}, {fidelity.ties} ties on {fidelity.count} photos"
    )


def _draw_sqnr(axes: Axes, layers: Sequence[LayerError]) -> None:
    figures = zip(
        *((layer.sqnr_db, layer.activation_sqnr_db, layer.weights_sqnr_db) for layer in layers),
        strict=True,
    )
    size = max(2.5, 5.0 * min(1.0, 120 / len(layers)))
    drawn = False
    for (name, style), values in zip(_LINES.items(), figures, strict=True):
        points = [
            (number, value)
            for number, value in enumerate(values)
            if value is not None and math.isfinite(value)
        ]
        # A gate is a factor of what flows, not a step on its way: marks beside the line.
        gates = [point for point in points if layers[point[0]].kind == "LOGISTIC"]
        steps = [point for point in points if point not in gates]
        if steps:
            axes.plot(*zip(*steps, strict=True), label=name, markersize=size, **style)
        if gates:
            axes.plot(*zip(*gates, strict=True), markersize=size, **{**style, "linestyle": ""})
        drawn = drawn or bool(points)
    rescaled = [
        (number, layer.sqnr_db)
        for number, layer in enumerate(layers)
        if layer.rescaled and math.isfinite(layer.sqnr_db)
    ]
    if rescaled:
        axes.plot(
            *zip(*rescaled, strict=True),
            label="accumulated, stored rescaled",
            **{**_LINES["accumulated"], "linestyle": "", "markersize": size},
            markerfacecolor="white",
        )
    axes.set_ylabel("SQNR, dB")
    axes.grid(axis="y", alpha=0.4)
    if drawn:
        _name_worst(axes, layers)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    else:
        _say(axes, "no error in any layer")


def _name_worst(axes: Axes, layers: Sequence[LayerError]) -> None:
    finite = [entry for entry in enumerate(layers) if math.isfinite(entry[1].sqnr_db)]
    if not finite:
        return
    number, layer = min(finite, key=lambda entry: entry[1].sqnr_db)
    axes.margins(y=0.1)
    place = number / max(len(layers) - 1, 1)
    axes.annotate(
        f"{layer.name[-_LONGEST_NAME:]}, {layer.sqnr_db:.1f} dB",
        (number, layer.sqnr_db),
        xytext=(0, -8),
        textcoords="offset points",
        ha="left" if place < 0.1 else "right" if place > 0.9 else "center",
        va="top",
        fontsize=9,
    )


def _draw_saturation(axes: Axes, layers: Sequence[LayerError]) -> None:
    axes.set_ylabel("saturated, %")
    found = [(number, layer.saturation) for number, layer in enumerate(layers)]
    stored = [(number, saturation) for number, saturation in found if saturation]
    if not any(saturation.share for _, saturation in stored):
        _say(axes, "none" if stored else "the file stores reals")
        return
    positions = [number for number, _ in stored]
    low, high = (
        [100 * getattr(saturation, side) / saturation.total for _, saturation in stored]
        for side in ("low", "high")
    )
    grey = "#555555"
    axes.bar(positions, high, color=grey, label="above the range")
    style: dict[str, Any] = {"color": "white", "edgecolor": grey, "hatch": "////", "linewidth": 0.8}
    axes.bar(positions, low, bottom=high, label="below", **style)
    axes.legend(loc="upper left", ncols=2, frameon=False, fontsize=9)
    axes.grid(axis="y", alpha=0.4)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
    axes.set_yticks([])


def _mark_blocks(upper: Axes, lower: Axes, names: Sequence[str]) -> None:
    """Stages as bands in both, blocks as ticks below; layers where no name has a block."""
    blocks = _blocks(names)
    for number, (_, first, last) in enumerate(_runs([stage for stage, _ in blocks])):
        if number % 2:
            for axes in (upper, lower):
                axes.axvspan(first - 0.5, last + 0.5, color="#000000", alpha=0.06, linewidth=0)
    if any(label for _, label in blocks):
        runs = _runs([label for _, label in blocks])
        lower.set_xticks([run[1] - 0.5 for run in runs], minor=True)
        lower.tick_params(axis="x", which="major", length=0)
        lower.tick_params(axis="x", which="minor", length=5)
        lower.set_xlabel("block, in execution order; a band is a stage")
    else:
        runs = [(name[-_LONGEST_NAME:], number, number) for number, name in enumerate(names)]
        lower.set_xlabel("layer, in execution order")
    every = -(-len(runs) // _MOST_TICKS)
    runs = runs[::every]
    labels = [label for label, *_ in runs]
    turned = sum(map(len, labels)) > _WIDEST_LABELS
    lower.set_xticks(
        [(first + last) / 2 for _, first, last in runs],
        labels,
        rotation=90 if turned else 0,
        fontsize=9,
    )
    if not turned:  # stem and head are often narrower than their labels, and have room outside
        for tick in lower.get_xticklabels():
            if tick.get_text() in ("stem", "head"):
                tick.set_horizontalalignment("right" if tick.get_text() == "stem" else "left")


def _blocks(names: Sequence[str]) -> list[tuple[str, str]]:
    """Stage and block of each layer, both empty where no name tells.

    ``block2a_add`` is ours and Keras', ``…/blocks_3/…`` the TensorFlow models'.
    """
    found = [re.search(r"block(\d+)([a-z]+)_|blocks_(\d+)(?!\d)", name) for name in names]
    known = [number for number, match in enumerate(found) if match]
    if not known:
        return [("", "")] * len(names)
    blocks = []
    for number, match in enumerate(found):
        if match:
            stage = match[1] or match[3]
            blocks.append((stage, stage + (match[2] or "")))
        elif known[0] < number < known[-1]:
            blocks.append(blocks[-1])
        else:
            blocks.append(("stem",) * 2 if number < known[0] else ("head",) * 2)
    return blocks


def _runs(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Equal neighbours: what they are, the first's and the last's position."""
    runs = []
    for label, run in itertools.groupby(range(len(labels)), key=labels.__getitem__):
        positions = list(run)
        runs.append((label, positions[0], positions[-1]))
    return runs
