"""Where a network looks: class activation maps of .tflite files, and how well they agree.

activation_map.py tells what a map is. Two maps are compared as they are, 7 x 7 values for Lite0,
by Pearson's correlation. Only for drawing they are spread over the photo, evenly as in the
papers. The padding of strided layers is uneven, so that by geometry alone Lite0's places would
belong half a place further to the lower right; but where a patch of noise in the photo changes
the feature map says otherwise: within 0.15 of a place of the even spread for Lite0-2.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.activation_map import ActivationMapper, Map, correlation
from effnet_lite.benchmark.heatmap import Panel, draw, picture_paths
from effnet_lite.benchmark.records import labels as short_names
from effnet_lite.errors import InputError, UsageError
from effnet_lite.files import check_readable
from effnet_lite.finite import finite
from effnet_lite.lite.preprocessing import Pixels, Preprocessing, load_image
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.file import is_tflite
from effnet_lite.quantize.tflite.runtime import MAX_THREADS

PathLike = str | os.PathLike[str]

_LEGEND = "evidence for the class by place, in logits"
_COMPARED = "compared as computed, {} values"


@dataclasses.dataclass(frozen=True)
class ModelView:
    """What one model sees in a photo.

    Attributes:
        model, sha256: The file.
        top1, label, score: Its most probable class: the output's index, name, probability.
        class_index, class_score: The class that is explained: its output, its probability.
        correlation: Of its map with the first model's, -1 to 1; None for the first model,
            and where maps of different sizes or without any contrast cannot be compared.
        values: The map, (rows, columns), in logits.
    """

    model: Path
    sha256: str
    top1: int
    label: str
    score: float
    class_index: int
    class_score: float
    correlation: float | None
    values: Map = dataclasses.field(repr=False, compare=False)

    @property
    def agrees(self) -> bool:
        """Whether its most probable class is the one that is explained."""
        return self.top1 == self.class_index

    def to_json(self) -> dict[str, Any]:
        """An entry of ``models``: everything but the map, of which it has the shape."""
        return {
            "model": str(self.model),
            "sha256": self.sha256,
            "top1": self.top1,
            "label": self.label,
            "score": self.score,
            "class": self.class_index,
            "class_score": self.class_score,
            "correlation": self.correlation,
            "map_shape": list(self.values.shape),
        }


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One photo.

    Attributes:
        image: The file.
        class_index, label: The class that is explained: the first model's output, its name.
        models: In the order in which they were given.
        output: The picture; None where none was wanted.
    """

    image: Path
    class_index: int
    label: str
    models: tuple[ModelView, ...]
    output: Path | None = None

    @property
    def correlation(self) -> float | None:
        """The lowest of the models'; of two, the second's with the first."""
        found = [view.correlation for view in self.models if view.correlation is not None]
        return min(found, default=None)

    def to_json(self) -> dict[str, Any]:
        """One entry of ``results``."""
        return {
            "image": str(self.image),
            "class": self.class_index,
            "label": self.label,
            "models": [view.to_json() for view in self.models],
            "correlation": self.correlation,
            "output": str(self.output) if self.output else None,
        }


@dataclasses.dataclass(frozen=True)
class Explanations:
    """All photos of one ``explain``."""

    results: tuple[Explanation, ...]

    @property
    def mean_correlation(self) -> float | None:
        """Over the photos that have one; None with one model."""
        found = [entry.correlation for entry in self.results if entry.correlation is not None]
        return statistics.fmean(found) if found else None

    def to_json(self) -> dict[str, Any]:
        """The document of ``explain --json``."""
        document: dict[str, Any] = finite(
            {
                "results": [result.to_json() for result in self.results],
                "mean_correlation": self.mean_correlation,
            }
        )
        return document


def explain(
    models: PathLike | Sequence[PathLike],
    images: PathLike | Sequence[PathLike],
    class_name: str | int | None = None,
    output: PathLike | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    preprocessing: Preprocessing | None = None,
    labels: PathLike | None = None,
    progress: Progress | None = None,
) -> Explanations:
    """Class activation maps of photos by one model or several, side by side.

    Args:
        models: .tflite files; the maps are compared with the first one's.
        images: The photos.
        class_name: A label, or the index of one of the first model's outputs; None takes
            each photo's most probable class of the first model. All models explain the same.
        output: A folder for one .png a photo, made if its parent exists; None draws nothing.
        overwrite: Replace existing pictures.
        threads: CPU threads; None for all cores.
        preprocessing: None takes what each file says of itself.
        labels: A file of class names; None takes the models' own.
        progress: Called after each photo.

    Raises:
        UsageError: No model or photo, ``threads`` out of range, or no such class.
        InputError: A model, a photo or the labels are not what they should be, a model does
            not end in global average pooling and one dense layer, the models tell different
            classes apart, or a picture exists.
    """
    models, images = _sequence(models), _sequence(images)
    if not models or not images:
        raise UsageError("expected at least one .tflite model and one photo")
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads must be 1 to {MAX_THREADS}, got {threads}")
    for image in images:
        check_readable(Path(image), "a photo (JPEG, PNG, WebP, …)")
    outputs: Sequence[Path | None] = [None] * len(images)
    if output is not None:
        outputs = picture_paths(Path(output), images, overwrite)
    networks = [ActivationMapper(Path(path), threads, preprocessing, labels) for path in models]
    _check_together(networks)
    fits = [_preprocessing(network, networks) for network in networks]
    wanted = None if class_name is None else networks[0].find(class_name)
    results = []
    for number, (image, picture) in enumerate(zip(images, outputs, strict=True), start=1):
        photo = load_image(image)
        pixels = [fit.fit(photo) for fit in fits]
        result = _explain(networks, Path(image), pixels, wanted, picture)
        if picture:
            _draw(result, pixels, picture, overwrite)
        results.append(result)
        if progress:
            progress(number, len(images), "explaining")
    return Explanations(tuple(results))


def split_files(files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models and images: files that end in .tflite or hold such a model, and the rest.

    Without any, the first counts as the model, whatever is wrong with it.
    """
    models = [name for name in files if _is_model(Path(name))] or list(files[:1])
    return models, [name for name in files if name not in models]


def _explain(
    networks: Sequence[ActivationMapper],
    image: Path,
    pixels: Sequence[Pixels],
    wanted: int | None,
    picture: Path | None,
) -> Explanation:
    looks = [network.look(given) for network, given in zip(networks, pixels, strict=True)]
    first = networks[0]
    chosen = int(looks[0][0].argmax()) if wanted is None else wanted
    views: list[ModelView] = []
    for network, (scores, features) in zip(networks, looks, strict=True):
        index = chosen - first.offset + network.offset
        if index < 0:
            raise InputError(
                f"{image}: {network.path} has no background class to explain; "
                "choose another with --class"
            )
        values = features @ network.weights[index]
        top1 = int(scores.argmax())
        views.append(
            ModelView(
                model=network.path,
                sha256=network.sha256,
                top1=top1,
                label=network.predictor.label(top1),
                score=float(scores[top1]),
                class_index=index,
                class_score=float(scores[index]),
                correlation=correlation(views[0].values, values) if views else None,
                values=values,
            )
        )
    return Explanation(image, chosen, first.predictor.label(chosen), tuple(views), picture)


def _draw(result: Explanation, pixels: Sequence[Pixels], picture: Path, overwrite: bool) -> None:
    names = short_names([(str(view.model),) for view in result.models])
    panels = [Panel(pixels[0], ("the photo as the first model sees it",))]
    for name, view, given in zip(names, result.models, pixels, strict=True):
        lines = [name, f"{result.label}: {view.class_score:.1%}"]
        if not view.agrees:
            lines.append(f"its top-1 is {view.label}: {view.score:.1%}")
        if view.correlation is not None:
            lines.append(f"correlation of the maps {view.correlation:.4f}")
        elif view is not result.models[0]:
            lines.append("the maps cannot be compared")
        panels.append(Panel(given, tuple(lines), view.values))
    legend = [_LEGEND]
    if result.correlation is not None:
        legend.append(_COMPARED.format(" x ".join(map(str, result.models[0].values.shape))))
    try:
        picture.parent.mkdir(exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot make the folder {picture.parent}: {error}") from error
    title = f"{result.image.name}: where the evidence for {result.label} lies"
    draw(panels, picture, title, legend, overwrite)


def _preprocessing(
    network: ActivationMapper, networks: Sequence[ActivationMapper]
) -> Preprocessing:
    """How a photo becomes pixels: a foreign file's guess gives way to what another file says."""
    own = network.predictor.preprocessing
    if network.predictor.description:
        return own
    told = (other.predictor.preprocessing for other in networks if other.predictor.description)
    return next((other for other in told if other.size == own.size), own)


def _check_together(networks: Sequence[ActivationMapper]) -> None:
    first = networks[0]
    for network in networks[1:]:
        if network.classes - network.offset != first.classes - first.offset:
            raise InputError(
                f"the models tell {first.classes} and {network.classes} classes apart; "
                "expected versions of one network, or networks for the same classes"
            )


def _is_model(path: Path) -> bool:
    if path.suffix.lower() == ".tflite":
        return True
    try:
        check_readable(path, "a model or a photo")
        with path.open("rb") as file:
            return is_tflite(file.read(8))
    except (OSError, InputError):  # whoever needs the file says what is wrong
        return False


def _sequence(given: PathLike | Sequence[PathLike]) -> Sequence[PathLike]:
    return [given] if isinstance(given, (str, os.PathLike)) else list(given)
