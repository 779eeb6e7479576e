"""Latency of .tflite files on this machine, by a fixed protocol.

Each model, runtime and delegate runs in processes of its own, several launches one after the
other. In each launch every process warms up; then they take turns (A B, B A, A B, …), each
turn a few timed runs, until ``runs`` runs and ``min_seconds`` seconds are timed. Only the
inference is timed: preprocessing, loading and the first run, which prepares the kernels, are
reported apart. Warm-ups, runs and percentiles as MLPerf's and TensorFlow's benchmark tools
have them; launches and their interval: :mod:`effnet_lite.benchmark.intervals`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from effnet_lite.benchmark.host import delegates
from effnet_lite.benchmark.host.conditions import Watch, snapshot, spread_complaints
from effnet_lite.benchmark.host.emulation import emulated
from effnet_lite.benchmark.host.launch import Launch
from effnet_lite.benchmark.host.session import Loaded, Session, Setup, Turn
from effnet_lite.benchmark.intervals import Times, mean_interval, ratio_of_turns
from effnet_lite.benchmark.records import (
    BenchmarkResult,
    Comparison,
    Measurement,
    labels,
    verdict,
)
from effnet_lite.errors import EffnetLiteError, UsageError
from effnet_lite.files import check_readable, sha256
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.file import read_model, unpack
from effnet_lite.quantize.tflite.runtime import find_runtime

MIN_WARMUP = 5
#: Even, so that each is first as often as last; Student's 99 % are 4.0 deviations of the mean,
#: with 4 launches 5.8.
PROCESSES = 6
#: What is decoded and cropped where the user gives no image.
IMAGE_SIZE, IMAGE_NAME = (640, 480), "a 640 x 480 JPEG"
STEPS = 100  # of progress, for each launch


def measure_on_host(
    models: Sequence[Path],
    *,
    runtimes: Sequence[str | None] = (None,),
    specs: Sequence[str] = (delegates.CPU,),
    threads: int = 1,
    cores: Sequence[int] = (),
    runs: int = 50,
    min_seconds: float = 1.0,
    warmup: int = MIN_WARMUP,
    processes: int = PROCESSES,
    delegate_options: Mapping[str, str] | None = None,
    image: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> BenchmarkResult:
    """Time models, by turns, and compare each with the first.

    Args:
        models: .tflite files.
        runtimes: Names from ``RUNTIMES``; None for the preferred one.
        specs: Delegates, as :func:`effnet_lite.benchmark.host.delegates.parse` reads them.
        threads: CPU threads.
        cores: Pin the processes to these.
        runs, min_seconds: Over all launches; both are reached before the timing ends.
        warmup: Runs thrown away in each launch.
        processes: Launches.
        delegate_options: For external delegates.
        image: Photo for timing the preprocessing; None makes one.
        seed: Of the random input.
        progress: Called as the timing goes on.

    Returns:
        A record for each model, runtime and delegate in this order. What failed is left out
        and has a line in ``failures``.

    Raises:
        UsageError: A name or core is unknown.
        InputError: A file is not a model, or the image does not exist.
        MissingDependencyError: A runtime is not installed.
        EffnetLiteError: What the first failure was, if nothing could be measured.
    """
    for spec in specs:
        delegates.parse(spec)
    names = [find_runtime(name).name for name in runtimes]
    for path in models:
        unpack(read_model(path))  # a file that is none fails now, not between measurements
    if image is not None:
        check_readable(image, "a photo")
    with _image(image) as picture:
        entries = [
            _Entry(
                Setup(
                    model=os.fspath(path), runtime=name, delegate=spec, threads=threads,
                    warmup=warmup, cores=tuple(cores),
                    delegate_options=dict(delegate_options or {}), image=picture, seed=seed,
                )
            )
            for path in models for name in names for spec in specs
        ]  # fmt: skip
        emulation = emulated()
        if emulation:
            return _result(entries, _untimed(entries, emulation), processes=1)
        watch = Watch()
        for launch in range(processes):
            share = _Share(runs / processes, min_seconds / processes, launch, processes, progress)
            _run_launch(entries, share, watch)
    return _result(entries, watch, processes)


def processor() -> str:
    """This machine's board, where the kernel knows it, else its processor."""
    with contextlib.suppress(OSError):
        return Path("/proc/device-tree/model").read_text("utf-8", "replace").strip("\0\n")
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclasses.dataclass
class _Entry:
    """One record in the making.

    Attributes:
        setup: What to run.
        loaded, launches: By launch: what loading showed, and the turns' times in milliseconds.
        last: The latest turn.
        failure: Why there will be no record.
    """

    setup: Setup
    loaded: list[Loaded] = dataclasses.field(default_factory=list)
    launches: list[list[Times]] = dataclasses.field(default_factory=list)
    last: Turn | None = None
    failure: EffnetLiteError | None = None

    def take_turn(self, process: Launch, share: _Share) -> None:
        """Time the next few runs."""
        self.last = process.time(share.wanted(self.launches[-1]))
        self.launches[-1].append(np.asarray(self.last.times_ms))


@dataclasses.dataclass(frozen=True)
class _Share:
    """What one launch has to do of the whole."""

    runs: float
    seconds: float
    launch: int
    launches: int
    progress: Progress | None

    def done(self, turns: Sequence[Times]) -> float:
        """0 to 1: which part of this launch these turns, in milliseconds, are."""
        seconds = _seconds(turns) / self.seconds if self.seconds else 1.0
        return min(1.0, sum(map(len, turns)) / self.runs, seconds)

    def wanted(self, turns: Sequence[Times]) -> int | None:
        """How many runs are still wanted at most; None where seconds count."""
        if _seconds(turns) < self.seconds:
            return None
        return max(1, math.ceil(self.runs - sum(map(len, turns))))

    def report(self, part: float) -> None:
        """Tell the caller that this part of the launch is done."""
        if self.progress:
            total = STEPS * self.launches
            self.progress(round(STEPS * (self.launch + part)), total, "timing")


def _seconds(turns: Sequence[Times]) -> float:
    return sum(float(turn.sum()) for turn in turns) / 1000


def _run_launch(entries: Sequence[_Entry], share: _Share, watch: Watch) -> None:
    """One launch of every entry, by turns.

    A B, B A, A B, and the next launch the other way round: who is first, in time or in memory,
    is first as often as last.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for entry in entries if share.launch % 2 == 0 else reversed(entries):
            if entry.failure:
                continue
            with _failing(entry):
                process = stack.enter_context(Launch(entry.setup))
                entry.loaded.append(process.loaded)
                entry.launches.append([])
                running.append((entry, process))
        before, own = snapshot(), time.process_time()
        turn, part = 0, 0.0
        while part < 1 and running:
            for entry, process in running if turn % 2 == 0 else reversed(running):
                with _failing(entry):
                    entry.take_turn(process, share)
            running = [(entry, process) for entry, process in running if not entry.failure]
            turn += 1
            part = min((share.done(entry.launches[-1]) for entry, _ in running), default=1.0)
            share.report(part)
        after, own = snapshot(), time.process_time() - own
        for entry, process in running:
            own += entry.last.cpu_seconds - process.loaded.cpu_seconds if entry.last else 0
        watch.add(before, after, own)


@contextlib.contextmanager
def _failing(entry: _Entry) -> Iterator[None]:
    """Keep an entry's failure to itself: the others are still measured."""
    try:
        yield
    except UsageError:
        raise
    except EffnetLiteError as error:
        entry.failure = error


def _untimed(entries: Sequence[_Entry], emulation: str) -> Watch:
    """Load and run each once, for its output: an emulator's times are no latencies.

    In this process, because an emulator may not be able to start another.
    """
    for entry in entries:
        with _failing(entry):
            entry.loaded.append(Session(dataclasses.replace(entry.setup, warmup=0)).loaded)
    return Watch(emulation=emulation)


def _result(entries: Sequence[_Entry], watch: Watch, processes: int) -> BenchmarkResult:
    good = [entry for entry in entries if not entry.failure]
    failures = [entry.failure for entry in entries if entry.failure]
    if failures and not good:
        raise failures[0]
    names = labels([_way(entry.setup) for entry in entries])
    named = [name for name, entry in zip(names, entries, strict=True) if not entry.failure]
    return BenchmarkResult(
        records=tuple(_record(entry, watch, processes) for entry in good),
        comparisons=tuple(_comparisons(good, named)),
        failures=tuple(
            f"{name}: {entry.failure}"
            for name, entry in zip(names, entries, strict=True)
            if entry.failure
        ),
    )


def _way(setup: Setup) -> tuple[str, ...]:
    return setup.model, setup.runtime, delegates.parse(setup.delegate).name


def _record(entry: _Entry, watch: Watch, processes: int) -> Measurement:
    setup, loaded = entry.setup, entry.loaded
    name = delegates.parse(setup.delegate).name
    launches = [np.concatenate(turns) for turns in entry.launches]
    times = np.concatenate(launches) if launches else np.empty(0)
    timed = watch.emulation is None
    quantiles = np.percentile(times, [10, 50, 90, 99]).tolist() if timed else [None] * 4
    mean = float(times.mean()) if timed else None
    preprocess = [ms for one in loaded for ms in one.preprocess_ms] if timed else []
    conditions = watch.conditions()
    if loaded[0].dynamic:
        conditions["dynamic_inputs"] = list(loaded[0].dynamic)
    return Measurement(
        model=setup.model,
        model_sha256=sha256(read_model(setup.model)),
        runtime=setup.runtime,
        runtime_version=loaded[0].runtime_version,
        delegate=name,
        device=processor(),
        device_kind="host" if timed else "emulated",
        threads=setup.threads,
        processes=processes,
        warmup=setup.warmup if timed else 0,
        runs=len(times),
        mean_ms=mean,
        mean_interval=mean_interval(launches, setup.seed) if timed else None,
        p10_ms=quantiles[0],
        p50_ms=quantiles[1],
        p90_ms=quantiles[2],
        p99_ms=quantiles[3],
        min_ms=float(times.min()) if timed else None,
        throughput_per_s=1000 / mean if mean else None,
        init_ms=_median(one.init_ms for one in loaded) if timed else None,
        first_run_ms=_median(one.first_run_ms for one in loaded) if timed else None,
        peak_rss_mib=entry.last.peak_rss_mib if entry.last else None,
        model_rss_mib=entry.last.model_rss_mib if entry.last else None,
        preprocess_ms=_median(preprocess) if preprocess else None,
        preprocess_of=Path(setup.image).name if setup.image and preprocess else None,
        delegated_ops=loaded[0].delegated_ops,
        ops=loaded[0].ops,
        cores=setup.cores,
        output_sha256=loaded[0].output_sha256,
        noise=(*_idle_delegate(name, loaded[0]), *watch.complaints(), *spread_complaints(launches)),
        conditions=conditions,
        times_ms=tuple(np.round(times, 4).tolist()),
    )


def _idle_delegate(name: str, loaded: Loaded) -> Iterator[str]:
    if name not in (delegates.CPU, delegates.NONE) and loaded.delegated_ops == 0:
        advice = ": compile the model with edgetpu_compiler" if name == delegates.EDGETPU else ""
        yield f"delegate {name} took over no operator, these are times of the CPU{advice}"


def _comparisons(entries: Sequence[_Entry], names: Sequence[str]) -> Iterator[Comparison]:
    """Each entry with the first."""
    for number, entry in enumerate(entries):
        if number == 0 or len(entry.launches) < 2:
            continue
        found = ratio_of_turns(entries[0].launches, entry.launches)
        yield Comparison(
            a=names[0], b=names[number], a_index=0, b_index=number,
            ratio=found.value, interval=(found.low, found.high),
            verdict=verdict(names[number], found.low, found.high),
        )  # fmt: skip


@contextlib.contextmanager
def _image(given: Path | None) -> Iterator[str]:
    """The user's photo, or one that is made and taken away again."""
    if given is not None:
        yield str(given)
        return
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    picture = PIL.Image.fromarray(coarse).resize(IMAGE_SIZE, PIL.Image.Resampling.BICUBIC)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, IMAGE_NAME)
        picture.save(path, "JPEG", quality=90)
        yield str(path)


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))
