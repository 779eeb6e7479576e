"""The model files that documents speak of: names, sizes, and who was made from whom."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.report.documents import Entry
from effnet_lite.files import sha256 as digest_of

_SHORT = 8  # digits of a sha256


@dataclasses.dataclass(frozen=True)
class File:
    """A model file; None is what no document says.

    Attributes:
        weights: Name of the weights.
        parent_name: As a sweep calls its float parent.
        record: The sweep's record in which that name means something.
    """

    sha256: str
    name: str = ""
    path: str | None = None
    bytes: int | None = None
    group: str | None = None
    variant: str | None = None
    precision: str | None = None
    recipe: str | None = None
    weights: str | None = None
    parent_name: str | None = None
    record: str = ""


class Files:
    """Grows document by document.

    Attributes:
        notes: What a reader must know, a sentence each.
    """

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._named: dict[tuple[str, str], str] = {}  # (record, name) → sha256
        self.notes: list[str] = []

    def see(self, sha256: str, called: str | None, group: str | None) -> None:
        """A measurement of the file, which it calls by a path, or by a sweep's name."""
        known = self._files.setdefault(sha256, File(sha256))
        self._change(
            known,
            path=known.path or (called if called and called.endswith(".tflite") else None),
            name=known.name or (_stem(called) if called else ""),
            group=known.group or group,
        )

    def add(self, entry: Entry) -> str:
        """A document that tells what the file is; its sha256."""
        node = entry.node()
        sha256 = node.at("sha256").digest()
        record = node.at("record") if "record" in node else node
        path = node.at("output").maybe_text() if entry.kind != "inspect" else None
        known = self._files.setdefault(sha256, File(sha256))
        if entry.name:
            self._take_name(entry, sha256, known)
        weights = record.at("weights")
        self._change(
            self._files[sha256],
            path=path or known.path,
            bytes=node.at("bytes").whole(1),
            # A sweep's name is short and chosen; the first one stays.
            name=(known.name if known.record else None) or entry.name or known.name
            or (_stem(path) if path else ""),
            record=known.record or (entry.path if entry.name else ""),
            group=known.group or entry.group,
            variant=record.at("variant").maybe_text() or known.variant,
            precision=record.at("precision").maybe_text() or known.precision,
            recipe=record.at("recipe").maybe_text() or known.recipe,
            weights=_weights(weights.value) or known.weights,
            parent_name=entry.parent or known.parent_name,
        )  # fmt: skip
        return sha256

    def name(self, sha256: str) -> str:
        """What the file is called so far."""
        return self._files[sha256].name or sha256[:_SHORT]

    def parent(self, file: File) -> str | None:
        """sha256 of the float parent that a sweep names."""
        if file.parent_name is None:
            return None
        return self._named.get((file.record, file.parent_name))

    def known(self) -> list[File]:
        """All in order of appearance, but by group; each with a name of its own."""
        files = [dataclasses.replace(file, name=file.name or f"model {file.sha256[:_SHORT]}",
                                     bytes=file.bytes or self._measure(file))
                 for file in self._files.values()]  # fmt: skip
        # Conversions beside each other end in any order: groups stay together.
        groups = list(dict.fromkeys(file.group or file.sha256 for file in files))
        files.sort(key=lambda file: groups.index(file.group or file.sha256))
        often = collections.Counter(file.name for file in files)
        return [
            file
            if often[file.name] == 1
            else dataclasses.replace(file, name=f"{file.name} {file.sha256[:_SHORT]}")
            for file in files
        ]

    def _change(self, file: File, **changes: Any) -> None:
        self._files[file.sha256] = dataclasses.replace(file, **changes)

    def _take_name(self, entry: Entry, sha256: str, known: File) -> None:
        key = entry.path, entry.name or ""
        before = self._named.get(key)
        self._named[key] = sha256
        if before and before != sha256 and before not in self._named.values():
            self._files.pop(before, None)
            self.notes.append(f"{entry.name} was made anew; figures of the older file are left out")
        if known.record and known.name != entry.name:
            self.notes.append(f"{entry.name} is the same file as {known.name}, bit for bit")

    def _measure(self, file: File) -> int | None:
        """Bytes of the file where it still lies where a document saw it."""
        try:
            data = Path(file.path).read_bytes() if file.path else b""
        except (OSError, ValueError):
            return None
        return len(data) if data and digest_of(data) == file.sha256 else None


def _stem(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".tflite") or path


def _weights(value: Any) -> str | None:
    """A name in ``convert``'s document, a record with one in the model's own description."""
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None
