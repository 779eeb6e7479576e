"""How faithful a quantized model is to its float parent, on the same photos.

Measures (per photo: float logits f, quantized logits q, both with their mean over the
classes taken away, because softmax ignores it):

- SQNR = 10·log10(Σ f² / Σ (f - q)²) dB, both sums over all photos and classes;
- KL = mean over photos of Σ p·ln(p / p̂), p and p̂ the softmax of f and q;
- top-1 agreement: the share of photos whose highest class is the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import ConversionError, InputError
from effnet_lite.finite import finite
from effnet_lite.lite.preprocessing import Pixels
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.predictor import Predictor

Logits = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """Figures over ``count`` photos.

    Attributes:
        count: Photos.
        top1_agreement: 0-1.
        agreement_interval: 95 % Wilson score interval of the agreement.
        sqnr_db: Of the centred logits; infinite if nothing differs.
        kl: In nats, 0 or more.
        ties: Photos on which the quantized model has two equal highest outputs.
        top1_float, top1_quantized: Share of right answers (0-1) where labels are known.
        labelled: Photos with labels.
    """

    count: int
    top1_agreement: float
    agreement_interval: tuple[float, float]
    sqnr_db: float
    kl: float
    ties: int
    labelled: int = 0
    top1_float: float | None = None
    top1_quantized: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The record of ``compare --json``."""
        record: dict[str, Any] = finite(dataclasses.asdict(self))
        return record


def measure(
    float_model: Predictor,
    quantized: Predictor,
    photos: Iterable[Pixels],
    classes: Sequence[int | None] | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> Fidelity:
    """Run both models on every photo; sums only, so memory does not grow with the photos.

    Args:
        float_model, quantized: With logits as output (:func:`logits_of` reads softmax too).
        photos: Pixels for both models.
        classes: The right class of each photo, None where it is not known.
        progress: Called after each photo.
        total: How many photos there are, for the progress.

    Raises:
        InputError: No photos, or the models tell different numbers of classes apart.
        ConversionError: A model answers with infinities or NaN.
    """
    if float_model.classes != quantized.classes:
        raise InputError(
            f"the models tell {float_model.classes} and {quantized.classes} classes apart; "
            "expected two versions of one network"
        )
    sums = _Sums()
    for number, pixels in enumerate(photos):
        known = classes[number] if classes else None
        sums.add(_logits(float_model, pixels), _logits(quantized, pixels), known)
        if progress:
            progress(number + 1, total, "checking against float")
    if not sums.count:
        raise InputError("no photo to compare the models on")
    return sums.result()


def wilson_interval(successes: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927), which holds near 0 and 1 too."""
    if not count:
        return 0.0, 1.0
    share = successes / count
    centre = share + z**2 / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def decibel(signal: float, noise: float) -> float:
    """10·log10(signal / noise); infinite where there is no noise, or nothing at all."""
    if not (signal and noise):
        return math.inf
    ratio = signal / noise
    return 10 * math.log10(ratio) if ratio else -math.inf


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Along the last axis, in float64."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    total: npt.NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return total


def _logits(model: Predictor, pixels: Pixels) -> npt.NDArray[np.float64]:
    logits = model.output(pixels).astype(np.float64)
    if not np.isfinite(logits).all():
        raise ConversionError("a model answers with infinities or NaN; check its weights")
    centred: npt.NDArray[np.float64] = logits - logits.mean()
    return centred


class _Sums:
    def __init__(self) -> None:
        self.count = self.agreed = self.ties = 0
        self.signal = self.noise = self.kl = 0.0
        self.labelled = self.right_float = self.right_quantized = 0

    def add(
        self,
        wanted: npt.NDArray[np.float64],
        found: npt.NDArray[np.float64],
        known: int | None,
    ) -> None:
        self.count += 1
        self.agreed += int(wanted.argmax() == found.argmax())
        self.ties += int((found == found.max()).sum() > 1)
        self.signal += float(np.square(wanted).sum())
        self.noise += float(np.square(wanted - found).sum())
        p, q = softmax(wanted), softmax(found)
        self.kl += float((p * (np.log(p + 1e-300) - np.log(q + 1e-300))).sum())
        if known is not None:
            self.labelled += 1
            self.right_float += int(wanted.argmax() == known)
            self.right_quantized += int(found.argmax() == known)

    def result(self) -> Fidelity:
        labelled = self.labelled
        return Fidelity(
            count=self.count,
            top1_agreement=self.agreed / self.count,
            agreement_interval=wilson_interval(self.agreed, self.count),
            sqnr_db=decibel(self.signal, self.noise),
            kl=max(0.0, self.kl / self.count),
            ties=self.ties,
            labelled=labelled,
            top1_float=self.right_float / labelled if labelled else None,
            top1_quantized=self.right_quantized / labelled if labelled else None,
        )
