"""Safetensors files: timm's, torch's and our own checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.lite.weights.contents import Contents, Stored, without_prefixes

_LAYOUTS = ("timm", "torch", "effnet-lite")


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[Contents]:
    """The tensors of a safetensors file, and the text it carries beside them.

    Raises:
        InputError: The file is damaged.
        MissingDependencyError: The safetensors package is not installed.
    """
    try:
        import safetensors
    except ImportError as error:
        raise MissingDependencyError("reading .safetensors", "safetensors", "convert") from error
    try:
        with safetensors.safe_open(path, framework="np") as file:
            tensors = {
                name: Stored(tuple(file.get_slice(name).get_shape()), _loader(file, name, path))
                for name in file.keys()  # noqa: SIM118 - it is no mapping
            }
            yield Contents(without_prefixes(tensors), _LAYOUTS, dict(file.metadata() or {}))
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: not a whole safetensors file ({error})") from error


def _loader(file: Any, name: str, path: Path) -> Callable[[], npt.NDArray[Any]]:
    def load() -> npt.NDArray[Any]:
        try:
            array: npt.NDArray[Any] = file.get_tensor(name)
        except (TypeError, AttributeError, KeyError) as error:  # a type that NumPy lacks
            raise InputError(f"{path}: the type of {name} cannot be read ({error})") from error
        return array

    return load
