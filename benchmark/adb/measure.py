"""Timing models on Android devices, side by side, with the protocol of the host.

Each launch of ``benchmark_model`` gives one median (or mean), so that comparisons over
launches work as on the host; single runs are not to be had from it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from effnet_lite.benchmark.adb.client import Adb, find_adb
from effnet_lite.benchmark.adb.device import choose
from effnet_lite.benchmark.adb.launches import DeviceRun, Protocol, Report, Way, run_device
from effnet_lite.benchmark.adb.report import collect
from effnet_lite.benchmark.records import BenchmarkResult
from effnet_lite.errors import DeviceError, EffnetLiteError, UsageError
from effnet_lite.files import sha256
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.file import read_model

#: Seconds of cooling before each launch, at most.
COOL_DOWN = 60.0


def measure_on_devices(
    models: Sequence[Path],
    devices: Sequence[str],
    *,
    delegates: Sequence[str] = ("cpu",),
    threads: int = 1,
    cores: Sequence[int] = (),
    runs: int = 50,
    min_seconds: float = 1.0,
    warmup: int = 5,
    processes: int = 5,
    binary: Path | None = None,
    profile: bool = False,
    cool_down: float = COOL_DOWN,
    delegate_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> BenchmarkResult:
    """Time models on devices, by turns on each, and compare each with the first.

    Args:
        models: .tflite files.
        devices: ``adb`` (the only one attached) or ``adb:SERIAL``; several run side by side.
        delegates: ``cpu`` (XNNPACK), ``none`` (the built-in kernels), ``gpu``, ``nnapi``, or
            the path of an external delegate's library, here or on the device.
        threads: CPU threads.
        cores: Pin the process to these.
        runs, min_seconds: Over all launches; both are reached before the timing ends, unless
            a launch takes longer than ``benchmark_model`` allows.
        warmup: Runs thrown away in each launch, at least half a second of them.
        processes: Launches.
        binary: ``benchmark_model`` for the devices; None looks for one
            (:mod:`effnet_lite.benchmark.adb.binary`).
        profile: Time the operators in one more launch of each.
        cool_down: Seconds to wait at most before each launch until the device is as cool as
            at the start.
        delegate_options: For external delegates.
        progress: Called after each launch, and for a single device while it cools down.
        sleep: How to wait.

    Returns:
        For each device a record for each model and delegate: ``p50_ms`` is the median of the
        launches' medians, ``mean_interval`` Student's over the launches' means, and the rest
        of what a launch printed is in ``conditions["launches"]``. What failed is left out, or
        has fewer processes, and a line in ``failures`` says why.

    Raises:
        UsageError: A device, delegate option or number makes no sense.
        InputError: A model or the program cannot be read.
        DeviceError, DelegateError: Nothing could be measured.
    """
    if not models or not devices or not delegates:
        raise UsageError("give at least one model, one device and one delegate")
    if not 0 <= cool_down < math.inf or any(core < 0 for core in cores) or processes < 1:
        raise UsageError(
            "expected cool_down and cores of at least 0 and processes of at least 1, got "
            f"{cool_down:g}, {list(cores)} and {processes}"
        )
    protocol = Protocol(
        threads=threads, runs=math.ceil(runs / processes), min_seconds=min_seconds / processes,
        warmup=warmup, processes=processes, cores=tuple(cores),
        options=dict(delegate_options or {}), profile=profile, cool_down=cool_down, sleep=sleep,
    )  # fmt: skip
    files = [(Path(model), sha256(read_model(model))) for model in models]
    chosen, refused = _choose(devices)
    running = [
        DeviceRun(adb, [Way(*file, delegate) for file in files for delegate in delegates])
        for adb in chosen
    ]
    _run_all(running, binary, protocol, progress)
    found = collect(running, protocol)
    problems = [*refused, *filter(None, (run.failure for run in running))]
    problems += [way.failure for run in running for way in run.ways if way.failure]
    if problems and not found.records:
        raise problems[0]
    failures = (*(str(error) for error in refused), *found.failures)
    return dataclasses.replace(found, failures=failures)


def _choose(devices: Sequence[str]) -> tuple[list[Adb], list[EffnetLiteError]]:
    """Each device once, and why the others cannot be used."""
    executable = find_adb()
    chosen: dict[str, Adb] = {}
    refused: list[EffnetLiteError] = []
    for spec in devices:
        try:
            adb = choose(spec, executable)
            chosen[adb.serial] = adb
        except DeviceError as error:
            refused.append(error)
    return list(chosen.values()), refused


def _run_all(
    runs: Sequence[DeviceRun], binary: Path | None, protocol: Protocol, progress: Progress | None
) -> None:
    """One thread a device: a thread only waits for its adb."""
    report = _reporter(runs, protocol, progress)
    if len(runs) < 2:
        for run in runs:
            run_device(run, binary, protocol, report)
        return
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        waiting = [
            pool.submit(run_device, run, binary, protocol, report, stop.is_set) for run in runs
        ]
        try:
            for future in waiting:
                future.result()
        finally:
            stop.set()  # after Ctrl-C: no further launches, and every device is tidied


def _reporter(runs: Sequence[DeviceRun], protocol: Protocol, progress: Progress | None) -> Report:
    """Adds up the launches of all devices; threads may call it."""
    lock = threading.Lock()
    done = {"timing": 0, "profiling": 0}
    ways = sum(len(run.ways) for run in runs)
    totals = {"timing": ways * protocol.processes, "profiling": ways}

    def report(step: str, amount: float) -> None:
        with lock:
            if progress is None:
                return
            if step in done:
                done[step] += round(amount)
                progress(done[step], totals[step], step)
            elif len(runs) == 1:  # several devices would make the bar jump to and fro
                progress(round(amount), round(protocol.cool_down), step)

    return report
