"""The loop: steps, their average, and what validation says of it after each epoch.

It knows neither the network nor the loss, and writes nothing. Everything that the next step
depends on is in :meth:`Trainer.state`; what is done with it, hooks decide.

Gradients are of the sum of the losses over all devices, divided by the photos in the batch of
all together; batch statistics are the model's own concern (synchronized batch norms). The
average follows every variable, moving statistics included, so that weights and statistics fit
(arXiv 1905.11946's reference does so): decay min(d, (1 + t)/(10 + t)).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import ConversionError, InputError
from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.progress import Progress

Arrays = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """How long, and what the loop itself does.

    Attributes:
        total: Steps in all.
        per_epoch: Steps between two looks at validation.
        batch: Photos a step, over all devices.
        average: d, the decay of the moving average of the weights; 0 takes the weights as
            they are.
        l2: Factor of ½·Σw² of all kernels in the loss.
        patience: Epochs without a better one after which to stop; 0 for never.
        seconds: That training may take, validation included; None for no limit.
    """

    total: int
    per_epoch: int
    batch: int
    average: float = 0.0
    l2: float = 0.0
    patience: int = 0
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What one epoch came to. Accuracies are shares, 0-1.

    Attributes:
        epoch: From 1.
        step: Steps done in all.
        rate: Of its last step.
        loss, top1: Mean over the epoch's batches, as augmented.
        validation_loss, validation_top1: Of the averaged weights.
        seconds: Spent so far, in all sittings.
        best: Whether it is the best so far: by top-1, then by loss.
    """

    epoch: int
    step: int
    rate: float
    loss: float
    top1: float
    validation_loss: float
    validation_top1: float
    seconds: float
    best: bool

    def better_than(self, other: Epoch | None) -> bool:
        """By top-1 on validation, and for equals by the loss there."""
        if other is None:
            return True
        mine, others = ((one.validation_top1, -one.validation_loss) for one in (self, other))
        return mine > others


@dataclasses.dataclass(frozen=True)
class State:
    """Everything that the next step depends on.

    Attributes:
        arrays: ``model/…``, ``average/…`` and ``optimizer/…``.
        facts: The rest, as JSON has it.
    """

    arrays: Arrays
    facts: dict[str, Any]


class Hooks(Protocol):
    """What happens beside the steps."""

    def on_step(self, trainer: Trainer) -> None:
        """After every step that does not end an epoch."""

    def on_epoch(self, trainer: Trainer, epoch: Epoch) -> None:
        """After every epoch."""

    def wants_to_stop(self) -> bool:
        """Asked before every step; true makes it the last one, to be gone on with later."""
        ...


class Trainer:
    """One training.

    Args:
        model: A tf_keras model, images to logits, which learns.
        averaged: Another with the same variables in the same order, perhaps for images of
            another size: it gets the moving average, and is judged.
        loss: (logits, targets, teacher's logits or None), float32 each, to a loss a photo.
        optimizer: Of tf_keras; not yet built.
        rate: (step, share of ``settings.seconds`` used up) to the learning rate.
        strategy: Whose scope the models and the optimizer were made in; None for none.
        teacher: Images to logits; None for none.
        settings: How long.
    """

    def __init__(
        self,
        model: Any,
        averaged: Any,
        loss: Callable[[Any, Any, Any], Any],
        optimizer: Any,
        rate: Callable[[int, float], float],
        strategy: Any = None,
        teacher: Callable[[Any], Any] | None = None,
        *,
        settings: LoopSettings,
    ) -> None:
        tf = import_tensorflow()
        self.model, self.averaged, self.optimizer = model, averaged, optimizer
        self.settings = settings
        self.strategy = strategy or tf.distribute.get_strategy()
        self._loss, self._rate, self._teacher = loss, rate, teacher
        with self.strategy.scope():
            optimizer.build(model.trainable_variables)
        self._variables = _named(model, averaged, optimizer)
        self.step = 0
        self.spent = 0.0
        self.used = 0.0
        self.history: list[Epoch] = []
        self._sums = [0.0, 0.0]
        self._steps_in_sums = 0
        self._learn = tf.function(self._traced_step, reduce_retracing=True)
        self._judge = tf.function(self._traced_validation, reduce_retracing=True)

    @property
    def best(self) -> Epoch | None:
        """The best epoch so far."""
        return next((epoch for epoch in reversed(self.history) if epoch.best), None)

    @property
    def finished(self) -> bool:
        """Whether the last step is done, the time used up, or there is no hope of better."""
        if self.step >= self.settings.total or self.used >= 1:
            return True
        best, patience = self.best, self.settings.patience
        return bool(patience and best and self.history[-1].epoch - best.epoch >= patience)

    def state(self) -> State:
        """What :meth:`restore` takes.

        Raises:
            ConversionError: A value is not finite.
        """
        arrays = {name: variable.numpy() for name, variable in self._variables.items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ConversionError(
                    f"not all values are finite any more after step {self.step} (first {name}); "
                    "give a lower learning rate. What was saved before is kept"
                )
        facts = {
            "step": self.step,
            "spent": self.spent,
            "used": self.used,
            "sums": list(self._sums),
            "steps_in_sums": self._steps_in_sums,
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
        }
        return State(arrays, facts)

    def restore(self, state: State) -> None:
        """Go on from there.

        Raises:
            InputError: It is another network's or optimizer's.
        """
        expected = {name: tuple(variable.shape) for name, variable in self._variables.items()}
        found = {name: array.shape for name, array in state.arrays.items()}
        if expected != found:
            wrong = sorted(
                name for name in expected | found if expected.get(name) != found.get(name)
            )
            raise InputError(
                f"the saved state is of another network or optimizer: {len(wrong)} tensors "
                f"differ, first {wrong[0]}"
            )
        for name, variable in self._variables.items():
            variable.assign(state.arrays[name])
        facts = state.facts
        self.step, self.spent, self.used = facts["step"], facts["spent"], facts["used"]
        self._sums, self._steps_in_sums = list(facts["sums"]), facts["steps_in_sums"]
        self.history = [Epoch(**epoch) for epoch in facts["history"]]

    def run(
        self,
        batches: Callable[[int], Iterator[Any]],
        validation: Callable[[], Iterator[Any]],
        hooks: Hooks,
        progress: Progress | None = None,
    ) -> bool:
        """Train from wherever the trainer stands to the end.

        Args:
            batches: Step to an iterator of (images, targets) from that step on.
            validation: An iterator of (images, targets, weights), which ends.
            hooks: Called in between.
            progress: Called with the steps done in this sitting.

        Returns:
            False if ``hooks`` stopped it, so that it can go on later.

        Raises:
            ConversionError: The loss is not finite; says where.
        """
        first, total = self.step, self.settings.total
        coming: Iterator[Any] | None = None
        before, began = self.spent, time.monotonic()
        while not self.finished:
            coming = coming or batches(self.step)
            stop = self._advance(next(coming), hooks.wants_to_stop())
            self.spent = before + time.monotonic() - began
            if progress:
                progress(self.step - first, total - first, "training")
            if self.step % self.settings.per_epoch and self.step < total and self.used < 1:
                hooks.on_step(self)
            else:
                epoch = self._epoch(validation)
                self.spent = before + time.monotonic() - began
                hooks.on_epoch(self, epoch)
            if stop:
                return self.finished
        return True

    def evaluate(self, validation: Iterator[Any]) -> tuple[float, float]:
        """Loss and top-1 of the averaged weights (0-1)."""
        total = np.zeros(3)
        for images, targets, weights in validation:
            total += self._judge(images, targets, weights).numpy()
        return float(total[0] / total[2]), float(total[1] / total[2])

    def _advance(self, batch: Any, stop: bool) -> bool:
        """One step; true if a process wants this to be the last one for now."""
        tf, settings = import_tensorflow(), self.settings
        rate = self._rate(self.step, self.used)
        self.optimizer.learning_rate.assign(rate)
        used = self.spent / settings.seconds if settings.seconds else 0.0
        wishes = (float(stop), used, self._decay())
        loss, top1, stops, used = self._learn(
            *batch, *(tf.constant(wish, tf.float32) for wish in wishes)
        ).numpy()
        if not math.isfinite(loss):
            raise ConversionError(
                f"the loss is {loss} at step {self.step + 1} of {settings.total} (epoch "
                f"{self.step // settings.per_epoch + 1}, learning rate {rate:.2g}); give a lower "
                "learning rate. What was saved before is kept"
            )
        self.step += 1
        self.used = float(used)
        self._sums = [self._sums[0] + float(loss), self._sums[1] + float(top1)]
        self._steps_in_sums += 1
        return bool(stops)

    def _decay(self) -> float:
        return min(self.settings.average, (1 + self.step) / (10 + self.step))

    def _epoch(self, validation: Callable[[], Iterator[Any]]) -> Epoch:
        loss, top1 = self.evaluate(validation())
        if not math.isfinite(loss):
            raise ConversionError(
                f"the validation loss is {loss} after step {self.step}; give a lower learning "
                "rate. What was saved before is kept"
            )
        epoch = Epoch(
            epoch=-(-self.step // self.settings.per_epoch),
            step=self.step,
            rate=self._rate(self.step - 1, self.used),
            loss=self._sums[0] / self._steps_in_sums,
            top1=self._sums[1] / self._steps_in_sums,
            validation_loss=loss,
            validation_top1=top1,
            seconds=self.spent,
            best=False,
        )
        epoch = dataclasses.replace(epoch, best=epoch.better_than(self.best))
        self.history.append(epoch)
        self._sums, self._steps_in_sums = [0.0, 0.0], 0
        return epoch

    def _traced_step(self, images: Any, targets: Any, stop: Any, used: Any, decay: Any) -> Any:
        tf, strategy = import_tensorflow(), self.strategy

        def learn(images: Any, targets: Any) -> Any:
            # Of all processes: whoever wants to stop stops all, and clocks are averaged.
            return tf.stack([*self._replica_step(images, targets), stop, used])

        found = strategy.reduce("SUM", strategy.run(learn, (images, targets)), None)
        self._follow(decay)
        return found / tf.constant([1.0, 1.0, 1.0, float(strategy.num_replicas_in_sync)])

    def _replica_step(self, images: Any, targets: Any) -> tuple[Any, Any]:
        tf, settings = import_tensorflow(), self.settings
        taught = None if self._teacher is None else tf.cast(self._teacher(images), tf.float32)
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(images, training=True), tf.float32)
            loss = tf.reduce_sum(self._loss(logits, targets, taught)) / settings.batch
            extra = sum(self.model.losses, tf.constant(0.0))
            if settings.l2:
                kernels = [v for v in self.model.trainable_variables if "kernel" in v.name]
                extra += settings.l2 * tf.add_n([tf.nn.l2_loss(v) for v in kernels])
            objective = loss + extra / self.strategy.num_replicas_in_sync
        variables = self.model.trainable_variables
        gradients = tape.gradient(objective, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        right = tf.equal(tf.argmax(logits, -1), tf.argmax(targets, -1))
        top1 = tf.reduce_sum(tf.cast(right, tf.float32)) / settings.batch
        return loss, top1

    def _follow(self, decay: Any) -> None:
        tf = import_tensorflow()
        for average, variable in zip(self.averaged.variables, self.model.variables, strict=True):
            if variable.dtype.is_floating:
                value = tf.cast(variable, tf.float32)
                average.assign(decay * average + (1 - decay) * value)
            else:
                average.assign(variable)

    def _traced_validation(self, images: Any, targets: Any, weights: Any) -> Any:
        tf = import_tensorflow()

        def judge(images: Any, targets: Any, weights: Any) -> Any:
            logits = tf.cast(self.averaged(images, training=False), tf.float32)
            loss = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            right = tf.cast(tf.equal(tf.argmax(logits, -1), tf.argmax(targets, -1)), tf.float32)
            return tf.stack([tf.reduce_sum(figure * weights) for figure in (loss, right, 1.0)])

        found = self.strategy.run(judge, (images, targets, weights))
        return self.strategy.reduce("SUM", found, None)


def canonical(variable: Any) -> str:
    """``layer/weight``, whatever scopes stand before."""
    name: str = variable.name.removesuffix(":0")
    return "/".join(name.split("/")[-2:])


def _named(model: Any, averaged: Any, optimizer: Any) -> dict[str, Any]:
    """Every variable of a training by a name of its own."""
    found: dict[str, Any] = {}
    for part, variables in (("model", model.variables), ("average", averaged.variables)):
        names = [canonical(variable) for variable in variables]
        for number, (name, variable) in enumerate(zip(names, variables, strict=True)):
            unique = name if names.count(name) == 1 else f"{name}#{number}"
            found[f"{part}/{unique}"] = variable
    for number, variable in enumerate(optimizer.variables):
        found[f"optimizer/{number:04}"] = variable
    return found
