"""How long work tells its caller where it stands; the command line draws it as a bar."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: ``progress(done, total, label)``.

    ``total`` is None where the amount is unknown; a call with another ``label`` starts the
    next stretch of work. Units are the caller's (photos, bytes, steps).
    """

    def __call__(self, done: int, total: int | None, label: str) -> None:
        """Report that ``done`` of ``total`` is done."""
