"""From what the user says (``imagenet``, ``random``, a file) to tensors for a variant."""

from __future__ import annotations

import dataclasses
import os

from effnet_lite.errors import UsageError
from effnet_lite.lite.variants import Variant
from effnet_lite.lite.weights import (
    Weights,
    imagenet_weights,
    random_weights,
    read_weights,
)
from effnet_lite.lite.weights.match import MAX_CLASSES
from effnet_lite.progress import Progress


def load_weights(
    source: str | os.PathLike[str] | None,
    variant: Variant,
    classes: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Weights:
    """Weights for a variant, complete: a head that the file lacks is drawn at random.

    Args:
        source: ``imagenet``, ``random`` (None means the same), or a file.
        variant: The network they must fit.
        classes: Outputs wanted; None keeps the file's own, and 1000 where there is no file.
        seed: Of random weights, and of a new head.
        progress: Called while a file downloads.

    Raises:
        UsageError: A negative seed, or a number of classes out of range.
        InputError: No such file, not a weights file, or it does not fit the variant.
    """
    if classes is not None and not 0 <= classes <= MAX_CLASSES:
        raise UsageError(
            f"the number of classes must be 0 (no head) to {MAX_CLASSES:,}, got {classes}"
        )
    if seed < 0:
        raise UsageError(f"a seed must be 0 or more, got {seed}")
    if source is None or source == "random":
        return random_weights(variant, 1000 if classes is None else classes, seed)
    path = imagenet_weights(variant, progress) if source == "imagenet" else source
    weights = read_weights(path, variant, classes)
    if not weights.head_is_new or not weights.classes:
        return weights
    fresh = random_weights(variant, weights.classes, seed).tensors
    head = {name: value for name, value in fresh.items() if name.startswith("predictions/")}
    return dataclasses.replace(weights, tensors={**weights.tensors, **head})
