"""Plotly figures of what is inside of candidates: operators, layers, classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from effnet_lite.benchmark.report import text
from effnet_lite.benchmark.report.evidence import Candidate
from effnet_lite.benchmark.report.readings import Accuracy, Layer, Operator, Profile
from effnet_lite.benchmark.report.style import (
    SCALE,
    Figure,
    Trace,
    axis,
    bare_axis,
    colour,
    dash,
    layout,
    over_row,
    pattern,
    symbol,
)
from effnet_lite.benchmark.report.tables import Cell, cell, table

#: A candidate's number in the table, and itself.
Numbered = tuple[int, Candidate]

TOP_OPERATORS, TOP_LAYERS, TOP_PAIRS = 15, 10, 20
#: Kinds of operators with a colour of their own.
TOP_KINDS = 6
#: Up to so many classes there is a heat map.
MOST_CLASSES = 40
_NUMBERS_IN_CELLS = 15


def operator_kinds(profiles: Sequence[tuple[int, Candidate, Profile]]) -> Figure | None:
    """A bar a profile, of the times of its kinds of operators."""
    totals: dict[str, float] = {}
    for _, _, profile in profiles:
        for kind, ms, _ in profile.kinds:
            totals[kind] = totals.get(kind, 0.0) + ms
    if not sum(totals.values()):
        return None
    kinds = sorted(totals, key=lambda kind: -totals[kind])
    shown, rest = kinds[:TOP_KINDS], set(kinds[TOP_KINDS:])
    names = [*shown, *(["others"] if rest else [])]
    heights = [-float(place) for place in range(len(profiles))]
    traces = []
    for place, kind in enumerate(names):
        of = rest if place == len(shown) else {kind}
        values = [sum(ms for found, ms, _ in profile.kinds if found in of)
                  for _, _, profile in profiles]  # fmt: skip
        words = text.label(kind, 30)
        traces.append(
            {"type": "bar", "orientation": "h", "x": values, "y": heights, "name": words,
             "marker": {"color": colour(place), "pattern": pattern(place)},
             "hovertext": [f"{words}: {text.milliseconds(value)} ms" for value in values],
             "hovertemplate": "%{hovertext}<extra></extra>", "width": 0.45}
        )  # fmt: skip
    notes = [
        over_row(f"{number} {text.label(one.name, 30)}"
                 + (", noisy ⚠" if profile.noise else ""), -float(place))
        for place, (number, one, profile) in enumerate(profiles)
    ]  # fmt: skip
    rows: list[Sequence[Cell | str]] = [
        [Cell(text.name(one.name), number), cell(text.short(profile.how, 120)), cell(kind),
         cell(str(count)), cell(f"{ms:.3f}")]
        for number, one, profile in profiles for kind, ms, count in profile.kinds
    ]  # fmt: skip
    return Figure(
        title="Time by kind of operator",
        data=traces,
        layout=layout(
            barmode="stack",
            xaxis=axis("milliseconds an inference"),
            yaxis=bare_axis(range=[-len(profiles) + 0.6, 0.7]),
            annotations=[{**note, "yshift": 13} for note in notes],
            legend={"itemsizing": "constant", "traceorder": "normal"},
            hovermode="closest",
        ),
        height=110 + 60 * len(profiles),
        legend_rows=len(names),
        table=table("Time by kind of operator",
                    ["model", "measured", "kind", "operators", "ms"], rows, left=3),
    )  # fmt: skip


def operators(number: int, one: Candidate, profile: Profile) -> Figure | None:
    """The costliest operators of a profile."""
    costly = sorted(profile.operators, key=lambda operator: -operator.ms)[:TOP_OPERATORS]
    costly = [operator for operator in costly if operator.ms > 0]
    if not costly:
        return None
    return Figure(
        title=f"The {len(costly)} costliest of {len(profile.operators)} operators of "
        f"{number} {text.short(one.name)}",
        data=[_operator_bars(costly)],
        layout=layout(
            xaxis=axis("milliseconds an inference"),
            yaxis=bare_axis(range=[-len(costly) + 0.5, 0.8]),
            annotations=[
                over_row(f"{text.label(operator.name, 26)} · {text.label(operator.kind, 18)}",
                         -float(place))
                for place, operator in enumerate(costly)
            ],
            showlegend=False,
            hovermode="closest",
        ),
        height=80 + 38 * len(costly),
        legend_rows=0,
        table=_operators_table(costly, profile),
        note=text.escaped(profile.how) + _inference(profile) + _noise(profile),
    )  # fmt: skip


def layer_errors(candidates: Sequence[Numbered]) -> Figure | None:
    """The accumulated error over the layers, in execution order."""
    shown = [(number, one, one.fidelity.layers) for number, one in candidates
             if one.fidelity and one.fidelity.layers]  # fmt: skip
    if not shown:
        return None
    traces: list[Trace] = []
    for number, one, layers in shown:
        x, y, words = _curve(layers, [layer.sqnr_db for layer in layers])
        traces.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "text": words,
             "name": f"{number} {text.label(one.name, 30)}",
             "line": {"color": colour(number - 1), "dash": dash(number - 1), "width": 2},
             "hovertemplate": "%{text}: %{y:.1f} dB<extra></extra>"}
        )  # fmt: skip
    rows: list[Sequence[Cell | str]] = [
        [Cell(text.name(one.name), number), cell(_decibel(layers[-1].sqnr_db)),
         cell(_decibel(min((layer.sqnr_db for layer in layers if layer.sqnr_db is not None),
                           default=None))),
         cell(str(len(layers)))]
        for number, one, layers in shown
    ]  # fmt: skip
    return Figure(
        title="Error that has built up, layer by layer",
        data=traces,
        layout=layout(
            xaxis=axis("layer, in the order in which they run"),
            yaxis=axis("SQNR against float, dB (more is better)"),
            hovermode="closest",
        ),
        height=420,
        legend_rows=len(traces),
        table=table("Accumulated error", ["model", "at the last layer, dB", "lowest, dB",
                                          "layers"], rows),
    )  # fmt: skip


def layer_causes(number: int, one: Candidate) -> Figure | None:
    """Of one candidate: what weights and ranges cost each layer, and what has built up."""
    layers = one.fidelity.layers if one.fidelity else ()
    if not layers:
        return None
    curves = (
        ("accumulated up to the layer", [layer.sqnr_db for layer in layers]),
        ("range of the activation alone", [layer.activation_db for layer in layers]),
        ("weights alone", [layer.weights_db for layer in layers]),
    )
    traces: list[Trace] = []
    for place, (name, values) in enumerate(curves):
        x, y, words = _curve(layers, values)
        if x:
            traces.append(
                {"type": "scatter", "mode": "lines+markers" if place else "lines", "x": x, "y": y,
                 "text": words, "name": name,
                 "line": {"color": colour(place), "dash": dash(place), "width": 1.5},
                 "marker": {"symbol": symbol(place), "size": 5},
                 "hovertemplate": "%{text}: %{y:.1f} dB<extra></extra>"}
            )  # fmt: skip
    if not traces:
        return None
    worst = sorted((layer for layer in layers if layer.sqnr_db is not None),
                   key=lambda layer: layer.sqnr_db or 0.0)[:TOP_LAYERS]  # fmt: skip
    rows: list[Sequence[Cell | str]] = [
        [text.name(layer.name), cell(layer.kind), cell(_decibel(layer.sqnr_db)),
         cell(_decibel(layer.activation_db)), cell(_decibel(layer.weights_db)),
         cell("–" if layer.saturation is None else f"{layer.saturation:.2%}")]
        for layer in worst
    ]  # fmt: skip
    head = ["layer", "kind", "accumulated, dB", "range, dB", "weights, dB", "saturated"]
    return Figure(
        title=f"Where the error of {number} {text.short(one.name)} comes from",
        data=traces,
        layout=layout(
            xaxis=axis("layer, in the order in which they run"),
            yaxis=axis("SQNR against float, dB (more is better)"),
            hovermode="closest",
        ),
        height=400,
        legend_rows=len(traces),
        table=table(f"The {len(worst)} layers with the largest error, of {len(layers)}", head,
                    rows, left=2),
    )  # fmt: skip


def confusion(number: int, one: Candidate, accuracy: Accuracy) -> Figure | None:
    """A heat map of answers by class, where classes are few."""
    shown = sorted(accuracy.classes)
    if not 1 < len(shown) <= MOST_CLASSES:
        return None
    places = {index: place for place, index in enumerate(shown)}
    counts = [[0] * (len(shown) + 1) for _ in shown]
    for right, answer, photos in accuracy.confusion:
        if right in places:
            counts[places[right]][places.get(answer, len(shown))] += photos
    if not any(row[-1] for row in counts):
        counts = [row[:-1] for row in counts]
    answers = [accuracy.label(index) for index in shown] + ["any other"]
    answers = answers[: len(counts[0])]
    shares = [[100 * value / max(1, sum(row)) for value in row] for row in counts]
    hover = [
        [f"{text.label(accuracy.label(index), 50)} taken for {text.label(answer, 50)}:<br>"
         f"{counts[row][column]} of {text.counted(sum(counts[row]), 'photo')}"
         for column, answer in enumerate(answers)]
        for row, index in enumerate(shown)
    ]  # fmt: skip
    ticks: dict[str, Any] = {
        "tickmode": "array",
        "tickfont": {"size": 11},
        "showgrid": False,
        "zeroline": False,
    }
    with_numbers = len(shown) <= _NUMBERS_IN_CELLS
    trace: Trace = {
        "type": "heatmap", "z": shares, "zmin": 0, "zmax": 100, "xgap": 1, "ygap": 1,
        "colorscale": [list(stop) for stop in SCALE], "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "colorbar": {"title": {"text": "% of a class"}, "thickness": 12, "len": 0.7},
    }  # fmt: skip
    return Figure(
        title=f"Answers of {number} {text.short(one.name)}, % of a class's photos",
        data=[trace],
        layout=layout(
            xaxis=axis(tickvals=list(range(len(answers))), tickangle=-90,
                       ticktext=[text.label(answer, 16) for answer in answers], **ticks),
            yaxis=axis(tickvals=list(range(len(shown))), autorange="reversed",
                       ticktext=[text.label(accuracy.label(index), 16) for index in shown],
                       **ticks),
            annotations=_numbers(shares) if with_numbers else [],
        ),
        height=260 + 26 * len(shown),
        legend_rows=0,
        table=_confusion_table(accuracy, shown, answers, counts),
        note="A row is a class, a column is an answer.",
        least_width=170 + (26 if with_numbers else 15) * len(answers),
    )  # fmt: skip


def _operator_bars(costly: Sequence[Operator]) -> Trace:
    hover = [
        f"{text.label(operator.name, 60)}<br>{text.label(operator.kind, 40)}<br>"
        f"{operator.ms:.3f} ms" + (f", {operator.roof:.0%} of the roof" if operator.roof else "")
        for operator in costly
    ]
    return {
        "type": "bar", "orientation": "h", "x": [operator.ms for operator in costly],
        "y": [-float(place) for place in range(len(costly))], "width": 0.36,
        "marker": {"color": colour(0)}, "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip


def _operators_table(costly: Sequence[Operator], profile: Profile) -> str:
    total = math.fsum(operator.ms for operator in profile.operators if not operator.within)
    rows: list[Sequence[Cell | str]] = [
        [text.name(operator.name), cell(operator.kind), cell(f"{operator.ms:.3f}"),
         cell(text.percent(operator.ms / total if total else None)),
         cell("–" if operator.roof is None else f"{operator.roof:.0%}")]
        for operator in costly
    ]  # fmt: skip
    head = ["operator", "kind", "ms", "of all operators", "of the roof"]
    return table("The costliest operators", head, rows, left=2)


def _inference(profile: Profile) -> str:
    if profile.inference_ms is None:
        return "."
    return f"; {text.milliseconds(profile.inference_ms)} ms measured without the profiler."


def _noise(profile: Profile) -> str:
    return f" Noisy ⚠: {text.escaped('; '.join(profile.noise))}." if profile.noise else ""


def _curve(
    layers: Sequence[Layer], values: Sequence[float | None]
) -> tuple[list[int], list[float], list[str]]:
    """Positions, figures and names of those layers that have one."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    return (
        [place + 1 for place, _ in known],
        [round(value, 2) for _, value in known],
        [f"{text.label(layers[place].name, 50)} ({text.label(layers[place].kind, 30)})"
         for place, _ in known],
    )  # fmt: skip


def _decibel(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _numbers(shares: Sequence[Sequence[float]]) -> list[Trace]:
    """Shades of one colour are hard to tell apart; numbers are not."""
    return [
        {"x": column, "y": row, "text": f"{share:.0f}", "showarrow": False,
         "font": {"size": 11, "color": "#fffffe" if share > 50 else "#1a1a1b"}}
        for row, line in enumerate(shares) for column, share in enumerate(line) if share
    ]  # fmt: skip


def _confusion_table(
    accuracy: Accuracy, shown: Sequence[int], answers: Sequence[str], counts: list[list[int]]
) -> str:
    wrong = [
        (count, index, answers[column])
        for row, index in enumerate(shown)
        for column, count in enumerate(counts[row])
        if count and column != row  # not by name: two classes may share one
    ]
    rows: list[Sequence[Cell | str]] = [
        [text.name(accuracy.label(index)), text.name(answer), cell(str(count)),
         cell(str(accuracy.classes[index].photos))]
        for count, index, answer in sorted(wrong, key=lambda pair: -pair[0])[:TOP_PAIRS]
    ]  # fmt: skip
    head = ["class", "taken for", "photos", "of the class's"]
    return table("What is confused most often", head, rows, left=2)
