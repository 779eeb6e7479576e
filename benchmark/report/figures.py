"""Plotly figures of whole candidates: the fronts, latencies, calibration.

Candidates go by their number in the table, which is written at their points, because names are
long and a phone is narrow. Names stand in the legend or over the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from effnet_lite.benchmark.report import text
from effnet_lite.benchmark.report.arenas import ACCURACY, Arena, Point
from effnet_lite.benchmark.report.evidence import Candidate, Evidence
from effnet_lite.benchmark.report.readings import Setting, Timing
from effnet_lite.benchmark.report.style import (
    FAINT,
    INK,
    Figure,
    Trace,
    axis,
    bare_axis,
    colour,
    dash,
    layout,
    over_row,
    symbol,
)
from effnet_lite.benchmark.report.tables import Cell, cell, table

LATENCY, SIZE = "latency", "size"
#: Of a candidate's runs so many are drawn, evenly over its sorted times.
MOST_RUNS = 150
# The slowest runs of a busy machine would squeeze all others into a corner.
_SHOWN = 99.5
_WIDE = 4.0  # largest over smallest from which on an axis is logarithmic
_LEGEND_NAME = 30
_ROW = 64
# Where the number of a point may stand, the best place first: of Plotly's names, and as steps
# of a label's width and height.
# Straight above and below, where the intervals are, is no place.
_PLACES = {
    "top right": (1, 1), "bottom right": (1, -1), "top left": (-1, 1), "bottom left": (-1, -1),
    "middle right": (1.4, 0), "middle left": (-1.4, 0),
}  # fmt: skip


def pareto(evidence: Evidence, arenas: Sequence[Arena], against: str) -> Figure | None:
    """Quality against latency or size, with the fronts as step lines.

    Args:
        evidence: Where names come from.
        arenas: Of the same photos or kind of quality, and the same setting.
        against: ``LATENCY`` or ``SIZE``.
    """
    places = [
        (place, point, found)
        for place, arena in enumerate(arenas)
        for point in arena.points
        if (found := _xy(point, against))
    ]
    if not places:
        return None
    series = _series(evidence)
    limits = _range([found[0] for _, _, found in places])
    positions = _label_places(places, logarithmic=limits["type"] == "log")
    traces = [
        _step_line([found for at, point, found in places if at == place and point.on_front], place)
        for place in range(len(arenas))
    ]
    traces += [
        _marker(evidence, series, point, found, position)
        for (_, point, found), position in zip(places, positions, strict=True)
    ]
    unit = "latency of one image, ms" if against == LATENCY else "size of the file, MB"
    kind = arenas[0].kind
    drawn = [trace for trace in traces if trace["x"]]
    return Figure(
        title=f"{kind[0].upper()}{kind[1:]} against {against}",
        data=drawn,
        layout=layout(
            xaxis=axis(unit, **limits),
            yaxis=axis(f"{kind}, %"),
            hovermode="closest",
        ),
        height=460,
        legend_rows=len(drawn),
        table=_points_table(evidence, arenas),
        note="Symbols that are filled are on the front. Bars are 95 % intervals."
        + ("" if kind == ACCURACY else " Each float parent has a front of its own."),
    )


def latencies(evidence: Evidence, setting: Setting) -> Figure | None:
    """How single runs are spread, a row a candidate."""
    rows = [
        (number, one, timing)
        for number, one in enumerate(evidence.candidates, 1)
        for timing in one.timings
        if timing.setting == setting and timing.times_ms
    ]
    if not rows:
        return None
    traces: list[Trace] = []
    notes = []
    for place, (number, one, timing) in enumerate(rows):
        traces += _distribution(place, number, timing)
        middle = timing.p50_ms if timing.p50_ms is not None else timing.mean_ms
        what = "median" if timing.p50_ms is not None else "mean"
        noisy = ", noisy ⚠" if timing.noise else ""
        words = f" {what} {text.milliseconds(middle)} ms{noisy}"
        notes.append(
            over_row(f"{number} {text.label(one.name, 24)}:{words}", _height(place), 0.0)
            | {"yshift": 12}
        )
    medians = [float(np.median(timing.times_ms)) for _, _, timing in rows]
    most = max(float(np.percentile(timing.times_ms, _SHOWN)) for _, _, timing in rows)
    least = min(min(timing.times_ms) for _, _, timing in rows)
    log = least > 0 and max(medians) > _WIDE * max(min(medians), 1e-9)
    limits = [math.log10(least * 0.9), math.log10(most * 1.1)] if log else [0, most * 1.05]
    return Figure(
        title=f"Latencies: {text.short(str(setting), 200)}",
        data=traces,
        layout=layout(
            xaxis=axis(
                "milliseconds an inference",
                range=limits,
                type="log" if log else "linear",
                **(_ticks(least * 0.9, most * 1.1) if log else {}),
            ),
            yaxis=bare_axis(range=[_height(len(rows) - 1) - 0.55, 0.95]),
            annotations=notes,
            showlegend=False,
            hovermode="closest",
        ),
        height=90 + _ROW * len(rows),
        legend_rows=0,
        table=_times_table(rows),
        note=f"Points: runs (at most {MOST_RUNS} a model are drawn, evenly over the sorted "
        "times). Box: from the 25th to the 75th percentile, with the median. Whiskers: 10th and "
        "90th. The slowest 0.5 % may lie outside.",
    )


def reliability(evidence: Evidence) -> Figure | None:
    """How often answers of a confidence are right."""
    judged = [(number, one) for number, one in enumerate(evidence.candidates, 1)
              if one.accuracy and one.accuracy.bins]  # fmt: skip
    if not judged:
        return None
    traces: list[Trace] = [
        {"type": "scatter", "x": [0, 100], "y": [0, 100], "mode": "lines",
         "name": "as it should be",
         "line": {"color": FAINT, "dash": "dot", "width": 1}, "hoverinfo": "skip"}
    ]  # fmt: skip
    rows: list[Sequence[Cell | str]] = []
    for number, one in judged:
        assert one.accuracy is not None
        bins = [found for found in one.accuracy.bins
                if found.confidence is not None and found.accuracy is not None]  # fmt: skip
        x = [100 * (found.confidence or 0.0) for found in bins]
        y = [100 * (found.accuracy or 0.0) for found in bins]
        counts = [text.counted(found.photos, "photo") for found in bins]
        style = {"color": colour(number - 1), "dash": dash(number - 1), "width": 2}
        traces.append(
            {"type": "scatter", "x": x, "y": y, "mode": "lines+markers", "line": style,
             "marker": {"symbol": symbol(number - 1), "size": 8}, "text": counts,
             "name": f"{number} {text.label(one.name, _LEGEND_NAME)}",
             "hovertemplate": "confidence %{x:.0f} %, right %{y:.0f} %, %{text}<extra></extra>"}
        )  # fmt: skip
        rows += [
            [Cell(text.name(one.name), number), cell(f"{found.low:.2f} to {found.high:.2f}"),
             cell(f"{found.photos:,}"), cell(text.percent(found.confidence)),
             cell(text.percent(found.accuracy))]
            for found in one.accuracy.bins if found.photos
        ]  # fmt: skip
    limits = {"range": [-3, 103]}
    return Figure(
        title="Calibration: how often answers of a confidence are right",
        data=traces,
        layout=layout(
            xaxis=axis("mean confidence of the answer, %", **limits),
            yaxis=axis("right answers, %", **limits),
            hovermode="closest",
        ),
        height=420,
        legend_rows=len(traces),
        table=table("Calibration", ["model", "confidence", "photos", "mean confidence", "right"],
                    rows),
        note="Below the line a model is surer than it is right. Bins with few photos say little.",
    )  # fmt: skip


def _xy(point: Point, against: str) -> tuple[float, float] | None:
    x = point.latency_ms if against == LATENCY else point.bytes
    if x is None or point.quality is None:
        return None
    return (x if against == LATENCY else x / 1e6), 100 * point.quality


def _series(evidence: Evidence) -> dict[str, int]:
    """Colour and symbol of each candidate: that of its group, or of its variant."""
    of = {one.sha256: one.group or one.variant or "" for one in evidence.candidates}
    names = list(dict.fromkeys(of.values()))
    return {sha256: names.index(found) for sha256, found in of.items()}


def _marker(
    evidence: Evidence,
    series: dict[str, int],
    point: Point,
    xy: tuple[float, float],
    position: str,
) -> Trace:
    number, one = _numbered(evidence, point.sha256)
    style = series[point.sha256]
    noisy = ", noisy" if point.timing and point.timing.noise else ""
    interval = text.between(point.interval, 100)
    hover = (
        f"{number} {text.label(one.name, 60)}<br>{text.percent(point.quality)} {interval}<br>"
        f"{text.milliseconds(point.latency_ms)} ms{noisy}, {text.megabytes(point.bytes)}"
        + ("<br>on the front" if point.on_front else "")
    )
    trace: Trace = {
        "type": "scatter", "x": [xy[0]], "y": [xy[1]], "mode": "markers+text",
        "name": f"{number} {text.label(one.name, _LEGEND_NAME)}",
        "text": [f"{number}"], "textposition": position,
        "textfont": {"size": 13, "color": INK},
        "marker": {
            "symbol": symbol(style) + ("" if point.on_front else "-open"), "size": 12,
            "color": colour(style), "line": {"width": 2, "color": colour(style)},
        },
        "hovertext": [hover], "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip
    if point.interval:
        low, high = (100 * end for end in point.interval)
        trace["error_y"] = {
            "type": "data", "symmetric": False, "array": [max(0.0, high - xy[1])],
            "arrayminus": [max(0.0, xy[1] - low)], "color": colour(style), "thickness": 1,
            "width": 4,
        }  # fmt: skip
    return trace


def _step_line(points: Sequence[tuple[float, float]], place: int) -> Trace:
    """Along the best that is to be had for each cost."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        # In three dimensions a point may be on the front for its other cost alone.
        if not best or y > best[-1][1]:
            best.append((x, y))
    return {
        "type": "scatter", "x": [x for x, _ in best], "y": [y for _, y in best], "mode": "lines",
        "line": {"shape": "hv", "color": FAINT, "width": 2, "dash": dash(place + 1)},
        "hoverinfo": "skip", "showlegend": place == 0, "name": "the front",
    }  # fmt: skip


def _label_places(
    points: Sequence[tuple[int, Point, tuple[float, float]]], logarithmic: bool
) -> list[str]:
    """A place for each point's number where neither other points nor numbers are."""
    x_axis = [math.log10(xy[0]) if logarithmic else xy[0] for _, _, xy in points]
    ends = [100 * end for _, point, _ in points for end in point.interval or ()]
    ends += [xy[1] for _, _, xy in points]
    across, up = max(x_axis) - min(x_axis) or 1.0, max(ends) - min(ends) or 1.0
    scaled = [(x / across, xy[1] / up) for x, (_, _, xy) in zip(x_axis, points, strict=True)]
    width, height = 0.03, 0.05
    labels: list[tuple[float, float]] = []
    chosen = []
    for number, (x, y) in enumerate(scaled):
        others = [*scaled[:number], *scaled[number + 1 :]]
        spots = {
            name: (x + step[0] * width, y + step[1] * height) for name, step in _PLACES.items()
        }

        crowd = {
            name: _near(spot, labels, 1.2 * width, 1.2 * height)
            + _near(spot, others, 0.9 * width, 0.9 * height)
            for name, spot in spots.items()
        }
        best = min(spots, key=lambda name: crowd[name])
        labels.append(spots[best])
        chosen.append(best)
    return chosen


def _near(
    spot: tuple[float, float], others: Sequence[tuple[float, float]], width: float, height: float
) -> int:
    """How many of the others lie so near."""
    return sum(abs(spot[0] - x) < width and abs(spot[1] - y) < height for x, y in others)


def _range(values: Sequence[float]) -> dict[str, object]:
    least, most = min(values), max(values)
    if least > 0 and most > _WIDE * least:
        pad = 0.08 * math.log10(most / least)
        limits = [math.log10(least) - pad, math.log10(most) + pad]
        return {"type": "log", "range": limits, **_ticks(10 ** limits[0], 10 ** limits[1])}
    pad = 0.1 * (most - least) or max(most, 1.0) * 0.1
    return {"type": "linear", "range": [least - pad, most + pad]}


def _ticks(least: float, most: float) -> dict[str, object]:
    """Round numbers on a logarithmic axis, whole: Plotly writes 20 as a small 2 behind a 10."""
    steps = (1, 1.5, 2, 3, 5, 7) if most < 20 * least else (1, 2, 5)
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    values = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    shown = [value for value in values if least <= value <= most]
    return {"tickmode": "array", "tickvals": shown, "ticktext": [f"{value:g}" for value in shown]}


def _points_table(evidence: Evidence, arenas: Sequence[Arena]) -> str:
    rows: list[Sequence[Cell | str]] = []
    for arena in arenas:
        for point in arena.points:
            number, one = _numbered(evidence, point.sha256)
            quality = f"{text.percent(point.quality)} {text.between(point.interval, 100)}"
            rows.append(
                [cell(str(number)), text.name(one.name), cell(quality),
                 cell(text.milliseconds(point.latency_ms)), cell(text.megabytes(point.bytes)),
                 cell("yes" if point.on_front else "no")]
            )  # fmt: skip
    head = ["#", "model", f"{arenas[0].kind} (95 %)", "latency, ms", "size", "on the front"]
    return table("The points of the figure", head, rows, left=2)


def _times_table(rows: Sequence[tuple[int, Candidate, Timing]]) -> str:
    body: list[Sequence[Cell | str]] = [
        [cell(str(number)), text.name(one.name), cell(f"{timing.runs:,}"),
         *(cell(text.milliseconds(value)) for value in (
             timing.p50_ms, timing.p90_ms, timing.p99_ms, timing.mean_ms, timing.first_run_ms,
             timing.init_ms)),
         cell("; ".join(timing.noise) or "no")]
        for number, one, timing in rows
    ]  # fmt: skip
    head = ["#", "model", "runs", "p50 ms", "p90 ms", "p99 ms", "mean ms", "first run ms",
            "init ms", "noisy"]  # fmt: skip
    return table("Latencies", head, body, left=2)


def _distribution(place: int, number: int, timing: Timing) -> list[Trace]:
    times = np.sort(np.asarray(timing.times_ms, np.float64))
    tint = colour(number - 1)
    some = np.unique(np.linspace(0, len(times) - 1, MOST_RUNS).astype(int))
    random = np.random.default_rng(0)
    height = _height(place)
    low, first, middle, last, high = (
        float(value) for value in np.percentile(times, [10, 25, 50, 75, 90])
    )
    runs: Trace = {
        "type": "scatter", "mode": "markers", "x": [float(f"{value:.4g}") for value in times[some]],
        "y": [round(float(height - 0.12 + step), 3)
              for step in random.uniform(-0.16, 0.16, len(some))],
        "marker": {"color": tint, "size": 4, "opacity": 0.45, "symbol": symbol(number - 1)},
        "hovertemplate": "one run: %{x} ms<extra></extra>",
    }  # fmt: skip
    box: Trace = {
        "type": "box", "orientation": "h", "y": [height - 0.12], "q1": [first], "median": [middle],
        "q3": [last], "lowerfence": [low], "upperfence": [high], "width": 0.34,
        "line": {"color": INK, "width": 1.5}, "fillcolor": "rgba(0,0,0,0)",
        "whiskerwidth": 0.6, "hoverinfo": "x",
    }  # fmt: skip
    return [runs, box]


def _height(place: int) -> float:
    """The first row at the top."""
    return -float(place)


def _numbered(evidence: Evidence, sha256: str) -> tuple[int, Candidate]:
    return next(
        (number, one) for number, one in enumerate(evidence.candidates, 1) if one.sha256 == sha256
    )
