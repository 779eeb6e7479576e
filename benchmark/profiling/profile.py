"""Where the time of a .tflite file goes: each layer's time, work, traffic and share of the roof.

The times are the runtime's own, of single operators inside the whole network. Beside them, by
turns and in the same process, the same kernels run without a profiler through the interpreter
that everybody uses: the two must agree, and :attr:`Profile.ratio` says how well they do.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from effnet_lite.benchmark.host.conditions import Watch, snapshot, spread_complaints
from effnet_lite.benchmark.host.emulation import emulated
from effnet_lite.benchmark.host.latency import processor
from effnet_lite.benchmark.inspection import LayerSummary, inspect
from effnet_lite.benchmark.profiling import process, xnnpack_ops
from effnet_lite.benchmark.profiling.layer_work import Work, read_work
from effnet_lite.benchmark.profiling.litert_profiler import BUILTIN, KERNELS, XNNPACK, library_of
from effnet_lite.benchmark.profiling.process import Raw, Task
from effnet_lite.benchmark.profiling.roofline import Peaks
from effnet_lite.errors import EffnetLiteError, UsageError
from effnet_lite.finite import finite
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.runtime import MAX_THREADS, find_runtime

RUNTIME = "litert"
#: As the command line's ``--delegate`` calls the kernels.
DELEGATES = {"cpu": XNNPACK, "none": BUILTIN}
MAX_RUNS = 100_000
TOP = 15

# Shorter times are mostly the rounding of the profiler's clock, which counts microseconds.
_LEAST_MS = 0.003


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """One operator of the file.

    Attributes:
        number, kind, name: As ``inspect`` has them.
        ms: Of one inference; 0 for what takes under a microsecond or runs only when loading.
        share: Of all layers' time, 0 to 1.
        madds: Multiply-adds.
        bytes: Weights and activations that it reads and writes; 0 where ``timed_in`` has them.
        gops: 10⁹ operations a second, a multiply-add being two; None where there are none, or
            the time is too short to say.
        roof: The least time at this machine's measured peaks over ``ms``: 1 is all that it can
            do. None where the peaks are not known, or the time is too short to say.
        kernel: What XNNPACK calls it; empty for a built-in kernel.
        timed_in: Number of the layer whose time holds this one's, if XNNPACK made them one.
    """

    number: int
    kind: str
    name: str
    ms: float
    share: float
    madds: int
    bytes: int
    gops: float | None
    roof: float | None
    kernel: str = ""
    timed_in: int | None = None

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return 2 * self.madds / self.bytes if self.bytes else 0.0


@dataclasses.dataclass(frozen=True)
class KindTime:
    """All layers of a kind together; as for :class:`LayerTime`."""

    kind: str
    layers: int
    ms: float
    share: float
    madds: int
    bytes: int
    gops: float | None


@dataclasses.dataclass(frozen=True)
class Profile:
    """What :func:`profile` found; times in milliseconds.

    Attributes:
        model, sha256: The file.
        runtime, version: ``litert`` and its release.
        kernels: ``xnnpack`` or ``builtin``.
        device: The processor.
        threads, cores, warmup, runs: As asked for; ``runs`` with the profiler, as many without.
        layers: In the file's order.
        inference_ms: Measured without the profiler: the mean of the quieter half of the runs, as
            the layers' times together are that of the runs with it.
        peaks: Of this machine; None if they were not asked for.
        noise: Why the figures may be off, a sentence each.
        conditions: What the machine was like.
    """

    model: str
    sha256: str
    runtime: str
    version: str
    kernels: str
    device: str
    threads: int
    warmup: int
    runs: int
    layers: tuple[LayerTime, ...]
    inference_ms: float
    peaks: Peaks | None = None
    cores: tuple[int, ...] = ()
    noise: tuple[str, ...] = ()
    conditions: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def layers_ms(self) -> float:
        """Of all layers together."""
        return sum(layer.ms for layer in self.layers)

    @property
    def ratio(self) -> float:
        """Layers' time over the measured inference: 1 where it is all explained."""
        return self.layers_ms / self.inference_ms

    @property
    def by_kind(self) -> tuple[KindTime, ...]:
        """Sums, the costliest first."""
        kinds = dict.fromkeys(layer.kind for layer in self.layers)
        found = [
            _sum(kind, [layer for layer in self.layers if layer.kind == kind]) for kind in kinds
        ]
        return tuple(sorted(found, key=lambda kind: -kind.ms))

    def costliest(self, count: int = TOP) -> tuple[LayerTime, ...]:
        """The layers that take most time, the first first."""
        return tuple(sorted(self.layers, key=lambda layer: -layer.ms)[:count])

    def to_json(self) -> dict[str, Any]:
        """One entry of ``profiles`` in ``benchmark --json``."""
        document: dict[str, Any] = finite(
            {
                **dataclasses.asdict(self),
                "layers_ms": self.layers_ms,
                "ratio": self.ratio,
                "by_kind": [dataclasses.asdict(kind) for kind in self.by_kind],
            }
        )
        return document


def profile(
    model: str | os.PathLike[str],
    *,
    kernels: str = XNNPACK,
    threads: int = 1,
    runs: int = 50,
    warmup: int = 5,
    cores: Sequence[int] = (),
    seed: int = 0,
    peaks: bool = True,
    progress: Progress | None = None,
) -> Profile:
    """Time each layer of a .tflite file on this machine.

    Args:
        model: The file.
        kernels: ``xnnpack``, which runs whatever it can, or ``builtin``.
        threads: CPU threads; 1 for the built-in kernels, which the profiler runs on one only.
        runs: Inferences with the profiler, and as many without.
        warmup: Inferences thrown away, of both.
        cores: Pin the process to these.
        seed: Of the random input.
        peaks: Measure what this machine can do at most, too; takes about a second.
        progress: Called as the timing goes on.

    Raises:
        UsageError: A number or name is out of range.
        InputError: Not a model, the runtime refuses it, or its operators cannot be told apart.
        MissingDependencyError: ai-edge-litert is not installed.
        EffnetLiteError: The runtime has no profiler that can be reached, its profiler crashes,
            or this machine is emulated.
    """
    _check(kernels, threads, runs, warmup)
    inspection = inspect(model)
    emulation = emulated()
    if emulation:
        raise EffnetLiteError(f"no profile: {emulation}, whose times say nothing")
    runtime = find_runtime(RUNTIME)
    library_of(runtime)  # fails here with a clear word, not in the other process
    work = read_work(read_model(model))
    task = Task(
        model=os.fspath(model), kernels=kernels, threads=threads, runs=runs, warmup=warmup,
        seed=seed, cores=tuple(cores),
        peaks=tuple(dict.fromkeys(filter(None, work.dtypes))) if peaks else (),
    )  # fmt: skip
    before, own = snapshot(), time.process_time()
    raw = process.run(task, progress)
    watch = Watch()
    watch.add(before, snapshot(), time.process_time() - own + raw.cpu_seconds)
    return Profile(
        model=os.fspath(model),
        sha256=inspection.sha256,
        runtime=runtime.name,
        version=runtime.version,
        kernels=kernels,
        device=processor(),
        threads=threads,
        warmup=warmup,
        runs=runs,
        layers=_layers(inspection.layers, work, raw),
        inference_ms=raw.inference_ms,
        peaks=raw.peaks,
        cores=tuple(cores),
        noise=tuple(watch.complaints() + spread_complaints([np.asarray(raw.inference_times_ms)])),
        conditions=watch.conditions(),
    )


def why_not(runtime: str, delegate: str = "cpu", threads: int = 1) -> str | None:
    """Why there is no profile of this combination; None if :func:`profile` can make one.

    Args:
        runtime: A name from ``RUNTIMES``.
        delegate: As on the command line.
        threads: CPU threads.
    """
    if runtime != RUNTIME:
        return (
            f"{runtime} has no profiler that Python can reach: leave --profile out, or profile "
            "with --runtime litert"
        )
    if delegate not in DELEGATES:
        return (
            f"the profiler does not see into the delegate {delegate}: leave --profile out, or "
            f"profile with --delegate {' or '.join(DELEGATES)}"
        )
    return _one_thread(threads) if DELEGATES[delegate] == BUILTIN and threads > 1 else None


def _one_thread(threads: int) -> str:
    # litert 2.3 compiles a model for the built-in kernels without a word of threads.
    return (
        f"the profiler runs the built-in kernels on one thread, not on {threads}: "
        "profile with --threads 1, or with --delegate cpu"
    )


def _layers(layers: Sequence[LayerSummary], work: Work, raw: Raw) -> tuple[LayerTime, ...]:
    owners = xnnpack_ops.assign(work.nodes, raw.events)
    total = sum(raw.event_ms)
    found = []
    for layer, owner, dtype in zip(layers, owners, work.dtypes, strict=True):
        ms = sum(raw.event_ms[position] for position in owner.events)
        together = {number for number, other in enumerate(owners) if other.timed_in == layer.number}
        moved = 0 if owner.timed_in is not None else work.bytes_of({layer.number, *together})
        measurable = ms >= _LEAST_MS
        least = raw.peaks.least_ms(dtype or "", layer.madds, moved) if raw.peaks else None
        found.append(
            LayerTime(
                number=layer.number,
                kind=layer.kind,
                name=layer.name,
                ms=ms,
                share=ms / total if total else 0.0,
                madds=layer.madds,
                bytes=moved,
                gops=_gops(layer.madds, ms) if measurable else None,
                roof=least / ms if measurable and least is not None else None,
                kernel=" + ".join(
                    raw.events[position].name
                    for position in owner.events
                    if raw.events[position].delegated
                ),
                timed_in=owner.timed_in,
            )
        )
    return tuple(found)


def _sum(kind: str, layers: Sequence[LayerTime]) -> KindTime:
    ms, madds = sum(layer.ms for layer in layers), sum(layer.madds for layer in layers)
    return KindTime(
        kind=kind,
        layers=len(layers),
        ms=ms,
        share=sum(layer.share for layer in layers),
        madds=madds,
        bytes=sum(layer.bytes for layer in layers),
        gops=_gops(madds, ms) if ms >= _LEAST_MS else None,
    )


def _gops(madds: int, ms: float) -> float | None:
    return 2 * madds / ms / 1e6 if madds else None


def _check(kernels: str, threads: int, runs: int, warmup: int) -> None:
    if kernels not in KERNELS:
        raise UsageError(f"unknown kernels {kernels!r}; expected {' or '.join(KERNELS)}")
    for name, value, least, most in (
        ("threads", threads, 1, MAX_THREADS),
        ("runs", runs, 1, MAX_RUNS),
        ("warmup", warmup, 0, MAX_RUNS),
    ):
        if not least <= value <= most:
            raise UsageError(f"{name} must be {least} to {most}, got {value}")
    if kernels == BUILTIN and threads > 1:
        raise UsageError(_one_thread(threads))
