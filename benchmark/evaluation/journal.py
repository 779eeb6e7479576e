"""Answers as they come, in a file, so that an evaluation can go on where it was ended.

A photo is evaluated again if its file changed, or if it only ran out of time or crashed a decoder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from effnet_lite.benchmark.append_only import AppendOnlyFile
from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.benchmark.evaluation.workers import Outcome

_KIND = "effnet_lite_evaluation"
_SCHEMA = 1


class Journal:
    """Opens or makes the file; use as a context manager.

    Args:
        path: The file.
        run: What the answers depend on, as JSON: models, data, options. Keys are words for
            a message.
        models: How many answers a photo has.
        photos, classes: How many there are, which numbers in the file must be below.
        overwrite: Replace the journal of another evaluation.

    Raises:
        InputError: The file is something else, or of another evaluation, is being written by
            another process, or cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: dict[str, Any],
        models: int,
        photos: int,
        classes: int,
        overwrite: bool,
    ) -> None:
        self._models, self._photos, self._classes = models, photos, classes
        self._file = AppendOnlyFile(
            path, _KIND, _SCHEMA, run, ("journal", "evaluation"), "--journal", overwrite
        )

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.__exit__(*failure)

    def outcomes(self) -> Iterator[Outcome]:
        """What was answered before; a later line about a photo counts instead of an earlier."""
        return self._file.lines(self._read)

    def add(self, outcome: Outcome) -> None:
        """Keep one photo's outcome.

        Raises:
            InputError: The disk refuses it.
        """
        record: dict[str, Any] = {"photo": outcome.number, "sha256": outcome.sha256}
        if outcome.unreadable is None:
            record["answers"] = [answer.to_json() for answer in outcome.answers]
        else:
            record |= {"unreadable": outcome.unreadable, "final": outcome.final}
        self._file.add(record)

    def _read(self, record: Any) -> Outcome | None:
        number, sha256 = int(record["photo"]), record["sha256"]
        if not 0 <= number < self._photos:
            return None
        if "unreadable" in record:
            reason, final = str(record["unreadable"]), bool(record["final"])
            return Outcome(number, sha256=sha256, unreadable=reason, final=final)
        answers = tuple(map(Answer.from_json, record["answers"]))
        whole = len(answers) == self._models and all(
            -1 <= found < self._classes for answer in answers for found in answer.top
        )
        return Outcome(number, answers, sha256) if whole else None
