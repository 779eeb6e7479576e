"""The main job: a variant and its weights in, a checked .tflite that describes itself out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from effnet_lite.errors import UsageError
from effnet_lite.files import check_output, sha256, write_bytes
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.labels import read_labels
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.pretrained import load_weights, network_for
from effnet_lite.lite.variants import Variant
from effnet_lite.lite.weights import Weights
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration_set import DEFAULT_COUNT, CalibrationSet, choose
from effnet_lite.quantize.fidelity import Fidelity
from effnet_lite.quantize.job import (
    Job,
    calibration_facts,
    check_pixels,
    classes_of_checks,
    labels_for,
)
from effnet_lite.quantize.ladder import (
    Attempt,
    Examiner,
    Rung,
    attempts,
    check_max_drop,
    climb,
    photos_to_check,
    require_photos,
)
from effnet_lite.quantize.mixed import Cost
from effnet_lite.quantize.options import DEFAULT_IO, check_options, recipe_for
from effnet_lite.quantize.pipeline import run_recipe
from effnet_lite.quantize.quantizer import dynamic_range_weights, float16_weights, with_io
from effnet_lite.quantize.recipe import Recipe, get_recipe
from effnet_lite.quantize.tflite.writer import to_flatbuffer


@dataclasses.dataclass(frozen=True)
class ConversionResult:
    """What ``convert`` made and measured.

    Attributes:
        output: The file.
        sha256, bytes: Of the file.
        variant, precision, recipe: As asked for; recipe in full, None without calibration,
            and with ``max_drop`` the one that passed.
        input_type: uint8, int8 or float32.
        classes: Length of the output vector.
        weights: Name of the weights.
        fidelity: Against the float32 model on the check photos; None where there were none.
        calibration: Kind, count, digest and files; None without calibration.
        notices: What the user should know, a line each.
        ladder: The recipes that ``max_drop`` tried; the last one passed.
        wide: What it costs to keep layers wide, for recipes that do.
    """

    output: Path
    sha256: str
    bytes: int
    variant: str
    precision: str
    recipe: str | None
    input_type: str
    classes: int
    weights: str
    fidelity: Fidelity | None
    calibration: dict[str, Any] | None
    notices: tuple[str, ...]
    ladder: tuple[Rung, ...] = ()
    wide: tuple[Cost, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document of ``convert --json``."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        record["output"] = str(self.output)
        record["fidelity"] = self.fidelity.to_json() if self.fidelity else None
        record["notices"] = list(self.notices)
        record["ladder"] = [rung.to_json() for rung in self.ladder]
        record["wide"] = [cost.to_json() for cost in self.wide]
        return record


def convert(
    variant: str | Variant | None = None,
    precision: str = "int8",
    weights: str | os.PathLike[str] = "imagenet",
    output: str | os.PathLike[str] | None = None,
    calibration: str | os.PathLike[str] | None = None,
    calibration_count: int = DEFAULT_COUNT,
    recipe: str | Recipe | None = None,
    input_type: str | None = None,
    head: str = "softmax",
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    size: int | None = None,
    classes: int | None = None,
    check: bool = True,
    max_drop: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    on_rung: Callable[[Rung], None] | None = None,
) -> ConversionResult:
    """Make a .tflite file.

    Args:
        variant: A name from the table, a custom one, or a row; None for that of the weights
            where they tell it, else lite0.
        precision: ``float32``, ``float16``, ``dynamic``, ``int8`` or ``int16x8``.
        weights: ``imagenet``, ``random``, a file of any format that is read, or a run folder
            of ``train``.
        output: The file; None writes ``efficientnet-VARIANT-PRECISION.tflite`` here.
        calibration: A folder of photos, ``samples``, ``synthetic``, or None for samples
            where they are installed and synthetic images where not.
        calibration_count: Photos to calibrate on, at most.
        recipe: How to quantize, see :mod:`effnet_lite.quantize.recipe`; None for ``default``.
        input_type: ``uint8``, ``int8`` or ``float32`` at both ends; None gives uint8 for
            int8 models, float32 otherwise.
        head: ``softmax`` or ``logits``.
        labels: Class names or a file of them; None takes those of the weights, or
            ImageNet's for 1000 outputs.
        size: Side of the input in pixels; None for what the weights were trained for where
            they tell it, else the variant's own.
        classes: Outputs; None as many as the weights, or the labels, have.
        check: Measure fidelity to the float32 model.
        max_drop: Percentage points of top-1 that quantization may cost, above 0. Recipes from
            ``recipe`` upwards are tried until the check photos prove it (see
            :mod:`effnet_lite.quantize.ladder`); if none does, nothing is written.
        seed: Of shuffles, synthetic images and random weights.
        overwrite: Replace an existing file.
        progress: Called as the work goes on.
        on_rung: Called after each recipe that ``max_drop`` tries.

    Raises:
        UsageError: Unknown or contradictory options.
        InputError: Weights, photos, labels or the output path are not what they should be, or
            there are too few check photos to prove ``max_drop``.
        ConversionError: The network cannot be quantized.
        FidelityError: No recipe meets ``max_drop``.
    """
    row = network_for(weights, variant, size)
    check_options(precision, input_type, head)
    asked = recipe_for(recipe, precision, row.family.name)
    if max_drop is not None:
        check_max_drop(max_drop, precision, check)
    path = Path(output or f"efficientnet-{row.name}-{precision}.tflite")
    check_output(path, overwrite)
    if classes is not None and classes < 1:
        raise UsageError(f"the number of classes must be at least 1, got {classes}")
    names = read_labels(labels) if isinstance(labels, str | os.PathLike) else labels
    if classes is None and names is not None and weights != "imagenet":
        classes = _classes_from_labels(names, weights)
    images = choose(calibration, calibration_count, seed, photos_to_check(max_drop))
    if max_drop is not None:
        require_photos(max_drop, images, calibration_count)
    loaded = load_weights(weights, row, classes, seed, progress)
    job = _Conversion(row, loaded, preprocessing_for(row), precision, head, seed)
    io_type = input_type or DEFAULT_IO.get(precision, "float32")
    names = labels_for(names, loaded)
    known = classes_of_checks(loaded, names, images, calibration)
    quantized = precision in DEFAULT_IO
    if quantized:
        plan = architecture(row, loaded.classes)
        images = images.matched_to(plan, loaded, job.preprocessing, progress)
    float_model = model = to_flatbuffer(job.graph)
    fidelity: Fidelity | None = None
    rungs: tuple[Rung, ...] = ()
    wide: tuple[Cost, ...] = ()
    done = asked
    if max_drop is not None:
        tries = attempts(asked, row.family.name) if quantized else [Attempt(precision, None)]
        examine = Examiner(float_model, images.check.paths, known, job.preprocessing)

        def make(recipe: Recipe | None, named: Progress | None) -> bytes:
            nonlocal wide
            made, wide = job.quantized(images, io_type, recipe or asked, named)
            return made

        model, rungs = climb(tries, make, examine, max_drop, progress, on_rung)
        fidelity, done = rungs[-1].fidelity, get_recipe(rungs[-1].recipe or asked)
    elif precision != "float32":
        model, wide = job.quantized(images, io_type, asked, progress)
        if check and len(images.check):
            photos = check_pixels(images, job.preprocessing)
            fidelity = job.check(float_model, model, photos, known, progress, len(images.check))
    calibrated_on = calibration_facts(images) if quantized else None
    name = done.name if quantized else None
    examples = check_pixels(images, job.preprocessing)
    described = job.describe(model, name, names, examples, calibrated_on, fidelity)
    write_bytes(path, described, overwrite)
    return ConversionResult(
        output=path,
        sha256=sha256(described),
        bytes=len(described),
        variant=row.name,
        precision=precision,
        recipe=name,
        input_type=io_type,
        classes=loaded.classes,
        weights=loaded.name,
        fidelity=fidelity,
        calibration=calibrated_on,
        notices=_notices(loaded, images, quantized),
        ladder=rungs,
        wide=wide,
    )


class _Conversion(Job):
    """A job whose graph is quantized by calibration alone."""

    def quantized(
        self,
        images: CalibrationSet,
        io_type: str,
        recipe: Recipe,
        progress: Progress | None,
    ) -> tuple[bytes, tuple[Cost, ...]]:
        graph = self.graph
        if self.precision == "float16":
            return to_flatbuffer(float16_weights(graph)), ()
        if self.precision == "dynamic":
            return to_flatbuffer(dynamic_range_weights(graph)), ()
        found = run_recipe(recipe, graph, images, self.preprocessing, progress, self.seed)
        return to_flatbuffer(with_io(found.integers, io_type)), found.wide  # type: ignore[arg-type]


def _classes_from_labels(names: Sequence[str], weights: str | os.PathLike[str]) -> int | None:
    # A file may hold a background class more than there are names: let it say so itself.
    return len(names) if weights == "random" else None


def _notices(weights: Weights, images: CalibrationSet, quantized: bool) -> tuple[str, ...]:
    notices: tuple[str, ...] = ()
    if weights.layout == "random":
        notices += ("the weights are random: the model is for timing and testing only",)
    elif weights.head_is_new:
        notices += (
            f"the classifier is new (random, {weights.classes} classes): train it before use",
        )
    return notices + (images.notices if quantized else ())
