"""Our own checkpoints: a safetensors file with canonical names, readable by any tool.

The text beside the tensors (``__metadata__``) says what the network is:
``format`` "effnet-lite", ``version`` of the format, ``tool`` version, ``variant``, ``size``
in pixels, ``classes``, ``labels`` (a JSON list) if there are any, and what the caller adds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import effnet_lite
from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.files import atomic_path, check_readable
from effnet_lite.lite.variants import Variant
from effnet_lite.lite.weights.contents import Contents, Stored
from effnet_lite.lite.weights.detect import Format, detect
from effnet_lite.lite.weights.match import match
from effnet_lite.lite.weights.safetensors_file import open_safetensors

FORMAT = "effnet-lite"
VERSION = "1"

#: In a run folder of ``train``: the weights it is about, and the state to go on from.
RUN_WEIGHTS, RUN_STATE = "weights.safetensors", "last.safetensors"


def save_checkpoint(
    path: str | os.PathLike[str],
    tensors: Mapping[str, npt.NDArray[np.float32]],
    variant: Variant,
    labels: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint whole or not at all.

    Args:
        path: The file, by habit ``*.safetensors``.
        tensors: Canonical name to tensor, complete for the variant (a classifier may be
            absent); for the B family perhaps with ``normalization/*``.
        variant: The network, with the input size it was trained at.
        labels: One name a class, in order.
        overwrite: Whether to replace an existing file.
        extra: More text for the metadata, e.g. the epoch; its keys cannot replace ours.

    Raises:
        InputError: A tensor is missing, unexpected, misshapen or not finite, the labels are
            not one a class, or the file cannot be written.
        MissingDependencyError: The safetensors package is not installed.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingDependencyError("saving a checkpoint", "safetensors", "convert") from error
    stored = {name: Stored(array.shape, array.view) for name, array in tensors.items()}
    matched = match(Contents(stored, (FORMAT,)), variant, "the checkpoint to be saved")
    metadata = dict(extra or {}) | {
        "format": FORMAT,
        "version": VERSION,
        "tool": effnet_lite.__version__,
        "variant": variant.name,
        "size": str(variant.size),
        "classes": str(matched.classes),
    }
    if labels is not None:
        if len(labels) != matched.classes:
            raise InputError(
                f"got {len(labels)} labels for a classifier of {matched.classes} classes"
            )
        metadata["labels"] = json.dumps(list(labels), ensure_ascii=False)
    with atomic_path(path, overwrite) as temporary:
        save_file(matched.tensors, temporary, metadata)


def checkpoint_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text beside the tensors of a checkpoint of ours.

    Raises:
        InputError: The file is missing, damaged, or not a checkpoint of effnet-lite.
    """
    check_readable(Path(path), "a checkpoint of effnet-lite")
    with open_safetensors(Path(path)) as contents:
        if contents.metadata.get("format") != FORMAT:
            raise InputError(f"{path} is not a checkpoint of effnet-lite")
        return contents.metadata


def weights_of_run(path: Path) -> Path:
    """The weights in a run folder of ``train``; any other path as it is.

    Raises:
        InputError: The training has no weights yet.
    """
    try:
        if (path / RUN_WEIGHTS).is_file():
            return path / RUN_WEIGHTS
        unfinished = (path / RUN_STATE).is_file()
    except (OSError, ValueError):  # whoever opens it says what is wrong
        return path
    if unfinished:
        raise InputError(
            f"the training in {path} has not come to the end of an epoch yet, and has no "
            "weights; go on with it: effnet-lite train --resume"
        )
    return path


def stored_network(path: str | os.PathLike[str]) -> tuple[str, int] | None:
    """Name and input size (pixels) of the network in a run folder or a checkpoint of ours.

    None for any other file, or none.

    Raises:
        InputError: The file is damaged, or the run has no weights yet.
        MissingDependencyError: The safetensors package is not installed.
    """
    file = weights_of_run(Path(path))
    try:
        if not file.is_file() or detect(file) is not Format.SAFETENSORS:
            return None
    except (InputError, ValueError):  # whoever reads it says what is wrong
        return None
    with open_safetensors(file) as contents:
        metadata = contents.metadata
    if metadata.get("format") != FORMAT:
        return None
    try:
        return metadata["variant"], int(metadata["size"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{file} is damaged: it does not say its variant and size") from error


def stored_labels(contents: Contents, classes: int, where: str) -> tuple[str, ...] | None:
    """The labels that a checkpoint of ours carries, None if there are none.

    Raises:
        InputError: They are damaged, or not one a class.
    """
    if contents.metadata.get("format") != FORMAT or "labels" not in contents.metadata:
        return None
    try:
        labels = json.loads(contents.metadata["labels"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is damaged: its labels are no JSON list") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"{where} is damaged: its labels are no JSON list of names")
    if len(labels) != classes:
        raise InputError(f"{where} is damaged: {len(labels)} labels for {classes} classes")
    return tuple(labels)
