"""What every way to a quantized file has in common: the float graph, the check, the description."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from effnet_lite import __version__
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.labels import default_labels, fit_labels, label_offset
from effnet_lite.lite.photos import known_classes
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.lite.variants import Variant
from effnet_lite.lite.weights import Weights
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration_set import CalibrationSet
from effnet_lite.quantize.export import export
from effnet_lite.quantize.fidelity import Fidelity, measure
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.tflite.description import (
    CalibrationRecord,
    Description,
    WeightsRecord,
    with_description,
)
from effnet_lite.quantize.tflite.golden import GoldenCheck, default_grids, make_golden, photo_grid
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import with_logits_output

GOLDEN_PHOTOS = 50


@dataclasses.dataclass(frozen=True)
class Job:
    """One network on its way into a file.

    Attributes:
        row, weights, preprocessing: The network.
        precision: As ``convert`` takes it.
        head: ``softmax`` or ``logits``.
        seed: Of everything random on the way.
    """

    row: Variant
    weights: Weights
    preprocessing: Preprocessing
    precision: str
    head: str
    seed: int

    @functools.cached_property
    def graph(self) -> Graph:
        """The float32 graph."""
        plan = architecture(self.row, self.weights.classes)
        return export(plan, self.weights.tensors, self.head)

    def check(
        self,
        float_model: bytes,
        model: bytes,
        photos: Iterable[Pixels],
        known: Sequence[int | None] | None,
        progress: Progress | None,
        total: int | None = None,
    ) -> Fidelity:
        """How faithful the model is on photos, whose classes may be ``known``."""
        one, other = (
            Predictor(with_logits_output(data), self.preprocessing) for data in (float_model, model)
        )
        return measure(one, other, photos, known, progress, total)

    def describe(
        self,
        model: bytes,
        recipe: str | None,
        labels: Sequence[str] | None,
        photos: Iterable[Pixels],
        calibrated_on: dict[str, Any] | None,
        fidelity: Fidelity | None,
    ) -> bytes:
        """The model with what it says of itself.

        Args:
            model: A .tflite file of the network.
            recipe: Name of what quantized it; None where nothing was calibrated.
            labels: One name an output, or None.
            photos: Some that calibration did not see; the first make the golden check.
            calibrated_on: From :func:`calibration_facts`.
            fidelity: As measured.
        """
        runner = Predictor(model, self.preprocessing)
        calibration = None
        if calibrated_on:
            known = {key: calibrated_on[key] for key in ("kind", "count", "digest")}
            calibration = CalibrationRecord(**known)
        description = Description(
            variant=self.row.name,
            family=self.row.family.name,
            precision=self.precision,
            recipe=recipe,
            head=self.head,
            classes=self.weights.classes,
            label_offset=label_offset(labels, self.weights.classes),
            preprocessing=self.preprocessing,
            weights=WeightsRecord(self.weights.name, self.weights.sha256, self.weights.layout),
            tool_version=__version__,
            calibration=calibration,
            fidelity=fidelity.to_json() if fidelity else None,
            seed=self.seed,
            golden=self.golden(runner, photos),
        )
        return with_description(model, description, labels or ())

    def golden(self, model: Predictor, photos: Iterable[Pixels]) -> GoldenCheck:
        """An input that the model answers with confidence, and its answer."""
        # Photos, because a network answers a drawn pattern with so little confidence that
        # the check would pass with the colours swapped.
        grids = [photo_grid(pixels) for pixels in itertools.islice(photos, GOLDEN_PHOTOS)]
        grids += default_grids()
        return make_golden(model.raw, self.row.size, self.row.size, grids)


def check_pixels(images: CalibrationSet, preprocessing: Preprocessing) -> Iterator[Pixels]:
    """The photos to check on, ready for the model."""
    return (preprocessing.pixels(path) for path in images.check.paths)


def labels_for(names: Sequence[str] | None, weights: Weights) -> Sequence[str] | None:
    """One name an output: the given ones, those of the weights, or ImageNet's."""
    if names is not None:
        return fit_labels(names, weights.classes)
    return weights.labels or default_labels(weights.classes)


def classes_of_checks(
    weights: Weights,
    labels: Sequence[str] | None,
    images: CalibrationSet,
    calibration: str | os.PathLike[str] | None,
) -> Sequence[int | None] | None:
    """The right class of each check photo; None for a network that was not trained for them."""
    if weights.layout == "random" or weights.head_is_new:
        return None
    if images.kind == "folder" and calibration is not None:
        return known_classes(images.check, calibration, labels)
    return images.check_classes if weights.classes == 1000 else None


def calibration_facts(images: CalibrationSet) -> dict[str, Any]:
    """What the images were, as JSON has it."""
    return {
        "kind": images.kind,
        "count": images.count,
        "digest": images.digest(),
        "files": images.manifest(),
        "origin": images.origin if images.kind == "synthetic" else None,
    }
