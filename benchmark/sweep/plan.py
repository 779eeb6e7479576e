"""Which models a sweep makes and measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effnet_lite.errors import UsageError
from effnet_lite.files import check_readable
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.options import PRECISIONS, recipe_for

FLOAT = "float32"
#: The group of the user's own files.
FILES = "files"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One model.

    Attributes:
        name: Tells it apart, as ``lite0-default``.
        path: The file.
        conversion: Options of :func:`effnet_lite.quantize.convert.convert`, as JSON, but for
            the output; None for a file that is there already.
    """

    name: str
    path: Path
    conversion: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """Models that are timed by turns and judged on the same photos, against the first.

    Attributes:
        name: The variant, or ``files``.
        candidates: In order; of a variant, the float32 model first.
    """

    name: str
    candidates: tuple[Candidate, ...]

    @property
    def parent(self) -> Candidate | None:
        """The float32 model that the others were quantized from."""
        return self.candidates[0] if self.candidates[0].conversion else None


def plan(
    variants: Sequence[str],
    recipes: Sequence[str],
    models: Sequence[Path],
    folder: Path,
    weights: Mapping[str, str],
    options: Mapping[str, Any],
) -> tuple[Group, ...]:
    """A group for each variant, and one for the user's files.

    Args:
        variants: Names from the table, or custom ones.
        recipes: ``float32``, ``float16``, ``dynamic``, ``int16x8``, or recipes for int8. The
            float32 model, which the others are compared with, is made in any case.
        models: .tflite files.
        folder: Where the converted ones go.
        weights: By variant; ``imagenet`` for those without.
        options: For all conversions.

    Raises:
        UsageError: An unknown name, one that is there twice, or nothing to do.
        InputError: A file cannot be read.
    """
    for what, names in (("variant", variants), ("recipe", recipes), ("model", models)):
        for name in names:
            if list(names).count(name) > 1:
                raise UsageError(f"{what} {name} is there twice")
    strangers = set(weights) - set(variants)
    if strangers:
        raise UsageError(f"weights for {', '.join(sorted(strangers))}, which the sweep leaves out")
    if not models and not (variants and recipes):
        raise UsageError("nothing to sweep over; give --variants and --recipes, or .tflite files")
    groups = [
        _variant(name, recipes, folder, {"weights": weights.get(name, "imagenet"), **options})
        for name in (variants if recipes else ())
    ]
    for path in models:
        check_readable(path, "a .tflite file")
    if models:
        groups.append(Group(FILES, tuple(map(_file, _names(models), models))))
    return tuple(groups)


def _variant(name: str, recipes: Sequence[str], folder: Path, options: dict[str, Any]) -> Group:
    row = get_variant(name)
    found = []
    for recipe in dict.fromkeys((FLOAT, *recipes)):
        if recipe in PRECISIONS and recipe != "int8":
            conversion = {"variant": name, "precision": recipe}
        else:
            recipe_for(recipe, "int8", row.family.name)  # fails now, not in an hour
            conversion = {"variant": name, "precision": "int8", "recipe": recipe}
        title = f"{name}-{recipe}"
        found.append(Candidate(title, folder / f"{title}.tflite", {**conversion, **options}))
    return Group(name, tuple(found))


def _file(name: str, path: Path) -> Candidate:
    return Candidate(name, path)


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
