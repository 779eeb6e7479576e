"""Which photos a quantization-aware training learns from, calibrates on and is checked on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.datasets import Dataset, Photo, open_dataset
from effnet_lite.lite.datasets.matching import explain_unknown, match_classes
from effnet_lite.lite.photos import PhotoSet
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.qat.objective import NO_LABEL
from effnet_lite.quantize.qat.photos import Example

# Held back to check on where no photos are given for it.
HELD_SHARE, MAX_HELD = 0.1, 200
MIN_PHOTOS = 8


@dataclasses.dataclass(frozen=True)
class Split:
    """The photos of one training.

    Attributes:
        learn: To train on.
        check: Others, which measure what came out.
        notices: What the user should know, a line each.
    """

    learn: tuple[Example, ...]
    check: tuple[Example, ...]
    notices: tuple[str, ...]

    def calibration(self, count: int, seed: int) -> TrainingPhotos:
        """Some of the photos to train on, drawn by ``seed``.

        Raises:
            UsageError: A count below 1.
            InputError: None of them can be read.
        """
        if count < 1:
            raise UsageError(f"calibration needs at least 1 image, got a count of {count}")
        shuffled = random.Random(seed).sample(self.learn, len(self.learn))
        photos = tuple(itertools.islice(_decodable(shuffled), count))
        if not photos:
            raise InputError(f"none of the {len(self.learn)} photos to learn from can be read")
        return TrainingPhotos(None, len(photos), PhotoSet("training", ()), (), seed, drawn=photos)

    def digest(self) -> str:
        """sha256 over names and labels, in order."""
        total = hashlib.sha256()
        for example in (*self.learn, *self.check):
            name = example.photo.name.encode("utf-8", "surrogatepass")
            total.update(b"%d %d " % (example.label, len(name)) + name)
        return total.hexdigest()


@dataclasses.dataclass(frozen=True)
class TrainingPhotos(CalibrationSet):
    """A calibration set of a data set's photos, which may lie in shards.

    Attributes:
        drawn: The photos.
    """

    drawn: tuple[Photo, ...] = ()

    @property
    def kind(self) -> str:
        """``training``."""
        return "training"

    def digest(self) -> str:
        """sha256 over the encoded photos in order."""
        total = hashlib.sha256()
        for photo in self.drawn:
            total.update(bytes.fromhex(photo.sha256()))
        return total.hexdigest()

    def manifest(self) -> list[str]:
        """The photos' names, in the order in which they were used."""
        return [photo.name for photo in self.drawn]

    def _image(self, number: int, preprocessing: Preprocessing) -> Pixels:
        return preprocessing.fit(self.drawn[number].load()[1])


def split_photos(
    data: str | os.PathLike[str],
    validation: str | os.PathLike[str] | None,
    labels: Sequence[str] | None,
    unlabelled: bool,
    seed: int,
) -> Split:
    """Open the data sets and give every photo its part.

    Args:
        data: See :func:`effnet_lite.lite.datasets.open_dataset`.
        validation: The same, to check on; None holds back a tenth of ``data``.
        labels: Of the network.
        unlabelled: Whether ``data`` has no classes, or none that count; what ``validation``
            says of its photos counts in any case.
        seed: Of what is held back.

    Raises:
        InputError: No data set, too few photos, or classes that the network does not know.
    """
    opened = open_dataset(data)
    examples = _examples(opened, None if unlabelled else labels or (), True)
    if len(examples) < MIN_PHOTOS:
        raise InputError(
            f"{data} has {len(examples)} photos to learn from; expected at least {MIN_PHOTOS}"
        )
    notices = opened.notes
    if validation is not None:
        held = _examples(open_dataset(validation), labels or (), False)
        if not held:
            raise InputError(f"{validation} has no photo of a class that the network knows")
        return Split(tuple(examples), tuple(held), notices)
    shuffled = random.Random(seed).sample(examples, len(examples))
    count = min(MAX_HELD, max(2, round(HELD_SHARE * len(examples))))
    notices += (f"{count} of the {len(examples)} photos are held back to check on",)
    return Split(tuple(shuffled[count:]), tuple(shuffled[:count]), notices)


def readable(
    examples: Sequence[Example], preprocessing: Preprocessing
) -> tuple[list[Pixels], list[int | None]]:
    """The photos that can be decoded, ready for the model, and their classes."""
    pixels: list[Pixels] = []
    known: list[int | None] = []
    for found, label in _decoded(examples, preprocessing):
        pixels.append(found)
        known.append(None if label == NO_LABEL else label)
    return pixels, known


def _decoded(
    examples: Sequence[Example], preprocessing: Preprocessing
) -> Iterator[tuple[Pixels, int]]:
    for example in examples:
        try:
            _, image = example.photo.load()
        except InputError:
            continue
        yield preprocessing.fit(image), example.label


def _decodable(examples: Sequence[Example]) -> Iterator[Photo]:
    for example in examples:
        with contextlib.suppress(InputError):
            example.photo.load()
            yield example.photo


def _examples(opened: Dataset, labels: Sequence[str] | None, strict: bool) -> list[Example]:
    """Every photo; ``labels`` None leaves the classes alone, ``strict`` wants all known."""
    numbers: Sequence[int | None] = [None] * len(opened.classes)
    if labels is not None:
        matching = match_classes(opened.classes, labels)
        if matching.unknown and strict:
            unknown = explain_unknown(matching.unknown, labels)
            raise InputError(
                f"the network does not know {len(matching.unknown)} of the classes in "
                f"{opened.root}: {unknown}; give photos of its own classes, or learn from them "
                "without labels (unlabelled)"
            )
        numbers = matching.numbers
    examples = []
    for number in range(len(opened)):
        kind = opened.class_of(number)
        label = None if kind is None else numbers[kind]
        if labels is None or strict or label is not None:
            known = NO_LABEL if label is None else label
            examples.append(Example(opened.photo(number), known))
    return examples


def facts_of(split: Split) -> dict[str, Any]:
    """How many photos, and which, as JSON has it."""
    labelled = sum(example.label != NO_LABEL for example in split.learn)
    return {
        "photos": len(split.learn),
        "labelled": labelled,
        "checked": len(split.check),
        "digest": split.digest(),
    }
