"""What each layer of a quantized model adds to its error, from the activations of both models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.finite import finite
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.fidelity import decibel
from effnet_lite.quantize.layer_weights import LayerFile, WeightMatch, match_weights
from effnet_lite.quantize.statistics import Matrix, Vector
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.runtime import TensorInfo
from effnet_lite.quantize.tflite.surgery import LayerName

Array = npt.NDArray[Any]
Reals = npt.NDArray[np.float32]

# Values at a time: what is computed from them stays in the processor's cache.
_BLOCK = 2**16


@dataclasses.dataclass(frozen=True)
class Saturation:
    """A layer's integers at the limits of their type where the float value lies beyond them.

    Beyond by more than half a step, so that nothing counts that the range can hold: ReLU6's
    own 0 and 6 do not.

    Attributes:
        low, high: How many, at either limit.
        total: Of how many integers, over all photos.
    """

    low: int
    high: int
    total: int

    @property
    def share(self) -> float:
        """Of all integers, both limits together, 0-1."""
        return (self.low + self.high) / max(self.total, 1)

    def to_json(self) -> dict[str, Any]:
        """Counts and shares (0-1)."""
        total = max(self.total, 1)
        shares = {"low_share": self.low / total, "high_share": self.high / total}
        return {**dataclasses.asdict(self), **shares}


@dataclasses.dataclass(frozen=True)
class LayerError:
    """Where a layer's error comes from; every figure is 10·log10(Σ x² / Σ (x - x')²) dB.

    Attributes:
        name, kind: Of the float file's layer.
        sqnr_db: Of the activation: the error accumulated up to and including the layer.
        weights_sqnr_db: Of the weights; None for a layer without weights.
        activation_sqnr_db: Of the float model's activation stored with the quantized file's
            scale and zero point and nothing else: what the range alone costs. None where
            the file stores reals.
        saturation: None where the file stores reals.
        inputs: Positions of the layers that it reads, in the same tuple.
        rescaled: The quantized file stores the channels as ``(x - o) / s`` (equalization.py)
            or ``R·(x - o)`` (rotation.py), so that the two activations are different
            quantities. They are compared after ``x' = a·q + b`` with one a and b a channel,
            by least squares over the photos, or after ``x' = R⁻¹·q + b``, R from the weights.
            That hides a channel's constant error: 0.04 dB at Lite0's projections where
            biases are corrected, 0.4 dB where not (measured on files without rescaling).
    """

    name: str
    kind: str
    sqnr_db: float
    weights_sqnr_db: float | None = None
    activation_sqnr_db: float | None = None
    saturation: Saturation | None = None
    inputs: tuple[int, ...] = ()
    rescaled: bool = False

    def to_json(self) -> dict[str, Any]:
        """An entry of ``layers``. None is also an infinite figure, which JSON does not have."""
        record: dict[str, Any] = finite(dataclasses.asdict(self))
        record["saturation"] = self.saturation.to_json() if self.saturation else None
        return record


def compare_layers(
    float_model: bytes,
    quantized_model: bytes,
    photos: Sequence[Pixels],
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
) -> tuple[LayerError, ...]:
    """The errors of every layer over the photos, in execution order.

    Layers are lined up by name, or by position where a converter renamed them.

    Args:
        float_model, quantized_model: The files' bytes.
        photos: Gone through twice where layers are rescaled; only sums are kept.
        preprocessing: None takes what the files say of themselves.
        progress: Called after each photo.
    """
    first, second = LayerFile(float_model), LayerFile(quantized_model)
    pairs = _line_up(first.names, second.names)
    if not pairs:
        return ()
    matches = match_weights(first, second, pairs)
    one, other = (Predictor(file.model, preprocessing) for file in (first, second))
    infos = [(one.runner.outputs[left], other.runner.outputs[right]) for left, right in pairs]

    def run(label: str, add: Callable[[int, Array, Array], None], layers: Sequence[int]) -> None:
        for number, pixels in enumerate(photos, start=1):
            one.raw(pixels)
            other.raw(pixels)
            for layer in layers:
                left, right = pairs[layer]
                for block in _blocks(one.runner.output(left), other.runner.output(right)):
                    add(layer, *block)
            if progress:
                progress(number, len(photos), label)

    fits = {
        layer: _Fit(*infos[layer], match.scale)
        for layer, match in enumerate(matches)
        if match.scale is not None
    }
    if fits:
        run("lining up channels", lambda layer, *values: fits[layer].add(*values), [*fits])
    sums = [
        _Sums(*info, fits[layer].result() if layer in fits else None)
        for layer, info in enumerate(infos)
    ]
    run("layer by layer", lambda layer, *values: sums[layer].add(*values), range(len(sums)))
    positions = {first.output(left): position for position, (left, _) in enumerate(pairs)}
    return tuple(
        dataclasses.replace(
            layer.result(first.names[left], match),
            inputs=tuple(positions[tensor] for tensor in first.inputs(left) if tensor in positions),
        )
        for (left, _), match, layer in zip(pairs, matches, sums, strict=True)
    )


class _Fit:
    """f = a·q + b for each channel, least squares from sums; a is told where it is a matrix."""

    def __init__(self, float_info: TensorInfo, info: TensorInfo, scale: Vector | Matrix) -> None:
        self._float_info, self._info, self._scale = float_info, info, scale
        self._count = 0
        self._sums = np.zeros((4, len(scale)))  # of f, q, q², q·f

    def add(self, wanted: Array, stored: Array) -> None:
        f = self._float_info.dequantize(wanted).astype(np.float64)
        q = self._info.dequantize(stored).astype(np.float64)
        self._count += len(f)
        products = (np.einsum("ij,ij->j", q, other) for other in (q, f))
        self._sums += np.stack([f.sum(0), q.sum(0), *products])

    def result(self) -> tuple[Reals, Reals]:
        """The channels' a and b, float32, each (channels,); a matrix to multiply rows with.

        a is what the weights say where the photos say something else by more than a factor
        of 2: a channel that is hardly more than noise, which least squares would flatten.
        """
        f, q, qq, qf = self._sums / max(self._count, 1)
        if self._scale.ndim > 1:
            mixed = self._scale.T
            return mixed.astype(np.float32), (f - q @ mixed).astype(np.float32)
        variance, covariance = qq - q * q, qf - q * f
        told = np.where(np.isfinite(self._scale), self._scale, 1.0)
        varies = variance > 1e-12 * qq
        gain = np.where(varies, covariance / np.where(varies, variance, 1.0), told)
        gain = np.where((gain > told / 2) & (gain < told * 2), gain, told)  # 0 stays 0: a copy
        return gain.astype(np.float32), (f - gain * q).astype(np.float32)


class _Sums:
    """Signal and noise of one layer, and what its range does."""

    def __init__(
        self, float_info: TensorInfo, info: TensorInfo, mapping: tuple[Reals, Reals] | None
    ) -> None:
        self._float_info, self._info, self._mapping = float_info, info, mapping
        self._inverse: Array | None = None
        if mapping and mapping[0].ndim > 1:
            self._inverse = np.linalg.pinv(mapping[0])
        self._signal = self._noise = self._range_noise = 0.0
        self._low = self._high = self._total = 0

    def add(self, wanted: Array, stored: Array) -> None:
        """Blocks of raw values, (pixels, channels)."""
        real, found = self._float_info.dequantize(wanted), self._info.dequantize(stored)
        if self._mapping:
            gain, offset = self._mapping
            found = _times(found, gain) + offset
        self._signal += _energy(real)
        self._noise += _energy(real - found)
        if self._info.quantized:
            self._store(real, stored)

    def _store(self, real: Reals, stored: Array) -> None:
        if self._mapping:
            gain, offset = self._mapping
            if self._inverse is not None:
                real = (real - offset) @ self._inverse
            else:
                copy = gain == 0  # of another channel: nothing to compare
                real = np.where(copy, np.float32(0), (real - offset) / np.where(copy, 1, gain))
        limits, zero_point = np.iinfo(stored.dtype), self._info.zero_point
        low, high = limits.min - zero_point, limits.max - zero_point
        steps = real / np.float32(self._info.scale)
        nearest = np.rint(steps)
        if steps.min() < low - 0.5:
            self._low += int(((steps < low - 0.5) & (stored == limits.min)).sum())
            np.maximum(nearest, low, out=nearest)
        if steps.max() > high + 0.5:
            self._high += int(((steps > high + 0.5) & (stored == limits.max)).sum())
            np.minimum(nearest, high, out=nearest)
        nearest -= steps
        nearest *= np.float32(self._info.scale)
        if self._mapping:
            nearest = _times(nearest, gain)
        self._range_noise += _energy(nearest)
        self._total += stored.size

    def result(self, name: LayerName, match: WeightMatch) -> LayerError:
        stored = self._info.quantized
        return LayerError(
            name=name.name,
            kind=name.kind,
            sqnr_db=decibel(self._signal, self._noise),
            weights_sqnr_db=match.sqnr_db,
            activation_sqnr_db=decibel(self._signal, self._range_noise) if stored else None,
            saturation=Saturation(self._low, self._high, self._total) if stored else None,
            rescaled=self._mapping is not None,
        )


def _times(values: Reals, gain: Reals) -> Reals:
    """(pixels, channels) by one factor a channel, or by a matrix."""
    product: Reals = values @ gain if gain.ndim > 1 else values * gain
    return product


def _energy(values: Reals) -> float:
    """Σ x² in float64."""
    wide = values.astype(np.float64).reshape(-1)
    return float(np.dot(wide, wide))


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The same rows of each, (pixels, channels), a cacheful at a time."""
    channels = arrays[0].shape[-1] if arrays[0].ndim else 1
    tables = [array.reshape(-1, channels) for array in arrays]
    rows = max(1, _BLOCK // max(channels, 1))
    for start in range(0, len(tables[0]), rows):
        yield tuple(table[start : start + rows] for table in tables)


def _line_up(first: Sequence[LayerName], second: Sequence[LayerName]) -> list[tuple[int, int]]:
    kinds = [[(layer.kind, layer.shape) for layer in layers] for layers in (first, second)]
    if kinds[0] == kinds[1]:
        return [(number, number) for number in range(len(first))]
    by_name = {(layer.name, layer.shape): number for number, layer in enumerate(second)}
    return list(_by_name(first, by_name))


def _by_name(
    first: Sequence[LayerName], by_name: dict[tuple[str, tuple[int, ...]], int]
) -> Iterator[tuple[int, int]]:
    for number, layer in enumerate(first):
        # Fused operators carry all their names, joined by semicolons.
        for name in itertools.chain([layer.name], layer.name.split(";")):
            if (name, layer.shape) in by_name:
                yield number, by_name[name, layer.shape]
                break
