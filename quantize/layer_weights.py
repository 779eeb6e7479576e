"""Two files' weights, layer by layer: how far apart they are, and what is stored rescaled.

Stage ``equalize`` (equalization.py) stores the tensors of a residual stream as
``x' = (x - o) / s``, one o and one s a channel. Weights tell s: a layer that writes such a
tensor has weights ``W / s`` along its output channels, one that reads it ``W·s`` along its
input channels. So in execution order, per output channel c,

    r_c = <W'_c, W_c> / <W_c, W_c>,   s_c = 1 / r_c

with W the first file's weights and W' the second's after the division by the s of what the
layer reads. An addition passes on the s of its inputs.

Stage ``rotate`` (rotation.py) stores them as ``x' = R·(x - o)``. Rows of weights are many times
as long as there are of them, so that they tell R by least squares, too: ``R = W'·W⁺``. R⁻¹ then
stands in the place of s.

Stage ``stem`` (stem.py) computes a noisy channel several times, in channels that were 0. Such a
channel's weights are another's in the first file, a depthwise layer goes on channel by channel,
and what reads them all takes a share of each: the shares are added up, and of the copies
themselves nothing is compared.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.quantize.fidelity import decibel
from effnet_lite.quantize.graph import CHANNEL_AXIS, CONVERSIONS, WEIGHTED, Quantization
from effnet_lite.quantize.statistics import Matrix, Vector
from effnet_lite.quantize.tflite.file import schema, unpack
from effnet_lite.quantize.tflite.surgery import LayerName, operator_kinds, with_layer_outputs

Array = npt.NDArray[Any]

# What the weights of one channel have in common with others is rescaling only if it is more
# than rounding does (an 8-bit row's r is within 0.3 % of 1), and explains the difference:
# rounding errors leave about 1 in as many as a channel has weights to a common factor.
_LEAST_CHANGE = 0.01
_MOST_LEFT = 0.25
# Least squares with a matrix leaves 1/2 of unrelated weights where rows are twice as long as there
# are rows; rounding to 8 bits, 1/1000.
_MOST_LEFT_MIXED = 0.05
# Singular values below that share of the largest are of channels that nothing tells of.
_LEAST_TOLD = 1e-5
# Cosine of a channel's weights and those that it holds, or holds no more. Rounding to 8 bits
# leaves 0.999.
_SAME, _OTHER = 0.99, 0.9

# Each output channel comes from the same channel of the inputs, and a factor goes through.
_PASSING = frozenset({"AVERAGE_POOL_2D", "MEAN"})
_TYPES = ("FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16", "INT32")


@dataclasses.dataclass(frozen=True)
class WeightMatch:
    """A layer of the second file against the same layer of the first.

    Attributes:
        sqnr_db: 10·log10(Σ W² / Σ (W - W')²) with the rescaling undone; None for a layer
            without weights, or with others.
        scale: s of its output, (channels,), NaN for a channel that nothing tells it of and 0
            for a copy of another; R⁻¹, (channels, channels), where channels are mixed; None
            for a layer that is neither rescaled nor mixed.
    """

    sqnr_db: float | None = None
    scale: Vector | Matrix | None = None


class LayerFile:
    """A file with every layer's activation as an output, and its constants.

    Attributes:
        model: The file's bytes.
        names: Of the layers, in execution order.
    """

    def __init__(self, model: bytes) -> None:
        self.model, self.names = with_layer_outputs(model)
        self._tree = unpack(self.model)
        self._graph = self._tree.subgraphs[0]
        kinds = operator_kinds(self._tree)
        self._producers = {
            int(tensor): (kind, op)
            for kind, op in zip(kinds, self._graph.operators, strict=True)
            for tensor in op.outputs
        }

    def output(self, layer: int) -> int:
        """The layer's tensor."""
        return int(self._graph.outputs[layer])

    def inputs(self, layer: int) -> list[int]:
        """The layer's inputs, conversions of type left out; -1 for one that is left out."""
        _, op = self._producers[self.output(layer)]
        return [] if op.inputs is None else [self._origin(int(tensor)) for tensor in op.inputs]

    def weights(self, layer: int) -> Array | None:
        """The layer's weights as reals, laid out as in the file; None where it has none."""
        inputs = self.inputs(layer)
        if self.names[layer].kind not in WEIGHTED or len(inputs) < 2 or inputs[1] < 0:
            return None
        tensor = self._graph.tensors[inputs[1]]
        data = self._tree.buffers[tensor.buffer].data
        names = {getattr(schema().TensorType, name): name.lower() for name in _TYPES}
        if data is None or tensor.type not in names or tensor.sparsity is not None:
            return None
        shape = tuple(int(side) for side in tensor.shape)
        values = np.frombuffer(data, np.dtype(names[tensor.type]).newbyteorder("<"))
        if values.size != math.prod(shape) or len(shape) <= CHANNEL_AXIS[self.names[layer].kind]:
            return None
        return _reals(values.reshape(shape), tensor.quantization)

    def _origin(self, tensor: int) -> int:
        for _ in self._producers:  # no more steps than that, even in a graph that is a ring
            kind, op = self._producers.get(tensor, ("", None))
            if kind not in CONVERSIONS:
                break
            tensor = int(op.inputs[0])
        return tensor


def match_weights(
    first: LayerFile, second: LayerFile, pairs: Sequence[tuple[int, int]]
) -> list[WeightMatch]:
    """Compare the weights of layers that were lined up, in execution order.

    A tensor counts as rescaled only if all that is lined up and reads it takes the scale
    back: weights that are simply wrong remain an error.
    """
    refused: set[int] = set()
    while True:
        walk = _Walk(first, second, refused)
        matches = [walk.match(left, right) for left, right in pairs]
        if not walk.doubtful:
            return matches
        refused |= walk.doubtful


class _Walk:
    """From layer to layer in execution order, with the scales that writers' weights tell."""

    def __init__(self, first: LayerFile, second: LayerFile, refused: set[int]) -> None:
        self._first, self._second, self._refused = first, second, refused
        # By tensor of the second file: its scale, and the weighted layers' outputs it is from.
        self._scales: dict[int, tuple[Vector | Matrix, frozenset[int]]] = {}
        self._copies: dict[int, dict[int, int]] = {}  # by tensor: channel → of which
        self._written: set[int] = set()
        self._confirmed: set[int] = set()
        self._contradicted: set[int] = set()

    @property
    def doubtful(self) -> set[int]:
        """Weighted layers' outputs whose scale some reader, or every one, ignores."""
        return (self._written - self._confirmed) | self._contradicted

    def match(self, left: int, right: int) -> WeightMatch:
        layer, output = self._second.names[right], self._second.output(right)
        inputs = self._second.inputs(right)
        given = [self._scales[tensor] for tensor in inputs if tensor in self._scales]
        sources = frozenset[int]().union(*(origin for _, origin in given))
        wanted, found = self._first.weights(left), self._second.weights(right)
        if wanted is not None and found is not None and wanted.shape == found.shape:
            copies = self._copies.get(inputs[0], {})
            if copies and layer.kind != "DEPTHWISE_CONV_2D":
                found, copies = _added_up(found, copies), {}
            match, confirms, copies = _match(
                CHANNEL_AXIS[layer.kind],
                wanted.astype(np.float64),
                found.astype(np.float64),
                given[0][0] if given else None,
                output not in self._refused,
                copies,
            )
            (self._confirmed if confirms else self._contradicted).update(sources)
            if match.scale is not None:
                self._written.add(output)
                self._scales[output] = match.scale, frozenset([output])
                self._copies[output] = copies
            return match
        scale = _passed_on(layer, [entry for entry, _ in given], len(inputs))
        if scale is None:
            self._contradicted |= sources
        else:
            self._scales[output] = scale, sources
        return WeightMatch(scale=scale)


def _match(
    axis: int,
    wanted: Vector,
    found: Vector,
    given: Vector | Matrix | None,
    may_scale: bool,
    copies: dict[int, int],
) -> tuple[WeightMatch, bool, dict[int, int]]:
    """The match, whether the layer takes back the scale of what it reads, and its copies."""
    rows, others = _rows(axis, wanted), _rows(axis, found)
    untouched = float(np.square(others - rows).sum())
    if given is not None:
        if given.shape[:1] != found.shape[-1:]:
            return _match(axis, wanted, found, None, may_scale, {})[0], False, {}
        others = _rows(axis, _taken_back(wanted, found, given))
    if may_scale:
        copies = copies or _find_copies(rows, others)
        others = others.copy()
        others[[*copies]] = rows[[*copies]]
    power = np.square(rows).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (rows * others).sum(1) / power
    told = ratio > 0  # not so for a row of zeros, NaN
    factor = np.where(told, ratio, 1.0)[:, np.newaxis]
    noise = float(np.square(others - rows).sum())
    left = float(np.square(others - factor * rows).sum())
    if may_scale and not copies and axis == 0 and left > _MOST_LEFT_MIXED * power.sum():
        mixed = _mixed(rows, others)
        if mixed:
            return mixed, True, {}
    if given is not None and left >= _MOST_LEFT * untouched:
        return _match(axis, wanted, found, None, may_scale, {})[0], False, {}
    rescaled = may_scale and np.abs(factor - 1).max() > _LEAST_CHANGE and left < _MOST_LEFT * noise
    if not rescaled and not (may_scale and copies):
        return WeightMatch(decibel(float(power.sum()), noise)), True, {}
    scale = np.where(told, 1 / factor[:, 0], np.nan) if rescaled else np.ones(len(rows))
    scale[[*copies]] = 0
    noise = float(np.square(others / (factor if rescaled else 1.0) - rows).sum())
    return WeightMatch(decibel(float(power.sum()), noise), scale), True, copies


def _taken_back(wanted: Vector, found: Vector, given: Vector | Matrix) -> Vector:
    """The weights that read ``given`` as they would read what it was before."""
    if given.ndim > 1:
        back: Vector = found @ np.linalg.pinv(given, rcond=_LEAST_TOLD)
        return back
    # A channel without s is constant: its weights are as good as a bias.
    told = np.isfinite(given) & (given != 0)
    scaled: Vector = np.where(told, found / np.where(told, given, 1.0), wanted)
    return scaled


def _mixed(rows: Vector, others: Vector) -> WeightMatch | None:
    """The match of rows that mix those of the first file; None for rows that do not."""
    count, length = rows.shape
    if length < 2 * count or not np.isfinite(rows).all() or not np.isfinite(others).all():
        return None
    matrix = np.linalg.lstsq(rows.T, others.T, rcond=None)[0].T
    left = float(np.square(others - matrix @ rows).sum())
    if left >= _MOST_LEFT_MIXED * float(np.square(others).sum()):
        return None
    inverse: Matrix = np.linalg.pinv(matrix, rcond=_LEAST_TOLD).astype(np.float64)
    noise = float(np.square(inverse @ others - rows).sum())
    return WeightMatch(decibel(float(np.square(rows).sum()), noise), inverse)


def _find_copies(rows: Vector, others: Vector) -> dict[int, int]:
    """Channels of ``others`` that hold another channel's weights, and whose."""
    lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, others)]
    one, other = (
        each / np.where(length > 0, length, 1.0)
        for each, length in zip((rows, others), lengths, strict=True)
    )
    own = (one * other).sum(1)
    copies = {}
    for channel in np.flatnonzero((own < _OTHER) & (lengths[1][:, 0] > 0)):
        alike = np.where(own > _SAME, one @ other[channel], 0)
        if alike.max() > _SAME:
            copies[int(channel)] = int(alike.argmax())
    return copies


def _added_up(weights: Array, copies: dict[int, int]) -> Array:
    """Weights by input channel, those of copies added to their owner's."""
    total = weights.astype(np.float64)
    for channel, owner in copies.items():
        total[..., owner] += total[..., channel]
    return total


def _rows(axis: int, weights: Vector) -> Vector:
    """(output channels, weights of each)."""
    rows = np.moveaxis(weights, axis, 0)
    return rows.reshape(len(rows), -1)


def _passed_on(
    layer: LayerName, given: list[Vector | Matrix], inputs: int
) -> Vector | Matrix | None:
    """The scale of the output of a layer without weights; None where there is none."""
    if not given or any(scale.shape[:1] != layer.shape[-1:] for scale in given):
        return None
    if layer.kind not in _PASSING and (layer.kind != "ADD" or len(given) < inputs):
        return None
    result = given[0]
    if any(scale.shape != result.shape for scale in given):
        return None
    for scale in given[1:]:
        result = np.where(np.isfinite(result), result, scale)
    return result


def _reals(values: Array, quantization: Any) -> Array | None:
    if quantization is None or quantization.scale is None or len(quantization.scale) == 0:
        return values if values.dtype.kind == "f" else None
    scale, axis = quantization.scale, quantization.quantizedDimension
    if len(scale) > 1 and (axis >= values.ndim or len(scale) != values.shape[axis]):
        return None
    zeros = quantization.zeroPoint
    if zeros is None or len(zeros) != len(scale):
        zeros = np.zeros(len(scale))
    return Quantization(
        np.asarray(scale, np.float32), np.asarray(zeros, np.int64), axis
    ).dequantize(values)
