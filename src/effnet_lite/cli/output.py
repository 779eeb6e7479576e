"""How commands print: JSON on stdout, a progress bar on a terminal's stderr, tables."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from effnet_lite.finite import finite

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

BAR_WIDTH = 28


#: Where the group keeps the words that it was called with.
ARGUMENTS = "effnet_lite.arguments"
# What figures may depend on; TensorFlow's is of what convert and train do.
_PACKAGES = ("numpy", "ai-edge-litert", "tensorflow")


def print_json(document: dict[str, Any]) -> None:
    """One document on stdout, with what made it; floats that JSON lacks become null."""
    from effnet_lite.versions import versions

    words = ["effnet-lite", *click.get_current_context().meta.get(ARGUMENTS, ())]
    made_by = {"command": shlex.join(words), "versions": versions(_PACKAGES)}
    click.echo(json.dumps(finite({**document, "made_by": made_by}), indent=2, ensure_ascii=False))


class Bar:
    """A :class:`effnet_lite.progress.Progress` that draws itself on stderr.

    Silent when stderr is not a terminal. Use as a context manager, so that the line is
    cleared however the work ends.
    """

    def __init__(self) -> None:
        self._visible = sys.stderr.isatty()
        self._label = ""
        self._total: int | None = None
        self._done = self._first = 0
        self._start = self._drawn = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __call__(self, done: int, total: int | None, label: str) -> None:
        """Draw, at most ten times a second."""
        if not self._visible:
            return
        now = time.monotonic()
        # The stretches of a whole have their own labels, and go on where the last one ended.
        goes_on = total == self._total and self._first <= self._done <= done and self._label
        if not goes_on or self._done == total:
            self._start, self._first, self._total = now, done, total
        elif label == self._label and now - self._drawn < 0.1 and done != total:
            self._done = done
            return
        self._drawn, self._done, self._label = now, done, label
        if total:
            filled = BAR_WIDTH * done // total
            text = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {100 * done // total:3} %"
            if self._first < done < total:
                left = (now - self._start) / (done - self._first) * (total - done)
                text += f"  {left:.0f} s left"
        else:
            text = f"{done:,}"
        click.echo(f"\r\033[K{label:<22} {text}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._visible and self._label:
            click.echo("\r\033[K", nl=False, err=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; the first to the left, the rest to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def megabytes(count: int) -> str:
    """Bytes as 10^6."""
    return f"{count / 1e6:.2f} MB"


def names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """The callback of an option that takes names with commas between them."""
    return tuple(filter(None, (name.strip() for name in (value or "").split(","))))
