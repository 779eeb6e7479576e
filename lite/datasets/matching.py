"""Which of a model's classes a data set's class is, by name.

In this order, the first that finds one:

1. the same name;
2. an ImageNet synset (``n01440764``) whose name is a label;
3. the same name but for letter case, and with ``_`` for spaces;
4. the same first of several names (``tench, Tinca tinca``), compared as in 3;
5. where no class is found so and all are whole numbers: the label of that index, from 0.

What 3 and 4 compare may be equal for two labels (ImageNet has a ``Cardigan`` and a
``cardigan``): then neither is found.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Sequence

from effnet_lite.lite.labels import imagenet_classes

_NEAREST = 3
_EXPLAINED = 5  # so many unknown names are looked at: with 1000 labels each takes 5 ms


@dataclasses.dataclass(frozen=True)
class Matching:
    """What became of a data set's classes.

    Attributes:
        numbers: The label's index for each class, None where there is none.
        merged: Labels that several classes stand for, with these classes.
        unknown: Classes that no label was found for.
    """

    numbers: tuple[int | None, ...]
    merged: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]


def match_classes(names: Iterable[str], labels: Sequence[str]) -> Matching:
    """Find each name's label.

    Args:
        names: Of the data set's classes.
        labels: Of the model's, without a background class.
    """
    names = tuple(names)
    find = _finder(labels)
    numbers = [find(name) for name in names]
    if names and not any(number is not None for number in numbers):
        numbers = [_index(name, len(labels)) for name in names]
        if not all(name.isascii() and name.isdigit() for name in names):
            numbers = [None] * len(names)
    meanings: dict[int, list[str]] = {}
    for name, number in zip(names, numbers, strict=True):
        if number is not None:
            meanings.setdefault(number, []).append(name)
    return Matching(
        numbers=tuple(numbers),
        merged={labels[key]: tuple(found) for key, found in meanings.items() if len(found) > 1},
        unknown=tuple(name for name, number in zip(names, numbers, strict=True) if number is None),
    )


def explain_unknown(unknown: Sequence[str], labels: Sequence[str]) -> str:
    """The first few unknown names, each with the labels that look most like it."""
    folded: dict[str, str] = {}
    for label in labels:
        folded.setdefault(_folded(label), label)
    synsets = dict(imagenet_classes())
    parts = []
    for name in unknown[:_EXPLAINED]:
        meant = _folded(synsets.get(name, name))
        near = difflib.get_close_matches(meant, folded, n=_NEAREST)
        likely = f" (nearest: {', '.join(folded[key] for key in near)})" if near else ""
        parts.append(f"{name!r}{likely}")
    return ", ".join(parts) + ", …" * (len(unknown) > _EXPLAINED)


def _finder(labels: Sequence[str]) -> Callable[[str], int | None]:
    exact = _unambiguous(labels, str)
    synsets = dict(imagenet_classes())
    folded = _unambiguous(labels, _folded)
    first = _unambiguous(labels, _first)

    def find(name: str) -> int | None:
        if name in exact:
            return exact[name]
        meant = synsets.get(name, name)
        for key, found in ((meant, exact), (_folded(meant), folded), (_first(meant), first)):
            if key in found:
                return found[key]
        return None

    return find


def _unambiguous(labels: Sequence[str], key: Callable[[str], str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for number, label in enumerate(labels):
        found[key(label)] = None if key(label) in found else number
    return found


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _first(name: str) -> str:
    return _folded(name.partition(",")[0])


def _index(name: str, classes: int) -> int | None:
    if not (name.isascii() and name.isdigit() and len(name) <= 9):
        return None
    return int(name) if int(name) < classes else None
