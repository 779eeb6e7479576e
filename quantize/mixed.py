"""Stages ``int16`` and ``float``: the layers that int8 costs most, kept in a wider type.

What a layer costs is measured on the network itself: how far the error of the logits falls
when that one is kept wide,

    gain(L) = 10·log10(‖f - q‖² / ‖f - q_L‖²) dB

with f the float logits, q those of the graph as it is, q_L those with the layer L kept wide,
all with their mean over the classes taken away. The layer with the greatest gain for its cost
is taken, gains are measured anew, and so on until the error is small enough or no layer
gains enough. To choose layers greedily by what they cost the result is Dong et al., "HAWQ"
(arXiv 1905.03696), who estimate it, and Nagel et al., "A White Paper on Neural Network
Quantization" (arXiv 2106.08295), section 4, who measure it.

The choice is made before weights are rounded and biases corrected: those stages make up for
the errors of the layers before, and are wrong when these are taken away afterwards (a B0 in
int8 at 15.7 dB comes to 16.0 dB with all its layers widened after them, to 25.4 dB before).

A wide layer has int8 weights like all others, so that the file does not grow:

- ``int16``: activations int16 (symmetric), biases int64; QUANTIZE at the borders. From int8
  it is exact. TFLite's int16 kernels are plain loops on a CPU.
- ``float``: activations and biases float32; DEQUANTIZE and QUANTIZE at the borders, and a
  DEQUANTIZE behind the weights, which the runtimes do once. Its weights are rounded to the
  nearest.

What the choices cost in bytes, fidelity and latency is measured on the way (:class:`Cost`).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.finite import finite
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration import Ranges, logits_of
from effnet_lite.quantize.graph import (
    CONVERSIONS,
    WEIGHTED,
    Graph,
    Op,
    OpKind,
    Quantization,
    Tensor,
)
from effnet_lite.quantize.quantizer import output_quantization, quantize_bias
from effnet_lite.quantize.recipe import Kind
from effnet_lite.quantize.sequential import input_encoder
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

Logits = npt.NDArray[np.float64]

#: Where nothing needs to be wide. Measured before rounding and bias correction, where Lite0-2
#: stand at 18 to 20 dB (and at 26 to 27 dB after them).
TARGET_DB = 17.5
TARGET = 10 ** (-TARGET_DB / 10)  # noise over signal
#: A layer that gains less is not worth its conversions, and may do so by chance.
MIN_GAIN_DB = 0.3
# Every block is measured on every photo; in large networks on as few as keep it to minutes.
MAX_PHOTOS, MIN_PHOTOS = 32, 4
WORK = 1.5e12  # multiply-adds
# What a value written costs beside a multiply-add: elementwise kernels and conversions read
# and write memory for each.
ELEMENT_COST = 10

# Inferences of each of two files by turns; slow ones (int16 on a CPU) as many as take this long.
TIMED_RUNS, TIMED_SECONDS = 200, 2.0

# Tensor names of export.py: block2a_expand_conv, block2a_dwconv, block2a_sigmoid,
# block2a_se_gate, block2a_project_conv, block2a_add, stem_conv, top_activation, …
_BLOCK = re.compile(r"(block\d+[a-z]+)_(?:(expand|se|project|add)_?)?")
_PARTS = {"add": "project", None: "dwconv"}
_WHOLE = {"normalization": "stem", "avg": "head", "logits": "head"}


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """Operators that are kept wide together.

    Attributes:
        name: As ``block2a_se``, ``block2a`` or ``stem``.
        costs: What each of their output tensors costs to compute: multiply-adds, and
            :data:`ELEMENT_COST` for each value.
        parent: The segment that this one is a part of, None for the largest.
    """

    name: str
    costs: Mapping[int, float]
    parent: str | None = None

    @property
    def outputs(self) -> frozenset[int]:
        """The tensors that the operators write."""
        return frozenset(self.costs)


@dataclasses.dataclass(frozen=True)
class Cost:
    """A network with one more segment wide than before, as it is before refinement.

    Attributes:
        name: Of the segment; None for the network in int8 that the choices start from.
        kind: ``int16`` or ``float``; of the first, too.
        sqnr_db: Of the centred logits, against float32 (as :mod:`effnet_lite.quantize.fidelity`);
            with layers wide in float32 also where they are going to be int16.
        agreement: Share of the photos (0-1) with the same first class as in float32.
        photos: Calibration photos that this was measured on.
        bytes: Of the file, without description and labels.
        latency: Of an inference on this host's CPU, one thread, over that of the network in
            int8: the quickest runs of both, taken by turns.
    """

    name: str | None
    kind: Kind
    sqnr_db: float
    agreement: float
    photos: int
    bytes: int
    latency: float

    def to_json(self) -> dict[str, Any]:
        """An entry of ``wide`` in ``convert --json``."""
        record: dict[str, Any] = finite(dataclasses.asdict(self))
        return record


def widen(
    quantized: Graph,
    float_graph: Graph,
    ranges: Ranges,
    photos: Iterable[Pixels],
    preprocessing: Preprocessing,
    kind: Kind,
    progress: Progress | None = None,
) -> tuple[Graph, tuple[Cost, ...]]:
    """Keep the layers wide that int8 costs most.

    Args:
        quantized: int8, not yet refined; left as it is.
        float_graph: What it was made from, of the same operators and tensor indices.
        ranges: Of the float graph's activations.
        photos: Calibration photos; the first :data:`MAX_PHOTOS` or fewer are used.
        preprocessing: Of the network.
        kind: ``int16`` or ``float``.
        progress: Called as the work goes on.

    Returns:
        The graph with the chosen layers wide, in which every operator but conversions still
        writes the tensor of the same index; ``quantized`` itself where nothing needs it. And
        what it costs: the network in int8, then with one more segment wide each time.
    """
    candidates = segments(float_graph)
    whole = [segment for segment in candidates if segment.parent is None]
    work = len(whole) * sum(sum(segment.costs.values()) for segment in whole)
    count = max(MIN_PHOTOS, min(MAX_PHOTOS, int(WORK / work)))
    judge = _Judge(quantized, float_graph, ranges, itertools.islice(photos, count), preprocessing)
    chosen = choose(candidates, judge.noise, progress)
    result, costs = quantized, [judge.cost(quantized, None, kind, frozenset())]
    wide: frozenset[int] = frozenset()
    for number, segment in enumerate(chosen, start=1):
        wide |= segment.outputs
        result = keep_wide(quantized, ranges, wide, kind)
        costs.append(judge.cost(result, segment.name, kind, wide))
        if progress:
            progress(number, len(chosen), "measuring what wide layers cost")
    return result, tuple(costs)


def wide_layers(graph: Graph) -> tuple[str, ...]:
    """The names of the layers that a graph computes wider than int8, in execution order."""
    return tuple(
        graph.tensors[op.output].name
        for op in graph.ops
        if op.kind not in CONVERSIONS and graph.tensors[op.output].dtype != "int8"
    )


def segments(graph: Graph) -> list[Segment]:
    """What may be kept wide: stem, top, head, every block, and every block's parts.

    A block's parts are its expansion, its depthwise convolution, its squeeze-and-excite and
    its projection, each with the activation or addition behind it. A softmax stays as it is:
    8 bits of probability are what is asked for.
    """
    costs: dict[tuple[str, str | None], dict[int, float]] = {}
    for op in graph.ops:
        if op.kind == "SOFTMAX":
            continue
        name = graph.tensors[op.output].name
        match = _BLOCK.match(name)
        first = name.partition("_")[0]
        keys: list[tuple[str, str | None]] = [(_WHOLE.get(first, first), None)]
        if match:
            part = _PARTS.get(match[2], match[2])
            keys = [(match[1], None), (f"{match[1]}_{part}", match[1])]
        for key in keys:
            costs.setdefault(key, {})[op.output] = _cost(graph, op)
    return [Segment(name, found, parent) for (name, parent), found in costs.items()]


def _cost(graph: Graph, op: Op) -> float:
    values = math.prod(graph.tensors[op.output].shape)
    return float(ELEMENT_COST * values + graph.multiply_adds(op))


def choose(
    candidates: Sequence[Segment],
    noise: Callable[[frozenset[int]], float],
    progress: Progress | None = None,
) -> tuple[Segment, ...]:
    """What to keep wide, one segment after the other; a later one may hold an earlier one.

    Args:
        candidates: What may be kept wide.
        noise: Error of the logits over their signal (energies) with these tensors wide.
        progress: Called after each measurement.
    """
    return _Choice(candidates, noise, progress).run()


class _Choice:
    """Gains are measured anew only where they may change what is chosen next.

    A gain measured before something else was chosen tells about what it is now. Candidates
    are measured in the order of what they promise, until no other promises more; and parts
    of a segment only if the whole gains something.
    """

    def __init__(
        self,
        candidates: Sequence[Segment],
        noise: Callable[[frozenset[int]], float],
        progress: Progress | None,
    ) -> None:
        self._noise, self._progress = noise, progress
        self._wide: frozenset[int] = frozenset()
        self._chosen: list[Segment] = []
        self._now = noise(self._wide)
        self._relief: dict[Segment, float] = {}  # how much noise each took away, last time
        if self._now <= TARGET:
            return
        whole = [segment for segment in candidates if segment.parent is None]
        self._measure(whole)
        useful = {segment.name for segment in whole if self._gain(segment) >= MIN_GAIN_DB}
        self._measure([segment for segment in candidates if segment.parent in useful])

    def run(self) -> tuple[Segment, ...]:
        while self._now > TARGET:
            best = self._best()
            if best is None:
                break
            self._wide |= best.outputs
            self._chosen.append(best)
            self._now -= self._relief.pop(best)
        return tuple(self._chosen)

    def _best(self) -> Segment | None:
        best: Segment | None = None
        for segment in sorted(self._relief, key=self._score, reverse=True):
            if self._score(segment) <= (self._score(best) if best else 0.0):
                break
            self._measure([segment])
            if self._gain(segment) >= MIN_GAIN_DB and (
                best is None or self._score(segment) > self._score(best)
            ):
                best = segment
        return best

    def _measure(self, found: Sequence[Segment]) -> None:
        for number, segment in enumerate(found, start=1):
            self._relief[segment] = self._now - self._noise(self._wide | segment.outputs)
            if self._progress and len(found) > 1:
                self._progress(number, len(found), "measuring what int8 costs")

    def _gain(self, segment: Segment) -> float:
        """In dB."""
        left = max(self._now - self._relief[segment], self._now * 1e-6)
        return 10 * math.log10(self._now / left)

    def _score(self, segment: Segment) -> float:
        """dB for what it costs; nothing for what is wide already, or gains too little."""
        cost = sum(cost for tensor, cost in segment.costs.items() if tensor not in self._wide)
        gain = self._gain(segment)
        return gain / cost if cost and gain >= MIN_GAIN_DB / 2 else 0.0


def keep_wide(quantized: Graph, ranges: Ranges, wide: Collection[int], kind: Kind) -> Graph:
    """The graph with some operators wide, and conversions at their borders.

    Args:
        quantized: int8; left as it is.
        ranges: Of the activations, by tensor index, for int16 scales.
        wide: The tensors whose operators are to be wide.
        kind: ``int16`` or ``float``.

    Returns:
        A graph with the same inputs and outputs. A tensor's index and name stay with the
        operator that writes it; what is converted from it has the type in its name.
    """
    return _Widener(quantized, ranges, frozenset(wide), kind).run()


class _Widener:
    def __init__(self, quantized: Graph, ranges: Ranges, wide: frozenset[int], kind: Kind) -> None:
        self.graph = quantized.copy()
        self.ranges = ranges
        self.wide = wide
        self.kind: Kind = kind
        self.dtype = "int16" if kind == "int16" else "float32"
        self.ops: list[Op] = []
        self.twins: dict[int, int] = {}  # tensor → the same value in the other type
        self.narrow: dict[int, Quantization | None] = {}  # what wide tensors had in int8

    def run(self) -> Graph:
        graph = self.graph
        for op in graph.ops:
            wide = op.output in self.wide
            op.inputs = [
                tensor if graph.tensors[tensor].data is not None else self._as(wide, tensor)
                for tensor in op.inputs
            ]
            if wide:
                self._widen(op)
            self.ops.append(op)
        graph.outputs = [self._as(False, tensor) for tensor in graph.outputs]
        graph.ops = self.ops
        return graph

    def _as(self, wide: bool, tensor: int) -> int:
        """The tensor, or a converted one where its operator writes the other type."""
        if wide == (tensor in self.wide):
            return tensor
        if tensor not in self.twins:
            source = self.graph.tensors[tensor]
            twin = self._wide_twin(source) if wide else self._narrow_twin(tensor)
            self.twins[tensor] = self.graph.add_tensor(twin)
            kind: OpKind = "DEQUANTIZE" if twin.dtype == "float32" else "QUANTIZE"
            self.ops.append(Op(kind, [tensor], self.twins[tensor]))
        return self.twins[tensor]

    def _wide_twin(self, source: Tensor) -> Tensor:
        twin = Tensor(f"{source.name}_{self.dtype}", source.shape, self.dtype)
        if self.kind == "int16":
            # 128·(q - zero_point), at most 128·255 = 32640: no rounding, no clipping.
            twin.quantization = Quantization.per_tensor(float(source.scales[0]) / 128)
        return twin

    def _narrow_twin(self, tensor: int) -> Tensor:
        source = self.graph.tensors[tensor]
        return Tensor(f"{source.name}_int8", source.shape, "int8", None, self.narrow[tensor])

    def _widen(self, op: Op) -> None:
        """Make an operator that reads wide tensors write one."""
        graph, output = self.graph, self.graph.tensors[op.output]
        self.narrow[op.output] = output.quantization
        output.dtype, output.quantization = self.dtype, None
        if self.kind == "int16":
            output.quantization = output_quantization(graph, op, self.ranges, "int16")
        if op.kind not in WEIGHTED:
            return
        weights, bias = (graph.tensors[index] for index in op.inputs[1:3])
        reals = bias.reals
        if self.kind == "int16":
            quantize_bias(graph, op, reals, weights.quantized.scale)
            return
        bias.data, bias.dtype, bias.quantization = reals.astype(np.float32), "float32", None
        stored = graph.add_tensor(dataclasses.replace(weights, name=f"{weights.name}_int8"))
        weights.data, weights.dtype, weights.quantization = None, "float32", None
        self.ops.append(Op("DEQUANTIZE", [stored], op.inputs[1]))


class _Judge:
    """What a graph is like with some of its layers wide."""

    def __init__(
        self,
        quantized: Graph,
        float_graph: Graph,
        ranges: Ranges,
        photos: Iterable[Pixels],
        preprocessing: Preprocessing,
    ) -> None:
        logits = [logits_of(float_graph)]
        self.quantized, self.ranges = quantized.with_outputs(logits), ranges
        pixels = list(photos)
        runner = Runner(to_flatbuffer(float_graph.with_outputs(logits)))
        self.wanted = _centred([runner.run(preprocessing.normalize(p)[np.newaxis]) for p in pixels])
        encode = input_encoder(quantized, preprocessing)
        self.inputs = [encode(p) for p in pixels]
        self._narrow = to_flatbuffer(quantized)

    def noise(self, wide: frozenset[int]) -> float:
        """Σ(f - q)² / Σf² of the centred logits."""
        return self._noise(self._logits(wide))

    def cost(self, graph: Graph, name: str | None, kind: Kind, wide: frozenset[int]) -> Cost:
        """Of ``graph``, which has these tensors wide."""
        model, logits = to_flatbuffer(graph), self._logits(wide)
        noise, same = self._noise(logits), logits.argmax(1) == self.wanted.argmax(1)
        return Cost(
            name=name,
            kind=kind,
            sqnr_db=-10 * math.log10(noise) if noise else math.inf,
            agreement=float(same.mean()),
            photos=len(self.inputs),
            bytes=len(model),
            latency=self._latency(model) if wide else 1.0,
        )

    def _logits(self, wide: frozenset[int]) -> Logits:
        """Of all photos, kept wide as float: int16's own error is next to nothing."""
        graph = keep_wide(self.quantized, self.ranges, wide, "float")
        runner = Runner(to_flatbuffer(graph))
        return _centred([runner.outputs[0].dequantize(runner.run(value)) for value in self.inputs])

    def _noise(self, logits: Logits) -> float:
        signal = float(np.square(self.wanted).sum())
        # One class, whose centred logit is always 0, cannot be wrong.
        return float(np.square(logits - self.wanted).sum()) / signal if signal else 0.0

    def _latency(self, model: bytes) -> float:
        runners = [Runner(data, threads=1) for data in (self._narrow, model)]
        for runner in runners:
            runner.run(self.inputs[0])  # the first inference allocates
        times: list[list[float]] = [[], []]
        while len(times[0]) < TIMED_RUNS and sum(map(sum, times)) < TIMED_SECONDS:
            for runner, taken in zip(runners, times, strict=True):
                start = time.perf_counter()
                runner.invoke()
                taken.append(time.perf_counter() - start)
        return min(times[1]) / min(times[0])


def _centred(logits: Sequence[npt.NDArray[np.float32]]) -> Logits:
    """(photos, classes), each with its mean over the classes taken away."""
    found = np.concatenate(logits).astype(np.float64)
    centred: Logits = found - found.mean(axis=1, keepdims=True)
    return centred
