"""HTML tables, each in a frame of its own that scrolls where the page is narrow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from effnet_lite.benchmark.report import text


@dataclasses.dataclass(frozen=True)
class Cell:
    """HTML, and the number or text that it is sorted by; None is sorted last."""

    html: str
    value: float | str | None = None


def cell(words: str, value: float | str | None = None) -> Cell:
    """A cell of plain text."""
    return Cell(text.escaped(words), value)


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    sortable: bool = False,
    left: int = 1,
) -> str:
    """HTML of a table.

    Args:
        caption: Plain text: what it shows.
        header: Plain text.
        rows: Cells; a string is HTML.
        sortable: Headings become buttons.
        left: So many columns are words, to the left; the others are figures.
    """
    heads = "".join(_head(words, sortable, place < left) for place, words in enumerate(header))
    body = "\n".join(_row(row, left) for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text.escaped(caption)}">'
        f"<table{kind}><caption>{text.escaped(caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _head(words: str, sortable: bool, is_left: bool) -> str:
    inside = text.escaped(words)
    if sortable and words:
        inside = f'<button type="button">{inside}</button>'
    kind = ' class="left"' if is_left else ""
    return f'<th scope="col"{kind}>{inside}</th>'


def _row(row: Sequence[Cell | str], left: int) -> str:
    return "<tr>" + "".join(
        _cell(found, place < left) for place, found in enumerate(row)
    ) + "</tr>"  # fmt: skip


def _cell(found: Cell | str, is_left: bool) -> str:
    if isinstance(found, str):
        found = Cell(found)
    kind = ' class="left"' if is_left else ""
    value = "" if found.value is None else f' data-value="{text.escaped(str(found.value))}"'
    return f"<td{kind}{value}>{found.html}</td>"
