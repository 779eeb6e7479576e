"""Adds outcomes up to an evaluation; knows which photos are done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from effnet_lite.benchmark.evaluation.contenders import Contender
from effnet_lite.benchmark.evaluation.journal import Journal
from effnet_lite.benchmark.evaluation.metrics import Sums
from effnet_lite.benchmark.evaluation.paired import Pair
from effnet_lite.benchmark.evaluation.results import Evaluation, ModelEvaluation, Run, Unreadable
from effnet_lite.benchmark.evaluation.selection import Selection
from effnet_lite.benchmark.evaluation.worker import Task
from effnet_lite.benchmark.evaluation.workers import Outcome
from effnet_lite.benchmark.records import labels as short_names
from effnet_lite.errors import InputError
from effnet_lite.progress import Progress

_SHA256 = 32  # bytes


class Tally:
    """Counts; per photo it keeps a byte and the 32 of a digest.

    Args:
        selection: The photos.
        models: In the order of each photo's answers.
        k: Of the top-k figure.
    """

    def __init__(self, selection: Selection, models: Sequence[Contender], k: int) -> None:
        self._selection, self._models = selection, models
        self._sums = [Sums(k) for _ in models]
        self._pairs = [Pair() for _ in models[1:]]
        self._done = bytearray(len(selection))
        self._digests = bytearray(_SHA256 * len(selection))
        self._unreadable: dict[int, str] = {}
        self.done = 0

    def tasks(self) -> Iterator[Task]:
        """The photos that are not done, in order."""
        for position in range(len(self._selection)):
            if not self._done[position]:
                yield self._selection.task(position)

    def resume(self, journal: Journal, progress: Progress | None = None) -> None:
        """Take what was answered before, unless the photo has changed since."""
        for outcome in journal.outcomes():
            if self._done[outcome.number] or not outcome.final:
                continue
            photo = self._selection.task(outcome.number).photo
            if photo.sha256_or_none() == outcome.sha256:
                self.add(outcome)
                if progress:
                    progress(self.done, len(self._selection), "reading the journal")

    def add(self, outcome: Outcome) -> None:
        """One photo's outcome; once for each photo."""
        position = outcome.number
        self._done[position] = 1
        self.done += 1
        if outcome.unreadable is not None or outcome.sha256 is None:
            self._unreadable[position] = outcome.unreadable or "not read"
            return
        place = slice(_SHA256 * position, _SHA256 * (position + 1))
        self._digests[place] = bytes.fromhex(outcome.sha256)
        right = self._selection.task(position).right
        for sums, answer in zip(self._sums, outcome.answers, strict=True):
            sums.add(answer, right)
        for pair, answer in zip(self._pairs, outcome.answers[1:], strict=True):
            pair.add(outcome.answers[0], answer)

    def result(self, run: Run) -> Evaluation:
        """The evaluation.

        Raises:
            InputError: No photo could be read.
        """
        selection = self._selection
        count = self.done - len(self._unreadable)
        if not count:
            position = min(self._unreadable)
            raise InputError(
                f"none of the {self.done} photos in {selection.dataset.root} can be used; the "
                f"first: {self._unreadable[position]}"
            )
        names = short_names([(str(model.path),) for model in self._models])
        labels = selection.labels
        return Evaluation(
            data=selection.dataset.root,
            kind=selection.dataset.kind,
            digest=self._digest(),
            count=count,
            models=tuple(
                ModelEvaluation(model.path, model.sha256, name, sums.figures(labels))
                for model, name, sums in zip(self._models, names, self._sums, strict=True)
            ),
            comparisons=tuple(
                pair.comparison(names[0], name, number)
                for number, (name, pair) in enumerate(zip(names[1:], self._pairs, strict=True), 1)
            ),
            labels=labels,
            unreadable=tuple(
                Unreadable(selection.task(position).photo.name, reason)
                for position, reason in sorted(self._unreadable.items())
            ),
            unknown=selection.unknown,
            without_class=selection.without_class,
            limit=selection.limit,
            seed=selection.seed,
            notes=selection.notes,
            run=run,
        )

    def _digest(self) -> str:
        total = hashlib.sha256()
        for position in range(len(self._selection)):
            if position not in self._unreadable:
                total.update(self._digests[_SHA256 * position : _SHA256 * (position + 1)])
        return total.hexdigest()
