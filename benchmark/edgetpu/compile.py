"""Compiling a model for the Edge TPU, with what it says of itself kept."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.edgetpu.compiler import find_compiler, run_compiler
from effnet_lite.benchmark.edgetpu.graph import read_network
from effnet_lite.benchmark.edgetpu.records import Mapping, Parameters
from effnet_lite.errors import ConversionError, InputError, UsageError
from effnet_lite.files import check_output, sha256, write_bytes
from effnet_lite.quantize.tflite import archive, description, metadata
from effnet_lite.quantize.tflite.file import (
    check_model,
    is_tflite,
    pack,
    read_metadata_buffer,
    read_model,
    set_metadata_buffer,
    unpack,
)
from effnet_lite.quantize.tflite.refusal import EDGETPU_OPERATOR
from effnet_lite.quantize.tflite.surgery import operator_kinds

SUFFIX = "_edgetpu"
#: The compiler's own timer, where it has one, stops after 180 seconds.
TIMEOUT_S = 600.0
#: Runtimes of the Edge TPU that the compiler can compile for (compiler 16: 10 to 14).
RUNTIMES = range(1, 100)

_ENTRIES = (description.ENTRY, metadata.ENTRY)


@dataclasses.dataclass(frozen=True)
class EdgeTpuCompilation:
    """What ``edgetpu compile`` did.

    Attributes:
        model: The file that was compiled.
        output, sha256, bytes: The compiled file.
        compiler: Its version.
        mapping: Operators by place, reasons, parameters, from the compiler's log.
        segments: Edge TPU operators in the output; more than one only by further options.
        description_kept: Whether the file carries the description that the model had; None
            where the model had none.
    """

    model: str
    output: Path
    sha256: str
    bytes: int
    compiler: str
    mapping: Mapping
    segments: int
    description_kept: bool | None

    @property
    def full(self) -> bool:
        """Whether the whole model runs on the Edge TPU."""
        return self.mapping.full

    def to_json(self) -> dict[str, Any]:
        """The document of ``edgetpu compile --json``."""
        document = dataclasses.asdict(self)
        del document["mapping"]
        return {**document, "output": str(self.output), **self.mapping.to_json()}


def edgetpu_compile(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    compiler: str | os.PathLike[str] | None = None,
    min_runtime_version: int | None = None,
    timeout: float = TIMEOUT_S,
    overwrite: bool = False,
) -> EdgeTpuCompilation:
    """Compile a model with edgetpu_compiler.

    Args:
        model: A .tflite file.
        output: The compiled file; None for ``MODEL_edgetpu.tflite`` beside the model.
        compiler: The program; None for $EFFNET_LITE_EDGETPU_COMPILER, else the one on PATH.
        min_runtime_version: Of the Edge TPU's runtime that must be able to run the file.
        timeout: Seconds for the compiler.
        overwrite: Whether an existing output is replaced.

    Raises:
        InputError: The model cannot be used or is compiled already; the output is in the way.
        UsageError: A number is out of range.
        ConversionError: The compiler fails, or maps nothing.
        EffnetLiteError: It is not installed.
    """
    if min_runtime_version is not None and min_runtime_version not in RUNTIMES:
        raise UsageError(f"the runtime version must be 1 to 99, got {min_runtime_version}")
    if not 0 < timeout < 10**6:
        raise UsageError(f"the timeout must be some seconds, got {timeout:g}")
    model = Path(model)
    output = Path(output) if output else model.with_name(f"{model.stem}{SUFFIX}.tflite")
    data = read_model(model)
    read_network(data)
    check_output(output, overwrite)
    program = find_compiler(compiler)
    options = ["--min_runtime_version", str(min_runtime_version)] if min_runtime_version else []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "model.tflite"), Path(folder, "out")
        source.write_bytes(data)  # under a name that the compiler's options cannot be mixed up with
        target.mkdir()
        run = run_compiler(program, source, target, options, timeout)
    mapping, segments = _compiled(run.model, run.log.mapping)
    compiled, kept = with_what_it_says(data, run.model)
    write_bytes(output, compiled, overwrite)
    return EdgeTpuCompilation(
        model=model.name,
        output=output,
        sha256=sha256(compiled),
        bytes=len(compiled),
        compiler=run.log.version or "unknown",
        mapping=mapping,
        segments=segments,
        description_kept=kept,
    )


def with_what_it_says(model: bytes, compiled: bytes) -> tuple[bytes, bool | None]:
    """The compiled file with the model's description, metadata and labels.

    Whatever of them the compiler has left in the file stays as it is.

    Returns:
        The file, and whether it carries the model's description now (None: there was none).
    """
    entries = {name: read_metadata_buffer(model, name) for name in _ENTRIES}
    missing = {
        name: content
        for name, content in entries.items()
        if content is not None and read_metadata_buffer(compiled, name) != content
    }
    labels = metadata.read_labels(model)
    if missing:
        tree = unpack(compiled)
        for name, content in missing.items():
            set_metadata_buffer(tree, name, content)
        compiled = pack(tree)
    if labels and metadata.read_labels(compiled) != labels:
        compiled = archive.append_files(compiled, _label_files(model))
    check_model(compiled)
    there = entries[description.ENTRY]
    if there is None:
        return compiled, None
    return compiled, read_metadata_buffer(compiled, description.ENTRY) == there


def _label_files(model: bytes) -> dict[str, bytes]:
    """The files of the archive behind a model that its metadata names."""
    said = metadata.read_metadata(model)
    if said is None:
        return {}
    named = [*said.files, *(file for output in said.outputs for file in output.files)]
    found = {file.name: archive.read_file(model, file.name) for file in named}
    return {name: content for name, content in found.items() if content is not None}


def _compiled(data: bytes, mapping: Mapping | None) -> tuple[Mapping, int]:
    """Judge the compiler's file by what is in it.

    Raises:
        ConversionError: It is no model, or no operator of it runs on the Edge TPU.
    """
    try:
        if not is_tflite(data):
            raise InputError("it is no .tflite file")
        check_model(data)
    except InputError as error:
        raise ConversionError(f"what the compiler wrote cannot be used: {error}") from error
    kinds = operator_kinds(unpack(data))
    segments = kinds.count(EDGETPU_OPERATOR)
    if mapping is None:  # an older compiler without a table: what is left is in the file
        left = {kind: kinds.count(kind) for kind in kinds if kind != EDGETPU_OPERATOR}
        mapping = Mapping({EDGETPU_OPERATOR: segments} if segments else {}, left, (),
                          Parameters(0, 0))  # fmt: skip
    if segments == 0:
        reasons = "; ".join(f"{one.operator}: {one.status}" for one in mapping.reasons[:3])
        raise ConversionError(
            "the compiler maps no operator to the Edge TPU"
            + (f" ({reasons})" if reasons else "")
            + "; effnet-lite edgetpu check says what to change"
        )
    return mapping, segments
