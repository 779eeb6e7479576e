"""The models of one evaluation: what their outputs mean, and that they can be compared."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.lite.labels import fit_labels, label_offset, read_labels
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.tflite.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Contender:
    """One model.

    Attributes:
        path, sha256: The file.
        classes: That a data set can have: outputs without the background.
        offset: The output of class 0: 1 where output 0 is a background class, else 0.
        labels: One a class; None where neither the file nor the user names them.
    """

    path: Path
    sha256: str
    classes: int
    offset: int
    labels: tuple[str, ...] | None


def open_contenders(
    models: Sequence[str | os.PathLike[str]],
    labels: str | os.PathLike[str] | None,
    preprocessing: Preprocessing | None,
) -> list[Contender]:
    """Load each model once, to be sure that it is one, and read its labels.

    Raises:
        InputError: A model or the labels are not what they should be, or the models do not
            tell the same classes apart.
    """
    names = read_labels(labels) if labels is not None else None
    found = [_open(Path(path), names, preprocessing) for path in models]
    first = found[0]
    for other in found[1:]:
        _check_together(first, other)
    return found


def _open(
    path: Path, names: tuple[str, ...] | None, preprocessing: Preprocessing | None
) -> Contender:
    # One thread: nothing is run here.
    predictor = Predictor.open(path, preprocessing=preprocessing, threads=1)
    shape = predictor.runner.outputs[0].shape
    if math.prod(shape) != predictor.classes:
        raise InputError(
            f"{path} has an output of shape {shape}; expected one score a class, (1, classes)"
        )
    given = predictor.labels if names is None else fit_labels(names, predictor.classes)
    if names is None and predictor.description:
        offset = predictor.description.label_offset
    else:
        offset = label_offset(given, predictor.classes)
    classes = predictor.classes - offset
    fits = given is not None and len(given) == predictor.classes
    return Contender(
        path=path,
        sha256=predictor.sha256,
        classes=classes,
        offset=offset,
        labels=tuple(given[offset:]) if given is not None and fits else None,
    )


def _check_together(first: Contender, other: Contender) -> None:
    if first.classes != other.classes:
        raise InputError(
            f"{first.path} and {other.path} tell {first.classes} and {other.classes} classes "
            "apart; expected versions of one network, or networks for the same classes"
        )
    for number, (one, two) in enumerate(zip(first.labels or (), other.labels or (), strict=False)):
        if one.casefold() != two.casefold():
            raise InputError(
                f"class {number} is {one!r} in {first.path} and {two!r} in {other.path}; if they "
                "mean the same classes, pass their names with --labels"
            )
