"""Which photos are learned from and which are judged on, read once and told apart.

What is wrong with single photos is told and worked around: one that cannot be read is left out,
so is the second copy of one (the same bytes), and a copy of a validation photo is not learned
from. What makes the training as a whole meaningless is an error.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import Dataset, Photo, open_dataset
from effnet_lite.lite.datasets.matching import explain_unknown, match_classes
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.lite.training.cache import PhotoCache, Seen, shrunken
from effnet_lite.progress import Progress

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class PhotoProblem:
    """A photo that is not used, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True)
class LabelledPhotos:
    """One side of the split.

    Attributes:
        cache: Their pixels, and of some that are not used.
        numbers: Of the photos in use, in the cache's numbering.
        labels: (N,) the class of each, an index.
        sha256: Of each file.
    """

    cache: PhotoCache
    numbers: tuple[int, ...]
    labels: npt.NDArray[np.int64]
    sha256: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What is learned, from which photos.

    Attributes:
        classes: Names in the order of the network's outputs.
        training, validation: The photos.
        left_out: Photos that cannot be read, and copies.
        notes: What the user should know, a sentence each.
    """

    classes: tuple[str, ...]
    training: LabelledPhotos
    validation: LabelledPhotos
    left_out: tuple[PhotoProblem, ...]
    notes: tuple[str, ...]

    def digest(self) -> str:
        """sha256 over the photos' contents, classes and sides, in order."""
        total = hashlib.sha256("\n".join(self.classes).encode("utf-8", "surrogatepass"))
        for side in (self.training, self.validation):
            total.update(b"\n%d\n" % len(side))
            for sha256, label in zip(side.sha256, side.labels, strict=True):
                total.update(bytes.fromhex(sha256) + int(label).to_bytes(4, "little"))
        return total.hexdigest()

    def counts(self) -> list[int]:
        """Photos of each class to learn from."""
        found: list[int] = np.bincount(self.training.labels, minlength=len(self.classes)).tolist()
        return found

    def facts(self) -> dict[str, Any]:
        """How many, and which, as JSON has it."""
        return {
            "training": len(self.training),
            "validation": len(self.validation),
            "by_class": dict(zip(self.classes, self.counts(), strict=True)),
            "digest": self.digest(),
            "left_out": [dataclasses.asdict(problem) for problem in self.left_out],
        }


def gather(
    data: str | os.PathLike[str],
    validation: str | os.PathLike[str] | None,
    share: float,
    seed: int,
    preprocessing: Preprocessing,
    memory: int,
    progress: Progress | None = None,
) -> TrainingData:
    """Open, read and split.

    Args:
        data: See :func:`effnet_lite.lite.datasets.open_dataset`.
        validation: The same, to judge on; None holds back a share of each class of ``data``.
        share: That share (0-1).
        seed: Of what is held back.
        preprocessing: Of deployment, which validation is judged with. Training photos are kept
            as large as deployment sees them before it crops.
        memory: Bytes for decoded photos.
        progress: Called for each photo read.

    Raises:
        InputError: No data set, fewer than two classes, a class without a photo, or a class of
            ``validation`` that ``data`` does not have.
    """
    opened = open_dataset(data)
    _check_classes(opened)
    margin = math.ceil(preprocessing.size / preprocessing.crop_fraction)
    cache = PhotoCache(_photos(opened), lambda pixels: shrunken(pixels, margin), memory)
    side = _Side(opened, cache, cache.scan(progress), range(len(opened.classes)))
    side.leave_out_unreadable()
    side.leave_out_copies()
    notes = list(opened.notes)
    if validation is None:
        _check_counts(side, str(data), least=2)
        held = side.hold_back(share, seed)
        chosen = _Chosen([side.photos[number] for number in held], held, side)
        judged = _reread(chosen, preprocessing, memory)
        for number in held:
            cache.forget(number)
        notes.append(
            f"{len(held)} of the {len(held) + len(side.used)} photos are held back for validation"
        )
        problems = side.problems
    else:
        other = _other(validation, opened, preprocessing, memory, progress)
        side.leave_out_copies(other.by_sha256())
        judged = other.finished()
        problems = side.problems + other.problems
        notes += [note for note in other.notes if note not in notes]
    _check_counts(side, str(data), least=1)
    notes += _summaries(problems)
    return TrainingData(
        tuple(opened.classes), side.finished(), judged, tuple(problems), tuple(notes)
    )


class _Side:
    """The photos of one data set, on the way to a side of the split."""

    def __init__(
        self,
        opened: Dataset,
        cache: PhotoCache,
        seen: Sequence[Seen],
        classes: Sequence[int | None],
    ) -> None:
        self.classes = opened.classes
        self.root = opened.root
        self.photos = cache.photos
        self.cache, self.seen = cache, seen
        self.notes = list(opened.notes)
        self.problems: list[PhotoProblem] = []
        self.labels: dict[int, int] = {}
        unknown = 0
        for number in range(len(opened)):
            kind = opened.class_of(number)
            label = None if kind is None else classes[kind]
            if label is None:
                unknown += 1
            else:
                self.labels[number] = label
        if unknown:
            self.notes.append(f"{unknown} photos in {opened.root} have no class and are left out")
        self.used = list(self.labels)

    def leave_out_unreadable(self) -> None:
        self._leave_out({n: self.seen[n].problem for n in self.used if self.seen[n].problem})

    def leave_out_copies(self, of: dict[str, str] | None = None) -> None:
        """Copies of one another, or ``of`` other photos (name by sha256)."""
        first = dict(of or {})
        copies = {}
        for number in self.used:
            digest, name = self.seen[number].sha256, self.photos[number].name
            if digest in first:
                other = "the validation photo " if of is not None else ""
                copies[number] = f"a copy of {other}{first[digest]}"
            elif of is None:
                first[digest] = name
        self._leave_out(copies)

    def by_sha256(self) -> dict[str, str]:
        return {self.seen[number].sha256: self.photos[number].name for number in self.used}

    def hold_back(self, share: float, seed: int) -> list[int]:
        """Take that share out of each class, at least one photo, and never the last one."""
        held: list[int] = []
        for label in range(len(self.classes)):
            of_class = [number for number in self.used if self.labels[number] == label]
            count = min(len(of_class) - 1, max(1, round(share * len(of_class))))
            held += random.Random(f"{seed} {label}").sample(of_class, count)
        chosen = set(held)
        self.used = [number for number in self.used if number not in chosen]
        return sorted(held)

    def finished(self) -> LabelledPhotos:
        return LabelledPhotos(
            self.cache,
            tuple(self.used),
            np.asarray([self.labels[number] for number in self.used], np.int64),
            tuple(self.seen[number].sha256 for number in self.used),
        )

    def _leave_out(self, reasons: dict[int, str]) -> None:
        for number, reason in reasons.items():
            self.problems.append(PhotoProblem(self.photos[number].name, reason))
            self.cache.forget(number)
        self.used = [number for number in self.used if number not in reasons]


@dataclasses.dataclass(frozen=True)
class _Chosen:
    photos: list[Photo]
    numbers: list[int]
    side: _Side


def _reread(chosen: _Chosen, preprocessing: Preprocessing, memory: int) -> LabelledPhotos:
    """Held back photos again, as deployment sees them: its crop is cut from the whole photo."""
    cache = PhotoCache(chosen.photos, preprocessing.fit, memory)
    cache.scan()
    side = chosen.side
    return LabelledPhotos(
        cache,
        tuple(range(len(chosen.photos))),
        np.asarray([side.labels[number] for number in chosen.numbers], np.int64),
        tuple(side.seen[number].sha256 for number in chosen.numbers),
    )


def _other(
    validation: str | os.PathLike[str],
    opened: Dataset,
    preprocessing: Preprocessing,
    memory: int,
    progress: Progress | None,
) -> _Side:
    """The validation photos that are given."""
    others = open_dataset(validation)
    matching = match_classes(others.classes, opened.classes)
    if matching.unknown:
        raise InputError(
            f"{len(matching.unknown)} classes of {validation} are not in {opened.root}: "
            f"{explain_unknown(matching.unknown, opened.classes)}; both need the same classes"
        )
    cache = PhotoCache(_photos(others), preprocessing.fit, memory)
    seen = cache.scan(progress, "reading validation photos")
    side = _Side(others, cache, seen, matching.numbers)
    side.leave_out_unreadable()
    side.leave_out_copies()
    if not side.used:
        raise InputError(f"{validation} has no photo that can be read and has a class")
    found = {side.labels[number] for number in side.used}
    missing = [name for label, name in enumerate(opened.classes) if label not in found]
    if missing:
        side.notes.append(f"there are no validation photos of {', '.join(missing[:_SHOWN])}"
                          f"{', …' * (len(missing) > _SHOWN)}")  # fmt: skip
    return side


def _photos(opened: Dataset) -> list[Photo]:
    return [opened.photo(number) for number in range(len(opened))]


def _check_classes(opened: Dataset) -> None:
    if opened.kind == "folders" and len(opened.classes) > 1:
        empty = sorted(_empty_folders(opened.root))
        if empty:
            raise InputError(
                f"the class folder {opened.root / empty[0]} has no photo"
                f"{f', nor have {len(empty) - 1} others' if len(empty) > 1 else ''}; "
                "put photos into it, or remove it"
            )
    if len(opened.classes) < 2:
        names = ", ".join(repr(name) for name in opened.classes) or "none"
        raise InputError(
            f"{opened.root} has {len(opened.classes)} class ({names}) in {len(opened)} photos; "
            "training needs photos of at least 2 classes, by habit a folder for each"
        )


def _empty_folders(root: Path) -> Iterable[str]:
    """Folders in ``root`` without a photo in them or below."""
    from effnet_lite.lite.photos import PHOTO_SUFFIXES

    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith("."):
            files = (name for _, _, names in os.walk(folder) for name in names)
            if not any(Path(name).suffix.lower() in PHOTO_SUFFIXES for name in files):
                yield folder.name


def _check_counts(side: _Side, root: str, least: int) -> None:
    counts = collections.Counter(side.labels[number] for number in side.used)
    for label, name in enumerate(side.classes):
        if counts[label] < least:
            found = f"{counts[label]} photo{'s' * (counts[label] != 1)}"
            needed = "at least 1 to learn from"
            if least > 1:
                needed = "at least 2, as one is held back for validation (or give --validation)"
            raise InputError(
                f"class {name!r} of {root} has {found} that can be used; expected {needed}"
                f"{_first(side.problems)}"
            )


def _first(problems: Sequence[PhotoProblem]) -> str:
    if not problems:
        return ""
    return f"; {len(problems)} were left out, first {problems[0].name}: {problems[0].reason}"


def _summaries(problems: Sequence[PhotoProblem]) -> list[str]:
    copies = [problem for problem in problems if problem.reason.startswith("a copy of ")]
    broken = [problem for problem in problems if problem not in copies]
    notes = []
    for found, what in ((broken, "cannot be read"), (copies, "are copies")):
        if found:
            names = ", ".join(f"{entry.name} ({entry.reason})" for entry in found[:_SHOWN])
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            notes.append(f"{len(found)} photos {what} and are left out: {names}{more}")
    return notes
