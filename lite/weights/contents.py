"""What a weights file is to the rest of the package: named tensors, loaded when asked for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError

Tensors = dict[str, npt.NDArray[np.float32]]

ACCEPTED = (
    "a torch .pth or .pt, a .safetensors, a Keras .h5 or .weights.h5, a TF1 checkpoint "
    "(folder, prefix or .tar.gz), or a checkpoint of effnet-lite"
)


@dataclasses.dataclass(frozen=True)
class Weights:
    """The tensors of one network, whatever file they came from.

    Attributes:
        tensors: Canonical name (``Architecture.tensors()``) to a float32 array in Keras'
            layout; complete, except for ``predictions/*`` where ``head_is_new``. For the B
            family perhaps also ``normalization/mean`` and ``normalization/variance``, each
            (3,), of RGB pixels scaled to 0-1; the variance is a variance (std squared).
        classes: Outputs of the classifier: as asked for, or else as in the file; 0 for none.
        head_is_new: The classifier is not in ``tensors``: another number of classes was
            asked for, or the file has no classifier.
        name: The file's name, e.g. ``efficientnet-lite0-57934424.pth``.
        sha256: Hex digest of the file; for a TF1 checkpoint of its .data files in order,
            then its .index.
        layout: Whose names the file uses: torch, timm, tf1, keras, effnet-lite; or random.
        labels: The class names that a checkpoint of ours carries.
    """

    tensors: Tensors
    classes: int
    head_is_new: bool
    name: str
    sha256: str
    layout: str
    labels: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor that is still in its file.

    The shape is known before the data is touched, so that a hostile or foreign file costs
    no memory: what does not fit the network is never loaded.
    """

    shape: tuple[int, ...]
    load: Callable[[], npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Contents:
    """An open weights file.

    Attributes:
        tensors: Name in the file to tensor.
        layouts: Names of the layouts (``names.LAYOUTS``) that this kind of file may use.
        metadata: What else the file says of itself.
    """

    tensors: dict[str, Stored]
    layouts: tuple[str, ...]
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


def without_prefixes(tensors: dict[str, Stored]) -> dict[str, Stored]:
    """Drop what wrappers put before every name: ``module.`` (DataParallel, timm's EMA),
    ``_orig_mod.`` (torch.compile).
    """
    for prefix in ("module.", "_orig_mod.", "module."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): stored for name, stored in tensors.items()}
    return tensors


def file_digest(paths: Iterable[Path], algorithm: str = "sha256") -> str:
    """Hex digest of the files one after the other, read in pieces.

    Raises:
        InputError: One of them cannot be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for path in paths:
        try:
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()
