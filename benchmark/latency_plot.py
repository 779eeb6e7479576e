"""A picture of latencies: every timed run, and the percentiles."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from effnet_lite.benchmark.records import BenchmarkResult, Measurement
from effnet_lite.errors import InputError
from effnet_lite.pictures import COLOURS, check_picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEAD, _ROW = 14.0, 2.0, 0.8  # inches
# The slowest runs of a busy machine would squeeze all others into a corner.
_SHOWN = 99.5
_WIDE = 4.0  # slowest over fastest median from which on the axis is logarithmic


def draw(result: BenchmarkResult, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write the picture, 1400 pixels wide as .png; the same result gives the same bytes.

    Args:
        result: With at least one record whose runs are known one by one.
        path: Ends in .png, .svg or .pdf.
        overwrite: Replace an existing file.

    Raises:
        UsageError, MissingDependencyError: As ``pictures.check_picture``.
        InputError: As there, or no record has single times.
    """
    rows = [
        (label, record)
        for label, record in zip(result.labels, result.records, strict=True)
        if record.times_ms
    ]
    if not rows:
        check_picture(path, overwrite)
        raise InputError("expected records with the times of single runs, found none to draw")
    with picture(path, (_WIDTH, _HEAD + _ROW * len(rows)), overwrite) as figure:
        _draw(figure, rows)


def _draw(figure: Figure, rows: list[tuple[str, Measurement]]) -> None:
    axes = figure.subplots()
    random = np.random.default_rng(0)
    for number, (_, record) in enumerate(rows):
        _draw_row(axes, number, record, random)
    axes.set_yticks(range(len(rows)), [_name(label, record) for label, record in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    medians = [record.p50_ms or 0.0 for _, record in rows]
    shown = max(float(np.percentile(record.times_ms, _SHOWN)) for _, record in rows)
    if max(medians) > _WIDE * min(medians):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlim(right=shown * 1.05)
    axes.set_xlabel("milliseconds an inference")
    axes.grid(axis="x", alpha=0.3)
    record = rows[0][1]
    title = f"{record.device}, {record.threads} thread(s)"
    axes.set_title(
        f"{title}\npoints: runs; bar: 10th to 90th percentile; line: median; triangle: 99th",
        fontsize=11,
    )


def _draw_row(axes: Axes, number: int, record: Measurement, random: np.random.Generator) -> None:
    times = np.asarray(record.times_ms)
    colour = COLOURS[number % len(COLOURS)]
    jitter = number + random.uniform(-0.28, 0.28, len(times))
    axes.plot(times, jitter, ".", color=colour, markersize=5, alpha=0.5, markeredgewidth=0)
    low, middle, high, last = np.percentile(times, [10, 50, 90, 99])
    axes.barh(number, high - low, 0.16, low, color=colour, alpha=0.6)
    axes.plot([middle, middle], [number - 0.32, number + 0.32], color="#000000", linewidth=1.5)
    axes.plot([last], [number], "^", color="#000000", markersize=6)
    text = f"{middle:.2f} ms" + (", noisy" if record.noisy else "")
    axes.text(middle, number - 0.36, text, fontsize=9, ha="center", va="bottom")


def _name(label: str, record: Measurement) -> str:
    text = label if len(label) <= 44 else f"…{label[-43:]}"
    return f"{text}\n{record.runtime}, {record.delegate}"
