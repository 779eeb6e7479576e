"""Putting a model, its labels and its golden check into an Android project."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from effnet_lite.files import sha256
from effnet_lite.mobile.asset_files import (
    GOLDEN,
    LABELS,
    MODEL,
    asset_name,
    assets_folder,
    check_free,
    write_assets,
)
from effnet_lite.mobile.gradle import Module, Project, choose_module, find_project
from effnet_lite.mobile.snippets import Snippet, about_assets, snippets
from effnet_lite.mobile.suitability import MobileModel, suit_phone
from effnet_lite.quantize.tflite.golden import GoldenResult
from effnet_lite.quantize.tflite.metadata import label_file
from effnet_lite.quantize.tflite.records import to_json


@dataclasses.dataclass(frozen=True)
class AndroidAsset:
    """What ``android`` put where.

    Attributes:
        model: The file that was given.
        project, module: The Gradle project's root, and the module's path in it (``:app``).
        asset: What the app opens: the model's name in its assets.
        files: What was written, the model first.
        sha256, bytes: Of the model as it was written.
        variant, precision, recipe: What it says of itself; None for a model of another tool.
        input_type, size: Of the image: its type, its side in pixels.
        classes: Outputs.
        labels: How many names are beside it; 0 for none.
        golden: How the model answered to its golden check on this machine; None without one.
        activation_map: Whether it gives its last feature map as a second output.
        is_demo: Whether the project is effnet-lite's demo app.
        warnings: What is worth knowing, a sentence each.
        paste: Lines that the project lacks.
    """

    model: Path
    project: Path
    module: str
    asset: str
    files: tuple[Path, ...]
    sha256: str
    bytes: int
    variant: str | None
    precision: str | None
    recipe: str | None
    input_type: str
    size: int
    classes: int
    labels: int
    golden: GoldenResult | None
    activation_map: bool
    is_demo: bool
    warnings: tuple[str, ...]
    paste: tuple[Snippet, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``android --json``."""
        document = dataclasses.asdict(self)
        return {
            **document,
            "model": str(self.model),
            "project": str(self.project),
            "files": [str(path) for path in self.files],
        }


def android(
    model: str | os.PathLike[str],
    project: str | os.PathLike[str] | None = None,
    module: str | None = None,
    *,
    name: str | None = None,
    activation_map: bool = False,
    labels: str | os.PathLike[str] | None = None,
    newer_runtime: bool = False,
    overwrite: bool = False,
) -> AndroidAsset:
    """Put a model into a module's assets, with its labels and its golden check beside it.

    The model must suit a phone and pass its own golden check on this machine.

    Args:
        model: A .tflite file.
        project: A Gradle project's root, or a module's folder; None for ``android_demo``.
        module: As Gradle names it (``app``, ``:feature:camera``); None for the only one.
        name: Of the files, without ``.tflite``; None for the model's own.
        activation_map: Add the last feature map as a second output, from which the app draws
            where the model looks.
        labels: A text file with one name a line, for a model that carries none.
        newer_runtime: The app brings a newer runtime than the library's.
        overwrite: Whether files of that name are replaced.

    Raises:
        InputError: The model does not suit, the project is none, a file is in the way, the
            assets are outside the project.
        UsageError: A name is wrong, or several modules could be meant.
    """
    model = Path(model)
    found = find_project(project)
    target = choose_module(found, module)
    folder = assets_folder(found, target)
    stem = asset_name(model, name)
    check_free(folder, stem, overwrite)
    mobile = suit_phone(model, activation_map, labels, newer_runtime)
    contents = _contents(stem, mobile)
    every = [stem + suffix for suffix in (LABELS, GOLDEN, MODEL)]
    write_assets(folder, contents, [one for one in every if one not in contents])
    warnings = (*mobile.warnings, about_assets(target), _about_order(found, folder, stem + MODEL))
    return _result(model, found, target, folder, stem, mobile, tuple(filter(None, warnings)))


def _contents(stem: str, mobile: MobileModel) -> dict[str, bytes]:
    """Files by name, the model last: it appears when the others are there."""
    contents = {}
    if mobile.labels:
        contents[stem + LABELS] = label_file(mobile.labels)
    if mobile.description and mobile.description.golden:
        contents[stem + GOLDEN] = to_json(mobile.description.golden).encode() + b"\n"
    contents[stem + MODEL] = mobile.data
    return contents


def _about_order(project: Project, folder: Path, asset: str) -> str:
    """The demo app opens the first model by name."""
    first = min((path.name for path in folder.glob(f"*{MODEL}")), default=asset)
    if not project.is_demo or first == asset:
        return ""
    return f"the demo app opens the first model by name, which is {first}; take it away or --name"


def _result(
    model: Path, project: Project, module: Module, folder: Path, stem: str, mobile: MobileModel,
    warnings: tuple[str, ...],
) -> AndroidAsset:  # fmt: skip
    record = mobile.description
    return AndroidAsset(
        model=model,
        project=project.root,
        module=module.path,
        asset=stem + MODEL,
        files=tuple(folder / name for name in reversed(_contents(stem, mobile))),
        sha256=sha256(mobile.data),
        bytes=len(mobile.data),
        variant=record.variant if record else None,
        precision=record.precision if record else None,
        recipe=record.recipe if record else None,
        input_type=mobile.input.dtype,
        size=mobile.input.shape[1],
        classes=mobile.classes,
        labels=len(mobile.labels or ()),
        golden=mobile.golden,
        activation_map=mobile.activation_map,
        is_demo=project.is_demo,
        warnings=warnings,
        paste=() if project.is_demo else snippets(project, module, stem + MODEL, mobile),
    )
