"""Keras' HDF5 files, read with h5py alone.

Two layouts. The legacy ``.h5`` (keras.applications' files, ``model.save("x.h5")``) has a
group a layer with the tensors under their names. ``.weights.h5`` of Keras 3 and late Keras 2
numbers them, ``layers/conv2d_3/vars/0``, in the order of the model; newer versions of Keras 3
add the layer's name as an attribute.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.lite.architecture import B_STD
from effnet_lite.lite.weights.contents import Contents, Stored, Tensors

_MAX_DATASETS = 20_000


@contextlib.contextmanager
def open_keras(path: Path) -> Iterator[Contents]:
    """The tensors of a Keras .h5 or .weights.h5 file; optimizer state is left out.

    Raises:
        InputError: The file is damaged, or refers to other files.
        MissingDependencyError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("reading .h5", "h5py", "convert") from error
    try:
        with h5py.File(path, "r") as file:
            try:
                contents = _contents(_datasets(file, h5py, path), path)
            # What h5py makes of a damaged table of contents.
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise OSError(error) from error
            yield contents
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is damaged: not a whole HDF5 file ({reason})") from error


def true_variance(tensors: Tensors) -> Tensors:
    """Undo the trap in keras.applications' ImageNet files.

    They store the standard deviations (0.229, 0.224, 0.225) where the variance belongs, and
    Keras adds a Rescaling(1/sqrt(std)) to the graph for ``weights="imagenet"`` only, see
    https://github.com/tensorflow/tensorflow/issues/49930. Any other value is a variance.
    """
    name = "normalization/variance"
    stored = tensors.get(name)
    if stored is None or not np.allclose(stored, B_STD, rtol=0, atol=1e-4):
        return tensors
    return tensors | {name: np.square(np.array(B_STD, np.float32))}


def _contents(datasets: dict[str, Any], path: Path) -> Contents:
    if any("vars" in name.split("/")[:-1] for name in datasets):
        return Contents(_by_number(datasets, path), ("keras-vars",))
    return Contents(_by_name(datasets, path), ("keras",))


def _datasets(file: Any, h5py: Any, path: Path) -> dict[str, Any]:
    """Path inside the file to dataset; links out of the file are never followed."""
    datasets: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise InputError(f"{path}: {name} refers to another file; refused")
        if len(datasets) >= _MAX_DATASETS:
            raise InputError(f"{path} holds more than {_MAX_DATASETS:,} tensors: no EfficientNet")
        # Keras on Windows has written layers\conv2d\vars.
        datasets[name.replace("\\", "/")] = item

    # visititems follows hard links only, and each object once.
    inside = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
    (file["model_weights"] if inside else file).visititems(visit)
    return datasets


def _by_name(datasets: dict[str, Any], path: Path) -> dict[str, Stored]:
    """``block1a_bn/block1a_bn/gamma:0`` to ``block1a_bn/gamma``.

    The last two parts name layer and weight also inside a nested model.
    """
    tensors: dict[str, Stored] = {}
    for name, dataset in datasets.items():
        parts = name.removesuffix(":0").split("/")
        if parts[0] == "optimizer_weights":
            continue
        parts[-2:-1] = [_normalization(part) for part in parts[-2:-1]]
        _add(tensors, "/".join(parts[-2:]), dataset, path)
    return tensors


def _by_number(datasets: dict[str, Any], path: Path) -> dict[str, Stored]:
    """``layers/conv2d_3/vars/0`` to ``conv2d_3/0``, or to ``block1a_…/0`` where named."""
    layers = {name: name.split("/") for name in datasets}
    layers = {
        name: parts
        for name, parts in layers.items()
        if len(parts) >= 3
        and parts[-2] == "vars"
        and parts[0] != "optimizer"
        and parts[-3] != "seed_generator"
    }
    names = {name: _text(datasets[name].parent.attrs.get("name")) for name in layers}
    named = "stem_conv" in names.values()
    # A backbone inside another model has a folder of its own, layers/functional/layers.
    folders = [tuple(parts[:-3]) for parts in layers.values()]
    main = max(set(folders), key=folders.count, default=())
    tensors: dict[str, Stored] = {}
    for name, parts in layers.items():
        inside = named or tuple(parts[:-3]) == main
        layer = names[name] or parts[-3] if named else parts[-3]
        short = f"{_normalization(layer)}/{parts[-1]}"
        _add(tensors, short if inside else name, datasets[name], path)
    return tensors


def _normalization(layer: str) -> str:
    """``normalization_1``, the second of its kind in a session, to ``normalization``."""
    return "normalization" if layer.startswith("normalization") else layer


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _add(tensors: dict[str, Stored], name: str, dataset: Any, path: Path) -> None:
    if name in tensors:
        raise InputError(f"{path} holds {name} twice: save the EfficientNet alone")
    tensors[name] = Stored(tuple(dataset.shape or ()), _loader(dataset))


def _loader(dataset: Any) -> Callable[[], npt.NDArray[Any]]:
    return lambda: np.asarray(dataset[()])
