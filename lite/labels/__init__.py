"""Class names, and what to do when a model has one output more than there are names."""

from __future__ import annotations

import functools
import importlib.resources
import os
from collections.abc import Sequence
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.files import read_bytes

BACKGROUND = "background"


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """The 1000 classes of ILSVRC 2012 in index order as (synset id, name)."""
    text = (importlib.resources.files(__name__) / "imagenet.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple((synset, name) for synset, name in rows)


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 names, e.g. ``tench``."""
    return tuple(name for _, name in imagenet_classes())


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Class names from a UTF-8 text file, one a line, in the order of the model's outputs.

    Raises:
        InputError: Missing, empty, not text, or a name is blank or there twice.
    """
    data = read_bytes(path, "a text file with one class name a line")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{Path(path)} is not UTF-8 text; expected one class name a line"
        ) from error
    labels = tuple(line.strip() for line in text.rstrip().splitlines())
    if not labels:
        raise InputError(f"{Path(path)} holds only blank lines; expected one class name a line")
    for number, label in enumerate(labels, start=1):
        if not label:
            raise InputError(f"{Path(path)} line {number} is blank; expected a class name")
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise InputError(f"{Path(path)} names {twice!r} more than once; class names must differ")
    return labels


def fit_labels(labels: Sequence[str], classes: int) -> tuple[str, ...]:
    """Names for ``classes`` outputs.

    Networks trained with a background class have 1001 outputs for ImageNet's 1000 names:
    output 0 is then named ``background`` and the rest shift by one.

    Raises:
        InputError: The numbers differ in any other way.
    """
    if len(labels) == classes:
        return tuple(labels)
    if len(labels) + 1 == classes:
        return (BACKGROUND, *labels)
    raise InputError(
        f"the model has {classes} outputs but there are {len(labels)} labels; "
        f"expected {classes}, or {classes - 1} for a model with a background class"
    )


def label_offset(labels: Sequence[str] | None, classes: int) -> int:
    """1 if output 0 is a background class that data sets do not have, else 0."""
    if labels:
        return int(labels[0].strip().lower() in (BACKGROUND, "dummy") and len(labels) == classes)
    return int(classes == 1001)


def default_labels(classes: int) -> tuple[str, ...] | None:
    """ImageNet's names if the number of outputs says so, else None."""
    return fit_labels(imagenet_labels(), classes) if classes in (1000, 1001) else None
