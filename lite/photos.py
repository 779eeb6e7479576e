"""Sets of photos: which files, in which order, and a digest that names the set."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.lite.labels import default_labels, imagenet_classes

PHOTO_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .webp .bmp .gif .tif .tiff .ppm .pgm .avif".split()  # noqa: SIM905
)


@dataclasses.dataclass(frozen=True)
class PhotoSet:
    """Photos for calibration or for checking.

    Attributes:
        kind: ``folder``, ``samples`` or ``synthetic``.
        paths: The files, in the order in which they are used.
    """

    kind: str
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def split(self, first: int, seed: int) -> tuple[PhotoSet, PhotoSet]:
        """Shuffle by ``seed`` and cut after ``first`` photos."""
        shuffled = list(self.paths)
        random.Random(seed).shuffle(shuffled)
        return (
            PhotoSet(self.kind, tuple(shuffled[:first])),
            PhotoSet(self.kind, tuple(shuffled[first:])),
        )

    def digest(self) -> str:
        """sha256 over the files' contents in order: the same photos give the same digest."""
        total = hashlib.sha256()
        for path in self.paths:
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()


def find_photos(folder: str | os.PathLike[str]) -> PhotoSet:
    """All photos below ``folder``, by suffix, sorted by path.

    Raises:
        InputError: No such folder, or no photo in it.
    """
    root = Path(folder)
    if root.is_file():
        raise InputError(f"{root} is a file; expected a folder of photos")
    if not root.is_dir():
        raise InputError(f"the folder {root} does not exist; expected a folder of photos")
    paths = tuple(
        sorted(
            Path(base) / name
            for base, folders, names in os.walk(root)
            for name in names
            if Path(name).suffix.lower() in PHOTO_SUFFIXES and not name.startswith(".")
        )
    )
    if not paths:
        raise InputError(
            f"no photo in {root}; expected files ending in .jpg, .png, .webp, … there or below"
        )
    return PhotoSet("folder", paths)


def known_classes(
    photos: PhotoSet, root: str | os.PathLike[str], labels: Sequence[str] | None
) -> tuple[int | None, ...]:
    """The class of each photo as its folder or its file's name tells it, None where neither does.

    A folder below ``root`` tells it by a name that is one of ``labels`` (letter case only
    matters where two labels differ in nothing else). For ImageNet's labels, so does a folder
    that is called after a synset (``n01440764``), and a file name like
    ``0000_n01440764_tench.jpg``.
    """
    numbers = {name: number for number, name in enumerate(labels or ())}
    folded: dict[str, int | None] = {}
    for name, number in numbers.items():
        folded[name.lower()] = None if name.lower() in folded else number
    synsets: dict[str, int] = {}
    if labels and tuple(labels) == default_labels(len(labels)):
        synsets = {synset: numbers[name] for synset, name in imagenet_classes()}

    def known(path: Path) -> int | None:
        match = re.match(r"\d{4}_(n\d{8})_", path.name)
        if match and match[1] in synsets:
            return synsets[match[1]]
        folder = path.parent.name
        if path.parent == Path(root):
            return None
        return numbers.get(folder, synsets.get(folder, folded.get(folder.lower())))

    return tuple(known(path) for path in photos.paths)


def sample_photos() -> PhotoSet:
    """Photos for calibration that the package ai-benchmark installs (Apache-2.0).

    50 of its object photos and 50 of its street scenes; :func:`check_photos` has the rest.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    return PhotoSet("samples", _ai_benchmark_photos()[0::2])


def labelled_sample_photos() -> list[tuple[Path, int]]:
    """The 20 ImageNet photos that the package foolbox installs, with their class index.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    folder = _package_folder("foolbox", "foolbox") / "data"
    paths = sorted(folder.glob("imagenet_*.jpg"))
    return [(path, int(path.stem.rsplit("_", 1)[1])) for path in paths]


def check_photos() -> tuple[PhotoSet, list[int | None]]:
    """Installed photos for checking, none of which :func:`sample_photos` holds.

    foolbox's 20 labelled photos, then the other 100 of ai-benchmark's.

    Returns:
        The photos, and the class index of each (None where it is not known).

    Raises:
        MissingDependencyError: A package is not installed.
    """
    labelled = labelled_sample_photos()
    others = _ai_benchmark_photos()[1::2]
    paths = (*(path for path, _ in labelled), *others)
    return PhotoSet("samples", paths), [*(index for _, index in labelled), *(None for _ in others)]


def _ai_benchmark_photos() -> tuple[Path, ...]:
    data = _package_folder("ai_benchmark", "ai-benchmark") / "data"
    # Its third folder of photos has coloured overlays drawn into them.
    return find_photos(data / "classification").paths + find_photos(data / "enhancement").paths


def _package_folder(module: str, package: str) -> Path:
    # Located without importing: these packages pull in far more than their photos.
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("using sample photos", package, "imagenet")
    return Path(next(iter(spec.submodule_search_locations)))
