"""The variant table: one frozen row for each EfficientNet the toolkit knows.

Builder, accounting, command-line choices, tests and documentation all read this table.

Sources: Tan & Le, "EfficientNet" (arXiv 1905.11946), and the reference implementation
tensorflow/tpu ``models/official/efficientnet`` (``efficientnet_builder.py``,
``lite/efficientnet_lite_builder.py``, ``lite/README.md``).
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import Literal

from effnet_lite.errors import UsageError

Activation = Literal["relu6", "swish"]

# Equation 3 of the paper: depth α^φ, width β^φ, resolution γ^φ with α·β²·γ² ≈ 2.
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15


@dataclasses.dataclass(frozen=True)
class Family:
    """What the variants of a family have in common.

    Attributes:
        name: ``lite`` or ``b``, also the prefix of the variants' names.
        activation: The non-linearity after every batch norm but the projections'.
        se_ratio: Squeeze-and-excite channels over the block's *input* channels; 0 for none.
        fixed_stem_head: Whether stem (32) and head (1280) channels and the repeats of the
            first and last stage stay unscaled.
        input_mean, input_std: What the caller applies to pixels (0-255) before the model:
            ``(pixel - mean) / std``. The B family normalises inside the graph, so it has 0, 1.
    """

    name: str
    activation: Activation
    se_ratio: float
    fixed_stem_head: bool
    input_mean: float
    input_std: float


LITE = Family("lite", "relu6", 0.0, True, 127.0, 128.0)
B = Family("b", "swish", 0.25, False, 0.0, 1.0)
FAMILIES = {family.name: family for family in (LITE, B)}


@dataclasses.dataclass(frozen=True)
class Published:
    """Figures that the authors published, never measured here.

    ``params`` and ``madds`` are counts; ``top1_*`` are percent on ImageNet validation.
    """

    params: float
    madds: float
    top1_fp32: float
    top1_int8: float | None
    source: str


@dataclasses.dataclass(frozen=True)
class Variant:
    """One network: the family's rules and the three scaling coefficients.

    Attributes:
        name: Unique; what the command line and the embedded record call it.
        family: The rules shared with its siblings.
        width, depth: Multipliers of channels and of block repeats (dimensionless).
        size: Side of the square input in pixels.
        dropout: Rate before the classifier in training.
        published: The authors' figures, None for a custom variant.
    """

    name: str
    family: Family
    width: float
    depth: float
    size: int
    dropout: float
    published: Published | None = None

    def with_size(self, size: int | None) -> Variant:
        """The same network at another input size (pixels); None keeps the variant's own."""
        if size is None or size == self.size:
            return self
        check_size(size)
        return dataclasses.replace(self, size=size, published=None)


_LITE_SOURCE = "tensorflow/tpu efficientnet/lite/README.md"
_B_SOURCE = "arXiv 1905.11946 table 2"


def _lite(
    number: int, width: float, depth: float, size: int, dropout: float, *published: float
) -> Variant:
    figures = Published(published[0], published[1], published[2], published[3], _LITE_SOURCE)
    return Variant(f"lite{number}", LITE, width, depth, size, dropout, figures)


def _b(
    number: int, width: float, depth: float, size: int, dropout: float, *published: float
) -> Variant:
    figures = Published(published[0], published[1], published[2], None, _B_SOURCE)
    return Variant(f"b{number}", B, width, depth, size, dropout, figures)


#: name → row, smallest first. Columns: number, width, depth, size, dropout; then the
#: published parameters, multiply-adds, top-1 float and top-1 int8.
VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        _lite(0, 1.0, 1.0, 224, 0.2, 4_652_008, 407e6, 75.1, 74.4),
        _lite(1, 1.0, 1.1, 240, 0.2, 5_416_680, 631e6, 76.7, 75.9),
        _lite(2, 1.1, 1.2, 260, 0.3, 6_092_072, 899e6, 77.6, 77.0),
        _lite(3, 1.2, 1.4, 280, 0.3, 8_197_096, 1.44e9, 79.8, 79.0),
        _lite(4, 1.4, 1.8, 300, 0.3, 13_006_568, 2.64e9, 81.5, 80.2),
        _b(0, 1.0, 1.0, 224, 0.2, 5.3e6, 0.39e9, 77.1),
        _b(1, 1.0, 1.1, 240, 0.2, 7.8e6, 0.70e9, 79.1),
        _b(2, 1.1, 1.2, 260, 0.3, 9.2e6, 1.0e9, 80.1),
        _b(3, 1.2, 1.4, 300, 0.3, 12e6, 1.8e9, 81.6),
        _b(4, 1.4, 1.8, 380, 0.4, 19e6, 4.2e9, 82.9),
        _b(5, 1.6, 2.2, 456, 0.4, 30e6, 9.9e9, 83.6),
        _b(6, 1.8, 2.6, 528, 0.5, 43e6, 19e9, 84.0),
        _b(7, 2.0, 3.1, 600, 0.5, 66e6, 37e9, 84.3),
    )
}

MIN_SIZE, MAX_SIZE = 32, 2048


def get_variant(name: str | Variant) -> Variant:
    """Look a variant up, or make a custom one from its name.

    Two custom forms: ``lite-phi1.5`` / ``b-phi-1`` scale the baseline by the paper's
    compound coefficient φ (equation 3); ``lite-w0.75-d1.1-s192`` names width, depth and
    size freely (each part optional, defaults 1.0, 1.0 and 224).

    Raises:
        UsageError: The name is neither in the table nor a custom form; suggests the nearest.
    """
    if isinstance(name, Variant):
        return name
    key = name.strip().lower()
    for prefix in ("efficientnet-", "efficientnet_", "efficientnet"):
        if key.startswith(prefix):
            key = key.removeprefix(prefix)
    if key in VARIANTS:
        return VARIANTS[key]
    custom = _parse_custom(key)
    if custom:
        return custom
    near = difflib.get_close_matches(key, VARIANTS, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(
        f"unknown variant {name!r}: {hint}expected one of {', '.join(VARIANTS)}, "
        "or a custom one such as lite-phi1.5 or lite-w0.75-d1.1-s192"
    )


def scaled(phi: float, family: str = "lite") -> Variant:
    """Compound scaling of the baseline (equation 3 of the paper).

    depth = 1.2^φ, width = 1.1^φ, size = 224·1.15^φ rounded to the nearest multiple of 8.
    The published B1-B7 differ slightly from this rule; for them the table rules.

    Raises:
        UsageError: φ is outside -4…10, where the network degenerates or cannot be held.
    """
    if not -4 <= phi <= 10:
        raise UsageError(f"compound coefficient φ must be between -4 and 10, got {phi:g}")
    size = max(MIN_SIZE, round(224 * GAMMA**phi / 8) * 8)
    return Variant(
        name=f"{family}-phi{phi:g}",
        family=FAMILIES[family],
        width=BETA**phi,
        depth=ALPHA**phi,
        size=size,
        dropout=min(0.5, max(0.2, 0.2 + 0.05 * phi)),
    )


def check_size(size: int) -> None:
    """Raise UsageError unless ``size`` (pixels) is an input size the builder supports."""
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"input size must be {MIN_SIZE} to {MAX_SIZE} pixels, got {size}")


_CUSTOM = re.compile(
    r"(?P<family>lite|b)"
    r"(?:-phi(?P<phi>-?\d+(?:\.\d+)?)"
    r"|(?P<free>(?:-w\d+(?:\.\d+)?)?(?:-d\d+(?:\.\d+)?)?(?:-s\d+)?))"
)


def _parse_custom(key: str) -> Variant | None:
    match = _CUSTOM.fullmatch(key)
    if not match:
        return None
    if match["phi"]:
        return scaled(float(match["phi"]), match["family"])
    if not match["free"]:
        return None
    parts = {part[0]: float(part[1:]) for part in match["free"].strip("-").split("-")}
    width, depth, size = parts.get("w", 1.0), parts.get("d", 1.0), int(parts.get("s", 224))
    check_size(size)
    for what, value in (("width", width), ("depth", depth)):
        if not 0.1 <= value <= 10:
            raise UsageError(f"{what} multiplier must be between 0.1 and 10, got {value:g}")
    name = f"{match['family']}-w{width:g}-d{depth:g}-s{size}"
    return Variant(name, FAMILIES[match["family"]], width, depth, size, 0.2)
