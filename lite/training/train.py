"""The job: photos and trained weights in, a run folder with a network for these photos out."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError, UsageError
from effnet_lite.finite import finite
from effnet_lite.lite.builder import get_weights, set_weights
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras
from effnet_lite.lite.labels import read_labels
from effnet_lite.lite.preprocessing import Preprocessing, preprocessing_for
from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.training import curves
from effnet_lite.lite.training.augment import Augmentation
from effnet_lite.lite.training.batches import Batches, validation_batches
from effnet_lite.lite.training.checkpoint import load_state, save_state
from effnet_lite.lite.training.config import TrainingConfig
from effnet_lite.lite.training.config import preset as get_preset
from effnet_lite.lite.training.devices import Devices, open_devices
from effnet_lite.lite.training.head_start import fit_classifier
from effnet_lite.lite.training.loop import Epoch, LoopSettings, Trainer
from effnet_lite.lite.training.network import training_model
from effnet_lite.lite.training.photos import TrainingData, gather
from effnet_lite.lite.training.run_folder import RunFolder
from effnet_lite.lite.variants import Variant, get_variant
from effnet_lite.lite.weights import Weights, save_checkpoint
from effnet_lite.progress import Progress

_VERSION = 1
IMAGENET_CLASSES = 1000
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Kept beside the network in a weights file, for those who look at it later.
_NOTE = "validation_top1"


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What :func:`train` made.

    Attributes:
        run: The run folder.
        weights: In it, of the best epoch: what ``convert --weights`` takes.
        variant, size: The network, as deployed.
        labels: The classes.
        config: How it was trained.
        strategy, devices: On what: the kind, and how many.
        photos: How many, of which class, a digest, and what was left out.
        steps, resumed: Done in all, and when this sitting began.
        seconds: Spent in all sittings, reading photos included.
        stopped: Why it ended: ``end``, ``patience`` or ``minutes``.
        best: The best epoch.
        history: All epochs.
        notices: What the user should know, a line each.
    """

    run: Path
    weights: Path
    variant: str
    size: int
    labels: tuple[str, ...]
    config: TrainingConfig
    strategy: str
    devices: int
    photos: dict[str, Any]
    steps: int
    resumed: int
    seconds: float
    stopped: str
    best: Epoch
    history: tuple[Epoch, ...]
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``train --json``."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        record |= {"run": str(self.run), "weights": str(self.weights)}
        record |= {"config": self.config.to_json(), "best": dataclasses.asdict(self.best)}
        record["history"] = [dataclasses.asdict(epoch) for epoch in self.history]
        document: dict[str, Any] = finite(record)
        return document


class TrainingInterrupted(KeyboardInterrupt):
    """A signal ended a training, which is saved; the message says where it stands."""


def train(
    data: str | os.PathLike[str] | None = None,
    variant: str | Variant | None = None,
    validation: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    size: int | None = None,
    preset: str | None = None,
    settings: dict[str, Any] | None = None,
    strategy: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    on_epoch: Callable[[Epoch, int], None] | None = None,
) -> TrainingResult:
    """Train a network on photos.

    SIGINT and SIGTERM save the training and raise :class:`TrainingInterrupted`; a second one
    ends it at once.

    Args:
        data: Photos to learn from, see :func:`effnet_lite.lite.datasets.open_dataset`. For
            ``resume``, None stands for what was given at first, here and below.
        variant: A name from the table, a custom one, or a row; None for lite0.
        validation: Photos to judge on; None holds back a share of ``data``.
        output: The run folder; None makes ``efficientnet-VARIANT-run`` here.
        weights: To start from: ``imagenet`` (None means the same), ``random``, or a file.
        size: Side of the deployed input in pixels; None for the variant's own.
        preset: ``transfer`` or ``paper``; None for ``paper`` where weights are random, else
            ``transfer``.
        settings: Changes to the preset: fields of
            :class:`effnet_lite.lite.training.config.TrainingConfig`.
        strategy: ``auto``, ``cpu``, ``mirrored`` or ``multiworker``.
        resume: Go on with the training in ``output``.
        overwrite: Begin anew where there is one.
        progress: Called as the work goes on.
        on_epoch: Called after each epoch with it and the number of epochs.

    Raises:
        UsageError: Unknown or contradictory options.
        InputError: Photos, weights or the folder are not what they should be, or the training
            to go on with was another.
        ConversionError: The loss is not finite any more; what was saved before is kept.
        MissingDependencyError: TensorFlow or tf_keras is not installed.
    """
    began = time.monotonic()
    given = _Given(data, variant, validation, weights, size, preset, dict(settings or {}))
    name = get_variant(variant or "lite0").name
    folder = RunFolder(Path(output or f"efficientnet-{name}-run"))
    plan = _Plan.of_run(folder, given) if resume else _Plan.new(given)
    devices = open_devices(strategy, plan.config.deterministic)
    if plan.config.batch % devices.replicas:
        raise UsageError(
            f"the {devices.replicas} devices cannot share batches of {plan.config.batch} photos "
            "equally; give a multiple"
        )
    preprocessing = preprocessing_for(plan.row)
    if devices.chief:
        folder.prepare(resume, overwrite)
    photos = gather(
        plan.data,
        plan.validation,
        plan.config.validation_share,
        plan.config.seed,
        preprocessing,
        plan.config.cache_mib * 2**20,
        progress,
    )
    if resume:
        _check_same(folder, photos)
    if devices.chief:
        _write_beginning(folder, plan, photos, devices)
    job = _Job(plan, folder, photos, preprocessing, devices, progress, on_epoch, began)
    return job.run(resume)


@dataclasses.dataclass(frozen=True)
class _Given:
    """The caller's words, None where he said nothing."""

    data: str | os.PathLike[str] | None
    variant: str | Variant | None
    validation: str | os.PathLike[str] | None
    weights: str | os.PathLike[str] | None
    size: int | None
    preset: str | None
    settings: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What decides a training; ``config.json``."""

    row: Variant
    data: str
    validation: str | None
    weights: str
    config: TrainingConfig

    @classmethod
    def new(cls, given: _Given) -> _Plan:
        if given.data is None:
            raise UsageError("training needs photos: give --data, or --resume to go on with a run")
        row = get_variant(given.variant or "lite0").with_size(given.size)
        weights = _place(given.weights or "imagenet")
        name = given.preset or ("paper" if weights == "random" else "transfer")
        validation = None if given.validation is None else _place(given.validation)
        return cls(
            row,
            _place(given.data),
            validation,
            weights,
            get_preset(name, **_known(given.settings)).for_variant(row),
        )

    @classmethod
    def of_run(cls, folder: RunFolder, given: _Given) -> _Plan:
        """The plan of a training that is gone on with; what is given again must agree."""
        folder.prepare(resume=True, overwrite=False)
        kept = folder.read_json(folder.config)
        try:
            row = get_variant(kept["variant"]).with_size(kept["size"])
            config = TrainingConfig.from_json(kept["config"])
            places = kept["data"], kept["validation"], kept["weights"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder.config} is damaged: {error}") from error
        asked = {
            "variant": given.variant and get_variant(given.variant).name,
            "size": given.size,
            "weights": given.weights and _place(given.weights),
            "preset": given.preset,
            **_known(given.settings),
        }
        stored = {"variant": row.name, "size": row.size, "weights": kept["weights"]}
        stored = config.to_json() | stored
        # How long it may take is no part of what it learns, until the time is used up.
        minutes = asked.pop("minutes", None) or config.minutes
        for key, value in asked.items():
            if value is not None and value != stored[key]:
                raise InputError(
                    f"the training in {folder.path} has {key} {stored[key]}, and cannot go on "
                    f"with {value}; leave that out, or begin anew in another folder"
                )
        data, validation, weights = places
        if given.data is not None:  # it may have moved: its digest tells
            data = _place(given.data)
            validation = None if given.validation is None else _place(given.validation)
        config = dataclasses.replace(config, minutes=minutes)
        return cls(row, data, validation, weights, config)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "variant": self.row.name,
            "size": self.row.size,
            "data": self.data,
            "validation": self.validation,
            "weights": self.weights,
            "config": self.config.to_json(),
        }


@dataclasses.dataclass
class _Job:
    """One training with everything at hand; the hooks of its loop."""

    plan: _Plan
    folder: RunFolder
    photos: TrainingData
    preprocessing: Preprocessing
    devices: Devices
    progress: Progress | None
    epoch_done: Callable[[Epoch, int], None] | None
    began: float
    stop: bool = False

    def run(self, resume: bool) -> TrainingResult:
        config = self.plan.config
        self.notices = list(self.photos.notes)
        self.per_epoch = config.steps_per_epoch or max(
            1, round(len(self.photos.training) / config.batch)
        )
        trainer = self.trainer(resume and self.folder.state.is_file())
        resumed = trainer.step
        trainer.spent += time.monotonic() - self.began
        if not resumed:
            self.save(trainer)
        with self.signals():
            finished = trainer.run(self.batches, self.validation, self, self.progress)
        if not finished:
            self.save(trainer)
            raise TrainingInterrupted(
                f"interrupted after step {trainer.step} of {trainer.settings.total} (epoch "
                f"{-(-trainer.step // self.per_epoch)} of {config.epochs}); it is saved in "
                f"{self.folder.path}"
            )
        return self.result(trainer, resumed)

    def trainer(self, resume: bool) -> Trainer:
        """The trainer, where it shall begin."""
        config, row, classes = self.plan.config, self.plan.row, len(self.photos.classes)
        weights = self.initial(resume)
        small = row.with_size(config.train_size(row))
        mixed = self.devices.bfloat16 if config.mixed_precision is None else config.mixed_precision
        policies = import_tf_keras().mixed_precision
        before = policies.global_policy()
        with self.devices.strategy.scope():
            optimizer = _optimizer(config)
            # Model and average have their variables in the same order: one builder makes both.
            averaged = training_model(row, classes, config, lambda: 0, self.devices.replicas > 1)
            try:
                if mixed:
                    policies.set_global_policy("mixed_bfloat16")
                model = training_model(
                    small, classes, config, lambda: optimizer.iterations, self.devices.replicas > 1
                )
            finally:
                policies.set_global_policy(before)
            for one in (model, averaged):
                set_weights(one, weights.tensors)
        if not resume and config.head_start and weights.layout != "random":
            self.start_head(model, averaged)
        total = self.per_epoch * config.epochs
        trainer = Trainer(
            model,
            averaged,
            self.loss,
            optimizer,
            lambda step, used: config.rate_at(step, used, total, self.per_epoch),
            self.devices.strategy,
            settings=LoopSettings(
                total=total,
                per_epoch=self.per_epoch,
                batch=config.batch,
                average=config.average_decay(self.per_epoch),
                l2=config.weight_decay if config.optimizer == "rmsprop" else 0.0,
                patience=config.patience,
                seconds=config.minutes and config.minutes * 60,
            ),
        )
        if config.optimizer == "rmsprop":
            _start_from_ones(optimizer)
        if resume:
            trainer.restore(load_state(self.folder.state))
        return trainer

    def initial(self, resume: bool) -> Weights:
        """The weights to start from; of a training that goes on, any."""
        source = "random" if resume else self.plan.weights
        classes, seed = len(self.photos.classes), self.plan.config.seed
        weights = load_weights(source, self.plan.row, classes, seed, self.progress)
        if weights.layout != "random" and not weights.head_is_new:
            return weights
        # The reference draws by the number of outputs, made for 1000 of them: for ten, logits
        # would be ten times as large, and the first loss with them.
        scale = np.float32(min(1.0, math.sqrt(classes / IMAGENET_CLASSES)))
        head = weights.tensors["predictions/kernel"] * scale
        return dataclasses.replace(weights, tensors=weights.tensors | {"predictions/kernel": head})

    def loss(self, logits: Any, targets: Any, taught: Any) -> Any:
        """Cross-entropy with smoothed labels, weighed by class; a number a photo."""
        tf, smoothing = import_tensorflow(), self.plan.config.smoothing
        smooth = targets * (1 - smoothing) + smoothing / targets.shape[-1]
        return -tf.reduce_sum(self.class_weights() * smooth * tf.nn.log_softmax(logits), -1)

    def class_weights(self) -> npt.NDArray[np.float32]:
        """1 each, or in inverse proportion to the photos of each class, 1 for a photo's mean."""
        counts = np.asarray(self.photos.counts(), np.float32)
        if not self.plan.config.class_weights:
            return np.ones_like(counts)
        weights: npt.NDArray[np.float32] = (counts.sum() / (len(counts) * counts)).astype(
            np.float32
        )
        return weights

    def start_head(self, model: Any, averaged: Any) -> None:
        tf, keras, strategy = import_tensorflow(), import_tf_keras(), self.devices.strategy
        training, config = self.photos.training, self.plan.config
        trunk = keras.Model(model.input, model.get_layer("flatten").output)
        extract = tf.function(lambda images: tf.cast(trunk(images, training=False), tf.float32))
        view = dataclasses.replace(self.preprocessing, size=model.input_shape[1])
        found = []
        for first in range(0, len(training), config.batch):
            chosen = training.numbers[first : first + config.batch]
            pixels = np.stack([view.fit(training.cache.load(number)) for number in chosen])
            found.append(extract(view.normalize(pixels)).numpy())
            if self.progress:
                self.progress(first + len(chosen), len(training), "fitting the classifier")
        kernel, bias = fit_classifier(
            np.concatenate(found), training.labels, self.class_weights(), config.smoothing
        )
        # Workers of different make may differ in the last bits: all take the mean.
        kernel, bias = (
            strategy.reduce("MEAN", strategy.run(lambda one=one: tf.constant(one)), None).numpy()
            for one in (kernel, bias)
        )
        for one in (model, averaged):
            head = one.get_layer("predictions")
            head.kernel.assign(kernel)
            head.bias.assign(bias)

    def batches(self, step: int) -> Iterator[Any]:
        config, small = self.plan.config, self.plan.config.train_size(self.plan.row)
        made = Batches(
            self.photos.training,
            len(self.photos.classes),
            Augmentation(small, config.crop, config.colour, config.magnitude or 0.0),
            self.preprocessing,
            config.batch,
            config.mixup or 0.0,
            config.seed,
        )
        devices = self.devices
        return devices.batches(lambda: made.since(step, devices.replicas, devices.part))

    def validation(self) -> Iterator[Any]:
        made, classes, devices = self.photos.validation, len(self.photos.classes), self.devices
        return devices.batches(
            lambda: validation_batches(
                made, classes, self.preprocessing, devices.replicas, devices.part
            )
        )

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step % self.plan.config.checkpoint_steps == 0:
            self.save(trainer)

    def on_epoch(self, trainer: Trainer, epoch: Epoch) -> None:
        # First the weights, then the state: if the process dies in between, the epoch that
        # is then trained again writes the same weights again.
        tensors = get_weights(trainer.averaged)
        if epoch.best and self.devices.chief:
            extra = {"epoch": str(epoch.epoch), _NOTE: f"{epoch.validation_top1:.4f}"}
            save_checkpoint(
                self.folder.weights, tensors, self.plan.row, self.photos.classes,
                overwrite=True, extra=extra,
            )  # fmt: skip
        self.save(trainer)
        if self.devices.chief:
            self.folder.write_metrics(trainer.history)
            self.log(epoch)
            if curves.can_draw():
                title = f"{self.plan.row.name}, {len(self.photos.classes)} classes"
                curves.draw(self.folder.curves, trainer.history, title)
        if self.epoch_done:
            self.epoch_done(epoch, self.plan.config.epochs)

    def wants_to_stop(self) -> bool:
        return self.stop

    def save(self, trainer: Trainer) -> None:
        state = trainer.state()  # on all workers: some values are gathered from all
        if self.devices.chief:
            save_state(self.folder.state, state)

    def log(self, epoch: Epoch) -> None:
        """For TensorBoard; written as its own ``scalar`` does, which needs it installed."""
        tf = import_tensorflow()
        writer = tf.summary.create_file_writer(str(self.folder.logs))
        kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        with writer.as_default(step=epoch.step):
            for name in ("rate", "loss", "top1", "validation_loss", "validation_top1"):
                tf.summary.write(name, tf.constant(getattr(epoch, name), tf.float32), metadata=kind)
        writer.close()

    def result(self, trainer: Trainer, resumed: int) -> TrainingResult:
        best = trainer.best
        if best is None:
            raise InputError(f"the training in {self.folder.path} has no epoch; begin anew")
        notices = self.notices
        if not curves.can_draw():
            notices.append(
                "curves.png is not drawn without matplotlib; run: pip install 'effnet-lite[plot]'"
            )
        settings = trainer.settings
        ended = "minutes" if trainer.used >= 1 else "patience"
        result = TrainingResult(
            run=self.folder.path,
            weights=self.folder.weights,
            variant=self.plan.row.name,
            size=self.plan.row.size,
            labels=self.photos.classes,
            config=self.plan.config,
            strategy=self.devices.kind,
            devices=self.devices.replicas,
            photos=self.photos.facts(),
            steps=trainer.step,
            resumed=resumed,
            seconds=trainer.spent,
            stopped="end" if trainer.step >= settings.total else ended,
            best=best,
            history=tuple(trainer.history),
            notices=tuple(notices),
        )
        if self.devices.chief:
            self.folder.write_json(self.folder.result, result.to_json())
        return result

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the training after the step that is being done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self.stop:
                raise KeyboardInterrupt
            self.stop = True

        kept = {number: signal.signal(number, handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


def _optimizer(config: TrainingConfig) -> Any:
    optimizers = import_tf_keras().optimizers
    if config.optimizer == "rmsprop":
        return optimizers.RMSprop(0.0, rho=0.9, momentum=0.9, epsilon=1e-3, jit_compile=False)
    optimizer = optimizers.AdamW(0.0, weight_decay=config.weight_decay, jit_compile=False)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _start_from_ones(optimizer: Any) -> None:
    """As TensorFlow 1's RMSProp, which the paper used: from zeros the first steps would be huge."""
    for variable in optimizer.variables:
        if "velocity" in variable.name:
            variable.assign(np.ones(variable.shape, np.float32))


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(TrainingConfig)]
    for name in settings:
        if name not in names or name == "preset":
            raise UsageError(
                f"unknown setting {name!r} of a training: expected one of {', '.join(names[1:])}"
            )
    return {name: value for name, value in settings.items() if value is not None}


def _place(path: str | os.PathLike[str]) -> str:
    """An absolute path, so that a run can go on from another folder; or a word."""
    text = os.fspath(path)
    return text if text in ("imagenet", "random") else os.path.abspath(text)  # noqa: PTH100


def _check_same(folder: RunFolder, photos: TrainingData) -> None:
    labels = read_labels(folder.labels)
    if labels != tuple(" ".join(name.split()) for name in photos.classes):
        raise InputError(
            f"the training in {folder.path} learns {_listed(labels)}, and the photos show "
            f"{_listed(photos.classes)}; go on with the same classes, or begin anew"
        )
    digest = folder.read_json(folder.data).get("digest")
    if digest != photos.digest():
        raise InputError(
            f"the photos are not those that the training in {folder.path} began with (some were "
            "added, removed or changed); give the same ones, or begin anew"
        )


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5]) + ", …" * (len(names) > 5)
    return f"{len(names)} classes ({shown})"


def _write_beginning(
    folder: RunFolder, plan: _Plan, photos: TrainingData, devices: Devices
) -> None:
    folder.write_labels(photos.classes)
    folder.write_json(folder.data, photos.facts())
    folder.write_environment({"strategy": devices.kind, "replicas": devices.replicas})
    # Last: with it the folder is a run to go on with.
    folder.write_json(folder.config, plan.to_json())
