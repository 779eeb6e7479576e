"""Reads what our commands print with ``--json``, and the record files of sweeps."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.report.checked import Node, shortened
from effnet_lite.errors import InputError
from effnet_lite.files import read_bytes

#: What marks the first line of a sweep's record file, and the versions of it that are read.
SWEEP = "effnet_lite_sweep"
SCHEMAS = (1,)
#: Commands whose documents are read, and the keys by which each is known.
_KEYS = {
    "benchmark": ("records", "comparisons"),
    "evaluate": ("models", "data", "count"),
    "compare": ("float", "quantized", "layers"),
    "convert": ("output", "sha256", "bytes", "precision"),
    "inspect": ("inputs", "outputs", "ops", "sha256"),
}
COMMANDS = tuple(_KEYS)
_WITH_DOCUMENT = ("convert", "file", "benchmark", "compare", "evaluate", "inspect")
_EXPECTED = (
    "a JSON document of effnet-lite "
    + ", ".join(COMMANDS[:-1])
    + f" or {COMMANDS[-1]}, or a sweep's record"
)
_MADE_BY = "made_by"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A document, and what is known of how it came about.

    Attributes:
        kind: A command of ``COMMANDS``, ``file`` (a user's own model), ``run`` (a call of
            ``sweep``) or ``failure``.
        document: The command's JSON document; empty for a run and a failure.
        source: For messages: the file, and the line of a sweep's record.
        command: The command line that made it.
        versions: Of packages, by name.
        name: Of the candidate, in a sweep.
        group: Candidates with a common parent, in a sweep.
        parent: Name of the float model that this one was made from.
        seconds: That the command took.
        machine: ``processor``, ``cores`` and ``system``.
        when: ISO 8601.
        step, message: What failed, and why.
        path: The file itself.
    """

    kind: str
    document: dict[str, Any]
    source: str
    command: str | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    name: str | None = None
    group: str | None = None
    parent: str | None = None
    seconds: float | None = None
    machine: dict[str, str] = dataclasses.field(default_factory=dict)
    when: str | None = None
    step: str | None = None
    message: str | None = None
    path: str = ""

    def node(self) -> Node:
        """The document, for checked access."""
        return Node(self.document, self.source)


def read_documents(
    paths: Sequence[str | os.PathLike[str]], note: Callable[[str], None] | None = None
) -> tuple[Entry, ...]:
    """Everything in the files, in their order.

    Args:
        paths: Files with a JSON document each, or record files of sweeps (JSON lines).
        note: Called with a sentence for each thing that was left out.

    Raises:
        InputError: No file, or one that is missing, empty, not JSON, or something else.
    """
    if not paths:
        raise InputError(f"expected at least one file: {_EXPECTED}")
    say = note or (lambda sentence: None)
    return tuple(entry for path in paths for entry in _read(Path(path), say))


def _read(path: Path, note: Callable[[str], None]) -> Iterator[Entry]:
    data = read_bytes(path, _EXPECTED)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text (UTF-8); expected {_EXPECTED}") from error
    first = text.split("\n", 1)[0]
    if f'"{SWEEP}"' in first:
        yield from _sweep(path, text, note)
        return
    document = _parsed(text, str(path))
    kind = _kind(document)
    if kind is None:
        raise InputError(f"{path} is JSON, but not what was expected: {_EXPECTED}")
    yield _single(kind, document, path)


def _single(kind: str, document: dict[str, Any], path: Path) -> Entry:
    made = Node(document.pop(_MADE_BY, None) or {}, f"{path}, {_MADE_BY}")
    return Entry(
        kind,
        document,
        str(path),
        command=made.at("command").maybe_text(),
        versions=made.at("versions").texts() if "versions" in made else {},
        path=str(path),
    )


def _kind(document: Any) -> str | None:
    if not isinstance(document, dict):
        return None
    return next((kind for kind, keys in _KEYS.items() if all(key in document for key in keys)),
                None)  # fmt: skip


def _sweep(path: Path, text: str, note: Callable[[str], None]) -> Iterator[Entry]:
    # Not splitlines(), which also splits at U+2028 inside of a name.
    lines = text.split("\n")
    schema = Node(_parsed(lines[0], f"{path}, line 1"), f"{path}, line 1").at(SWEEP)
    if schema.value not in SCHEMAS or isinstance(schema.value, bool):
        raise InputError(
            f"{path} is a sweep's record of version {shortened(repr(schema.value))}; this release "
            f"reads {' and '.join(map(str, SCHEMAS))}: upgrade effnet-lite"
        )
    found = 0
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            parsed = _parsed(line, where)
        except InputError:
            if number < len(lines):  # a whole line ends with a line break
                raise
            note(f"the last line of {path} is cut short and was left out")
            continue
        entry = _line(Node(parsed, where), path, note)
        if entry:
            found += 1
            yield entry
    if not found:
        note(f"{path} holds no result yet")


def _line(node: Node, path: Path, note: Callable[[str], None]) -> Entry | None:
    kind = node.at("kind").text()
    if kind not in (*_WITH_DOCUMENT, "run", "failure"):
        note(f"{node.where} is of a kind that this release does not know, {shortened(kind)!r}")
        return None
    document = node.at("document")
    if kind in _WITH_DOCUMENT and not isinstance(document.value, dict):
        raise document.wrong(f"the document of {kind}")
    if kind in _KEYS and (lacking := [key for key in _KEYS[kind] if key not in document.value]):
        raise InputError(f"{document.where} is no document of {kind}: it lacks {lacking[0]!r}")
    name = node.at("name").maybe_text()
    if kind == "failure" and name is None:
        raise node.at("name").wrong("a text")
    return Entry(
        kind,
        document.value if kind in _WITH_DOCUMENT else {},
        node.where,
        command=node.at("command").maybe_text(),
        versions=node.at("versions").texts() if "versions" in node else {},
        name=name,
        group=node.at("group").maybe_text(),
        parent=node.at("parent").maybe_text(),
        seconds=node.at("seconds").maybe(0),
        machine=node.at("machine").texts() if "machine" in node else {},
        when=node.at("when").maybe_text(),
        step=node.at("step").text() if kind == "failure" else None,
        message=node.at("message").text() if kind == "failure" else None,
        path=str(path),
    )


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{where} is not JSON ({reason}); expected {_EXPECTED}") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"JSON has no {constant}")
