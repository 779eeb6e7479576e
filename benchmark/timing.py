"""``benchmark``: models timed on this machine, on devices, or on both."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from effnet_lite.benchmark.host.latency import MIN_WARMUP, PROCESSES, measure_on_host
from effnet_lite.benchmark.records import BenchmarkResult
from effnet_lite.errors import EffnetLiteError, UsageError
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.runtime import MAX_THREADS

HOST = "host"
MAX_SECONDS = 86_400  # a day
MAX_RUNS, MAX_PROCESSES = 1_000_000, 100

Names = Sequence[str] | Sequence[str | os.PathLike[str]] | str


def benchmark(
    models: Names | os.PathLike[str],
    threads: int = 1,
    runs: int = 50,
    min_seconds: float = 1.0,
    warmup: int = MIN_WARMUP,
    processes: int = PROCESSES,
    device: Names = HOST,
    delegate: Names = "cpu",
    delegate_options: Mapping[str, str] | None = None,
    cores: Sequence[int] = (),
    runtime: Names | None = None,
    image: str | os.PathLike[str] | None = None,
    binary: str | os.PathLike[str] | None = None,
    cool_down: float = 60.0,
    profile: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> BenchmarkResult:
    """Time models, by turns, and compare each with the first on the same device.

    Args:
        models: .tflite files.
        threads: CPU threads.
        runs, min_seconds: Over all processes; both are reached before the timing ends.
        warmup: Runs thrown away in each process.
        processes: Launches of each model, one after the other: the sample of a comparison.
        device: ``host``, ``adb`` (the only phone attached), ``adb:SERIAL``, or several.
        delegate: ``cpu`` (XNNPACK), ``none`` (the built-in kernels), ``edgetpu``, the path of
            an external delegate's library, on devices also ``gpu`` and ``nnapi``, or several.
        delegate_options: For external delegates.
        cores: Pin the processes to these.
        runtime: ``litert``, ``tflite-runtime``, ``tensorflow``, or several; None for the
            preferred one. Of the host.
        image: Photo to time the preprocessing on; None makes one. On the host.
        binary: ``benchmark_model`` for devices; None looks for one.
        cool_down: Seconds to wait at most before each launch on a device until it is as cool
            as at the start.
        profile: Time the operators, too, in runs that count for nothing else.
        seed: Of the random input on the host.
        progress: Called as the timing goes on.

    Returns:
        A record for each device, model, runtime and delegate. What failed is left out and has
        a line in ``failures``.

    Raises:
        UsageError: A number or name is out of range.
        InputError: A file is not a model.
        MissingDependencyError: A runtime is not installed.
        DeviceError, DelegateError, InputError: Nothing could be measured, and why.
    """
    for name, value, least, most in (
        ("threads", threads, 1, MAX_THREADS),
        ("runs", runs, 1, MAX_RUNS),
        ("warmup", warmup, 0, MAX_RUNS),
        ("processes", processes, 1, MAX_PROCESSES),
    ):
        if not least <= value <= most:
            raise UsageError(f"{name} must be {least} to {most}, got {value}")
    for name, seconds in (("min_seconds", min_seconds), ("cool_down", cool_down)):
        if not 0 <= seconds <= MAX_SECONDS:  # false for NaN, too
            raise UsageError(f"{name} must be 0 to {MAX_SECONDS}, got {seconds:g}")
    paths = [Path(path) for path in _several(models)]
    devices, specs, runtimes = _several(device), _several(delegate), _several(runtime)
    if not (paths and devices and specs):
        raise UsageError("give at least one model, one device and one delegate")
    phones = [name for name in devices if name != HOST]
    for name in phones:
        if name.partition(":")[0] != "adb":
            raise UsageError(f"unknown device {name!r}; expected host, adb or adb:SERIAL")
    if phones == devices and (runtimes or image):
        raise UsageError("runtime and image are for the host; on devices benchmark_model runs")

    def on_host() -> BenchmarkResult:
        found = measure_on_host(
            paths, runtimes=runtimes or [None], specs=specs, threads=threads, cores=cores,
            runs=runs, min_seconds=min_seconds, warmup=warmup, processes=processes,
            delegate_options=delegate_options, image=Path(image) if image else None,
            seed=seed, progress=progress,
        )  # fmt: skip
        return _with_profiles(found, seed, progress) if profile else found

    parts: list[Callable[[], BenchmarkResult]] = [on_host] if HOST in devices else []
    if phones:
        from effnet_lite.benchmark.adb import measure_on_devices

        parts.append(
            lambda: measure_on_devices(
                paths, phones, delegates=specs, threads=threads, cores=cores, runs=runs,
                min_seconds=min_seconds, warmup=warmup, processes=processes,
                delegate_options=delegate_options, binary=Path(binary) if binary else None,
                cool_down=cool_down, profile=profile, progress=progress,
            )
        )  # fmt: skip
    return _joined(parts)


def _with_profiles(found: BenchmarkResult, seed: int, progress: Progress | None) -> BenchmarkResult:
    """The profile of each record's model; where there is none, a line says why."""
    from effnet_lite.benchmark.profiling.profile import DELEGATES, profile, why_not

    profiles, failures = [], []
    for label, record in zip(found.labels, found.records, strict=True):
        reason = why_not(record.runtime, record.delegate, record.threads)
        try:
            if reason:
                raise EffnetLiteError(reason)
            profiles.append(
                profile(
                    record.model, kernels=DELEGATES[record.delegate], threads=record.threads,
                    warmup=record.warmup, cores=record.cores, seed=seed, progress=progress,
                )
            )  # fmt: skip
        except EffnetLiteError as error:
            failures.append(f"no profile of {label}: {error}")
    return dataclasses.replace(
        found, profiles=tuple(profiles), failures=(*found.failures, *failures)
    )


def _joined(parts: Sequence[Callable[[], BenchmarkResult]]) -> BenchmarkResult:
    """One result of several; a part that fails leaves the others, if there are any."""
    whole = BenchmarkResult(())
    errors = []
    for part in parts:
        try:
            found = part()
        except UsageError:
            raise
        except EffnetLiteError as error:
            errors.append(error)
            continue
        offset = len(whole.records)
        whole = BenchmarkResult(
            whole.records + found.records,
            whole.comparisons + tuple(one.moved(offset) for one in found.comparisons),
            whole.failures + found.failures,
            whole.profiles + found.profiles,
        )
    if errors and not whole.records:
        raise errors[0]
    return dataclasses.replace(whole, failures=(*whole.failures, *map(str, errors)))


def _several(names: Names | os.PathLike[str] | None) -> list[str]:
    if isinstance(names, str | os.PathLike):
        return [os.fspath(names)]
    return [os.fspath(name) for name in names or ()]
