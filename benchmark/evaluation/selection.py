"""Which photos of a data set are evaluated, and what their classes are to the models."""

from __future__ import annotations

import array
import dataclasses
import hashlib
import random
from collections.abc import Iterator, Sequence

from effnet_lite.benchmark.evaluation.contenders import Contender
from effnet_lite.benchmark.evaluation.worker import Task
from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import Dataset
from effnet_lite.lite.datasets.matching import Matching, explain_unknown, match_classes

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Selection:
    """Photos by position, from 0, in the data set's order.

    Attributes:
        dataset: Where they are.
        photos: Their numbers in the data set.
        numbers: The models' class for each class of the data set.
        labels: The models' classes, without a background class.
        unknown: Classes that the models do not know, with how many photos.
        without_class: Photos that nothing tells the class of.
        limit, seed: Of the draw.
        notes: What a user should know.
    """

    dataset: Dataset
    photos: array.array[int]
    numbers: tuple[int | None, ...]
    labels: tuple[str, ...]
    unknown: tuple[tuple[str, int], ...]
    without_class: int
    limit: int | None
    seed: int
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.photos)

    def task(self, position: int) -> Task:
        """One photo with its class."""
        number = self.photos[position]
        kind = self.dataset.class_of(number)
        right = None if kind is None else self.numbers[kind]
        if right is None:
            raise ValueError(f"photo {number} has no class")  # select() left it out
        return Task(position, self.dataset.photo(number), right)

    def digest(self) -> str:
        """sha256 over the photos' names and classes in order."""
        total = hashlib.sha256()
        for position in range(len(self)):
            task = self.task(position)
            name = task.photo.name.encode("utf-8", "surrogatepass")
            total.update(b"%d %d " % (task.right, len(name)) + name)
        return total.hexdigest()


def select(
    dataset: Dataset, models: Sequence[Contender], limit: int | None, seed: int
) -> Selection:
    """The photos of known classes, or ``limit`` of them, drawn by ``seed``.

    Raises:
        InputError: There is none.
    """
    labels = next((model.labels for model in models if model.labels), None)
    matching = match_classes(dataset.classes, labels or _numbered(models[0].classes))
    counts = dataset.counts()
    unknown = {name: count for name, count, number
               in zip(dataset.classes, counts, matching.numbers, strict=True)
               if number is None}  # fmt: skip
    left_out = _left_out(unknown, models[0], labels)
    photos = array.array("L", _known(dataset, matching))
    without_class = len(dataset) - sum(counts)
    if not photos:
        raise InputError(
            left_out
            or f"nothing tells the class of the {without_class} photos in {dataset.root}; expected "
            "a folder for each class, or a .csv with the columns path and label"
        )
    if limit is not None and limit < len(photos):
        photos = array.array("L", sorted(random.Random(seed).sample(photos, limit)))
    notes = [*dataset.notes, *_merged(matching)]
    if left_out:
        notes.append(left_out)
    if without_class:
        notes.append(f"nothing tells the class of {without_class} photos, which were left out")
    if len({matching.numbers[kind] for kind in _kinds(dataset, photos)}) == 1:
        notes.append(
            "all photos are of one class: top-1 says how often the model names it, and nothing "
            "about what it takes for that class"
        )
    return Selection(
        dataset=dataset,
        photos=photos,
        numbers=matching.numbers,
        labels=labels or _numbered(models[0].classes),
        unknown=tuple(unknown.items()),
        without_class=without_class,
        limit=limit,
        seed=seed,
        notes=tuple(notes),
    )


def _known(dataset: Dataset, matching: Matching) -> Iterator[int]:
    for number in range(len(dataset)):
        kind = dataset.class_of(number)
        if kind is not None and matching.numbers[kind] is not None:
            yield number


def _numbered(classes: int) -> tuple[str, ...]:
    """Labels for a model without: no data set's class is called so, numbers are indices."""
    return tuple(f"class {number}" for number in range(classes))


def _left_out(
    unknown: dict[str, int], model: Contender, labels: tuple[str, ...] | None
) -> str | None:
    if not unknown:
        return None
    photos = sum(unknown.values())
    what = f"{len(unknown)} of the data set's classes ({photos} photos, left out)"
    if labels is None:
        return (
            f"{model.path} does not name its {model.classes} classes, the data set names "
            f"{', '.join(map(repr, list(unknown)[:_SHOWN]))}, …; pass --labels with a file of "
            "names, one a line, in the order of the model's outputs (Keras and torchvision number "
            "folders in alphabetical order)"
        )
    return (
        f"the model does not know {what}: {explain_unknown(list(unknown), labels)}; if it knows "
        "them by other names, pass these with --labels, one a line in the order of its outputs"
    )


def _merged(matching: Matching) -> list[str]:
    return [
        f"{' and '.join(map(repr, names))} are {label!r} to the model, and were put together"
        for label, names in list(matching.merged.items())[:_SHOWN]
    ] + [f"so were those of {len(matching.merged) - _SHOWN} other classes"] * (
        len(matching.merged) > _SHOWN
    )


def _kinds(dataset: Dataset, photos: array.array[int]) -> set[int]:
    kinds = (dataset.class_of(number) for number in photos)
    return {kind for kind in kinds if kind is not None}
