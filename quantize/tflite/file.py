"""A .tflite file as bytes and as objects.

A .tflite file is a flatbuffer (tensorflow/lite/schema/schema.fbs, identifier TFL3),
perhaps with a zip archive of label files behind it. The objects are those of the
generated schema: ``ModelT``, ``SubGraphT``, ``TensorT``, ``OperatorT``, ``BufferT``.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import os
import struct
from collections.abc import Iterator
from typing import Any

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.files import read_bytes
from effnet_lite.quantize.tflite.check import check_tables, integers
from effnet_lite.quantize.tflite.flatbuffer import Reader
from effnet_lite.quantize.tflite.sniff import what_it_looks_like

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

# schema.fbs: Buffer.data is (force_align: 16), which XNNPACK and a mapped file rely on.
BUFFER_ALIGNMENT = 16

# Slots of schema.fbs, for what is read without unpacking the whole model.
_MODEL_SUBGRAPHS, _MODEL_BUFFERS, _MODEL_METADATA, _MODEL_SIGNATURES = 2, 4, 6, 7
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_SUBGRAPH_TENSORS, _SUBGRAPH_OPERATORS = 0, 3
_TENSOR_NAME, _TENSOR_SPARSITY, _TENSOR_VARIANTS = 3, 6, 9
_SPARSITY_DIMENSIONS = 2
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS = 0, 1


def read_model(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a .tflite file, label archive included, checked by ``check_model``.

    Raises:
        InputError: Missing, unreadable, of another format, damaged or cut short.
    """
    data = read_bytes(path, "a .tflite model")
    if not is_tflite(data):
        found, advice = what_it_looks_like(data)
        raise InputError(f"{path} is not a .tflite model: it looks like {found}; {advice}")
    try:
        check_model(data)
    except InputError as error:
        raise InputError(
            f"{path} cannot be used: {error}; copy, download or convert it again"
        ) from error
    return data


def is_tflite(data: bytes) -> bool:
    """Whether the data carries the identifier of a TFLite flatbuffer."""
    return data[4:8] == IDENTIFIER


def check_model(data: bytes) -> None:
    """Raise InputError unless every table, buffer and index of the model is in bounds."""
    model = unpack(data)
    with _damage_as_input_error():
        if model.version != SCHEMA_VERSION:
            raise InputError(f"expected TFLite schema {SCHEMA_VERSION}, found {model.version}")
        if not model.subgraphs:
            raise InputError("the model has no subgraph")
        check_tables(model, schema())


def unpack(data: bytes) -> Any:
    """The model as a ``ModelT`` tree; what lies behind the flatbuffer is left out.

    The buffers' ``data`` are read-only uint8 arrays that share memory with ``data``.
    Buffers that a model of more than 2 GB keeps behind its flatbuffer are taken in.

    Raises:
        InputError: Not a flatbuffer of this schema, damaged, or cut short.
    """
    _check_extents(data)
    generated = schema()
    with _damage_as_input_error():
        model = generated.ModelT.InitFromObj(generated.Model.GetRootAs(data, 0))
        _take_in_outer_buffers(model, data)
    return model


def pack(model: Any) -> bytes:
    """The flatbuffer of a ``ModelT`` tree; the same tree gives the same bytes.

    A buffer's ``data`` may be a numpy array of any type, bytes, or a list of byte values.

    Raises:
        InputError: More than the 2 GB that a flatbuffer can hold.
    """
    import flatbuffers
    from flatbuffers.builder import BuilderSizeError

    class AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
        # The generated Pack() forgets force_align and leaves most constants at 4 bytes.
        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
            wanted = BUFFER_ALIGNMENT if elemSize == 1 else alignment
            offset: int = super().StartVector(elemSize, numElems, wanted)
            return offset

    total = _as_byte_arrays(model.buffers or [])
    try:
        # Room for everything at once: growing would copy the weights again and again.
        builder = AlignedBuilder(total + total // 16 + 65536)
        builder.Finish(model.Pack(builder), IDENTIFIER)
    except BuilderSizeError as error:
        raise InputError(
            f"the model holds {total / 2**30:.1f} GiB of constants; a flatbuffer ends at 2 GiB"
        ) from error
    # Output() would copy the weights once more.
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


def schema() -> Any:
    """The module of generated schema classes: the runtime's, or TensorFlow's where that is all.

    Raises:
        MissingDependencyError: Neither is installed.
    """
    for module in (
        "ai_edge_litert.schema_py_generated",
        "tensorflow.lite.python.schema_py_generated",
    ):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise MissingDependencyError("reading .tflite files", "ai-edge-litert")


def read_metadata_buffer(data: bytes, name: str) -> bytes | None:
    """The buffer of the model's ``Metadata`` entry ``name``; None where there is none.

    Reads a few hundred bytes, whatever the size of the weights.

    Raises:
        InputError: Not a TFLite flatbuffer, or damaged on the way to the entry.
    """
    model = Reader(data, IDENTIFIER).root()
    for entry in model.tables(_MODEL_METADATA):
        if entry.string(_METADATA_NAME) != name:
            continue
        index = int(entry.scalar(_METADATA_BUFFER, "I"))
        buffers = model.tables(_MODEL_BUFFERS)
        if index >= len(buffers):
            raise InputError(f"metadata entry {name} refers to buffer {index} of {len(buffers)}")
        outer = int(buffers[index].scalar(_BUFFER_OFFSET, "Q"))
        if outer > 1:
            return _outer(data, outer, int(buffers[index].scalar(_BUFFER_SIZE, "Q")))
        return buffers[index].raw(_BUFFER_DATA) or b""
    return None


def set_metadata_buffer(model: Any, name: str, payload: bytes) -> None:
    """Give a ``ModelT`` the ``Metadata`` entry ``name``, in place of one of that name."""
    generated = schema()
    if model.buffers is None:
        model.buffers = []
    if model.metadata is None:
        model.metadata = []
    if not model.buffers:  # buffer 0 is the empty one, by the schema's convention
        model.buffers.append(generated.BufferT())
    buffer = generated.BufferT()
    buffer.data = payload
    uses = collections.Counter(entry.buffer for entry in model.metadata)
    uses.update(tensor.buffer for graph in model.subgraphs or [] for tensor in graph.tensors or [])
    for entry in model.metadata:
        if _text(entry.name) == name:
            break
    else:
        entry = generated.MetadataT()
        entry.name = name
        model.metadata.append(entry)
    if 0 < entry.buffer < len(model.buffers) and uses[entry.buffer] == 1:
        model.buffers[entry.buffer] = buffer
    else:
        entry.buffer = len(model.buffers)
        model.buffers.append(buffer)


@contextlib.contextmanager
def _damage_as_input_error() -> Iterator[None]:
    """What the generated classes raise on a damaged file, as one InputError."""
    try:
        yield
    except (
        struct.error,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError("the flatbuffer is damaged or cut short") from error


def _check_extents(data: bytes) -> None:
    """Refuse a file whose vectors and names claim more than it holds (see flatbuffer.py)."""
    model = Reader(data, IDENTIFIER).root()
    model.tables(_MODEL_BUFFERS)
    model.tables(_MODEL_METADATA)
    for graph in model.tables(_MODEL_SUBGRAPHS):
        for tensor in graph.tables(_SUBGRAPH_TENSORS):
            tensor.visit_vector(_TENSOR_NAME, 1)
            tensor.visit_vector(_TENSOR_VARIANTS, 4)
            sparsity = tensor.table(_TENSOR_SPARSITY)
            if sparsity:
                sparsity.visit_vector(_SPARSITY_DIMENSIONS, 4)
        graph.tables(_SUBGRAPH_OPERATORS)
    for signature in model.tables(_MODEL_SIGNATURES):
        for slot in (_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS):
            for tensor in signature.tables(slot):
                tensor.visit_vector(0, 1)


def _take_in_outer_buffers(model: Any, data: bytes) -> None:
    for buffer in model.buffers or ():
        if buffer.offset > 1:  # 0: not used; 1: a placeholder of the converter
            buffer.data = _outer(data, buffer.offset, buffer.size)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs or ():
        for operator in graph.operators or ():
            if operator.largeCustomOptionsOffset > 1:
                operator.customOptions = integers(
                    _outer(data, operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize)
                )
                operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0


def _outer(data: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(data):
        raise InputError(f"the file is cut short: it refers to byte {offset + size} of {len(data)}")
    return data[offset : offset + size]


def _as_byte_arrays(buffers: list[Any]) -> int:
    """Turn every buffer's data into what Pack() copies at once; returns the bytes in all.

    Pack() writes anything but an array byte by byte, and counts an array's elements, not
    its bytes.
    """
    import numpy as np

    total = 0
    for buffer in buffers:
        if buffer.data is None:
            continue
        if isinstance(buffer.data, np.ndarray):
            buffer.data = np.ascontiguousarray(buffer.data).reshape(-1).view(np.uint8)
        else:
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
        total += buffer.data.size + 2 * BUFFER_ALIGNMENT
    return total


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
