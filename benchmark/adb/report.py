"""Records, comparisons and failures out of the launches of devices."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from effnet_lite.benchmark.adb.benchmark_model import OpTime, medians
from effnet_lite.benchmark.adb.device import State, throttling_name
from effnet_lite.benchmark.adb.launches import DeviceRun, Done, Protocol, Way, is_warmer
from effnet_lite.benchmark.intervals import ratio_of_launches, student_quantile
from effnet_lite.benchmark.records import BenchmarkResult, Comparison, Measurement, labels, verdict

# Standard deviation over mean of a launch, and between the launches: phones are restless.
MAX_SPREAD = 0.15
MAX_LAUNCH_SPREAD = 0.10


@dataclasses.dataclass(frozen=True)
class DeviceProfile:
    """The operators of one model on one device, as ``benchmark_model`` times them.

    Attributes:
        model, sha256: The file.
        device, serial: As in a record.
        delegate, threads: As in a record.
        ops: In the order of the program's table.
    """

    model: str
    sha256: str
    device: str
    serial: str
    delegate: str
    threads: int
    ops: tuple[OpTime, ...]

    def to_json(self) -> dict[str, Any]:
        """One entry of ``profiles`` in ``benchmark --json``."""
        return dataclasses.asdict(self)


def collect(runs: Sequence[DeviceRun], protocol: Protocol) -> BenchmarkResult:
    """The records of all devices, one after the other."""
    records: list[Measurement] = []
    profiles: list[DeviceProfile] = []
    pairs: list[tuple[int, int, Way, Way]] = []
    for run in runs:
        first: tuple[int, Way] | None = None
        for way in run.ways:
            if not way.done:
                continue
            if first is None:
                first = len(records), way
            else:
                pairs.append((first[0], len(records), first[1], way))
            record = _record(run, way, protocol)
            if way.profiled and way.profiled.profile:
                profiles.append(
                    DeviceProfile(
                        record.model, record.model_sha256, record.device, run.adb.serial,
                        record.delegate, record.threads, way.profiled.profile,
                    )
                )  # fmt: skip
            records.append(record)
    return BenchmarkResult(
        records=tuple(records),
        comparisons=tuple(_comparisons(pairs, BenchmarkResult(tuple(records)).labels)),
        failures=tuple(line for run in runs for line in _failures(run, protocol)),
        profiles=tuple(profiles),
    )


def _record(run: DeviceRun, way: Way, protocol: Protocol) -> Measurement:
    assert run.phone and run.binary  # there is a launch
    launches = [done.launch for done in way.done]
    counts = [launch.timed.count for launch in launches]
    means = [launch.timed.mean for launch in launches]
    mean = float(np.average(means, weights=counts))
    middle = medians(launches)
    inits = [launch.init_ms for launch in launches if launch.init_ms is not None]
    firsts = [launch.first_ms for launch in launches if launch.first_ms is not None]
    memory = [launch.model_rss_mib for launch in launches if launch.model_rss_mib is not None]
    return Measurement(
        model=str(way.model),
        model_sha256=way.model_sha256,
        runtime=run.binary.runtime,
        runtime_version=run.binary.version,
        delegate=way.delegate_name,
        delegated_ops=launches[0].delegated_ops,
        ops=launches[0].ops,
        device=run.phone.name,
        device_kind="adb",
        serial=run.adb.serial,
        threads=protocol.threads,
        cores=protocol.cores if run.pinned else (),
        processes=len(launches),
        warmup=min(launch.warmup for launch in launches),
        runs=sum(counts),
        mean_ms=mean,
        mean_interval=_interval(means),
        # The program prints percentiles of a launch; those of all launches together cannot
        # be had from them, but for the middle one, nearly.
        p10_ms=None,
        p50_ms=float(np.median(middle)) if middle else None,
        p90_ms=None,
        p99_ms=None,
        min_ms=min(launch.timed.minimum for launch in launches),
        throughput_per_s=1000 / mean if mean else None,
        init_ms=float(np.median(inits)) if inits else None,
        first_run_ms=float(np.median(firsts)) if firsts else None,
        peak_rss_mib=None,
        model_rss_mib=max(memory) if memory else None,
        noise=tuple(_noise(run, way, protocol)),
        conditions=_conditions(run, way),
    )


def _interval(means: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean of launches; there are no single runs to resample."""
    if len(means) < 2:
        return None
    centre, half = float(np.mean(means)), float(np.std(means, ddof=1)) / math.sqrt(len(means))
    half *= student_quantile(len(means) - 1, 0.95)
    return centre - half, centre + half


def _conditions(run: DeviceRun, way: Way) -> dict[str, Any]:
    assert run.phone and run.binary
    found = {
        "soc": run.phone.soc,
        "android": run.phone.android,
        "sdk": run.phone.sdk,
        "abi": run.phone.abis[0],
        "emulator": run.phone.emulator or None,
        "benchmark_model": run.binary.where,
        "delegation": way.done[0].launch.delegation,
        "before": way.done[0].before.to_json(),
        "after": way.done[-1].after.to_json(),
        "cooled_s": round(sum(done.cooled for done in way.done), 1),
        "launches": [_launch(done) for done in way.done],
    }
    return {name: value for name, value in found.items() if value is not None}


def _launch(done: Done) -> dict[str, Any]:
    timed = done.launch.timed
    found = {
        "runs": timed.count,
        "mean_ms": timed.mean,
        "std_ms": timed.deviation,
        "min_ms": timed.minimum,
        "max_ms": timed.maximum,
        "p5_ms": timed.p5,
        "p50_ms": timed.median,
        "p95_ms": timed.p95,
        "init_ms": done.launch.init_ms,
        "first_run_ms": done.launch.first_ms,
        "temperature_c": [done.before.temperature, done.after.temperature],
    }
    return {name: value for name, value in found.items() if value not in (None, [None, None])}


def _noise(run: DeviceRun, way: Way, protocol: Protocol) -> Iterator[str]:
    assert run.phone and run.start
    if run.phone.emulator:
        yield "this is an emulator: its times say nothing about a phone"
    if protocol.cores and not run.pinned:
        wanted = ", ".join(map(str, protocol.cores))
        why = "it refused" if run.phone.has_taskset else "it has no taskset"
        yield f"the device did not pin the process to cores {wanted}: {why}"
    if len(way.done) < protocol.processes:
        yield f"only {len(way.done)} of {protocol.processes} launches were finished"
    states = [run.start, *(state for done in way.done for state in (done.before, done.after))]
    yield from _throttled(states)
    governors = [
        {state.governors[core] for state in states if core in state.governors}
        for core in run.phone.cores  # some are switched off at times
    ]
    if changed := [found for found in governors if len(found) > 1]:
        yield f"the clock's governor changed meanwhile: {', '.join(sorted(changed[0]))}"
    if any(state.power_saving for state in states):
        yield "the battery saver is on"
    if protocol.cool_down and any(is_warmer(done.before, run.start) for done in way.done):
        yield f"the device did not cool down in {protocol.cool_down:g} s before a launch"
    yield from _spread(way.done)
    least = min(done.launch.timed.count for done in way.done)
    if least < protocol.runs:
        yield f"a launch ran out of time after {least} of {protocol.runs} runs"


def _throttled(states: Sequence[State]) -> Iterator[str]:
    worst = max((state.throttling or 0 for state in states), default=0)
    if worst:
        yield f"the device throttled itself: thermal status {worst} ({throttling_name(worst)})"
    start = states[0]
    capped = {
        core: min(state.caps_khz.get(core, cap) for state in states)
        for core, cap in start.caps_khz.items()
    }
    slower = [core for core, cap in capped.items() if cap < start.caps_khz[core]]
    if slower:
        core = min(slower, key=lambda core: capped[core] / start.caps_khz[core])
        yield (
            f"the clock was capped meanwhile on {len(slower)} of {len(capped)} cores, core {core} "
            f"to {capped[core] / 1e6:.2f} of {start.caps_khz[core] / 1e6:.2f} GHz"
        )
    limits = start.limits_khz
    below = [core for core, cap in start.caps_khz.items() if cap < limits.get(core, cap)]
    if below:
        core = min(below, key=lambda core: start.caps_khz[core] / limits[core])
        yield (
            f"the clock was capped from the start on {len(below)} of {len(capped)} cores, core "
            f"{core} to {start.caps_khz[core] / 1e6:.2f} of {limits[core] / 1e6:.2f} GHz"
        )


def _spread(launches: Sequence[Done]) -> Iterator[str]:
    stats = [done.launch.timed for done in launches]
    spread = float(np.median([stat.deviation / stat.mean for stat in stats if stat.mean] or [0]))
    if spread > MAX_SPREAD:
        yield (
            f"runs spread by {spread:.0%} of the mean (standard deviation; {MAX_SPREAD:.0%} is "
            "the limit)"
        )
    middle = medians([done.launch for done in launches]) or [stat.mean for stat in stats]
    between = (max(middle) - min(middle)) / float(np.median(middle)) if min(middle) > 0 else 0.0
    if between > MAX_LAUNCH_SPREAD:
        yield f"{len(middle)} launches differ by {between:.0%}"


def _comparisons(
    pairs: Sequence[tuple[int, int, Way, Way]], names: Sequence[str]
) -> Iterator[Comparison]:
    """Each record with the first one of its device, over the launches that both finished.

    A launch is one value: its median, or its mean where old releases print no median.
    """
    for a, b, one, other in pairs:
        count = min(len(one.done), len(other.done))
        if count < 2:
            continue
        launches = [[done.launch for done in way.done[:count]] for way in (one, other)]
        values = [medians(side) for side in launches]
        if None in values:
            values = [[launch.timed.mean for launch in side] for side in launches]
        if any(value <= 0 for side in values for value in side or ()):
            continue  # below the program's microsecond
        first, second = ([np.array([value]) for value in side or ()] for side in values)
        found = ratio_of_launches(first, second)
        yield Comparison(
            a=names[a], b=names[b], a_index=a, b_index=b,
            ratio=found.value, interval=(found.low, found.high),
            verdict=verdict(names[b], found.low, found.high),
        )  # fmt: skip


def _failures(run: DeviceRun, protocol: Protocol) -> Iterator[str]:
    names = labels([(str(way.model), way.delegate_name) for way in run.ways])
    for name, way in zip(names, run.ways, strict=True):
        if way.failure:
            yield f"{run.adb.serial}: {name}: {way.failure}"
    if run.failure:
        done = sum(len(way.done) for way in run.ways)
        kept = f" (kept: {done} of {len(run.ways) * protocol.processes} launches)" if done else ""
        yield f"{run.failure}{kept}"
