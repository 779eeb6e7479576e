"""From what the user says (``imagenet``, ``random``, a file) to tensors for a variant."""

from __future__ import annotations

import dataclasses
import os

from effnet_lite.errors import UsageError
from effnet_lite.lite.variants import Variant, get_variant
from effnet_lite.lite.weights import (
    Weights,
    imagenet_weights,
    random_weights,
    read_weights,
    stored_network,
)
from effnet_lite.lite.weights.match import MAX_CLASSES
from effnet_lite.progress import Progress


def network_for(
    weights: str | os.PathLike[str] | None,
    variant: str | Variant | None = None,
    size: int | None = None,
) -> Variant:
    """The row that is asked for, and where nothing is asked, that of the weights.

    Args:
        weights: As for :func:`load_weights`; a run folder of ``train`` and a checkpoint of ours
            tell their variant and the size that they were trained for.
        variant: A name from the table, a custom one, or a row; None for the weights' own, or
            lite0.
        size: Side of the input in pixels; None for the weights' own, or the variant's.

    Raises:
        UsageError: Unknown variant, or a size out of range.
        InputError: The weights are damaged.
    """
    stored = None
    if weights is not None and weights not in ("imagenet", "random"):
        stored = stored_network(weights)
    if stored is None:
        return get_variant(variant or "lite0").with_size(size)
    row = get_variant(variant or stored[0])
    # Another variant's size means nothing; that it is another, the reader says.
    if size is None and row.name == stored[0]:
        size = stored[1]
    return row.with_size(size)


def load_weights(
    source: str | os.PathLike[str] | None,
    variant: Variant,
    classes: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Weights:
    """Weights for a variant, complete: a head that the file lacks is drawn at random.

    Args:
        source: ``imagenet``, ``random`` (None means the same), a file, or a run folder of
            ``train``.
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
