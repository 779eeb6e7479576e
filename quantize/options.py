"""What may be asked of ``convert``, and what goes together."""

from __future__ import annotations

from effnet_lite.errors import UsageError
from effnet_lite.quantize.export import HEADS
from effnet_lite.quantize.recipe import Recipe, get_recipe

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
IO_TYPES = ("uint8", "int8", "float32")
#: Precisions that are quantized by a recipe, and their input type if none is asked for.
DEFAULT_IO = {"int8": "uint8", "int16x8": "float32"}


def check_options(precision: str, input_type: str | None, head: str) -> None:
    """Raise UsageError for a value that is unknown, or an input type that does not fit."""
    for what, value, choices in (
        ("precision", precision, PRECISIONS),
        ("head", head, HEADS),
        ("input type", input_type or "float32", IO_TYPES),
    ):
        if value not in choices:
            raise UsageError(f"unknown {what} {value!r}; expected one of {', '.join(choices)}")
    if input_type in ("uint8", "int8") and precision not in DEFAULT_IO:
        raise UsageError(
            f"a {precision} model takes float32 input, not {input_type}; "
            "use --int8 for integer input"
        )
    if input_type == "uint8" and precision == "int16x8":
        raise UsageError("an int16x8 model takes float32 or int8 input, not uint8")


def recipe_for(recipe: str | Recipe | None, precision: str, family: str) -> Recipe:
    """The recipe at the precision's activation bits; without one given, ``default``.

    Raises:
        UsageError: Unknown, or the precision takes no recipe or one of other bits.
    """
    if recipe is not None and precision not in DEFAULT_IO:
        raise UsageError(
            f"a {precision} model is not quantized by a recipe; leave --recipe out, or use --int8"
        )
    bits = 16 if precision == "int16x8" else 8
    parsed = get_recipe(recipe or "default", family)
    says_bits = isinstance(recipe, str) and recipe.startswith("w8a")
    if says_bits and parsed.activation_bits != bits:
        raise UsageError(f"recipe {recipe} and --{precision} contradict each other")
    if bits == 16 and parsed.wide:
        raise UsageError(
            f"recipe {recipe}: {parsed.wide[0]} keeps layers wider that int8 costs most; with "
            f"--{precision} all are: leave it out"
        )
    return parsed.with_activation_bits(bits)
