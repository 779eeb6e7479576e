"""One way in: whatever the file is, out come canonical tensors."""

from __future__ import annotations

import os
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.lite.variants import Variant
from effnet_lite.lite.weights.checkpoint import stored_labels, weights_of_run
from effnet_lite.lite.weights.contents import Weights, file_digest
from effnet_lite.lite.weights.detect import Format, detect
from effnet_lite.lite.weights.keras_h5 import open_keras, true_variance
from effnet_lite.lite.weights.match import match
from effnet_lite.lite.weights.safetensors_file import open_safetensors
from effnet_lite.lite.weights.tf_checkpoint import (
    checkpoint_files,
    find_prefix,
    open_checkpoint,
    open_tarball,
)
from effnet_lite.lite.weights.torch_pickle import open_torch


def read_weights(
    path: str | os.PathLike[str], variant: Variant, classes: int | None = None
) -> Weights:
    """Read a weights file of any known format.

    Args:
        path: The file; for a TF1 checkpoint also its folder or its prefix, for weights that
            ``train`` made also its run folder.
        variant: The network that it should hold.
        classes: Outputs of the classifier wanted, 0 for none; None takes the file's. Where
            the two differ, the backbone is kept and ``head_is_new`` set.

    Raises:
        InputError: The file is missing, damaged, of no known format, or of another network;
            a mismatch lists the tensors that are missing, unexpected or misshapen.
        MissingDependencyError: The format's reader needs a package that is not installed.
    """
    path = weights_of_run(Path(path))
    if classes is not None and classes < 0:
        raise InputError(f"the number of classes must be 0 or more, got {classes}")
    kind = detect(path)
    files = [path]
    name = path.name
    if kind is Format.CHECKPOINT:
        files, name = _checkpoint(path)
    with _READERS[kind](path) as contents:
        matched = match(contents, variant, str(path))
        labels = stored_labels(contents, matched.classes, str(path))
    tensors = true_variance(matched.tensors) if matched.layout == "keras" else matched.tensors
    wanted = matched.classes if classes is None else classes
    head_is_new = not matched.classes or wanted != matched.classes
    if head_is_new:
        labels = None
        tensors = {n: t for n, t in tensors.items() if not n.startswith("predictions/")}
    digest = file_digest(files)
    return Weights(tensors, wanted, head_is_new, name, digest, matched.layout, labels)


def _checkpoint(path: Path) -> tuple[list[Path], str]:
    """Files and name of a TF1 checkpoint."""
    try:
        prefix = find_prefix(path)
        return checkpoint_files(prefix), prefix.name
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


_READERS = {
    Format.TORCH: open_torch,
    Format.SAFETENSORS: open_safetensors,
    Format.HDF5: open_keras,
    Format.CHECKPOINT: open_checkpoint,
    Format.TARBALL: open_tarball,
}
