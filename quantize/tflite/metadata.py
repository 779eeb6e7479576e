"""TFLite Metadata: what Android's and MediaPipe's libraries read from a .tflite file.

A ``Metadata`` entry named TFLITE_METADATA holds a flatbuffer that says how to normalise
the input and which file names the outputs; the file is in the archive behind the model.
Guide: https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite import archive, metadata_schema
from effnet_lite.quantize.tflite.file import (
    pack,
    read_metadata_buffer,
    set_metadata_buffer,
    unpack,
)

ENTRY = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
AXIS_LABELS = "TENSOR_AXIS_LABELS"

# The schema version that introduced the youngest field written here.
_MIN_PARSER_VERSION = "1.0.0"

# schema.fbs, enum TensorType: code → the range of raw values.
_INTEGER_RANGES = {3: (0.0, 255.0), 7: (-32768.0, 32767.0), 9: (-128.0, 127.0)}
_FLOATS = (0, 1)


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What the metadata of an image classifier says.

    Attributes:
        name, description, version, author, license: For humans; empty ones are left out.
        mean, std: Of the normalisation ``(pixel - mean) / std`` of RGB pixels 0-255; one
            value, or one a channel.
        output: Name of the output tensor: "probability" after a softmax, else "logits".
    """

    name: str
    description: str = "Names the most prominent object of a photo."
    version: str = ""
    author: str = ""
    license: str = ""
    mean: tuple[float, ...] = (127.0,)
    std: tuple[float, ...] = (128.0,)
    output: str = "probability"

    def __post_init__(self) -> None:
        if not self.mean or not self.std or 0 in self.std:
            raise InputError(f"cannot normalise by mean {self.mean} and std {self.std}")


@dataclasses.dataclass(frozen=True)
class AssociatedFile:
    """A file of the archive behind the model; ``type`` is a name of the schema's enum."""

    name: str
    description: str = ""
    type: str = "UNKNOWN"
    locale: str = ""


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """What the metadata says of one input or output, in the model's order.

    Attributes:
        content: "ImageProperties", "FeatureProperties", "BoundingBoxProperties", or None.
        color_space: "RGB", "GRAYSCALE", or None for anything but an image.
        mean, std: Of the normalisation; None without one.
        minimum, maximum: Of the tensor's values, one or one a channel; None where unknown.
    """

    name: str = ""
    description: str = ""
    content: str | None = None
    color_space: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    minimum: tuple[float, ...] | None = None
    maximum: tuple[float, ...] | None = None
    files: tuple[AssociatedFile, ...] = ()


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """The metadata of a model's first subgraph, ours or a foreign writer's."""

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    min_parser_version: str = ""
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    files: tuple[AssociatedFile, ...] = ()


def with_metadata(
    model: bytes,
    info: ModelInfo,
    labels: Sequence[str] = (),
    records: Mapping[str, bytes] | None = None,
) -> bytes:
    """The model with metadata, in place of metadata and archive that it may have had.

    Args:
        model: A .tflite file.
        info: What to say.
        labels: One name an output, in order; empty for none. Whitespace within a label,
            line breaks above all, becomes one space.
        records: Further ``Metadata`` entries of the model, by name.

    Raises:
        InputError: A damaged model, an empty label, or labels and outputs differ in number.
    """
    tree = unpack(model)
    content = label_file(labels) if labels else None
    if not tree.subgraphs:
        raise InputError("the model has no subgraph to describe")
    source, target = _image_input(tree.subgraphs[0]), _vector_output(tree.subgraphs[0])
    if labels and len(labels) != target.shape[-1]:
        raise InputError(f"the model has {target.shape[-1]} outputs, but got {len(labels)} labels")
    message = _message(info, source.type, target.type, labeled=content is not None)
    set_metadata_buffer(tree, ENTRY, metadata_schema.encode(message))
    for name, payload in (records or {}).items():
        set_metadata_buffer(tree, name, payload)
    return archive.append_files(pack(tree), {LABELS_FILE: content} if content else {})


def read_metadata(model: bytes) -> ModelMetadata | None:
    """What the model's metadata says; None where it carries none.

    Raises:
        InputError: The model or its metadata is damaged.
    """
    buffer = read_metadata_buffer(model, ENTRY)
    if buffer is None:
        return None
    try:
        message = metadata_schema.decode(buffer)
    except InputError as error:
        raise InputError(f"the model's metadata cannot be read: {error}") from error
    graph: dict[str, Any] = next(iter(message.get("subgraph_metadata", ())), {})
    return ModelMetadata(
        **_texts(message, "name", "description", "version", "author", "license"),
        min_parser_version=message.get("min_parser_version", ""),
        inputs=tuple(_tensor(tensor) for tensor in graph.get("input_tensor_metadata", ())),
        outputs=tuple(_tensor(tensor) for tensor in graph.get("output_tensor_metadata", ())),
        files=_files(message) + _files(graph),
    )


def read_labels(model: bytes) -> tuple[str, ...] | None:
    """The names of the outputs, in order; None where the model carries none.

    The first label file of the first output that has one counts, one without a locale
    before others.

    Raises:
        InputError: The metadata or the archive is damaged, or the labels are too large.
    """
    metadata = read_metadata(model)
    if metadata is None:
        return None
    for output in metadata.outputs:
        files = [file for file in output.files if file.type == AXIS_LABELS]
        for file in sorted(files, key=lambda file: bool(file.locale)):
            content = archive.read_file(model, file.name)
            if content is not None:
                return parse_labels(content)
    return None


def label_file(labels: Sequence[str]) -> bytes:
    """The content of a label file: UTF-8, one label a line.

    Raises:
        InputError: A label has no visible character; readers would skip its line and
            every later name would move up by one.
    """
    lines = [" ".join(label.replace("\0", " ").split()) for label in labels]
    if "" in lines:
        raise InputError(f"label {lines.index('')} is empty; every output needs a name")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def parse_labels(content: bytes) -> tuple[str, ...]:
    """The lines of a label file, which is UTF-8 with any line ends."""
    text = content.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    return tuple(text.removesuffix("\n").split("\n")) if text else ()


def _image_input(graph: Any) -> Any:
    if graph.inputs is None or len(graph.inputs) != 1:
        raise InputError("expected a model with one input, an image")
    return _tensor_at(graph, graph.inputs[0], "input")


def _vector_output(graph: Any) -> Any:
    if graph.outputs is None or len(graph.outputs) != 1:
        raise InputError("expected a model with one output, a vector over the classes")
    tensor = _tensor_at(graph, graph.outputs[0], "output")
    if tensor.shape is None or len(tensor.shape) == 0:
        raise InputError("expected an output vector over the classes, found a single value")
    return tensor


def _tensor_at(graph: Any, index: int, what: str) -> Any:
    tensors = graph.tensors or []
    if not 0 <= index < len(tensors):
        raise InputError(f"the model's {what} is tensor {index}, but it has {len(tensors)}")
    return tensors[index]


def _message(info: ModelInfo, input_type: int, output_type: int, labeled: bool) -> dict[str, Any]:
    probability = info.output == "probability"
    image = {
        "name": "image",
        "description": "The photo to classify, RGB.",
        "content": {"content_properties": ("ImageProperties", {"color_space": 1})},
        "process_units": [
            {"options": ("NormalizationOptions", {"mean": info.mean, "std": info.std})}
        ],
        "stats": _input_range(info, input_type),
    }
    scores: dict[str, Any] = {
        "name": info.output,
        "description": f"{'Probability' if probability else 'Logit'} of each class.",
        "content": {"content_properties": ("FeatureProperties", {})},
        "stats": _range(_INTEGER_RANGES.get(output_type, (0.0, 1.0) if probability else None)),
    }
    if labeled:
        scores["associated_files"] = [
            {
                "name": LABELS_FILE,
                "description": "Names of the classes, in the order of the outputs.",
                "type": metadata_schema.FILE_TYPES.index(AXIS_LABELS),
            }
        ]
    said = {name: getattr(info, name) or None for name in ("version", "author", "license")}
    return {
        "name": info.name,
        "description": info.description,
        "subgraph_metadata": [
            {"input_tensor_metadata": [image], "output_tensor_metadata": [scores]}
        ],
        "min_parser_version": _MIN_PARSER_VERSION,
        **said,
    }


def _input_range(info: ModelInfo, tensor_type: int) -> dict[str, Any] | None:
    """Raw values for integers, normalised ones for floats, as tflite-support writes them."""
    if tensor_type not in _FLOATS:
        return _range(_INTEGER_RANGES.get(tensor_type))
    channels = range(max(len(info.mean), len(info.std)))
    means = [info.mean[channel % len(info.mean)] for channel in channels]
    stds = [info.std[channel % len(info.std)] for channel in channels]
    pairs = list(zip(means, stds, strict=True))
    return {
        "min": [(0.0 - mean) / std for mean, std in pairs],
        "max": [(255.0 - mean) / std for mean, std in pairs],
    }


def _range(limits: tuple[float, float] | None) -> dict[str, Any] | None:
    return {"min": [limits[0]], "max": [limits[1]]} if limits else None


def _tensor(message: Mapping[str, Any]) -> TensorInfo:
    kind, properties = message.get("content", {}).get("content_properties", (None, {}))
    units = [unit.get("options", (None, {})) for unit in message.get("process_units", ())]
    normalization: dict[str, Any] = next(
        (options for name, options in units if name == "NormalizationOptions"), {}
    )
    stats = message.get("stats", {})
    return TensorInfo(
        **_texts(message, "name", "description"),
        content=kind,
        color_space=(
            _named(metadata_schema.COLOR_SPACES, properties.get("color_space", 0))
            if kind == "ImageProperties"
            else None
        ),
        mean=normalization.get("mean"),
        std=normalization.get("std"),
        minimum=stats.get("min"),
        maximum=stats.get("max"),
        files=_files(message),
    )


def _files(message: Mapping[str, Any]) -> tuple[AssociatedFile, ...]:
    return tuple(
        AssociatedFile(
            **_texts(file, "name", "description", "locale"),
            type=_named(metadata_schema.FILE_TYPES, file.get("type", 0)),
        )
        for file in message.get("associated_files", ())
    )


def _texts(message: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: message.get(name, "") for name in names}


def _named(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else "UNKNOWN"
