"""What a measurement says: one record a model, runtime, delegate and device, and comparisons.

The same record serves the host, a board, a phone over adb and the Android app, so that tables,
CSV files, pictures and reports read one schema. Figures that a source does not give are None,
never a guess: an emulated run has no latency, ``benchmark_model`` of old releases no p99.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from effnet_lite.files import write_bytes
from effnet_lite.finite import finite

SCHEMA = 2
NO_DIFFERENCE = "no difference"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One model, timed in one way; times in milliseconds.

    Attributes:
        model, model_sha256: The file.
        runtime, runtime_version: The interpreter, or the benchmark binary of a phone.
        delegate: What was asked for: ``cpu`` (XNNPACK), ``none``, ``edgetpu``, ``gpu``,
            ``nnapi``, or the file name of an external delegate.
        delegated_ops, ops: Operators that the delegate took over (XNNPACK may have taken some
            of the rest), and all; None if unknown.
        device: The processor of this machine, or a phone's maker, model and SoC.
        device_kind: ``host``, ``adb``, ``app`` or ``emulated``.
        serial: Of a phone.
        threads: CPU threads.
        cores: That the process was pinned to; empty if it was not.
        processes: Launches that the runs are spread over.
        warmup, runs: Runs thrown away in each process, and timed runs in all.
        mean_ms, mean_interval: Over the timed runs, with a 95 % interval: by bootstrap where
            the runs are known one by one, Student's over launches where only their means are.
        p10_ms, p50_ms, p90_ms, p99_ms, min_ms: Over the timed runs.
        throughput_per_s: Inferences a second, one after the other: 1000 / mean_ms.
        init_ms: Loading and allocating; the median over processes.
        first_run_ms: The first run; the median over processes.
        preprocess_ms, preprocess_of: Median time from an image file to the input tensor, and
            which image; None for what does not take an image.
        peak_rss_mib: Of a whole process, Python and runtime included.
        model_rss_mib: What of it came with the model.
        output_sha256: Of the outputs for the seed's random input: equal where two runs
            computed the same, bit for bit.
        noise: Why the figures may be off, a sentence each; empty for a quiet run.
        conditions: What the machine was like: governor, temperatures, clock, load…
        times_ms: The timed runs in order, where they are known one by one.
        schema: Version of this record.
    """

    model: str
    model_sha256: str
    runtime: str
    runtime_version: str
    delegate: str
    device: str
    device_kind: str
    threads: int
    processes: int
    warmup: int
    runs: int
    mean_ms: float | None
    mean_interval: tuple[float, float] | None
    p10_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    min_ms: float | None
    throughput_per_s: float | None
    init_ms: float | None
    first_run_ms: float | None
    peak_rss_mib: float | None
    model_rss_mib: float | None = None
    preprocess_ms: float | None = None
    preprocess_of: str | None = None
    delegated_ops: int | None = None
    ops: int | None = None
    serial: str | None = None
    cores: tuple[int, ...] = ()
    output_sha256: str | None = None
    noise: tuple[str, ...] = ()
    conditions: dict[str, Any] = dataclasses.field(default_factory=dict)
    times_ms: tuple[float, ...] = ()
    schema: int = SCHEMA

    @property
    def noisy(self) -> bool:
        """Whether something disturbed the run."""
        return bool(self.noise)

    def to_json(self) -> dict[str, Any]:
        """One entry of ``records`` in ``benchmark --json``."""
        return {**dataclasses.asdict(self), "noisy": self.noisy}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How long b takes over how long a takes.

    Attributes:
        a, b: What was compared: model, and what else tells the two apart.
        a_index, b_index: Their places in ``records``.
        ratio: Of the times, b over a: 1.1 is 10 % slower. On the host of the quickest runs of
            neighbouring turns, on devices of the launches' medians.
        interval: 99 %.
        verdict: ``no difference`` if the interval holds 1, else ``b is faster`` or ``slower``.
    """

    a: str
    b: str
    a_index: int
    b_index: int
    ratio: float
    interval: tuple[float, float]
    verdict: str

    def moved(self, offset: int) -> Comparison:
        """The same, with ``offset`` records before those that it is about."""
        return dataclasses.replace(
            self, a_index=self.a_index + offset, b_index=self.b_index + offset
        )


class LayerProfile(Protocol):
    """Where the time of a model goes, on the host or on a device."""

    def to_json(self) -> dict[str, Any]:
        """One entry of ``profiles``."""
        ...


@dataclasses.dataclass(frozen=True)
class BenchmarkResult:
    """Everything one ``benchmark`` measured.

    Attributes:
        records: What was measured.
        comparisons: Of the records with the first one.
        profiles: Times by operator, where they were asked for.
        failures: A line for each thing that could not be measured; the rest still counts.
    """

    records: tuple[Measurement, ...]
    comparisons: tuple[Comparison, ...] = ()
    failures: tuple[str, ...] = ()
    profiles: tuple[LayerProfile, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """A short name for each record."""
        return labels([(record.model, record.runtime, record.delegate, record.serial or "")
                       for record in self.records])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The document of ``benchmark --json``."""
        document: dict[str, Any] = finite(
            {
                "records": [record.to_json() for record in self.records],
                "comparisons": [dataclasses.asdict(entry) for entry in self.comparisons],
                "profiles": [profile.to_json() for profile in self.profiles],
                "failures": list(self.failures),
            }
        )
        return document


def labels(ways: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Short names: the file, of the rest only what differs, and a number where nothing does.

    Args:
        ways: Path of the model first, then whatever else tells two measurements apart.
    """
    paths, *rest = zip(*ways, strict=True) if ways else ((),)
    names = [Path(path).name for path in paths]
    if len(set(names)) < len(set(paths)):
        names = list(paths)
    parts = [names, *(values for values in rest if len(set(values)) > 1)]
    found = [" ".join(filter(None, entry)) for entry in zip(*parts, strict=True)]
    seen: collections.Counter[str] = collections.Counter()
    for number, label in enumerate(found):
        seen[label] += 1
        if seen[label] > 1:
            found[number] = f"{label} #{seen[label]}"
    return tuple(found)


def verdict(label: str, low: float, high: float) -> str:
    """What the interval of a ratio says of the second of two."""
    if low <= 1 <= high:
        return NO_DIFFERENCE
    return f"{label} is {'slower' if low > 1 else 'faster'}"


def write_csv(
    records: Sequence[Measurement], path: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """One line a record, without the single times; None is an empty cell.

    Raises:
        InputError: The file exists and ``overwrite`` is off, or cannot be written.
    """
    names = [field.name for field in dataclasses.fields(Measurement) if field.name != "times_ms"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*names, "noisy"])
    for record in records:
        writer.writerow([_cell(getattr(record, name)) for name in names] + [_cell(record.noisy)])
    write_bytes(path, buffer.getvalue().encode(), overwrite)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "; ".join(map(_cell, value))
    if isinstance(value, dict):
        return "; ".join(f"{key}={_cell(entry)}" for key, entry in value.items())
    return repr(value) if isinstance(value, float) else str(value)
