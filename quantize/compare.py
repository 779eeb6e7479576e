"""A float model against its quantized version: the whole, and layer by layer."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from typing import Any

from effnet_lite.errors import UsageError
from effnet_lite.files import sha256
from effnet_lite.lite.photos import check_photos, find_photos
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.fidelity import Fidelity, measure
from effnet_lite.quantize.layer_errors import LayerError, compare_layers
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import with_logits_output

# Layers' figures settle after a few photos, and each takes every activation of both models.
LAYER_PHOTOS = 20


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Attributes:
        fidelity: Of the whole model.
        layers: In execution order; empty if the two files' layers cannot be lined up.
        float_sha256, quantized_sha256: Of the files.
        photos: ``folder`` or ``samples``.
    """

    fidelity: Fidelity
    layers: tuple[LayerError, ...]
    float_sha256: str
    quantized_sha256: str
    photos: str

    def worst(self, count: int = 10) -> list[LayerError]:
        """The layers with the lowest SQNR, worst first."""
        return sorted(self.layers, key=lambda layer: layer.sqnr_db)[:count]

    def largest_drop(self) -> tuple[LayerError, LayerError] | None:
        """A layer and the worst of its inputs, where the accumulated SQNR falls most.

        None where it falls nowhere from one finite figure to another.
        """
        pairs = []
        for layer in self.layers:
            inputs = (self.layers[number] for number in layer.inputs)
            worst = min(inputs, key=lambda given: given.sqnr_db, default=layer)
            if math.isfinite(worst.sqnr_db) and layer.sqnr_db < worst.sqnr_db:
                pairs.append((worst, layer))
        return max(pairs, key=lambda pair: pair[0].sqnr_db - pair[1].sqnr_db, default=None)

    def to_json(self) -> dict[str, Any]:
        """The document of ``compare --json``."""
        return {
            **self.fidelity.to_json(),
            "photos": self.photos,
            "float": {"sha256": self.float_sha256},
            "quantized": {"sha256": self.quantized_sha256},
            "layers": [layer.to_json() for layer in self.layers],
        }


def compare(
    float_model: str | os.PathLike[str],
    quantized_model: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    count: int | None = None,
    layers: bool = True,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Run both .tflite files on the same photos.

    Args:
        float_model, quantized_model: The files.
        data: Folder of photos; None takes the installed sample photos that ``convert`` does
            not calibrate on.
        count: Use only the first so many photos.
        layers: Also look at every layer, on up to 20 of the photos.
        preprocessing: None takes what the float model says of itself.
        progress: Called after each photo.

    Raises:
        InputError: A file or the folder is not what it should be, or the models do not fit
            together.
    """
    if count is not None and count < 1:
        raise UsageError(f"count must be at least 1, got {count}")
    first, second = read_model(float_model), read_model(quantized_model)
    if data:
        photos, known = find_photos(data), None
    else:
        photos, known = check_photos()
    paths = photos.paths[:count]
    one = Predictor(with_logits_output(first), preprocessing)
    other = Predictor(with_logits_output(second), preprocessing)
    prepare = one.preprocessing if one.description else other.preprocessing
    some = [prepare.pixels(path) for path in paths[: LAYER_PHOTOS if layers else 0]]
    others = (prepare.pixels(path) for path in paths[len(some) :])
    pixels = itertools.chain(some, others)
    fidelity = measure(one, other, pixels, known, progress, len(paths))
    found = compare_layers(first, second, some, preprocessing, progress) if layers else ()
    return Comparison(fidelity, found, sha256(first), sha256(second), photos.kind)
