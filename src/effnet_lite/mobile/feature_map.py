"""A model with the feature map that its classifier pools as a second output.

The app computes class activation maps of it (benchmark/activation_map.py). For everyone else
the file stays what it is: the first output, our record, the metadata and the labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from effnet_lite.benchmark.activation_map import ActivationMapper
from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite import archive, metadata, metadata_schema
from effnet_lite.quantize.tflite.description import read_description
from effnet_lite.quantize.tflite.file import (
    check_model,
    pack,
    read_metadata_buffer,
    set_metadata_buffer,
    unpack,
)
from effnet_lite.quantize.tflite.surgery import with_feature_map_output

_FEATURE_MAP = {
    "name": "feature_map",
    "description": "What the classifier pools, for class activation maps.",
    "content": {"content_properties": ("FeatureProperties", {})},
}


def with_feature_map(path: Path, model: bytes) -> bytes:
    """The file with the second output.

    Args:
        path: Of the model.
        model: Its bytes.

    Raises:
        InputError: It does not end in global average pooling and one dense layer, or the
            layer's weights cannot be read.
    """
    try:
        ActivationMapper(path, None, None, None)  # reads all that the app will read
        changed, _ = with_feature_map_output(model)
    except InputError as error:
        raise InputError(
            f"{error}; the app can draw no activation map of it: leave --activation-map away"
        ) from error
    message = _metadata(model)
    if message is not None:
        tree = unpack(changed)
        set_metadata_buffer(tree, metadata.ENTRY, metadata_schema.encode(message))
        changed = pack(tree)
    changed = archive.append_files(changed, _label_files(model))
    check_model(changed)
    return changed


def has_feature_map(model: bytes) -> bool:
    """Whether the second output is the feature map that the classifier pools."""
    outputs = _outputs(model)
    if len(outputs) != 2:
        return False
    try:
        return _outputs(with_feature_map_output(model)[0]) == outputs
    except InputError:  # no classifier behind global average pooling
        return False


def _outputs(model: bytes) -> list[int]:
    outputs = unpack(model).subgraphs[0].outputs
    return [] if outputs is None else [int(tensor) for tensor in outputs]


def _metadata(model: bytes) -> dict[str, Any] | None:
    """The TFLite Metadata with an entry for the second output.

    None where there is none, and for another writer's, which may say what metadata_schema.py
    does not know; then it stays as it is.
    """
    buffer = read_metadata_buffer(model, metadata.ENTRY)
    if buffer is None or read_description(model) is None:
        return None
    message = metadata_schema.decode(buffer)
    for graph in message.get("subgraph_metadata", ())[:1]:
        outputs = graph.get("output_tensor_metadata", [])
        graph["output_tensor_metadata"] = [*outputs[:1], _FEATURE_MAP]
    return message


def _label_files(model: bytes) -> dict[str, bytes]:
    """The files of the archive behind the model that its metadata names."""
    said = metadata.read_metadata(model)
    if said is None:
        return {}
    named = [*said.files, *(file for output in said.outputs for file in output.files)]
    found = {file.name: archive.read_file(model, file.name) for file in named}
    return {name: content for name, content in found.items() if content is not None}
