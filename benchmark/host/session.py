"""One model in one interpreter, ready to be timed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from effnet_lite.benchmark.host import delegates
from effnet_lite.benchmark.host.inputs import dynamic_inputs, random_inputs
from effnet_lite.errors import EffnetLiteError, UsageError
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.tflite.description import read_description
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.predictor import preprocessing_of
from effnet_lite.quantize.tflite.runtime import Runner, find_runtime, input_codec

# A turn is so long at least: shorter ones would mostly time how a process wakes up.
TURN_SECONDS = 0.02
PREPROCESS_RUNS = 5


@dataclasses.dataclass(frozen=True)
class Setup:
    """What to load and how.

    Attributes:
        model: The file.
        runtime: A name from ``RUNTIMES``.
        delegate: As on the command line.
        delegate_options: For an external delegate.
        threads: CPU threads.
        cores: To pin the process to; none leaves it where it is.
        warmup: Runs thrown away.
        image: What to time the preprocessing on; None leaves it out.
        seed: Of the random input.
    """

    model: str
    runtime: str
    delegate: str
    threads: int
    warmup: int
    cores: tuple[int, ...] = ()
    delegate_options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    image: str | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What loading showed; times in milliseconds, ``cpu_seconds`` of the process so far."""

    runtime_version: str
    init_ms: float
    first_run_ms: float
    output_sha256: str
    delegated_ops: int | None
    ops: int | None
    preprocess_ms: tuple[float, ...]
    dynamic: tuple[str, ...]
    cpu_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Turn:
    """Successive timed runs, and what the process used up to their end.

    Attributes:
        times_ms: Of each run.
        cpu_seconds: Of the process since its start.
        peak_rss_mib, model_rss_mib: The process's peak so far, and what it grew since before
            the model was loaded; None where the system does not tell.
    """

    times_ms: tuple[float, ...]
    cpu_seconds: float
    peak_rss_mib: float | None
    model_rss_mib: float | None


class Session:
    """Loads at once; then :meth:`time` as often as wanted.

    Raises:
        InputError: Not a model, or the runtime refuses it.
        DelegateError: The delegate cannot be loaded or refuses the model.
        UsageError: The cores are not this machine's.
    """

    def __init__(self, setup: Setup) -> None:
        pin(setup.cores)
        data = read_model(setup.model)
        runtime = find_runtime(setup.runtime)
        runtime.load()  # importing the package is no part of loading the model
        spec = delegates.parse(setup.delegate)
        loaded = delegates.load(spec, runtime, setup.delegate_options)
        self._before = peak_rss_mib()
        start = time.perf_counter()
        with delegates.blaming(spec):
            self._runner = Runner(
                data, setup.threads, runtime, loaded, default_delegate=spec.name != delegates.NONE
            )
            init = time.perf_counter() - start
            self._runner.set_inputs(random_inputs(self._runner, setup.seed))
            first = self._timed()
        digest = hashlib.sha256()
        for number in range(len(self._runner.outputs)):
            digest.update(self._runner.output(number).tobytes())
        delegated, ops = self._runner.delegated
        self.loaded = Loaded(
            runtime_version=runtime.version,
            init_ms=1000 * init,
            first_run_ms=first,
            output_sha256=digest.hexdigest(),
            delegated_ops=delegated,
            ops=ops,
            preprocess_ms=self._preprocess(data, setup.image) if setup.image else (),
            dynamic=tuple(dynamic_inputs(self._runner)),
        )
        for _ in range(setup.warmup):
            self._runner.invoke()
        self._estimate = self._timed() / 1000
        self.loaded = dataclasses.replace(self.loaded, cpu_seconds=time.process_time())

    def time(self, most: int | None = None) -> Turn:
        """One turn: as many runs as fill ``TURN_SECONDS``.

        Args:
            most: Runs that are still wanted; None for any number.
        """
        runs = max(1, round(TURN_SECONDS / max(self._estimate, 1e-6)))
        if runs > 1:
            # Others had the caches since the last turn; what that costs is no part of a run.
            self._runner.invoke()
        times = tuple(self._timed() for _ in range(runs if most is None else min(runs, most)))
        self._estimate = sorted(times)[len(times) // 2] / 1000
        peak = peak_rss_mib()
        grown = None if peak is None or self._before is None else peak - self._before
        return Turn(times, time.process_time(), peak, grown)

    def _timed(self) -> float:
        start = time.perf_counter()
        self._runner.invoke()
        return 1000 * (time.perf_counter() - start)

    def _preprocess(self, data: bytes, image: str) -> tuple[float, ...]:
        """Milliseconds from a file to an input tensor; nothing for models of something else."""
        try:
            info = self._runner.image_input
            description = read_description(data)
            preprocessing: Preprocessing = preprocessing_of(data, self._runner, description)
        except EffnetLiteError:
            return ()
        if info.shape[1] != info.shape[2] or preprocessing.size != info.shape[1]:
            return ()
        encode = input_codec(info, preprocessing.mean, preprocessing.std)
        times = []
        for _ in range(1 + PREPROCESS_RUNS):
            start = time.perf_counter()
            encode(preprocessing.pixels(Path(image)))
            times.append(1000 * (time.perf_counter() - start))
        return tuple(times[1:])


def pin(cores: tuple[int, ...]) -> None:
    """Keep this process, and the threads that it will start, on these cores.

    Raises:
        UsageError: The system cannot do it, or has no such core.
    """
    if not cores:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError(f"this system ({sys.platform}) cannot pin a process; leave --cores out")
    try:
        os.sched_setaffinity(0, cores)
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"cannot pin to cores {', '.join(map(str, cores))}: "
            f"this process may use {', '.join(map(str, sorted(os.sched_getaffinity(0))))}"
        ) from error


def peak_rss_mib() -> float | None:
    """Of this process's own image: getrusage would count that of the process that forked it."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
