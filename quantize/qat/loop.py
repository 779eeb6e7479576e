"""The training itself: Adam in steps of int8, a rate that rises, then falls to nothing.

Each update moves a variable by about the rate: a weight in its own channel's steps, a bias in
tenths of the output's (network.py). Weights start away from where rounding would tip, so that
noise alone moves no integer: those change that many updates agree on (Nagel et al., "Overcoming
Oscillations in Quantization-Aware Training", arXiv 2203.11086).
A B0 of 79.5 % came from 15.7 dB to 16.1 dB at a rate of .01, and to 14.6 dB at .05 (150 steps).
The half cosine (arXiv 1608.03983) down to 0 settles the rest. There is no moving average of the
weights: averages of weights that round alike round alike, and the rate's end at 0 does as much.

There are no batch norms, no dropout and no stochastic depth any more: a step depends on the
variables, the optimizer's and the step's number, which a checkpoint holds, and on nothing else.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from effnet_lite.errors import ConversionError, EffnetLiteError, InputError, UsageError
from effnet_lite.files import read_bytes, write_bytes
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.qat.network import QatModel
from effnet_lite.quantize.qat.objective import Answer, Objective, Teacher
from effnet_lite.quantize.qat.photos import Batches

WARMUP = 0.05  # of all steps
MEAN_DECAY, SQUARE_DECAY = 0.9, 0.99
# A step of int8 moves the loss by 1e-9 and less: Keras' own epsilon would drown it.
EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long, and how fast.

    Attributes:
        steps: Updates, at least 1.
        batch: Photos each.
        rate: At its highest, in steps of int8.
        seed: Of order and crops.
    """

    steps: int = 200
    batch: int = 16
    rate: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, most in (("steps", self.steps, 10**7), ("batch", self.batch, 4096)):
            if not 1 <= value <= most:
                raise UsageError(f"{name} must be 1 to {most}, got {value}")
        if not 0 < self.rate <= 1:  # NaN, too
            raise UsageError(
                f"the learning rate of quantization-aware training is in steps of int8, above 0 "
                f"and at most 1; got {self.rate:g}"
            )

    def rate_at(self, step: int) -> float:
        """The rate of an update, counted from 0."""
        warmup = max(1, round(WARMUP * self.steps))
        if step < warmup:
            return self.rate * (step + 1) / warmup
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (self.steps - warmup)))


class Trainer:
    """One training, a step at a time.

    Args:
        model: Learns; its variables are changed.
        teacher: The float network, its tensors those of ``model.integers``.
        preprocessing: Of both.
        objective: What is learned.
        schedule: How.
    """

    def __init__(
        self,
        model: QatModel,
        teacher: Graph,
        preprocessing: Preprocessing,
        objective: Objective,
        schedule: Schedule,
    ) -> None:
        self.model = model
        self.schedule = schedule
        self.preprocessing = preprocessing
        self.objective = objective
        self.losses: list[float] = []
        self._teacher = Teacher(teacher)
        self._student = model.with_features(self._teacher.features)
        self._variables = list(model.variables.values())
        self._optimizer = import_tf_keras().optimizers.Adam(
            0.0, beta_1=MEAN_DECAY, beta_2=SQUARE_DECAY, epsilon=EPSILON
        )
        self._optimizer.build(self._variables)
        self._update = import_tensorflow().function(self._traced)

    @property
    def step(self) -> int:
        """How many updates are done."""
        return len(self.losses)

    def run(
        self,
        batches: Batches,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
        wants_to_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train to the schedule's end, from wherever the trainer stands.

        Args:
            batches: What to learn from.
            progress: Called after each step.
            checkpoint: Where to keep the training.
            wants_to_stop: Asked after each step; true ends the training there.

        Raises:
            EffnetLiteError: It was stopped.
            ConversionError: The loss is not finite; a checkpoint stays as it is.
            InputError: No photo can be read, or the checkpoint cannot be written.
        """
        total = self.schedule.steps
        if self.step >= total:
            return
        for pixels, labels in batches.since(self.step):
            loss = self.learn(pixels, labels)
            if not math.isfinite(loss):
                raise ConversionError(
                    f"the loss is {loss} at step {self.step + 1} of {total}; give a lower rate "
                    f"than {self.schedule.rate:g}, and check the weights"
                )
            self.losses.append(loss)
            done = self.step == total
            stopped = not done and wants_to_stop()
            if checkpoint and (done or stopped or self.step % checkpoint.every == 0):
                checkpoint.save(self)
            if progress:
                progress(self.step, total, f"quantization-aware training, loss {loss:.4f}")
            if done:
                return
            if stopped:
                kept = "the same command goes on from there" if checkpoint else "nothing was kept"
                raise EffnetLiteError(f"stopped after step {self.step} of {total}; {kept}")

    def state(self) -> list[Any]:
        """Every variable that the next update depends on, in a fixed order."""
        return [*self._variables, *self._optimizer.variables]

    def learn(self, pixels: Any, labels: Any) -> float:
        """One update from pixels (N, size, size, 3) uint8 and labels (N,); the loss before it."""
        self._optimizer.learning_rate.assign(self.schedule.rate_at(self.step))
        return float(self._update(pixels, labels))

    def _traced(self, pixels: Any, labels: Any) -> Any:
        tf = import_tensorflow()
        mean, std = (np.asarray(v, np.float32) for v in
                     (self.preprocessing.mean, self.preprocessing.std))  # fmt: skip
        images = (tf.cast(pixels, tf.float32) - mean) / std
        taught = self._teacher(images)
        with tf.GradientTape() as tape:
            loss = self.objective(Answer(*self._student(images, training=True)), taught, labels)
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where a training is kept, and every how many steps.

    Attributes:
        path: The file, replaced whole or not at all.
        facts: What the training depends on, as JSON has it: another's file is refused.
        every: Steps from one save to the next, besides the last.
    """

    path: Path
    facts: dict[str, Any]
    every: int = 50

    def save(self, trainer: Trainer) -> None:
        """Write the trainer's state.

        Raises:
            InputError: The disk refuses; the file before it stays.
        """
        arrays = {f"v{number}": variable.numpy() for number, variable in enumerate(trainer.state())}
        facts = np.frombuffer(json.dumps(self.facts, sort_keys=True).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, facts=facts, losses=np.asarray(trainer.losses, np.float64), **arrays)
        write_bytes(self.path, buffer.getvalue(), overwrite=True)

    def resume(self, trainer: Trainer) -> bool:
        """Take up the training where the file left it; False if there is no file.

        Raises:
            InputError: The file is damaged, or of another training.
        """
        if not self.path.exists():
            return False
        try:
            with np.load(io.BytesIO(read_bytes(self.path, "a checkpoint"))) as kept:
                facts = json.loads(kept["facts"].tobytes())
                losses = kept["losses"].tolist()
                values = [kept[f"v{number}"] for number in range(len(trainer.state()))]
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.path} is no checkpoint of quantization-aware training, or damaged; "
                "remove it to start anew"
            ) from error
        differing = [key for key, value in json.loads(json.dumps(self.facts)).items()
                     if facts.get(key) != value]  # fmt: skip
        if differing:
            raise InputError(
                f"{self.path} is of another training ({', '.join(differing)} differ); remove it, "
                "or give another file"
            )
        for variable, value in zip(trainer.state(), values, strict=True):
            variable.assign(value)
        trainer.losses = losses
        return True
