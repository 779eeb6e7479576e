"""The state of a training in one safetensors file: no pickle, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.files import check_readable, write_bytes
from effnet_lite.lite.training.loop import State
from effnet_lite.lite.weights.safetensors_file import open_safetensors

FORMAT = "effnet-lite training"
VERSION = "1"


def save_state(path: str | os.PathLike[str], state: State) -> None:
    """Write a state; the file before it is replaced when this one is complete.

    Raises:
        InputError: The disk refuses; the file before it stays.
        MissingDependencyError: The safetensors package is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise MissingDependencyError("saving a training", "safetensors", "convert") from error
    facts = json.dumps(state.facts, allow_nan=False)
    metadata = {"format": FORMAT, "version": VERSION, "facts": facts}
    arrays = {name: np.array(array, order="C") for name, array in state.arrays.items()}
    data = save(arrays, metadata)
    try:
        write_bytes(path, data, overwrite=True)
    except InputError as error:
        kept = "; what was saved before is kept" if Path(path).exists() else ""
        raise InputError(
            f"{error} while saving {len(data) / 2**20:.0f} MiB at step {state.facts['step']}{kept}"
        ) from error


def load_state(path: str | os.PathLike[str]) -> State:
    """What :func:`save_state` wrote.

    Raises:
        InputError: Missing, damaged, or not a training's state.
        MissingDependencyError: The safetensors package is not installed.
    """
    path = Path(path)
    check_readable(path, "the saved state of a training")
    with open_safetensors(path) as contents:
        metadata = contents.metadata
        if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
            raise InputError(f"{path} is not the saved state of a training (version {VERSION})")
        arrays = {name: np.asarray(stored.load()) for name, stored in contents.tensors.items()}
        try:
            facts = json.loads(metadata["facts"])
        except (KeyError, ValueError) as error:
            raise InputError(f"{path} is damaged: its facts are no JSON") from error
    return State(arrays, facts)
