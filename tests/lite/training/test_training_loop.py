"""The loop on a network that is none of ours: averages, resuming, when it stops."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from effnet_lite.errors import ConversionError, InputError
from effnet_lite.lite.keras import import_tf_keras
from effnet_lite.lite.training.loop import Epoch, LoopSettings, Trainer

tf = pytest.importorskip("tensorflow")
keras = import_tf_keras()

BATCH, PER_EPOCH = 8, 4


def network(classes=3):
    """A dense network with a batch norm, the same at each call."""
    layers, seeded = keras.layers, keras.initializers.GlorotUniform
    inputs = keras.Input((6,))
    x = layers.Dense(5, kernel_initializer=seeded(seed=1), name="first")(inputs)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = layers.Dense(classes, kernel_initializer=seeded(seed=2), name="second")(tf.nn.relu(x))
    return keras.Model(inputs, x)


def loss(logits, targets, taught):
    return tf.nn.softmax_cross_entropy_with_logits(targets if taught is None else taught, logits)


def batches(step):
    for number in itertools.count(step):
        random = np.random.default_rng([7, number])
        labels = random.integers(0, 3, BATCH)
        x = random.normal(size=(BATCH, 6)).astype(np.float32) + np.eye(3, 6)[labels] * 2
        yield tf.constant(x, tf.float32), tf.one_hot(labels, 3)


def validation():
    x, y = next(batches(10**6))
    return iter([(x, y, tf.constant([1.0] * 6 + [0.0] * 2))])


class Hooks:
    def __init__(self, stop_at=None):
        self.epochs, self.steps, self.stop_at, self.done = [], [], stop_at, 0

    def on_step(self, trainer):
        self.steps.append(trainer.step)

    def on_epoch(self, trainer, epoch):
        self.epochs.append(epoch)

    def wants_to_stop(self):
        self.done += 1
        return self.done == self.stop_at


def make(rate=0.05, optimizer=None, teacher=None, loss=loss, **settings):
    kept = LoopSettings(**{"total": 10, "per_epoch": PER_EPOCH, "batch": BATCH} | settings)
    optimizer = optimizer or keras.optimizers.AdamW(0.0, weight_decay=0.01, jit_compile=False)
    return Trainer(
        network(), network(), loss, optimizer, lambda step, used: rate, None, teacher,
        settings=kept,
    )  # fmt: skip


def run(trainer, hooks=None, **options):
    hooks = hooks or Hooks()
    return trainer.run(batches, validation, hooks, **options), hooks


def arrays_equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_steps_and_epochs():
    calls = []
    finished, hooks = run(make(), progress=lambda *call: calls.append(call))
    assert finished
    assert hooks.steps == [1, 2, 3, 5, 6, 7, 9]
    assert [(epoch.epoch, epoch.step) for epoch in hooks.epochs] == [(1, 4), (2, 8), (3, 10)]
    assert calls[0] == (1, 10, "training")
    assert calls[-1] == (10, 10, "training")
    losses = [epoch.loss for epoch in hooks.epochs]
    assert losses[-1] < losses[0]


def test_a_step_is_the_optimizers():
    """Plain gradient descent, by hand."""
    trainer = make(optimizer=keras.optimizers.SGD(0.0, jit_compile=False), total=1, l2=0.1)
    model = network()
    x, y = next(batches(0))
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss(model(x, training=True), y, None))
        kernels = [v for v in model.trainable_variables if "kernel" in v.name]
        value += 0.1 * tf.add_n([tf.reduce_sum(v**2) / 2 for v in kernels])
    gradients = tape.gradient(value, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign_sub(0.05 * gradient)
    run(trainer)
    for mine, expected in zip(trainer.model.variables, model.variables, strict=True):
        assert np.allclose(mine.numpy(), expected.numpy(), atol=1e-6)


def test_the_average_follows_weights_and_statistics():
    decay, seen = 0.6, []
    trainer = make(average=decay)
    expected = [variable.numpy() for variable in trainer.averaged.variables]

    class Watch(Hooks):
        def on_step(self, trainer):
            seen.append([variable.numpy() for variable in trainer.model.variables])

        on_epoch = lambda self, trainer, epoch: self.on_step(trainer)  # noqa: E731

    run(trainer, Watch())
    for step, values in enumerate(seen):
        now = min(decay, (1 + step) / (10 + step))
        expected = [now * a + (1 - now) * v for a, v in zip(expected, values, strict=True)]
    for variable, value in zip(trainer.averaged.variables, expected, strict=True):
        assert np.allclose(variable.numpy(), value, atol=1e-6)
    assert any("moving_mean" in variable.name for variable in trainer.averaged.variables)


def test_without_an_average_the_weights_are_judged():
    trainer = make(total=3)
    run(trainer)
    for one, other in zip(trainer.averaged.variables, trainer.model.variables, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())


def test_validation_leaves_padding_out():
    trainer = make(total=1)
    x, y, _ = next(validation())
    found = trainer.evaluate(validation())
    logits = trainer.averaged(x[:6], training=False).numpy()
    top1 = (logits.argmax(1) == y.numpy()[:6].argmax(1)).mean()
    expected = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y[:6], logits))
    assert found == pytest.approx((float(expected), top1), rel=1e-6)


@pytest.mark.parametrize("stop_at", [1, 3, 4, 5, 9])
def test_a_run_that_goes_on_ends_as_one_left_alone(stop_at):
    alone = make(average=0.9)
    run(alone)
    first = make(average=0.9)
    finished, _ = run(first, Hooks(stop_at))
    assert not finished
    assert first.step == stop_at
    state = first.state()
    kept = dataclasses.replace(state, facts=json.loads(json.dumps(state.facts)))
    second = make(average=0.9)
    second.restore(kept)
    assert run(second)[0]
    assert arrays_equal(second.state().arrays, alone.state().arrays)
    for one, other in zip(second.history, alone.history, strict=True):
        assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)


def test_stopping_at_the_last_step_is_the_end():
    assert run(make(), Hooks(stop_at=10))[0]


def test_a_state_holds_everything():
    trainer = make(average=0.9)
    run(trainer)
    names = trainer.state().arrays
    assert names["model/first/kernel"].shape == (6, 5)
    assert {name.partition("/")[0] for name in names} == {"model", "average", "optimizer"}
    # Of each of Adam's moments one a trainable tensor, the step's number and the rate.
    assert sum(name.startswith("optimizer/") for name in names) >= 2 * 6 + 1


def test_a_state_of_another_network():
    state = make().state()
    other = Trainer(
        network(4), network(4), loss, keras.optimizers.AdamW(0.0), lambda *_: 0.1,
        settings=LoopSettings(10, PER_EPOCH, BATCH),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"of another network .*: \d+ tensors differ, first "):
        other.restore(state)


def test_a_loss_that_is_none():
    trainer = make(loss=lambda logits, targets, taught: loss(logits, targets, None) * np.nan)
    hooks = Hooks()
    with pytest.raises(ConversionError, match=r"the loss is nan at step 1 of 10 \(epoch 1, "):
        run(trainer, hooks)
    assert not hooks.epochs
    with pytest.raises(ConversionError, match=r"finite any more after step 0 \(first model/"):
        trainer.state()


def test_a_rate_that_is_too_high():
    with pytest.raises(ConversionError, match=r"the (validation )?loss is (nan|inf) .*lower learn"):
        run(make(rate=1e38, optimizer=keras.optimizers.SGD(0.0, jit_compile=False)))


def test_patience():
    trainer = make(rate=0.0, total=100, patience=2)
    assert run(trainer)[0]
    # The rate is 0, but batch norms move on: what was best is so by chance.
    assert trainer.history[-1].epoch == trainer.best.epoch + 2 < 25
    assert trainer.finished


def test_better_is_by_accuracy_then_by_loss():
    one = Epoch(1, 4, 0.1, 1.0, 0.5, 0.9, 0.8, 1.0, True)
    assert one.better_than(None)
    assert dataclasses.replace(one, validation_top1=0.9, validation_loss=2.0).better_than(one)
    assert dataclasses.replace(one, validation_loss=0.8).better_than(one)
    assert not one.better_than(one)


def test_the_time_is_up():
    trainer = make(total=10**6, per_epoch=10**5, seconds=1e-6)
    assert run(trainer)[0]
    assert trainer.step <= 2
    assert trainer.used >= 1
    assert len(trainer.history) == 1


def test_a_teacher_teaches():
    taught = tf.one_hot([2] * BATCH, 3)
    trainer = make(teacher=lambda images: taught, total=40)
    run(trainer)
    x, _ = next(batches(5))
    assert (trainer.averaged(x, training=False).numpy().argmax(1) == 2).all()
