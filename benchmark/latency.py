"""Latency of a .tflite file on this machine, by a fixed protocol.

Warm-up runs are thrown away; then at least ``runs`` runs and ``min_seconds`` seconds are
timed one by one, and percentiles reported. Only the inference is timed: preprocessing is
the caller's. Loading and the first run, which prepares the kernels, are timed apart.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import UsageError
from effnet_lite.files import sha256
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.runtime import MAX_THREADS, Runner, find_runtime

MIN_WARMUP = 5
MAX_SECONDS = 86_400  # a day
SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Latency:
    """One measurement of one model; times in milliseconds.

    Attributes:
        model, model_sha256: The file.
        runtime, runtime_version: The interpreter.
        delegate: ``xnnpack`` or ``none``.
        device: The processor of this machine.
        threads, warmup, runs: The protocol.
        mean_ms, p50_ms, p90_ms, p99_ms, min_ms: Over the timed runs.
        init_ms: Loading and allocating.
        first_run_ms: The first run, apart from the warm-up.
        peak_rss_mib: Of the whole process, Python included.
        schema: Version of this record.
    """

    model: str
    model_sha256: str
    runtime: str
    runtime_version: str
    delegate: str
    device: str
    threads: int
    warmup: int
    runs: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    min_ms: float
    init_ms: float
    first_run_ms: float
    peak_rss_mib: float | None
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """One entry of ``records`` in ``benchmark --json``."""
        return dataclasses.asdict(self)


def benchmark(
    models: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    threads: int = 1,
    runs: int = 50,
    min_seconds: float = 1.0,
    warmup: int = MIN_WARMUP,
    xnnpack: bool = True,
    runtime: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Latency]:
    """Time models one after the other.

    Args:
        models: .tflite files.
        threads: CPU threads.
        runs, min_seconds: Both are reached before the timing ends.
        warmup: Runs thrown away before it.
        xnnpack: Whether the CPU delegate is applied.
        runtime: ``litert``, ``tflite-runtime`` or ``tensorflow``; None for the preferred.
        seed: Of the random input.
        progress: Called after each model.

    Raises:
        UsageError: A number is out of range.
        InputError: A file is not a model, or the runtime refuses it.
    """
    for name, value, least in (("threads", threads, 1), ("runs", runs, 1), ("warmup", warmup, 0)):
        if value < least:
            raise UsageError(f"{name} must be at least {least}, got {value}")
    if threads > MAX_THREADS:
        raise UsageError(f"threads must be at most {MAX_THREADS}, got {threads}")
    if not 0 <= min_seconds <= MAX_SECONDS:  # false for NaN, too
        raise UsageError(f"min_seconds must be 0 to {MAX_SECONDS}, got {min_seconds:g}")
    paths = [models] if isinstance(models, str | os.PathLike) else list(models)
    records = []
    for number, path in enumerate(paths, start=1):
        records.append(
            _measure(Path(path), threads, runs, min_seconds, warmup, xnnpack, runtime, seed)
        )
        if progress:
            progress(number, len(paths), "timing")
    return records


def processor() -> str:
    """The name of this machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _measure(
    path: Path,
    threads: int,
    runs: int,
    min_seconds: float,
    warmup: int,
    xnnpack: bool,
    runtime: str | None,
    seed: int,
) -> Latency:
    data = read_model(path)
    found = find_runtime(runtime)
    found.load()  # importing the package is no part of loading the model
    start = time.perf_counter()
    runner = Runner(data, threads, found, default_delegate=xnnpack)
    init = time.perf_counter() - start
    for number, info in enumerate(runner.inputs):
        runner.set_input(_random(info.shape, info.dtype, seed), number)
    first = _timed(runner)
    for _ in range(warmup):
        runner.invoke()
    times: list[float] = []
    end = time.perf_counter() + min_seconds
    while len(times) < runs or time.perf_counter() < end:
        times.append(_timed(runner))
    milliseconds = 1000 * np.asarray(times)
    p50, p90, p99 = np.percentile(milliseconds, [50, 90, 99])
    return Latency(
        model=str(path),
        model_sha256=sha256(data),
        runtime=found.name,
        runtime_version=found.version,
        delegate="xnnpack" if xnnpack else "none",
        device=processor(),
        threads=threads,
        warmup=warmup,
        runs=len(times),
        mean_ms=float(milliseconds.mean()),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        min_ms=float(milliseconds.min()),
        init_ms=1000 * init,
        first_run_ms=1000 * first,
        peak_rss_mib=_peak_rss_mib(),
    )


def _timed(runner: Runner) -> float:
    start = time.perf_counter()
    runner.invoke()
    return time.perf_counter() - start


def _random(shape: tuple[int, ...], dtype: str, seed: int) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return rng.uniform(-1, 1, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, np.int64, endpoint=True).astype(dtype)


def _peak_rss_mib() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
