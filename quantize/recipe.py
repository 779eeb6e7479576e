"""Recipes: what is done to quantize, in order, as a name that says it.

Grammar::

    w8a8-RANGES[+STAGE…]
    │ │  │        └ further stages:
    │ │  │            stem      the first layer's channels made finer (stem.py)
    │ │  │            equalize  residual-channel equalization (equalization.py)
    │ │  │            rotate    the residual streams in coordinates that cost the logits least
    │ │  │                      (rotation.py; needs TensorFlow)
    │ │  │            balance   the same, by what each channel's error does to the logits
    │ │  │                      (balance.py; needs TensorFlow)
    │ │  │            dense     one scale for all weights of the classifier, not one a class,
    │ │  │                      which the Edge TPU's compiler and NNAPI know (quantizer.py)
    │ │  │            round     rounding against each layer's output error (rounding.py)
    │ │  │            bias      post-activation bias correction (bias_correction.py)
    │ │  │            int16     the layers that int8 costs most in int16 (mixed.py), or
    │ │  │            float     in float32 (mixed.py); int16 activations need neither
    │ │  └ how the activations' ranges are chosen (ranges.py):
    │ │     minmax   every value seen
    │ │     average  the photos' smallest and largest values, averaged
    │ │     mse      least squared error of rounding and clipping
    │ └ bits of the activations: 8 or 16
    └ bits of the weights: 8

Short names are aliases: ``fast`` is what the stock converter does, ``default`` the best
trade of time and fidelity, ``best`` the most faithful. What they stand for differs with the
family: what swish reads has long tails that are best clipped where ``mse`` does (B0 trained on
3068 photos: 15.7 dB, with ``tails`` 14.3). Stages may follow an alias, too: ``default+float``.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from effnet_lite.errors import UsageError

ALIASES = ("fast", "default", "best")
_ALIASES = {
    "lite": {
        "fast": "w8a8-minmax",
        "default": "w8a8-tails+stem+equalize+round+bias",
        "best": "w8a8-tails+stem+rotate+balance+round+bias",
    },
    "b": {
        "fast": "w8a8-minmax",
        "default": "w8a8-mse+equalize+round+bias",
        "best": "w8a8-mse+balance+round+bias",
    },
}
#: What --max-drop climbs, the quickest first; names that get_recipe() knows.
LADDER = ("fast", "default", "best", "best+int16")
RANGES = ("minmax", "average", "mse", "tails")
Kind = Literal["int16", "float"]
WIDE: tuple[Kind, ...] = ("int16", "float")
STAGES = ("stem", "rotate", "equalize", "balance", "dense", "round", "bias", *WIDE)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A parsed recipe; stages run in the order of ``STAGES`` however the name lists them.

    Attributes:
        activation_bits: 8 or 16.
        ranges: One of ``RANGES``.
        stages: Of ``STAGES``, in that order, each at most once.
    """

    activation_bits: int
    ranges: str
    stages: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name in full, e.g. ``w8a8-minmax+bias``."""
        return "+".join((f"w8a{self.activation_bits}-{self.ranges}", *self.stages))

    @property
    def wide(self) -> tuple[Kind, ...]:
        """The type of layers that are kept wider than int8; at most one."""
        return tuple(stage for stage in WIDE if stage in self.stages)

    def with_activation_bits(self, bits: int) -> Recipe:
        """The same recipe at 8 or 16 activation bits."""
        return dataclasses.replace(self, activation_bits=bits)


def get_recipe(name: str | Recipe, family: str = "lite") -> Recipe:
    """Parse a recipe's name or alias.

    Args:
        name: In full, or an alias, perhaps with further stages.
        family: ``lite`` or ``b``: whose aliases.

    Raises:
        UsageError: Not a name of the grammar.
    """
    if isinstance(name, Recipe):
        return name
    aliases = _ALIASES[family]
    first, *further = name.split("+")
    full = "+".join((aliases.get(first, first), *further))
    match = re.fullmatch(r"w8a(8|16)-(\w+)((?:\+\w+)*)", full)
    if not match:
        raise UsageError(
            f"unknown recipe {name!r}; expected {', '.join(ALIASES)}, or a name such as "
            f"{aliases['default']}"
        )
    if match[2] not in RANGES:
        raise UsageError(
            f"recipe {name!r}: ranges {match[2]!r} are unknown; ranges are {', '.join(RANGES)}"
        )
    stages = tuple(match[3].split("+")[1:])
    if "qat" in stages:
        raise UsageError(
            f"recipe {name!r}: qat stands for training, which convert does not do; run: "
            "effnet-lite train --qat"
        )
    for stage in stages:
        if stage not in STAGES or stages.count(stage) > 1:
            raise UsageError(
                f"recipe {name!r}: stage {stage!r} is unknown or there twice; "
                f"stages are {', '.join(STAGES)}"
            )
    if {"equalize", "balance"} <= set(stages):
        raise UsageError(f"recipe {name!r}: balance does what equalize does; give one of them")
    wider = [stage for stage in WIDE if stage in stages]
    if len(wider) > 1 or (wider and match[1] == "16"):
        raise UsageError(
            f"recipe {name!r}: {wider[0]} keeps layers wider that int8 costs most; it goes "
            "with w8a8, and without another such stage"
        )
    return Recipe(int(match[1]), match[2], tuple(sorted(stages, key=STAGES.index)))
