"""A folder a class, as Keras' image_dataset_from_directory and torchvision's ImageFolder read.

The class is the folder that a photo lies in, whatever folders are above. Photos that lie beside
each other and are called like ``0000_n01440764_tench.jpg`` have their class in the name.
"""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Iterator
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets.dataset import ClassNumbers, FileDataset
from effnet_lite.lite.photos import PHOTO_SUFFIXES

_SYNSET_IN_NAME = re.compile(r"\d{4}_(n\d{8})_")


def open_folders(root: Path) -> FileDataset:
    """All photos below ``root``, by suffix, folder by folder in order.

    Raises:
        InputError: There is no photo, or a folder cannot be read.
    """
    names: list[str] = []
    classes = ClassNumbers()
    places: dict[str, set[str]] = collections.defaultdict(set)
    for folder, files in _photos_by_folder(root):
        synsets = [match[1] if (match := _SYNSET_IN_NAME.match(name)) else None for name in files]
        # One synset in all names of a folder tells no more than the folder does.
        named = folder == root or (None not in synsets and len(set(synsets)) > 1)
        if not named:
            places[folder.name].add(str(folder.parent.relative_to(root)))
        for name, synset in zip(files, synsets, strict=True):
            names.append(os.path.relpath(folder / name, root))
            classes.add(synset if named else folder.name)
    if not names:
        raise InputError(
            f"no photo in {root}; expected a folder for each class, with files ending in .jpg, "
            ".png, .webp, …, or TFRecord shards"
        )
    return FileDataset(
        names, root, kind="folders", root=root, classes=list(classes.of),
        numbers=classes.photos, notes=_mixed(places),
    )  # fmt: skip


def _photos_by_folder(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with photos, and the photos' names. Links to folders are followed, each once."""
    seen: set[str] = set()
    for base, folders, names in os.walk(root, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(base)
        if real in seen:  # a link upwards would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        photos = sorted(
            name
            for name in names
            if Path(name).suffix.lower() in PHOTO_SUFFIXES and not name.startswith(".")
        )
        if photos:
            yield Path(base), photos


def _unreadable(error: OSError) -> None:
    raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def _mixed(places: dict[str, set[str]]) -> list[str]:
    """Training photos in a test make a model look better than it is: say so."""
    several = [name for name, parents in places.items() if len(parents) > 1]
    if not several:
        return []
    parents = sorted({parent for name in several for parent in places[name]})
    return [
        f"{len(several)} class folders are there several times, in {', '.join(parents[:3])}"
        f"{', …' * (len(parents) > 3)}, and were put together; give one of these folders to "
        "evaluate on it alone"
    ]
