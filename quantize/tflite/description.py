"""What a model says of itself: the EFFNET_LITE record inside the .tflite file.

A ``Metadata`` entry of the model holds compact JSON, so that preprocessing is never typed
twice and a file tells where it came from. ``classify``, ``evaluate``, ``compare``,
``benchmark`` and the Android app read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.tflite.file import read_metadata_buffer
from effnet_lite.quantize.tflite.golden import GoldenCheck
from effnet_lite.quantize.tflite.metadata import ModelInfo, with_metadata
from effnet_lite.quantize.tflite.records import from_json, to_json

ENTRY = "EFFNET_LITE"
SCHEMA = 1

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
HEADS = ("softmax", "logits")

# A record with a golden check of 1000 floats takes 8 KB.
_MAX_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class WeightsRecord:
    """Where the weights came from: a name, the file's sha256, the layout it was read as."""

    name: str
    sha256: str | None = None
    layout: str | None = None


@dataclasses.dataclass(frozen=True)
class CalibrationRecord:
    """The photos that the ranges were measured on.

    Attributes:
        kind: "folder", "samples", "synthetic", …
        count: Photos.
        digest: sha256 over them in order.
    """

    kind: str
    count: int
    digest: str | None = None


@dataclasses.dataclass(frozen=True)
class Description:
    """The record; what its writer did not know is None.

    Attributes:
        variant, family: As in the variant table.
        precision: One of ``PRECISIONS``.
        head: "softmax" or "logits", what the output vector holds.
        classes: Length of the output vector.
        label_offset: The output of the data set's class 0: 1 where output 0 is a background
            class, else 0.
        weights, preprocessing, calibration, golden: See their classes.
        tool_version: Of effnet-lite.
        recipe: Of the quantization, as the command line takes it.
        fidelity: What ``compare`` measured against the float model.
        seed: Of everything random in the conversion.
        schema: Version of this record.
    """

    variant: str
    precision: str
    head: str
    classes: int
    preprocessing: Preprocessing
    weights: WeightsRecord
    tool_version: str
    family: str | None = None
    recipe: str | None = None
    label_offset: int = 0
    calibration: CalibrationRecord | None = None
    fidelity: dict[str, Any] | None = None
    seed: int | None = None
    golden: GoldenCheck | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _require(self.precision in PRECISIONS, f"the precision {self.precision!r}")
        _require(self.head in HEADS, f"the head {self.head!r}")
        _require(0 < self.classes <= 10**6, f"{self.classes} classes")
        _require(0 <= self.label_offset < self.classes, f"a label offset of {self.label_offset}")

    def to_json(self) -> str:
        """Compact JSON with sorted keys, as it is embedded."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Description:
        """The description that the JSON text holds; keys of a later version are passed over.

        Raises:
            InputError: Not JSON, or a value is missing or wrong.
        """
        return from_json(cls, text, "the model's EFFNET_LITE record")


def with_description(
    model: bytes,
    description: Description,
    labels: Sequence[str] = (),
    info: ModelInfo | None = None,
) -> bytes:
    """The model with the record, and with TFLite Metadata that says the same.

    Args:
        model: A .tflite file with one image input and one output vector.
        description: What to say.
        labels: One name an output, in order (``classes`` of them); empty for none.
        info: What the TFLite Metadata says; by default ``model_info(description)``.

    Raises:
        InputError: A damaged model, or labels and outputs differ in number.
    """
    if labels and len(labels) != description.classes:
        raise InputError(
            f"the model tells {description.classes} classes apart, but got {len(labels)} labels"
        )
    record = description.to_json().encode("utf-8", "replace")
    return with_metadata(model, info or model_info(description), labels, {ENTRY: record})


def read_description(model: bytes) -> Description | None:
    """What the model says of itself; None for a model of another tool.

    Raises:
        InputError: The model or the record is damaged.
    """
    record = read_metadata_buffer(model, ENTRY)
    if record is None:
        return None
    if len(record) > _MAX_BYTES:
        raise InputError(f"the model's EFFNET_LITE record is too large: {len(record)} bytes")
    return Description.from_json(record)


def model_info(description: Description) -> ModelInfo:
    """The TFLite Metadata for a description, without author and license."""
    return ModelInfo(
        name=f"EfficientNet-{description.variant.capitalize()}",
        description=(
            f"EfficientNet image classifier, {description.classes} classes, "
            f"{description.precision}."
        ),
        version=f"effnet-lite {description.tool_version}",
        mean=description.preprocessing.mean,
        std=description.preprocessing.std,
        output="probability" if description.head == "softmax" else "logits",
    )


def _require(true: bool, found: str) -> None:
    if not true:
        raise InputError(f"a model's EFFNET_LITE record cannot have {found}")
