"""Answers as they come, in a file, so that an evaluation can go on where it was ended.

The first line says which evaluation it is; then a line of JSON a photo. Every line goes to the
system at once, where it outlives this process, and to the disk once a second, for the case that
the machine stops. A line that was cut short is dropped. A photo is evaluated again if its file
changed, or if it only ran out of time or crashed a decoder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.benchmark.evaluation.workers import Outcome
from effnet_lite.errors import InputError
from effnet_lite.files import check_output

_KIND = "effnet_lite_evaluation"
_SCHEMA = 1
_SYNC_SECONDS = 1.0
_LONGEST_HEADER = 2**20


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
        self._path = Path(path)
        self._models, self._photos, self._classes = models, photos, classes
        check_output(self._path, overwrite=True)
        if self._path.exists() and not self._path.is_file():  # a device, which may never end
            raise InputError(f"{path} is not a regular file; give another --journal")
        self._header = {_KIND: _SCHEMA, **json.loads(json.dumps(run))}
        try:
            self._file = self._path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        self._synced = time.monotonic()
        try:
            self._lock()
            self._begin(overwrite)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a full disk was reported when it was written to
            os.fsync(self._file.fileno())
        self._file.close()

    def outcomes(self) -> Iterator[Outcome]:
        """What was answered before; a later line about a photo counts instead of an earlier."""
        self._file.seek(0)
        end = len(self._file.readline())
        with self._path.open("rb") as lines:
            lines.seek(end)
            for line in lines:
                outcome = self._read(line)
                if outcome is None:
                    # What follows a damaged line is damaged, too, or not worth the doubt.
                    break
                end += len(line)
                yield outcome
        self._file.truncate(end)

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
        self._write(record)

    def _begin(self, overwrite: bool) -> None:
        self._file.seek(0)
        line = self._file.readline(_LONGEST_HEADER)
        if not line.strip(b"\0\n"):
            return self._make()
        try:
            found = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            found = None
        if not isinstance(found, dict) or _KIND not in found:
            # A start that was cut short is the beginning of what would have been written.
            if _line(self._header).startswith(line):
                return self._make()
            raise InputError(
                f"{self._path} is not the journal of an evaluation; give another --journal"
            )
        if found == self._header:
            return None
        if overwrite:
            return self._make()
        others = [name for name in self._header if found.get(name) != self._header[name]]
        raise InputError(
            f"{self._path} is the journal of another evaluation, with another "
            f"{' and '.join(others).replace(_KIND, 'version')}; give another --journal, or "
            "--overwrite to replace it"
        )

    def _make(self) -> None:
        self._file.truncate(0)
        self._write(self._header)
        os.fsync(self._file.fileno())

    def _write(self, record: dict[str, Any]) -> None:
        try:
            line = _line(record)
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}") from error

    def _read(self, line: bytes) -> Outcome | None:
        try:
            record = json.loads(line) if line.endswith(b"\n") else {}
            number, sha256 = int(record["photo"]), record["sha256"]
            if not 0 <= number < self._photos:
                return None
            if "unreadable" in record:
                reason, final = str(record["unreadable"]), bool(record["final"])
                return Outcome(number, sha256=sha256, unreadable=reason, final=final)
            answers = tuple(map(Answer.from_json, record["answers"]))
        except (ValueError, TypeError, KeyError):
            return None
        whole = len(answers) == self._models and all(
            -1 <= found < self._classes for answer in answers for found in answer.top
        )
        return Outcome(number, answers, sha256) if whole else None

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{self._path} is being written by another evaluation; wait for it, or give "
                "another --journal"
            ) from error
        except OSError:  # a file system without locks
            return


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
