"""How figures look: colours that the colour-blind tell apart, and symbols, dashes and patterns
that need none."""

from __future__ import annotations

import dataclasses
from typing import Any

from effnet_lite.pictures import COLOURS

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
PATTERNS = ("", "/", "x", ".", "-", "+", "\\")
# page.js has others for a dark page.
INK, GRID, PAPER, FAINT = "#1a1a1a", "#d8d8d8", "#ffffff", "#5c5c5c"
#: A colour scale from nothing to everything, even in lightness: light to dark blue.
SCALE = ((0.0, "#f7fbff"), (0.35, "#9ecae1"), (0.7, "#3182bd"), (1.0, "#08306b"))

Trace = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A Plotly figure, and what says the same without it.

    Attributes:
        title: What it shows, as plain text.
        data, layout: As Plotly wants them.
        height: Pixels on a wide screen.
        least_width: Pixels that it needs; on a narrower screen it scrolls within itself.
        legend_rows: Entries of the legend, which stands below on a narrow screen.
        table: HTML with the same figures.
        note: HTML to stand under it.
    """

    title: str
    data: list[Trace]
    layout: dict[str, Any]
    height: int
    legend_rows: int
    table: str
    note: str = ""
    least_width: int = 0

    def to_json(self) -> dict[str, Any]:
        """For page.js."""
        return {
            "data": self.data,
            "layout": self.layout,
            "height": self.height,
            "legendRows": self.legend_rows,
        }


def colour(number: int) -> str:
    """Of the ``number``-th of several."""
    return COLOURS[number % len(COLOURS)]


def symbol(number: int) -> str:
    """As ``colour``."""
    return SYMBOLS[number % len(SYMBOLS)]


def dash(number: int) -> str:
    """As ``colour``; the two together repeat after 35."""
    return DASHES[number % len(DASHES)]


def pattern(number: int) -> Trace:
    """As ``colour``, of a bar."""
    shape = PATTERNS[number % len(PATTERNS)]
    return {"shape": shape, "solidity": 0.3, "size": 7, "fillmode": "overlay", "fgcolor": PAPER}


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis with a grid."""
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": GRID,
        "linecolor": GRID,
        "zerolinecolor": GRID,
        "automargin": True,
        **more,
    }


def bare_axis(**more: Any) -> dict[str, Any]:
    """An axis that shows nothing: its rows have their names written over them."""
    return {"visible": False, "showgrid": False, "zeroline": False, **more}


def layout(**more: Any) -> dict[str, Any]:
    """What all figures share."""
    return {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 12, "r": 12, "t": 24, "b": 12, "pad": 0},
        "hoverlabel": {"align": "left", "namelength": -1},
        "legend": {"itemsizing": "constant"},
        **more,
    }


def over_row(text: str, row: float, x: float = 0.0) -> Trace:
    """An annotation over a row of a chart whose rows are numbered; names need no margin there."""
    return {
        "text": text, "x": x, "xref": "paper", "xanchor": "left",
        "y": row, "yref": "y", "yanchor": "bottom", "yshift": 9, "showarrow": False,
        "align": "left", "font": {"size": 12, "color": INK},
    }  # fmt: skip
