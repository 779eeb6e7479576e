"""Settings: the paper's numbers, JSON and back, what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.training.config import PRESETS, TrainingConfig, preset
from effnet_lite.lite.variants import VARIANTS, get_variant


@pytest.mark.parametrize("name", PRESETS)
def test_json_and_back(name):
    config = preset(name, seed=3, rate=0.01).for_variant(get_variant("lite2"))
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_papers_recipe():
    """ArXiv 1905.11946, section 5.2, and main.py of the reference."""
    paper = preset("paper", batch=2048)
    assert (paper.optimizer, paper.bn_momentum, paper.weight_decay) == ("rmsprop", 0.99, 1e-5)
    assert (paper.ema_decay, paper.smoothing, paper.drop_connect) == (0.9999, 0.1, 0.2)
    assert paper.peak_rate == pytest.approx(0.128)
    per_epoch, total = 625, 625 * 350
    rates = [
        paper.rate_at(round(epoch * per_epoch), 0.0, total, per_epoch)
        for epoch in (0, 2.5, 5, 7.1, 7.3, 24)
    ]
    # A rise over 5 epochs; then 0.97 to the power of the whole 2.4 epochs so far.
    expected = [0.128 / 3125, 0.064, 0.128 * 0.97**2, 0.128 * 0.97**2, 0.128 * 0.97**3,
                0.128 * 0.97**10]  # fmt: skip
    assert rates == pytest.approx(expected, rel=1e-3)
    assert paper.average_decay(per_epoch) == 0.9999


@pytest.mark.parametrize("name", VARIANTS)
def test_noise_grows_with_the_variant(name):
    row = get_variant(name)
    config = preset("transfer").for_variant(row)
    assert config.dropout == row.dropout
    share = (row.dropout - 0.2) / 0.3
    assert config.magnitude == pytest.approx(5 + 5 * share)
    assert config.mixup == pytest.approx(0.2 + 0.3 * share)
    assert config.train_size(row) <= row.size
    assert config.train_size(row) % 32 == 0


def test_what_is_given_stays():
    config = preset("transfer", dropout=0.0, mixup=0.0, magnitude=1.0)
    filled = config.for_variant(get_variant("lite4"))
    assert (filled.dropout, filled.mixup, filled.magnitude) == (0.0, 0.0, 1.0)
    assert preset("transfer", epochs=None) == PRESETS["transfer"]


def test_a_cosine_rises_and_falls_to_nothing():
    config = preset("transfer", rate=1.0, warmup_epochs=1)
    rates = [config.rate_at(step, 0.0, 110, 10) for step in range(110)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[60] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_schedule_ends_with_the_time():
    """It goes by whatever is further, the steps or the time."""
    config = preset("transfer", rate=1.0, warmup_epochs=0)
    assert config.rate_at(10, 0.5, 100, 10) == pytest.approx(0.5)
    assert config.rate_at(50, 0.1, 100, 10) == pytest.approx(0.5)
    assert config.rate_at(10, 1.2, 100, 10) == pytest.approx(0.0)


def test_the_rate_grows_with_the_batch():
    assert preset("transfer", batch=64).peak_rate == 2 * preset("transfer", batch=32).peak_rate
    assert preset("transfer", batch=64, rate=0.1).peak_rate == 0.1


def test_an_average_over_epochs():
    config = preset("transfer", ema_epochs=2.0)
    assert config.average_decay(50) == pytest.approx(0.99)
    assert preset("transfer", ema_epochs=0.0, ema_decay=0.9).average_decay(50) == 0.9


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("batch", 0), ("rate", 0.0), ("smoothing", 1.0), ("crop", 0.0), ("seed", -1),
     ("drop_block", 0.9), ("minutes", 0.0), ("rate", float("nan")), ("optimizer", "sgd"),
     ("schedule", "step"), ("magnitude", 11.0)],
)  # fmt: skip
def test_what_is_out_of_range(name, value):
    with pytest.raises(UsageError, match=name):
        preset("transfer", **{name: value})


def test_foreign_json():
    with pytest.raises(InputError, match="unknown settings of a training: colour_of_the_sky"):
        TrainingConfig.from_json({"colour_of_the_sky": "blue"})
    with pytest.raises(InputError, match="damaged"):
        TrainingConfig.from_json({"epochs": "many"})
    with pytest.raises(UsageError, match="unknown preset 'best': expected transfer or paper"):
        preset("best")


def test_configurations_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["paper"].epochs = 1
