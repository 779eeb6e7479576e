"""What edgetpu_compiler prints, from version 2.0 to 16.0.

The formats are those of public logs: success with a table (google-coral/edgetpu#317), without
one but with a .log file (#173), partial (#342), and the failures that ``_MEANINGS`` lists with
the issue where each was seen.
"""

from __future__ import annotations

import collections
import dataclasses
import re

from effnet_lite.benchmark.edgetpu.operators import MAPPED
from effnet_lite.benchmark.edgetpu.records import Mapping, Parameters, Reason

_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
_FIGURE = re.compile(r"^(?P<name>[A-Z][^:\n]*): (?P<value>.+?)\s*$", re.MULTILINE)
_ROW = re.compile(
    r"^(?P<kind>[A-Z][A-Z0-9_]*)[ \t]+(?P<count>\d+)[ \t]+(?P<status>\S.*?)[ \t]*$", re.MULTILINE
)
_SIZE = re.compile(r"([\d.]+)\s*([KMG]?)i?B")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}

#: Pattern → what to tell; groups fill {0}, {1}.
_MEANINGS = (
    (  # 453
        r"no_integer_overflow_from_quantization was not true\.\s*"
        r"(?:ERROR: )?Node number (\d+) \((\w+)\)",
        "the scales of operator {0} ({1}) overflow the integers that it computes with; calibrate "
        "on other photos, or quantize with another recipe",
    ),
    (r"no_integer_overflow_from_quantization", "an operator's scales overflow the integers that "
     "it computes with; calibrate on other photos, or quantize with another recipe"),
    (  # 147, 631, 845
        r"find op for builtin opcode '(\w+)' version '(\d+)'",
        "the compiler is too old for this model: it does not know version {1} of {0}; install "
        "edgetpu-compiler 16.0, the last one, or convert with an older TensorFlow",
    ),
    (  # 818
        r"builtin_code out of range: (\d+)",
        "the compiler is too old for this model: it does not know the operator number {0}",
    ),
    (r"dynamic-sized tensors", "the model has tensors of any size; convert it with fixed shapes, "
     "batch 1"),  # 829
    (r"large activation tensors", "its activations are too large for the chip; make the model's "
     "input smaller"),  # 439, 512
    (r"Model not quantized", "the model is not quantized: effnet-lite convert --int8"),
    (r"compil[^\n]*timed? ?out(?! timer| period)", "the compiler gave up: it took too long; make "
     "the model's input smaller"),
    (r"Invalid model: |could not be parsed", "the compiler cannot read the model"),  # 34, 152
    (r"Internal compiler error", "an internal error of the compiler, which gives no reason; "
     "operators of large tensors are the usual cause, and a second try may pass (#211)"),  # 211
    (r"Compilation failed: ([^\n]+)", "{0}"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CompilerLog:
    """What a run of the compiler said.

    Attributes:
        version: Of the compiler; None if it did not even say that.
        mapping: Operators by place; None where no table was printed.
        subgraphs: Edge TPU operators in the output; None where it is not told.
        operators, on_edgetpu: How many in all, and how many are mapped; None likewise.
        milliseconds: That the compilation took.
        complaint: What went wrong, in one line; None where nothing did.
    """

    version: str | None
    mapping: Mapping | None
    subgraphs: int | None
    operators: int | None
    on_edgetpu: int | None
    milliseconds: int | None
    complaint: str | None


def parse_log(text: str) -> CompilerLog:
    """Read standard output and error, and the .log file where the table is only there."""
    text = text.replace("\r\n", "\n")
    version = _VERSION.search(text)
    figures = {found["name"]: found["value"] for found in _FIGURE.finditer(text)}
    took = re.search(r"compiled successfully in (\d+) ms", text)
    return CompilerLog(
        version=version[1] if version else None,
        mapping=_mapping(text, figures),
        subgraphs=_integer(figures, "Number of Edge TPU subgraphs"),
        operators=_integer(figures, "Total number of operations"),
        on_edgetpu=_integer(figures, "Number of operations that will run on Edge TPU"),
        milliseconds=int(took[1]) if took else None,
        complaint=_complaint(text),
    )


def _mapping(text: str, figures: dict[str, str]) -> Mapping | None:
    places: dict[bool, collections.Counter[str]] = {True: collections.Counter(),
                                                    False: collections.Counter()}  # fmt: skip
    reasons = []
    rows = [(row["kind"], int(row["count"]), row["status"]) for row in _ROW.finditer(text)]
    for kind, count, status in dict.fromkeys(rows):  # the table is in the .log file as well
        places[status == MAPPED][kind] += count
        if status != MAPPED:
            reasons.append(Reason(kind, count, status))
    if not rows:
        return None
    return Mapping(
        dict(places[True].most_common()), dict(places[False].most_common()), tuple(reasons),
        _parameters(figures),
    )  # fmt: skip


def _parameters(figures: dict[str, str]) -> Parameters:
    used = _size(figures.get("On-chip memory used for caching model parameters"))
    left = _size(figures.get("On-chip memory remaining for caching model parameters"))
    streamed = _size(figures.get("Off-chip memory used for streaming uncached model parameters"))
    budget = None if used is None or left is None else used + left
    if budget is None:  # version 2.0 tells the whole
        budget = _size(figures.get("On-chip memory available for caching model parameters"))
    return Parameters(used or 0, streamed or 0, budget)


def _size(text: str | None) -> int | None:
    """Bytes of ``6.86MiB``; the log rounds to two digits behind the point."""
    found = _SIZE.fullmatch(text.strip()) if text else None
    return round(float(found[1]) * _UNITS[found[2]]) if found else None


def _integer(figures: dict[str, str], name: str) -> int | None:
    value = figures.get(name, "")
    return int(value) if value.isdigit() else None


def _complaint(text: str) -> str | None:
    for pattern, told in _MEANINGS:
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            return told.format(*found.groups())
    return None
