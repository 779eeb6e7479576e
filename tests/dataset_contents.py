"""What is in a data set, to compare with."""

from __future__ import annotations

from effnet_lite.lite.datasets import Dataset


def contents(dataset: Dataset) -> list[tuple[str, str | None]]:
    """Name and class of each photo, in order."""
    found = []
    for number in range(len(dataset)):
        kind = dataset.class_of(number)
        name = dataset.photo(number).name
        found.append((name, None if kind is None else dataset.classes[kind]))
    return found
