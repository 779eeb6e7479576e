"""What a sweep has done, line by line, in a file that later sweeps extend.

The first line holds the settings that all figures share. Each further line is one result, with
the command that repeats it and the JSON document of that command, which is what
:mod:`effnet_lite.benchmark.report` reads.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.append_only import AppendOnlyFile
from effnet_lite.benchmark.host.latency import processor
from effnet_lite.benchmark.sweep.plan import Candidate, Group
from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.files import check_output, sha256
from effnet_lite.versions import versions

NAME = "sweep.jsonl"
_KIND = "effnet_lite_sweep"
_SCHEMA = 1
_PACKAGES = ("numpy", "ai-edge-litert", "tensorflow", "Pillow")


class Record:
    """Opens or makes the file in a folder; use as a context manager.

    Args:
        folder: Of the sweep.
        settings: What all figures share, as JSON. Keys are words for a message.
        overwrite: Replace the record of another sweep.

    Attributes:
        path: The file.

    Raises:
        InputError: The file is something else, or of other settings, is being written by
            another process, or cannot be written.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], overwrite: bool) -> None:
        self.path = folder / NAME
        self._file = AppendOnlyFile(
            self.path, _KIND, _SCHEMA, settings, ("record", "sweep"), "--output", overwrite
        )
        self._lines = list(self._file.lines(lambda line: line if "kind" in line else None))

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.__exit__(*failure)

    def begin(self, command: str, groups: Iterable[Group], overwrite: bool) -> None:
        """Note who goes on with the sweep, where, with which versions, and what is to be made.

        Raises:
            InputError: A file that is to be made is there, and not of this sweep.
        """
        wanted = [one for group in groups for one in group.candidates if one.conversion]
        ours = {name for line in self._lines if line["kind"] == "run" for name in line["makes"]}
        for candidate in wanted:
            if candidate.name not in ours:
                check_output(candidate.path, overwrite)
        self._add(
            kind="run",
            makes=[candidate.name for candidate in wanted],
            command=command,
            versions=versions(_PACKAGES),
            machine={
                "processor": processor(),
                "cores": os.cpu_count(),
                "system": platform.platform(),
            },
            when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )

    def add(self, kind: str, group: str, command: str | None, document: Any, **more: Any) -> None:
        """Keep one result."""
        self._add(kind=kind, group=group, command=command, document=document, **more)

    def fail(self, step: str, name: str, error: EffnetLiteError) -> None:
        """Keep why there is no result; a later result of that step counts instead."""
        self._add(kind="failure", step=step, name=name, message=str(error))

    def converted(self, candidate: Candidate) -> str | None:
        """The sha256 of the candidate's file; None if it is still to be made.

        Raises:
            InputError: It was made with other options.
        """
        for line in reversed(self._lines):
            if line["kind"] != "convert" or line.get("name") != candidate.name:
                continue
            if line.get("options") != candidate.conversion:
                raise InputError(
                    f"{candidate.name} was made with {_difference(line, candidate)}; give "
                    "another --output, or --overwrite to sweep anew"
                )
            found = str(line["document"]["sha256"])
            return found if _sha256(candidate.path) == found else None
        return None

    def unmeasured(self, kind: str, models: Iterable[tuple[Candidate, str]]) -> list[Candidate]:
        """Candidates, given with their sha256, that no line of this kind is about."""
        known: set[str] = set()
        for line in self._lines:
            if line["kind"] == kind:
                known |= _subjects(kind, line["document"])
        return [candidate for candidate, digest in models if digest not in known]

    def failures(self, groups: Iterable[Group]) -> list[str]:
        """A line for each step of these groups that failed the last time it was tried."""
        names = {name for group in groups for name in (group.name, *_names(group))}
        found: dict[tuple[str, str], str] = {}
        for line in self._lines:
            if line["kind"] == "failure":
                found[line["step"], line["name"]] = line["message"]
            else:
                found.pop((line["kind"], line.get("name") or line.get("group")), None)
        return [
            f"{step} {name}: {message}" for (step, name), message in found.items() if name in names
        ]

    def _add(self, **line: Any) -> None:
        self._file.add(line, sync=True)
        self._lines.append(line)


def _names(group: Group) -> list[str]:
    return [candidate.name for candidate in group.candidates]


def _subjects(kind: str, document: dict[str, Any]) -> set[str]:
    """The sha256 of the models that a document is about."""
    if kind == "benchmark":
        return {record["model_sha256"] for record in document["records"]}
    if kind == "evaluate":
        return {model["sha256"] for model in document["models"]}
    return {document["quantized"]["sha256"]}


def _difference(line: dict[str, Any], candidate: Candidate) -> str:
    before, now = line.get("options") or {}, candidate.conversion or {}
    others = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return "another " + " and ".join(others)


def _sha256(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes())
    except OSError:
        return None
