"""A float model against its quantized version: the whole, and layer by layer."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from effnet_lite.errors import UsageError
from effnet_lite.files import sha256
from effnet_lite.lite.photos import check_photos, find_photos
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.fidelity import Fidelity, measure
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import LayerName, with_layer_outputs, with_logits_output

# Layers' figures settle after a few photos, and each takes every activation of both models.
LAYER_PHOTOS = 20


@dataclasses.dataclass(frozen=True)
class LayerError:
    """Error accumulated up to and including one layer: 10·log10(Σ f² / Σ (f - q)²) dB."""

    name: str
    kind: str
    sqnr_db: float


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

    def to_json(self) -> dict[str, Any]:
        """The document of ``compare --json``."""
        return {
            **self.fidelity.to_json(),
            "photos": self.photos,
            "float": {"sha256": self.float_sha256},
            "quantized": {"sha256": self.quantized_sha256},
            "layers": [
                {**dataclasses.asdict(layer), "sqnr_db": finite(layer.sqnr_db)}
                for layer in self.layers
            ],
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
    pixels = (prepare.pixels(path) for path in paths)
    fidelity = measure(one, other, pixels, known, progress, len(paths))
    found: tuple[LayerError, ...] = ()
    if layers:
        some = paths[:LAYER_PHOTOS]
        pixels = (prepare.pixels(path) for path in some)
        found = compare_layers(first, second, pixels, preprocessing, progress, len(some))
    return Comparison(fidelity, found, sha256(first), sha256(second), photos.kind)


def compare_layers(
    float_model: bytes,
    quantized_model: bytes,
    photos: Iterable[Pixels],
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> tuple[LayerError, ...]:
    """SQNR of every layer's activation over the photos, in execution order.

    Layers are lined up by name, or by position where a converter renamed them.
    """
    (first, first_names), (second, second_names) = map(
        with_layer_outputs, (float_model, quantized_model)
    )
    pairs = _line_up(first_names, second_names)
    if not pairs:
        return ()
    one, other = Predictor(first, preprocessing), Predictor(second, preprocessing)
    signal, noise = np.zeros(len(pairs)), np.zeros(len(pairs))
    for number, pixels in enumerate(photos, start=1):
        one.raw(pixels)
        other.raw(pixels)
        for position, (left, right) in enumerate(pairs):
            wanted, found = _activation(one, left), _activation(other, right)
            signal[position] += np.square(wanted, dtype=np.float64).sum()
            noise[position] += np.square(wanted - found, dtype=np.float64).sum()
        if progress:
            progress(number, total, "layer by layer")
    return tuple(
        LayerError(first_names[left].name, first_names[left].kind, _decibel(*sums))
        for (left, _), *sums in zip(pairs, signal, noise, strict=True)
    )


def finite(value: float) -> float | None:
    """JSON has no infinity: None stands for it."""
    return value if math.isfinite(value) else None


def _activation(model: Predictor, number: int) -> Any:
    return model.runner.outputs[number].dequantize(model.runner.output(number))


def _line_up(first: Sequence[LayerName], second: Sequence[LayerName]) -> list[tuple[int, int]]:
    kinds = [[(layer.kind, layer.shape) for layer in layers] for layers in (first, second)]
    if kinds[0] == kinds[1]:
        return [(number, number) for number in range(len(first))]
    by_name = {(layer.name, layer.shape): number for number, layer in enumerate(second)}
    return list(_by_name(first, by_name))


def _by_name(
    first: Sequence[LayerName], by_name: dict[tuple[str, tuple[int, ...]], int]
) -> Iterator[tuple[int, int]]:
    for number, layer in enumerate(first):
        # Fused operators carry all their names, joined by semicolons.
        for name in itertools.chain([layer.name], layer.name.split(";")):
            if (name, layer.shape) in by_name:
                yield number, by_name[name, layer.shape]
                break


def _decibel(signal: float, noise: float) -> float:
    return 10 * math.log10(signal / noise) if signal and noise else math.inf
