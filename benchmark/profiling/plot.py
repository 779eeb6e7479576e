"""A picture of a profile: the layers under the machine's roofline, and what each costs."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from effnet_lite.benchmark.profiling.profile import LayerTime, Profile
from effnet_lite.benchmark.profiling.roofline import Peaks
from effnet_lite.errors import InputError
from effnet_lite.pictures import COLOURS, check_picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES = (14.0, 7.6)
_NAMED, _BARS = 5, 16
_LONGEST_NAME, _LONGEST_TITLE = 32, 70
# The same in every picture; more than colour tells the kinds apart, too.
_STYLES = {
    "CONV_2D": (COLOURS[0], "o"),
    "DEPTHWISE_CONV_2D": (COLOURS[1], "^"),
    "FULLY_CONNECTED": (COLOURS[2], "s"),
    "MUL": (COLOURS[3], "D"),
    "ADD": (COLOURS[4], "v"),
}
_OTHER = (COLOURS[5], "P")
_KINDS = 6
_LEAST_AREA, _MOST_AREA = 18.0, 420.0  # square points
_GREY = "#555555"


def draw(
    profile: Profile, path: str | os.PathLike[str], overwrite: bool = False, title: str = ""
) -> None:
    """Write the picture, 1400 pixels wide as .png; the same profile gives the same bytes.

    Args:
        profile: With or without peaks; without, the roof is left out.
        path: Ends in .png, .svg or .pdf.
        overwrite: Replace an existing file.
        title: In place of the file's name.

    Raises:
        UsageError, MissingDependencyError: As ``pictures.check_picture``.
        InputError: As there, or no layer took any time.
    """
    if not profile.layers_ms:
        check_picture(path, overwrite)
        raise InputError("expected a profile with layers that take time, found none to draw")
    with picture(path, _INCHES, overwrite) as figure:
        _draw(figure, profile, title or Path(profile.model).name)


def _draw(figure: Figure, profile: Profile, title: str) -> None:
    axes = figure.subplot_mosaic(
        [["roof", "layers"], ["roof", "kinds"]], width_ratios=[1.3, 1], height_ratios=[3, 1]
    )
    _draw_roofline(axes["roof"], profile)
    _draw_layers(axes["layers"], profile)
    _draw_kinds(axes["kinds"], profile)
    name = title if len(title) <= _LONGEST_TITLE else f"…{title[1 - _LONGEST_TITLE :]}"
    figure.suptitle(
        f"{name}: {profile.layers_ms:.2f} ms in {len(profile.layers)} operators, "
        f"{profile.inference_ms:.2f} ms measured without profiler\n"
        f"{profile.device}, {profile.threads} thread(s), {profile.kernels} kernels of "
        f"{profile.runtime} {profile.version}" + (", noisy" if profile.noise else ""),
        fontsize=12,
    )


def _draw_roofline(axes: Axes, profile: Profile) -> None:
    from matplotlib.collections import PathCollection

    points = [layer for layer in profile.layers if layer.gops]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations for each byte of weights and activations")
    axes.set_ylabel("10⁹ operations a second")
    axes.grid(which="major", alpha=0.35)
    if not points:
        text = "no layer with multiply-adds takes long enough to say"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
        return
    for kind in [entry.kind for entry in profile.by_kind]:
        colour, marker = _STYLES.get(kind, _OTHER)
        mine = [layer for layer in points if layer.kind == kind]
        if mine:
            axes.scatter(
                [layer.intensity for layer in mine], [layer.gops or 0.0 for layer in mine],
                [_area(layer, profile) for layer in mine],
                color=colour, marker=marker, alpha=0.75, edgecolors="white", linewidths=0.6,
                label=kind, zorder=3,
            )  # fmt: skip
    left = min(layer.intensity for layer in points) / 1.6
    right = max(layer.intensity for layer in points) * 2.2
    speeds = [layer.gops for layer in points if layer.gops]
    bottom, top = min(speeds) / 6, max(speeds) * 1.8
    if profile.peaks:
        top = max(top, 2.2 * max(profile.peaks.gops.values(), default=top))
        _draw_roofs(axes, profile.peaks, left, right)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    _name_costliest(axes, points)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False,
        fontsize=9, borderaxespad=0.2,
    )  # fmt: skip
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([60.0])


def _draw_roofs(axes: Axes, peaks: Peaks, left: float, right: float) -> None:
    highest = max(peaks.gops.values(), default=0.0)
    for dtype, gops in peaks.gops.items():
        knee = gops / peaks.cache_gb_per_s
        axes.plot([min(knee, right), right], [gops, gops], color="#000000", linewidth=1.6)
        text = f"{dtype}: {gops:.0f} GOP/s"
        axes.annotate(text, (right, gops), xytext=(-6, 4), textcoords="offset points",
                      ha="right", va="bottom", fontsize=9)  # fmt: skip
    for name, speed, style in (
        ("caches", peaks.cache_gb_per_s, "-"),
        ("memory", peaks.memory_gb_per_s, "--"),
    ):
        end = min(highest / speed, right)
        axes.plot([left, end], [left * speed, end * speed], style, color="#000000", linewidth=1.6)
        x, y = left * 1.08, left * 1.08 * speed * 1.12  # a little above the line
        axes.text(
            x, y, f"{name}: {speed:.0f} GB/s", fontsize=9, rotation_mode="anchor",
            rotation=math.degrees(math.atan2(y, x)), transform_rotates_text=True,
        )  # fmt: skip


def _name_costliest(axes: Axes, points: Sequence[LayerTime]) -> None:
    """Names in a column at the lower right, where no layer can be, with lines to their points."""
    costliest = sorted(points, key=lambda layer: -layer.ms)[:_NAMED]
    # The leftmost at the bottom: lines cross least, and a name hides those that pass behind it.
    costliest.sort(key=lambda layer: (layer.intensity, layer.gops))
    for place, layer in enumerate(costliest):
        axes.annotate(
            f"{_shortened(layer.name)}  {layer.ms:.3f} ms", (layer.intensity, layer.gops or 0.0),
            xytext=(0.985, 0.03 + 0.042 * place), textcoords="axes fraction",
            ha="right", va="center", fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            arrowprops={"arrowstyle": "-", "color": _GREY, "linewidth": 0.7, "relpos": (0, 0.5),
                        "shrinkA": 2.0, "shrinkB": 3.0},
        )  # fmt: skip


def _draw_layers(axes: Axes, profile: Profile) -> None:
    layers = profile.costliest(_BARS)
    texts = [
        f" {layer.share:.1%}" + (f", {layer.roof:.0%} of the roof" if layer.roof else "")
        for layer in layers
    ]
    colours = [_STYLES.get(layer.kind, _OTHER)[0] for layer in layers]
    _bars(axes, [_shortened(layer.name) for layer in layers], [layer.ms for layer in layers],
          colours, texts)  # fmt: skip
    axes.set_title(f"the {len(layers)} costliest of {len(profile.layers)} layers", fontsize=11)


def _draw_kinds(axes: Axes, profile: Profile) -> None:
    kinds = profile.by_kind[:_KINDS]
    texts = [f" {kind.share:.1%}, {kind.layers} layer{'s' * (kind.layers > 1)}" for kind in kinds]
    colours = [_STYLES.get(kind.kind, _OTHER)[0] for kind in kinds]
    _bars(axes, [kind.kind for kind in kinds], [kind.ms for kind in kinds], colours, texts)
    axes.set_xlabel("milliseconds an inference")


def _bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], colours: Sequence[str],
    texts: Sequence[str],
) -> None:  # fmt: skip
    places = range(len(names))
    axes.barh(places, values, color=colours, alpha=0.8)
    axes.set_yticks(places, names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for place, value, text in zip(places, values, texts, strict=True):
        axes.text(value, place, text, fontsize=8, va="center")
    axes.set_xlim(right=1.5 * max(values))
    axes.grid(axis="x", alpha=0.35)
    axes.set_axisbelow(True)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _area(layer: LayerTime, profile: Profile) -> float:
    largest = max(other.share for other in profile.layers)
    return max(_LEAST_AREA, _MOST_AREA * layer.share / largest)
