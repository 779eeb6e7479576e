"""The schema of TFLite Metadata as one table, and a codec that reads the table.

Source: tensorflow/tflite-support ``tensorflow_lite_support/metadata/metadata_schema.fbs``
(1.5.0), the same in MediaPipe. A message is a plain dictionary of the fields that are set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from effnet_lite.quantize.tflite.flatbuffer import Reader, Table

IDENTIFIER = b"M001"
ROOT = "ModelMetadata"

#: table → its fields in schema order, "name: type". A union takes two slots, the member's
#: number and its table; its value here is the pair (member name, fields).
TABLES: dict[str, tuple[str, ...]] = {
    "ModelMetadata": (
        "name: string",
        "description: string",
        "version: string",
        "subgraph_metadata: [SubGraphMetadata]",
        "author: string",
        "license: string",
        "associated_files: [AssociatedFile]",
        "min_parser_version: string",
    ),
    "SubGraphMetadata": (
        "name: string",
        "description: string",
        "input_tensor_metadata: [TensorMetadata]",
        "output_tensor_metadata: [TensorMetadata]",
        "associated_files: [AssociatedFile]",
    ),
    "TensorMetadata": (
        "name: string",
        "description: string",
        "dimension_names: [string]",
        "content: Content",
        "process_units: [ProcessUnit]",
        "stats: Stats",
        "associated_files: [AssociatedFile]",
    ),
    "Content": ("content_properties: ContentProperties", "range: ValueRange"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space: byte", "default_size: ImageSize"),
    "ImageSize": ("width: uint", "height: uint"),
    "ValueRange": ("min: int", "max: int"),
    "ProcessUnit": ("options: ProcessUnitOptions",),
    "NormalizationOptions": ("mean: [float]", "std: [float]"),
    "Stats": ("max: [float]", "min: [float]"),
    "AssociatedFile": (
        "name: string",
        "description: string",
        "type: byte",
        "locale: string",
        "version: string",
    ),
}

#: union → its members, numbered from 1. Members without a row above read as empty.
UNIONS: dict[str, tuple[str, ...]] = {
    "ContentProperties": ("FeatureProperties", "ImageProperties", "BoundingBoxProperties"),
    "ProcessUnitOptions": (
        "NormalizationOptions",
        "ScoreCalibrationOptions",
        "ScoreThresholdingOptions",
        "BertTokenizerOptions",
        "SentencePieceTokenizerOptions",
        "RegexTokenizerOptions",
    ),
}

#: Enumerations, numbered from 0.
COLOR_SPACES = ("UNKNOWN", "RGB", "GRAYSCALE")
FILE_TYPES = (
    "UNKNOWN",
    "DESCRIPTIONS",
    "TENSOR_AXIS_LABELS",
    "TENSOR_VALUE_LABELS",
    "TENSOR_AXIS_SCORE_CALIBRATION",
    "VOCABULARY",
    "SCANN_INDEX_FILE",
)

_SCALARS = {"byte": "b", "int": "i", "uint": "I"}  # type → struct code


def encode(message: Mapping[str, Any]) -> bytes:
    """The flatbuffer of a ``ModelMetadata`` message; the same message gives the same bytes."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_write_table(builder, ROOT, message), IDENTIFIER)
    return bytes(builder.Output())


def decode(data: bytes) -> dict[str, Any]:
    """The ``ModelMetadata`` message of a flatbuffer; unknown fields are left out.

    Raises:
        InputError: Another identifier, or damaged.
    """
    return _read_table(ROOT, Reader(data, IDENTIFIER).root())


def _slots(table: str) -> list[tuple[int, str, str]]:
    """(slot, field name, type) of every field; a union's slot is that of its number."""
    slots, slot = [], 0
    for field in TABLES[table]:
        name, kind = field.split(": ")
        slots.append((slot, name, kind))
        slot += 2 if kind in UNIONS else 1
    return slots


def _write_table(builder: Any, table: str, message: Mapping[str, Any]) -> int:
    """Write the children, then the table; returns the builder's offset."""
    fields = [field for field in _slots(table) if message.get(field[1]) is not None]
    children = {
        name: _write_child(builder, kind, message[name])
        for _, name, kind in fields
        if kind not in _SCALARS
    }
    builder.StartObject(_slot_count(table))
    for slot, name, kind in fields:
        if kind in _SCALARS:
            write = {"byte": builder.PrependInt8Slot, "int": builder.PrependInt32Slot}
            write.get(kind, builder.PrependUint32Slot)(slot, message[name], 0)
        elif kind in UNIONS:
            builder.PrependUint8Slot(slot, 1 + UNIONS[kind].index(message[name][0]), 0)
            builder.PrependUOffsetTRelativeSlot(slot + 1, children[name], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, children[name], 0)
    offset: int = builder.EndObject()
    return offset


def _slot_count(table: str) -> int:
    return sum(2 if kind in UNIONS else 1 for _, _, kind in _slots(table))


def _write_child(builder: Any, kind: str, value: Any) -> int:
    offset: int
    if kind == "string":
        offset = builder.CreateString(value, errors="replace")
    elif kind in UNIONS:
        offset = _write_table(builder, value[0], value[1])
    elif kind == "[float]":
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        offset = builder.EndVector()
    elif kind.startswith("["):
        items = [_write_child(builder, kind[1:-1], item) for item in value]
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        offset = builder.EndVector()
    else:
        offset = _write_table(builder, kind, value)
    return offset


def _read_table(name: str, table: Table) -> dict[str, Any]:
    message = {}
    for slot, field, kind in _slots(name):
        value = _read_field(table, slot, kind)
        if value is not None:
            message[field] = value
    return message


def _read_field(table: Table, slot: int, kind: str) -> Any:
    if kind in _SCALARS:
        value: Any = int(table.scalar(slot, _SCALARS[kind]))
    elif kind == "string":
        value = table.string(slot)
    elif kind == "[string]":
        value = table.strings(slot)
    elif kind == "[float]":
        value = table.numbers(slot, "f")
    elif kind in UNIONS:
        value = _read_union(table, slot, kind)
    elif kind.startswith("["):
        value = [_read_table(kind[1:-1], item) for item in table.tables(slot)]
    else:
        child = table.table(slot)
        value = None if child is None else _read_table(kind, child)
    return value


def _read_union(table: Table, slot: int, union: str) -> tuple[str, dict[str, Any]] | None:
    number = int(table.scalar(slot, "B"))
    child = table.table(slot + 1)
    if child is None or not 1 <= number <= len(UNIONS[union]):
        return None
    member = UNIONS[union][number - 1]
    return member, _read_table(member, child) if member in TABLES else {}
