"""Training: it learns, it goes on where it stopped, and it says what is wrong."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from small_variants import LITE

from effnet_lite.errors import ConversionError, EffnetLiteError, InputError, UsageError
from effnet_lite.lite.datasets import open_dataset
from effnet_lite.quantize.qat.loop import Checkpoint, Schedule, Trainer
from effnet_lite.quantize.qat.objective import NO_LABEL, Objective
from effnet_lite.quantize.qat.photos import Batches, Example

FACTS = {"network": "small", "schedule": {"steps": 6}}


@pytest.fixture
def trainer(quantized):
    """``trainer(schedule, …)``: a new one each time, of the same network."""

    def make(schedule, variant=LITE, recipe="default", objective=None):
        case = quantized(variant, recipe)
        objective = objective or Objective(labels=0.0)
        return Trainer(case.model(), case.floats, case.preprocessing, objective, schedule)

    return make


@pytest.fixture
def batches(classes, quantized):
    def make(schedule, label=NO_LABEL):
        opened = open_dataset(classes)
        examples = [Example(opened.photo(n), label) for n in range(len(opened))]
        return Batches(examples, quantized().preprocessing, schedule.batch, schedule.seed)

    return make


def test_it_learns(trainer, batches):
    """All photos are said to be of one class, which the network ranked low."""
    schedule = Schedule(steps=20, batch=4, rate=0.05)
    learner = trainer(schedule, objective=Objective(labels=1.0, features=0.0, smoothing=0.0))
    seen = []
    learner.run(batches(schedule, label=3), lambda *call: seen.append(call))
    assert len(learner.losses) == learner.step == 20
    assert learner.losses[-1] < 0.8 * learner.losses[0]
    assert (np.diff(learner.losses) < 0).mean() > 0.8
    assert [call[:2] for call in seen] == [(step, 20) for step in range(1, 21)]
    assert seen[-1][2] == f"quantization-aware training, loss {learner.losses[-1]:.4f}"


def test_a_training_that_goes_on_ends_where_one_left_alone_does(trainer, batches, tmp_path):
    schedule = Schedule(steps=6, batch=3, rate=0.05, seed=2)
    alone = trainer(schedule)
    alone.run(batches(schedule))
    wanted = alone.model.state()  # the next trainer starts over with the same variables
    kept = Checkpoint(tmp_path / "training.npz", FACTS, every=2)
    stopped = trainer(schedule)

    class Killed(Exception):
        pass

    def kill(done, total, label):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        stopped.run(batches(schedule), kill, kept)
    resumed = trainer(schedule)
    assert kept.resume(resumed)
    assert resumed.step == 2
    with pytest.raises(
        EffnetLiteError, match="stopped after step 5 of 6; the same command goes on"
    ):
        resumed.run(batches(schedule), None, kept, lambda: resumed.step == 5)
    resumed = trainer(schedule)
    assert kept.resume(resumed)
    assert resumed.step == 5
    resumed.run(batches(schedule))
    assert resumed.losses == alone.losses
    for name, value in resumed.model.state().items():
        np.testing.assert_array_equal(value, wanted[name])
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]


def test_a_finished_training_has_nothing_to_do(trainer, batches, tmp_path):
    schedule = Schedule(steps=2, batch=2)
    kept = Checkpoint(tmp_path / "training.npz", FACTS)
    first = trainer(schedule)
    first.run(batches(schedule), checkpoint=kept)
    wanted = first.model.state()
    again = trainer(schedule)
    assert kept.resume(again)
    again.run(batches(schedule))
    assert again.losses == first.losses
    for name, value in again.model.state().items():
        np.testing.assert_array_equal(value, wanted[name])


def test_checkpoints_of_something_else(trainer, tmp_path):
    learner = trainer(Schedule(steps=2, batch=2))
    path = tmp_path / "training.npz"
    assert not Checkpoint(path, FACTS).resume(learner)
    Checkpoint(path, FACTS).save(learner)
    other = Checkpoint(path, FACTS | {"network": "another"})
    with pytest.raises(InputError, match=r"of another training \(network differ\); remove it"):
        other.resume(learner)
    whole = path.read_bytes()
    for damaged in (b"nonsense", whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged; remove it|is empty"):
            Checkpoint(path, FACTS).resume(learner)


def test_a_full_disk_leaves_the_checkpoint_before(trainer, tmp_path, monkeypatch):
    learner = trainer(Schedule(steps=2, batch=2))
    kept = Checkpoint(tmp_path / "training.npz", FACTS)
    kept.save(learner)
    before = kept.path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space left"):
        kept.save(learner)
    assert kept.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]


def test_a_loss_that_is_no_number_stops(trainer, batches, tmp_path):
    schedule = Schedule(steps=4, batch=2)
    learner = trainer(schedule)
    state = learner.model.state()
    state["logits/bias"][0] = np.nan
    learner.model.load(state)
    kept = Checkpoint(tmp_path / "training.npz", FACTS, every=1)
    with pytest.raises(ConversionError, match="the loss is nan at step 1 of 4; give a lower rate"):
        learner.run(batches(schedule), checkpoint=kept)
    assert learner.losses == []
    assert not kept.path.exists()


def test_an_update_moves_by_the_rate(trainer, batches):
    """Adam's first step: each variable that has a gradient moves by the rate."""
    schedule = Schedule(steps=100, batch=2, rate=0.1)
    learner = trainer(schedule)
    before = learner.model.state()
    pixels, labels = next(batches(schedule).since(0))
    learner.learn(pixels, labels)
    rate = schedule.rate_at(0)
    assert rate == pytest.approx(0.1 / 5)
    moved = {name: np.abs(value - before[name]) for name, value in learner.model.state().items()}
    for name in ("top_conv/kernel", "top_conv/bias"):
        assert np.median(moved[name][moved[name] > 0]) == pytest.approx(rate, rel=0.02)


def test_the_rate_rises_and_falls():
    schedule = Schedule(steps=100, rate=0.02)
    rates = [schedule.rate_at(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.004, 0.008, 0.012, 0.016, 0.02])
    assert rates[5] == 0.02
    assert (np.diff(rates[5:]) < 0).all()
    assert 0 < rates[-1] < 0.001 * 0.02
    assert Schedule(steps=1).rate_at(0) == Schedule().rate


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps must be 1 to 10000000, got 0"),
        ({"batch": 0}, "batch must be 1 to 4096, got 0"),
        ({"rate": 0.0}, "in steps of int8, above 0 and at most 1; got 0"),
        ({"rate": float("nan")}, "in steps of int8, above 0 and at most 1; got nan"),
        ({"rate": 1.5}, "in steps of int8, above 0 and at most 1; got 1.5"),
    ],
)
def test_schedules_that_make_no_sense(given, message):
    with pytest.raises(UsageError, match=message):
        Schedule(**given)
    assert dataclasses.asdict(Schedule())["steps"] > 0
