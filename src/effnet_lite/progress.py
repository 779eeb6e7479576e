"""How long work tells its caller where it stands; the command line draws it as a bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

#: What a whole is divided into.
PARTS = 1000


class Progress(Protocol):
    """Called as work goes on: ``progress(done, total, label)``.

    ``total`` is None where the amount is unknown; a call with another ``label`` starts the
    next stretch of work. Units are the caller's (photos, bytes, steps).
    """

    def __call__(self, done: int, total: int | None, label: str) -> None:
        """Report that ``done`` of ``total`` is done."""


class Whole:
    """A :class:`Progress` for stretches of work that tells another one of all of them together.

    Args:
        progress: Told how many of :data:`PARTS` are done, which only grows, and what is being
            done.
        expected: How long each stretch takes, by its label, in order; only ratios matter.
            Stretches that are not here leave the whole where it is.
    """

    def __init__(self, progress: Progress, expected: Mapping[str, float]) -> None:
        self._progress, self._expected = progress, expected
        self._done = 0

    def __call__(self, done: int, total: int | None, label: str) -> None:
        """Report that ``done`` of ``total`` of this stretch is done."""
        if label in self._expected and total:
            labels = list(self._expected)
            before = sum(self._expected[earlier] for earlier in labels[: labels.index(label)])
            now = before + self._expected[label] * done / total
            share = now / sum(self._expected.values())
            self._done = max(self._done, min(PARTS, round(PARTS * share)))
        self._progress(self._done, PARTS, label)
