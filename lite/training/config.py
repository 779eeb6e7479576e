"""How a network is trained: one frozen record, and two presets of it.

``paper`` is the recipe of the EfficientNet paper (arXiv 1905.11946, section 5.2; the numbers as
in tensorflow/tpu ``efficientnet/main.py``): RMSProp, an exponentially falling rate, weeks on a
large data set. ``transfer`` is for a few thousand photos and a small machine, from ImageNet
weights:

- the classifier is fitted to the frozen network's features before everything learns, so that a
  random one does not spoil them ("Fine-Tuning can Distort Pretrained Features", arXiv
  2202.10054);
- AdamW (arXiv 1711.05101) and half a cosine (arXiv 1608.03983) down to 0;
- training at 6/7 of the deployed size: random crops enlarge what they show, so that things
  then look as large as when deployed, and an epoch costs a quarter less ("Fixing the
  train-test resolution discrepancy", arXiv 1906.06423);
- MixUp (arXiv 1710.09412), a RandAugment-like policy (arXiv 1909.13719), and a moving average
  of the weights over the last epoch or two.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.variants import Variant

OPTIMIZERS = ("adamw", "rmsprop")
SCHEDULES = ("cosine", "exponential")
#: The paper's rate is given for this many photos a step, and grows with the batch.
RATE_BATCH = {"rmsprop": 4096, "adamw": 32}


#: Least and most of each number.
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch": (1, 2**20),
    "rate": (1e-12, 100),
    "rate_per_batch": (1e-12, 100),
    "warmup_epochs": (0, 1000),
    "decay": (0.01, 1),
    "decay_epochs": (0.01, 1000),
    "weight_decay": (0, 10),
    "bn_momentum": (0, 0.99999),
    "dropout": (0, 0.99),
    "drop_connect": (0, 0.99),
    "drop_block": (0, 0.5),
    "smoothing": (0, 0.9),
    "crop": (0.01, 1),
    "colour": (0, 0.9),
    "magnitude": (0, 10),
    "mixup": (0, 10),
    "train_scale": (0.25, 1),
    "ema_decay": (0, 0.999999),
    "ema_epochs": (0, 1000),
    "patience": (0, 100_000),
    "minutes": (0.01, 1e6),
    "steps_per_epoch": (1, 10**9),
    "checkpoint_steps": (1, 10**9),
    "validation_share": (0.01, 0.5),
    "cache_mib": (0, 2**22),
    "seed": (0, 2**31 - 1),
}

_WHOLE = ("epochs", "batch", "patience", "steps_per_epoch", "checkpoint_steps", "cache_mib", "seed")
_SWITCHES = ("head_start", "class_weights", "mixed_precision", "deterministic")
#: Of those, what may be None.
_OPTIONAL = ("rate", "dropout", "magnitude", "mixup", "minutes", "steps_per_epoch")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a training does, but for photos, network and machines.

    Attributes:
        preset: What the rest started from.
        epochs: Over the training photos.
        batch: Photos a step, over all devices together.
        rate: Learning rate at its highest; None for the preset's, scaled by the batch.
        rate_per_batch: That rate for ``RATE_BATCH`` photos a step.
        optimizer: ``adamw`` or ``rmsprop`` (decay 0.9, momentum 0.9, epsilon 1e-3).
        schedule: ``cosine`` to 0 at the end, or ``exponential``.
        warmup_epochs: Over which the rate rises from 0.
        decay, decay_epochs: Of the exponential schedule, stepwise.
        weight_decay: Of kernels; decoupled for adamw, as an L2 loss for rmsprop.
        bn_momentum: Of the batch norms' moving statistics.
        dropout: Before the classifier; None for the variant's own (0.2 to 0.5).
        drop_connect: Stochastic depth's rate at the last block.
        drop_block: Rate of DropBlock (arXiv 1810.12890) on the last feature maps; 0 for none.
        smoothing: Of labels (0-1).
        crop: Smallest share of a photo's area that a random crop shows (0-1].
        colour: Brightness, contrast and saturation each change by up to this share.
        magnitude: Of the RandAugment-like policy, 0 (off) to 10; None grows with the variant.
        mixup: α of MixUp, 0 for none; None grows with the variant.
        train_scale: Side in training over the deployed side, then rounded to 32 pixels.
        ema_decay: Of the moving average of weights, 0 for none.
        ema_epochs: Over how many epochs to average; 0 takes ``ema_decay``.
        head_start: Fit the classifier to the frozen network's features first.
        class_weights: Weigh photos of rare classes more, in inverse proportion.
        patience: Stop after so many epochs without a better one; 0 never stops.
        minutes: That all may take, from reading photos on; the schedule then ends with them.
        steps_per_epoch: None for as many as show every photo once.
        mixed_precision: bfloat16; None uses it where a GPU gains by it.
        deterministic: Same last bits in every run; None on CPUs alone, where it costs little.
        checkpoint_steps: From one saved state to the next, besides those after each epoch.
        validation_share: Held back from each class where no validation photos are given.
        cache_mib: Decoded photos kept in memory, of either side; beyond, in a temporary file.
        seed: Of everything random.
    """

    preset: str = "transfer"
    epochs: int = 12
    batch: int = 32
    rate: float | None = None
    rate_per_batch: float = 5e-4
    optimizer: str = "adamw"
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    decay: float = 0.97
    decay_epochs: float = 2.4
    weight_decay: float = 0.02
    bn_momentum: float = 0.99
    dropout: float | None = None
    drop_connect: float = 0.2
    drop_block: float = 0.0
    smoothing: float = 0.1
    crop: float = 0.35
    colour: float = 0.2
    magnitude: float | None = None
    mixup: float | None = None
    train_scale: float = 6 / 7
    ema_decay: float = 0.0
    ema_epochs: float = 1.5
    head_start: bool = True
    class_weights: bool = False
    patience: int = 0
    minutes: float | None = None
    steps_per_epoch: int | None = None
    mixed_precision: bool | None = None
    deterministic: bool | None = None
    checkpoint_steps: int = 200
    validation_share: float = 0.1
    cache_mib: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        for name, options in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in options:
                raise UsageError(
                    f"{name} must be {' or '.join(options)}, got {getattr(self, name)!r}"
                )
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool | None):
                raise UsageError(f"{name} must be true or false, got {getattr(self, name)!r}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"{name} must be a number, got {value!r}")
            if not least <= value <= most:  # NaN, too
                raise UsageError(f"{name} must be {least:g} to {most:g}, got {value:g}")
            if name in _WHOLE and not isinstance(value, int):
                raise UsageError(f"{name} must be a whole number, got {value:g}")

    @property
    def peak_rate(self) -> float:
        """The learning rate at its highest."""
        if self.rate is not None:
            return self.rate
        return self.rate_per_batch * self.batch / RATE_BATCH[self.optimizer]

    def average_decay(self, steps_per_epoch: int) -> float:
        """Of the moving average of weights, for epochs of that many steps."""
        if not self.ema_epochs:
            return self.ema_decay
        return 1 - 1 / max(1.0, self.ema_epochs * steps_per_epoch)

    def rate_at(self, step: int, used: float, total: int, per_epoch: int) -> float:
        """The learning rate of a step.

        Args:
            step: From 0.
            used: Share of the time budget that is used up; the schedule goes by whichever is
                further, it or the steps, as in "Budgeted Training" (arXiv 1905.04753).
            total, per_epoch: Steps.
        """
        warmup = min(self.warmup_epochs * per_epoch, total / 2)
        if step < warmup:
            return self.peak_rate * (step + 1) / math.ceil(warmup)
        if self.schedule == "exponential":
            return self.peak_rate * self.decay ** math.floor(step / per_epoch / self.decay_epochs)
        done = max((step - warmup) / (total - warmup), min(1.0, used))
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * done))

    def for_variant(self, variant: Variant) -> TrainingConfig:
        """With what depends on the variant filled in: larger networks take more noise.

        Dropout is the row's, 0.2 to 0.5; MixUp and magnitude grow with it as those of
        EfficientNetV2 do (arXiv 2104.00298, table 6).
        """
        dropout = variant.dropout if self.dropout is None else self.dropout
        larger = max(0.0, (variant.dropout - 0.2) / 0.3)
        return dataclasses.replace(
            self,
            dropout=dropout,
            magnitude=5 + 5 * larger if self.magnitude is None else self.magnitude,
            mixup=0.2 + 0.3 * larger if self.mixup is None else self.mixup,
        )

    def train_size(self, variant: Variant) -> int:
        """Side of the training images in pixels."""
        if self.train_scale == 1:
            return variant.size
        return min(variant.size, max(32, round(self.train_scale * variant.size / 32) * 32))

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TrainingConfig:
        """From :meth:`to_json`.

        Raises:
            InputError: A name that is none of ours, or a value of another type.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(record) - names)
        if unknown:
            raise InputError(f"unknown settings of a training: {', '.join(unknown)}")
        try:
            return cls(**record)
        except UsageError as error:
            raise InputError(f"the settings of the training are damaged: {error}") from error


PRESETS = {
    "transfer": TrainingConfig(),
    "paper": TrainingConfig(
        preset="paper",
        epochs=350,
        batch=256,
        rate_per_batch=0.256,
        optimizer="rmsprop",
        schedule="exponential",
        warmup_epochs=5.0,
        weight_decay=1e-5,
        crop=0.08,
        colour=0.0,
        mixup=0.0,
        train_scale=1.0,
        ema_decay=0.9999,
        ema_epochs=0.0,
        head_start=False,
    ),
}


def preset(name: str, **changes: Any) -> TrainingConfig:
    """A preset with some values changed; None leaves one as it is.

    Raises:
        UsageError: No such preset, or a value out of range.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}: expected {' or '.join(PRESETS)}")
    given = {key: value for key, value in changes.items() if value is not None}
    return dataclasses.replace(PRESETS[name], **given)
