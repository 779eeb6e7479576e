"""Top-k classes of photos by a .tflite file, with what the file says of itself."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effnet_lite.benchmark.host import delegates
from effnet_lite.benchmark.host.emulation import emulated
from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.labels import fit_labels, read_labels
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.fidelity import softmax
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.runtime import MAX_THREADS, find_runtime


@dataclasses.dataclass(frozen=True)
class Category:
    """One guess: the output's index, its name, its probability (0-1)."""

    index: int
    label: str
    score: float


@dataclasses.dataclass(frozen=True)
class Classification:
    """What the model sees in one photo.

    Attributes:
        image: The file.
        categories: The k most probable, best first.
        preprocess_ms, inference_ms: Wall time of this one call on this machine; None under an
            emulator, whose times are no latencies.
    """

    image: Path
    categories: tuple[Category, ...]
    preprocess_ms: float | None
    inference_ms: float | None

    def to_json(self) -> dict[str, Any]:
        """One entry of ``classify --json``."""
        return {**dataclasses.asdict(self), "image": str(self.image)}


def classify(
    model: str | os.PathLike[str],
    images: Sequence[str | os.PathLike[str]],
    top: int = 5,
    threads: int | None = None,
    preprocessing: Preprocessing | None = None,
    labels: str | os.PathLike[str] | None = None,
    delegate: str = delegates.CPU,
) -> list[Classification]:
    """Classify photos.

    Args:
        model: A .tflite file.
        images: The photos.
        top: How many classes to give for each.
        threads: CPU threads; None for all cores.
        preprocessing: None takes what the file says of itself.
        labels: A file of class names; None takes the model's own.
        delegate: ``cpu`` (XNNPACK), ``none`` (the built-in kernels), ``edgetpu``,
            ``edgetpu:usb:0``, or the path of a delegate's library.

    Raises:
        UsageError: ``top`` or ``threads`` is out of range, or the delegate is unknown.
        InputError: The model, a photo or the labels are not what they should be.
        DelegateError: The delegate's library or device is missing, or it fails on the model.
    """
    if top < 1:
        raise UsageError(f"top must be at least 1, got {top}")
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads must be 1 to {MAX_THREADS}, got {threads}")
    spec, runtime = delegates.parse(delegate), find_runtime()
    loaded = delegates.load(spec, runtime)
    timed = emulated() is None
    with delegates.blaming(spec):
        predictor = Predictor.open(
            model, preprocessing=preprocessing, threads=threads, runtime=runtime,
            delegates=loaded, default_delegate=spec.name != delegates.NONE,
        )  # fmt: skip
    if labels is not None:
        predictor.labels = fit_labels(read_labels(labels), predictor.classes)
    return [_classify(predictor, spec, Path(image), top, timed) for image in images]


def _classify(
    predictor: Predictor, spec: delegates.DelegateSpec, image: Path, top: int, timed: bool
) -> Classification:
    start = time.perf_counter()
    pixels = predictor.preprocessing.pixels(image)
    with delegates.blaming(spec):
        ready = time.perf_counter()
        output = predictor.output(pixels)
        done = time.perf_counter()
    if not np.isfinite(output).all():
        raise InputError(f"the model answers with infinities or NaN for {image}")
    scores = output if is_probability(predictor, output) else softmax(output)
    best = np.argsort(-scores, kind="stable")[:top]
    return Classification(
        image=image,
        categories=tuple(
            Category(int(index), predictor.label(int(index)), float(scores[index]))
            for index in best
        ),
        preprocess_ms=1000 * (ready - start) if timed else None,
        inference_ms=1000 * (done - ready) if timed else None,
    )


def is_probability(predictor: Predictor, output: Any) -> bool:
    """Whether an output is a softmax's: as the file says, or by its sum."""
    if predictor.description:
        return predictor.description.head == "softmax"
    # A foreign file: 8-bit softmax outputs sum to 1 but for their rounding.
    return bool(output.min() >= 0 and abs(float(output.sum()) - 1) < 0.25)
