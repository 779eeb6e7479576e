"""Which kind of data set a path is."""

from __future__ import annotations

import os
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.files import check_readable
from effnet_lite.lite.datasets.dataset import Dataset
from effnet_lite.lite.datasets.folders import open_folders
from effnet_lite.lite.datasets.shards import find_shards, open_shards
from effnet_lite.lite.datasets.table import open_table
from effnet_lite.lite.datasets.tfrecord import is_tfrecord

TABLES = (".csv", ".tsv")
_EXPECTED = "a folder of class folders, a .csv with the columns path and label, or TFRecord shards"


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Photos with their classes.

    Args:
        path: A folder with a folder a class (Keras, torchvision; ImageNet's synsets), a
            folder of photos that are called like ``0000_n01440764_tench.jpg``, a folder of
            TFRecord shards or one shard, or a table (see its module).

    Raises:
        InputError: Nothing of that kind.
    """
    root = Path(path)
    try:
        is_folder, exists = root.is_dir(), root.exists()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise InputError(f"cannot read {root}: {error}") from error
    if not exists:
        raise InputError(f"{root} does not exist; expected {_EXPECTED}")
    if is_folder:
        shards = find_shards(root)
        return open_shards(root, shards) if shards else open_folders(root)
    if root.suffix.lower() in TABLES:
        return open_table(root)
    check_readable(root, _EXPECTED)
    if is_tfrecord(root):
        return open_shards(root, [root])
    raise InputError(f"{root} is no data set; expected {_EXPECTED}")
