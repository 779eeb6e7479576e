"""Text from anywhere, made safe for a page and for Plotly, and figures as words."""

from __future__ import annotations

import html
import json
from typing import Any

from effnet_lite.benchmark.report.readings import Interval
from effnet_lite.finite import finite
from effnet_lite.printable import printable

LONGEST_NAME = 40
_LONGEST_TITLE = 2000  # what a tooltip can show


def short(text: str, most: int = LONGEST_NAME) -> str:
    """One printable line; the middle is left out of a long one, whose ends tell most."""
    clean = printable(text)
    if len(clean) <= most:
        return clean
    tail = (most - 1) // 2
    return f"{clean[: most - 1 - tail]}…{clean[-tail:]}"


def escaped(text: str) -> str:
    """For HTML, also inside of attributes."""
    return html.escape(printable(text))


def name(text: str, most: int = LONGEST_NAME) -> str:
    """HTML of a name: short, with the whole of it as a tooltip where that is longer."""
    shown = escaped(short(text, most))
    if len(printable(text)) <= most:
        return f"<bdi>{shown}</bdi>"
    return f'<bdi title="{escaped(short(text, _LONGEST_TITLE))}">{shown}</bdi>'


def lines(text: str) -> str:
    """HTML that keeps line breaks, for commands."""
    return "\n".join(html.escape(printable(line)) for line in text.split("\n"))


def label(text: str, most: int = LONGEST_NAME) -> str:
    """For Plotly, which reads tags and entities in every text; the length is of what it shows."""
    return html.escape(short(text, most), quote=False)


def script_json(document: Any) -> str:
    """JSON that no text in it can end: for ``<script type="application/json">``."""
    text = json.dumps(finite(document), separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def percent(share: float | None) -> str:
    """88.6%."""
    return "–" if share is None else f"{share:.1%}"


def between(interval: Interval | None, scale: float = 1.0, form: str = ".1f") -> str:
    """Both ends, in brackets."""
    if interval is None:
        return ""
    low, high = (scale * end for end in interval)
    return f"({low:{form}} to {high:{form}})"


def milliseconds(value: float | None) -> str:
    """With three significant digits, but whole above 100."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 20 else f"{value:.2f}"


def megabytes(count: int | None) -> str:
    """Of 10⁶ bytes."""
    return "–" if count is None else f"{count / 1e6:.2f} MB"


def counted(count: int, noun: str) -> str:
    """1 photo, 2 photos."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def listed(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
