"""The job: trained float weights and photos in, an int8 .tflite that learned to be one out."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import UsageError
from effnet_lite.files import check_output, sha256, write_bytes
from effnet_lite.finite import finite
from effnet_lite.lite.labels import read_labels
from effnet_lite.lite.preprocessing import Pixels, Preprocessing, preprocessing_for
from effnet_lite.lite.pretrained import load_weights, network_for
from effnet_lite.lite.variants import Variant
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration_set import DEFAULT_COUNT
from effnet_lite.quantize.fidelity import Fidelity, measure
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.job import Job, calibration_facts, labels_for
from effnet_lite.quantize.options import DEFAULT_IO, check_options, recipe_for
from effnet_lite.quantize.pipeline import run_recipe
from effnet_lite.quantize.qat.loop import Checkpoint, Schedule, Trainer
from effnet_lite.quantize.qat.network import QatModel, quantize_aware
from effnet_lite.quantize.qat.objective import Objective
from effnet_lite.quantize.qat.photos import Batches
from effnet_lite.quantize.qat.quantizers import import_tfmot
from effnet_lite.quantize.qat.split import Split, facts_of, readable, split_photos
from effnet_lite.quantize.quantizer import IOType, with_io
from effnet_lite.quantize.recipe import Recipe
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import with_logits_output
from effnet_lite.quantize.tflite.writer import to_flatbuffer

#: What a recipe's name ends in when training followed it.
STAGE = "qat"
PRECISION = "int8"


@dataclasses.dataclass(frozen=True)
class QatResult:
    """What :func:`train_qat` made and measured.

    Attributes:
        output: The file.
        sha256, bytes: Of the file.
        variant, recipe, input_type, classes, weights: As for ``convert``; the recipe ends in
            ``+qat``.
        fidelity: Of the file to the float32 model, on photos that training did not see.
        start: The same of the recipe's own file, before training.
        simulated: Of the file to the fake-quantized Keras model that was trained.
        objective, schedule: What was learned, and how.
        losses: At each step.
        resumed: The step that training went on from; 0 for one that began here.
        seconds: Of the training alone.
        photos: How many, with labels and to check on, and a digest.
        calibration: As for ``convert``.
        notices: What the user should know, a line each.
    """

    output: Path
    sha256: str
    bytes: int
    variant: str
    recipe: str
    input_type: str
    classes: int
    weights: str
    fidelity: Fidelity
    start: Fidelity
    simulated: Fidelity
    objective: Objective
    schedule: Schedule
    losses: tuple[float, ...]
    resumed: int
    seconds: float
    photos: dict[str, Any]
    calibration: dict[str, Any]
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``train --qat --json``."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("fidelity", "start", "simulated"):
            record[name] = record[name].to_json()
        for name in ("objective", "schedule"):
            record[name] = dataclasses.asdict(record[name])
        record |= {"output": str(self.output), "precision": PRECISION}
        record |= {"losses": list(self.losses), "notices": list(self.notices)}
        return cast(dict[str, Any], finite(record))


def train_qat(
    weights: str | os.PathLike[str],
    data: str | os.PathLike[str],
    variant: str | Variant | None = None,
    validation: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    unlabelled: bool = False,
    objective: Objective | None = None,
    schedule: Schedule | None = None,
    recipe: str | Recipe | None = None,
    calibration_count: int = DEFAULT_COUNT,
    input_type: str | None = None,
    head: str = "softmax",
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    size: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    wants_to_stop: Callable[[], bool] = lambda: False,
) -> QatResult:
    """Quantize by a recipe, train the integers on photos, and write the file.

    Args:
        weights: Of the float network, trained: ``imagenet``, a file, or a run folder of
            ``train``.
        data: Photos to learn from and to calibrate on, see
            :func:`effnet_lite.lite.datasets.open_dataset`.
        variant: A name from the table, a custom one, or a row; None for that of the weights
            where they tell it, else lite0.
        validation: Photos to check on; None holds back a tenth of ``data``.
        output: The file; None writes ``efficientnet-VARIANT-int8.tflite`` here.
        unlabelled: Learn from the float network alone; ``data`` may be any photos, and what
            classes they have is not asked.
        objective: What is learned; None for the default.
        schedule: How long, how fast, and the seed of everything random; None for the default.
        recipe: What training starts from, with int8 activations; None for ``default``.
        calibration_count: Photos to calibrate on, at most.
        input_type, head, labels, size: As for :func:`effnet_lite.quantize.convert.convert`.
        checkpoint: A file that keeps the training every 50 steps, to go on from; if it exists,
            training goes on there. It is left behind.
        overwrite: Replace an existing output.
        progress: Called as the work goes on.
        wants_to_stop: Asked after each step; true keeps the training in ``checkpoint`` and ends
            it.

    Raises:
        EffnetLiteError: It was stopped.
        UsageError: Unknown or contradictory options.
        InputError: Weights, photos, labels, checkpoint or the output path are not what they
            should be.
        MissingDependencyError: TensorFlow, tf_keras or tfmot is not installed.
        ConversionError: The network cannot be quantized, or the loss is not finite.
    """
    row = network_for(weights, variant, size)
    schedule = schedule or Schedule()
    check_options(PRECISION, input_type, head)
    asked = _recipe(recipe, row)
    goal = _objective(objective, unlabelled)
    path = Path(output or f"efficientnet-{row.name}-{PRECISION}.tflite")
    check_output(path, overwrite)
    import_tfmot()  # rather fail now than after the calibration
    loaded = load_weights(weights, row, None, schedule.seed, progress)
    if loaded.layout == "random" or loaded.head_is_new:
        raise UsageError(
            "quantization-aware training starts from trained weights with a classifier, and these "
            "are random; train the float network first, and pass its weights"
        )
    given = read_labels(labels) if isinstance(labels, str | os.PathLike) else labels
    names = labels_for(given, loaded)
    split = split_photos(data, validation, names, unlabelled, schedule.seed)
    job = Job(row, loaded, preprocessing_for(row), PRECISION, head, schedule.seed)
    images = split.calibration(calibration_count, schedule.seed)
    floats, integers, _ = run_recipe(
        asked, job.graph, images, job.preprocessing, progress, schedule.seed
    )
    model = quantize_aware(floats, integers)
    trainer = Trainer(model, floats, job.preprocessing, goal, schedule)
    kept = _checkpoint(checkpoint, trainer, asked, split, loaded.sha256)
    resumed = trainer.step
    batches = Batches(split.learn, job.preprocessing, schedule.batch, schedule.seed)
    began = time.monotonic()
    trainer.run(batches, progress, kept, wants_to_stop)
    seconds = time.monotonic() - began
    io_type = cast(IOType, input_type or DEFAULT_IO[PRECISION])
    made = _Made(job, model, io_type, *readable(split.check, job.preprocessing), progress)
    calibrated_on = calibration_facts(images)
    fidelity = made.fidelity(made.file)
    name = f"{asked.name}+{STAGE}"
    described = job.describe(made.file, name, names, made.photos, calibrated_on, fidelity)
    write_bytes(path, described, overwrite)
    return QatResult(
        output=path,
        sha256=sha256(described),
        bytes=len(described),
        variant=row.name,
        recipe=name,
        input_type=io_type,
        classes=loaded.classes,
        weights=loaded.name,
        fidelity=fidelity,
        start=made.fidelity(made.written(integers)),
        simulated=made.simulated(),
        objective=goal,
        schedule=schedule,
        losses=tuple(trainer.losses),
        resumed=resumed,
        seconds=seconds,
        photos=facts_of(split),
        calibration=calibrated_on,
        notices=(*split.notices, *_unreadable(batches.unreadable)),
    )


class Simulation:
    """The fake-quantized Keras model, asked one photo at a time as a :class:`Predictor` is."""

    def __init__(self, model: QatModel, preprocessing: Preprocessing) -> None:
        from effnet_lite.lite.keras import import_tensorflow

        self.classes = model.keras.output_shape[-1]
        self.preprocessing = preprocessing
        self._run = import_tensorflow().function(lambda x: model.keras(x, training=False))

    def output(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Its logits, (classes,)."""
        images = self.preprocessing.normalize(pixels)[np.newaxis]
        logits: npt.NDArray[np.float32] = self._run(images).numpy()[0]
        return logits


@dataclasses.dataclass(frozen=True)
class _Made:
    """The trained network, and the photos to measure it on."""

    job: Job
    model: QatModel
    io_type: IOType
    photos: list[Pixels]
    known: list[int | None]
    progress: Progress | None

    @property
    def file(self) -> bytes:
        return self.written(self.model.to_graph())

    def written(self, graph: Graph) -> bytes:
        return to_flatbuffer(with_io(graph, self.io_type))

    def fidelity(self, file: bytes) -> Fidelity:
        float_model = to_flatbuffer(self.job.graph)
        total = len(self.photos)
        return self.job.check(float_model, file, self.photos, self.known, self.progress, total)

    def simulated(self) -> Fidelity:
        simulation = Simulation(self.model, self.job.preprocessing)
        file = Predictor(with_logits_output(self.file), self.job.preprocessing)
        total = len(self.photos)
        return measure(
            cast(Predictor, simulation), file, self.photos, self.known, self.progress, total
        )


def _recipe(recipe: str | Recipe | None, row: Variant) -> Recipe:
    asked = recipe_for(recipe, PRECISION, row.family.name)
    if asked.wide:
        raise UsageError(
            f"recipe {asked.name}: quantization-aware training takes int8 activations throughout; "
            f"leave {asked.wide[0]} out"
        )
    return asked


def _objective(objective: Objective | None, unlabelled: bool) -> Objective:
    objective = objective or Objective()
    if unlabelled and objective.labels:
        raise UsageError(
            f"unlabelled photos have no labels to learn from, and the objective gives them "
            f"{objective.labels:g}; give 0"
        )
    return objective


def _checkpoint(
    path: str | os.PathLike[str] | None,
    trainer: Trainer,
    recipe: Recipe,
    split: Split,
    weights: str | None,
) -> Checkpoint | None:
    """The checkpoint, and the trainer as it left it."""
    if path is None:
        return None
    facts = {
        "weights": weights,
        "recipe": recipe.name,
        "photos": split.digest(),
        "objective": dataclasses.asdict(trainer.objective),
        "schedule": dataclasses.asdict(trainer.schedule),
    }
    kept = Checkpoint(Path(path), facts)
    kept.resume(trainer)
    return kept


def _unreadable(found: dict[str, str]) -> Iterable[str]:
    if found:
        name, reason = next(iter(found.items()))
        yield f"{len(found)} photos cannot be read and were left out, first {name}: {reason}"
