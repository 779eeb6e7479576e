"""--max-drop: from recipe to recipe, the cheap ones first, until one loses little enough.

Every rung is judged on the same photos, which calibration has not seen (drop.py says how).
A ladder of k rungs gives a model that is not good enough k chances, so it passes by luck with
a probability of at most k times 2.5 %; less, because the rungs mostly err on the same photos.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import FidelityError, InputError, UsageError
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration_set import MAX_CHECK, CalibrationSet
from effnet_lite.quantize.drop import (
    Drop,
    enough_photos,
    fewest_photos,
    least_provable,
    top1_drop,
)
from effnet_lite.quantize.fidelity import Fidelity, measure
from effnet_lite.quantize.recipe import LADDER, Recipe, get_recipe
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import with_logits_output


@dataclasses.dataclass(frozen=True)
class Rung:
    """A recipe that was tried.

    Attributes:
        name: Its name on the ladder, else in full; the precision where there is no recipe.
        recipe: In full; None for float16 and dynamic.
        fidelity: Against the float32 model, on all check photos.
        drop: In top-1, with its interval.
        bytes: Of the model, without its description of itself.
        seconds: Quantizing and checking took.
        passed: Whether the drop is provably within the limit.
    """

    name: str
    recipe: str | None
    fidelity: Fidelity
    drop: Drop
    bytes: int
    seconds: float
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """An entry of ``ladder`` in ``convert --json``."""
        return {
            "name": self.name,
            "recipe": self.recipe,
            **self.drop.to_json(),
            "fidelity": self.fidelity.to_json(),
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "passed": self.passed,
        }


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A recipe to try, None where the precision takes none, and what to call it."""

    name: str
    recipe: Recipe | None


def check_max_drop(max_drop: float, precision: str, check: bool) -> None:
    """Raise UsageError unless ``max_drop`` is a limit that this conversion can be held to."""
    if not 0 < max_drop <= 100:  # NaN, too; no number of photos proves that nothing is lost
        raise UsageError(
            f"max_drop must be above 0 and at most 100 percentage points of top-1, got {max_drop:g}"
        )
    if precision == "float32":
        raise UsageError("a float32 model is what the drop is measured from; leave --max-drop out")
    if not check:
        raise UsageError("--max-drop and --no-check contradict each other; give one of them")


def photos_to_check(max_drop: float | None) -> int:
    """How many photos to hold back, where there are so many."""
    return MAX_CHECK if max_drop is None else max(MAX_CHECK, enough_photos(max_drop))


def require_photos(max_drop: float, images: CalibrationSet, calibration_count: int) -> None:
    """Raise InputError if the check photos could not prove ``max_drop`` whatever they show."""
    seen = set(images.photos.paths) if images.photos else set()
    held, needed = len(set(images.check.paths) - seen), fewest_photos(max_drop)
    if held >= needed:
        return
    # choose() holds back what calibration leaves, and a fifth at least.
    total = min(needed + calibration_count, 5 * needed)
    least = math.ceil(10 * least_provable(held)) / 10
    raise InputError(
        f"--max-drop {max_drop:g} takes {needed} check photos or more, and {held} are held back "
        f"from calibration, which cannot prove less than {least:g} points even if no answer "
        f"changes; give --calibration a folder of {total} photos or more, or raise --max-drop"
    )


def attempts(recipe: Recipe, family: str) -> list[Attempt]:
    """``recipe`` and the rungs above it; a recipe not on the ladder is below ``default``'s next.

    The ladder's recipes take the activation bits of ``recipe``; with 16, those that keep layers
    wide have nothing to add and are left out.
    """
    bits = recipe.activation_bits
    recipes = {name: get_recipe(name, family) for name in LADDER}
    ladder = [
        Attempt(name, known.with_activation_bits(bits))
        for name, known in recipes.items()
        if bits == 8 or not known.wide
    ]
    for number, attempt in enumerate(ladder):
        if attempt.recipe == recipe:
            return ladder[number:]
    above = [attempt.name for attempt in ladder].index("default") + 1
    return [Attempt(recipe.name, recipe), *ladder[above:]]


def climb(
    tries: Sequence[Attempt],
    make: Callable[[Recipe | None, Progress | None], bytes],
    examine: Examiner,
    max_drop: float,
    progress: Progress | None = None,
    report: Callable[[Rung], None] | None = None,
) -> tuple[bytes, tuple[Rung, ...]]:
    """Try one recipe after the other.

    Args:
        tries: In order; at least one.
        make: Recipe and progress to a .tflite model.
        examine: Judges the models.
        max_drop: Points of top-1 that may be lost.
        progress: Called as the work goes on, with the rung's name before what is done.
        report: Called after each rung.

    Returns:
        The first model that passes, and the rungs up to its own.

    Raises:
        FidelityError: None passes.
    """
    rungs: list[Rung] = []
    for attempt in tries:
        named, start = _named(progress, attempt.name), time.monotonic()
        model = make(attempt.recipe, named)
        fidelity, drop = examine(model, max_drop, named)
        rung = Rung(
            name=attempt.name,
            recipe=attempt.recipe.name if attempt.recipe else None,
            fidelity=fidelity,
            drop=drop,
            bytes=len(model),
            seconds=time.monotonic() - start,
            passed=drop.within(max_drop),
        )
        rungs.append(rung)
        if report:
            report(rung)
        if rung.passed:
            return model, tuple(rungs)
    raise FidelityError(_exhausted(rungs, max_drop))


class Examiner:
    """Compares models with the float one, which runs only once on every photo.

    Args:
        float_model: A .tflite file.
        paths: The check photos.
        known: The right class of each, None where it is not known.
        preprocessing: Of the network.
    """

    def __init__(
        self,
        float_model: bytes,
        paths: Sequence[Path],
        known: Sequence[int | None] | None,
        preprocessing: Preprocessing,
    ) -> None:
        self.paths = paths
        self.known = known
        self.preprocessing = preprocessing
        self._float = _Remembering(with_logits_output(float_model), preprocessing)

    def __call__(
        self, model: bytes, max_drop: float, progress: Progress | None = None
    ) -> tuple[Fidelity, Drop]:
        """Fidelity, and the drop by the measure that fits ``max_drop``."""
        quantized = _Remembering(with_logits_output(model), self.preprocessing)
        pixels = (self.preprocessing.pixels(path) for path in self.paths)
        self._float.rewind()
        fidelity = measure(
            self._float, quantized, pixels, self.known, progress, total=len(self.paths)
        )
        return fidelity, top1_drop(self._float.top1, quantized.top1, self.known, max_drop)


class _Remembering(Predictor):
    """Keeps its answers, and gives them again for the same photos in the same order."""

    def __init__(self, model: bytes, preprocessing: Preprocessing) -> None:
        super().__init__(model, preprocessing)
        self._answers: list[npt.NDArray[np.float32]] = []
        self._next = 0

    def rewind(self) -> None:
        self._next = 0

    def output(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        if self._next == len(self._answers):
            self._answers.append(super().output(pixels).copy())
        self._next += 1
        return self._answers[self._next - 1]

    @property
    def top1(self) -> list[int]:
        return [int(answer.argmax()) for answer in self._answers]


def _named(progress: Progress | None, name: str) -> Progress | None:
    if progress is None:
        return None

    def report(done: int, total: int | None, label: str) -> None:
        progress(done, total, f"{name}: {label}")

    return report


def _exhausted(rungs: Sequence[Rung], max_drop: float) -> str:
    best = min(rungs, key=lambda rung: rung.drop.interval[1])
    low, high = best.drop.interval
    of = f", the best of {len(rungs)} recipes," if len(rungs) > 1 else ""
    message = (
        f"--max-drop {max_drop:g} is not met and nothing was written: {best.name}{of} loses "
        f"{best.drop.points:.1f} points of top-1 by {best.drop.judged_by} on {best.drop.photos} "
        f"photos (95 % interval {low:.1f} to {high:.1f}); "
    )
    if best.drop.points < max_drop:
        message += "more check photos may prove that it is enough; else "
    if best.recipe:
        return message + "the next step is quantization-aware training"
    return message + "raise --max-drop or choose another precision"
