"""What the machine did besides: load, stolen time, clock, temperature, throttling.

Read from Linux's /proc and /sys before and after the timed runs. Elsewhere, and in containers
that hide them, a reading is None and nothing is concluded from it.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from effnet_lite.benchmark.intervals import Times

# Cores that others kept busy, on the average: from here on a run is marked noisy.
MAX_OTHERS = 0.3
# The kernel counts ticks of 10 ms: shorter stretches say nothing of who used the cores.
MIN_SECONDS = 0.25
# Cores' worth of time that the hypervisor gave to others.
MAX_STOLEN = 0.05
# Clock and temperature drift; 10 % of the clock is 10 % of the latency.
MAX_CLOCK_CHANGE = 0.1
# Between the 10th and the 90th percentile, of the median; quiet machines show 2 to 10 %.
MAX_SPREAD = 0.25
# Between the slowest and the fastest launch's median; memory layout makes 2 to 5 %.
MAX_LAUNCH_SPREAD = 0.15

Read = TypeVar("Read")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Readings at one moment.

    Attributes:
        when: Seconds on a clock that only goes forward.
        busy: Seconds that all cores together have worked since boot.
        stolen: Seconds that a hypervisor gave to others.
        load: Processes that want a core, over the last minute.
        clock_mhz: The fastest core's.
        governor: Of the cores, each once.
        temperature: The hottest zone's, in °C.
        throttled: How often the processor slowed itself down since boot.
    """

    when: float
    busy: float | None
    stolen: float | None
    load: float | None
    clock_mhz: float | None
    governor: str | None
    temperature: float | None
    throttled: int | None


def snapshot(root: Path = Path("/")) -> Snapshot:
    """Read the machine.

    Args:
        root: Where /proc and /sys are.
    """
    cpus = root / "sys/devices/system/cpu"
    busy, stolen = _processor_seconds(root) or (None, None)
    clocks = _numbers(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))  # kHz
    zones = _numbers(root.glob("sys/class/thermal/thermal_zone*/temp"))  # m°C
    throttled = _numbers(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    governors = {_text(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {None}
    return Snapshot(
        when=time.monotonic(),
        busy=busy,
        stolen=stolen,
        load=_attempt(lambda: float((root / "proc/loadavg").read_text().split()[0])),
        clock_mhz=max(clocks) / 1000 if clocks else None,
        governor=", ".join(sorted(map(str, governors))) or None,
        temperature=max(zones) / 1000 if zones else None,
        throttled=int(sum(throttled)) if throttled else None,
    )


@dataclasses.dataclass
class Watch:
    """What happened during the timed stretches of a run.

    Attributes:
        seconds: Of the stretches together.
        others: Core seconds of processes that are not ours; None where it is not known.
        stolen: As :attr:`Snapshot.stolen`, over the stretches.
        clocks: MHz, at each stretch's end, when the cores are awake.
        first, last: The readings at both ends.
        emulation: What emulates what, where nothing was timed.
    """

    seconds: float = 0.0
    others: float | None = 0.0
    stolen: float | None = 0.0
    clocks: list[float] = dataclasses.field(default_factory=list)
    first: Snapshot | None = None
    last: Snapshot | None = None
    emulation: str | None = None

    def add(self, before: Snapshot, after: Snapshot, own: float) -> None:
        """Count a stretch in.

        Args:
            before, after: At its ends.
            own: Core seconds that our own processes used.
        """
        self.seconds += after.when - before.when
        if self.others is None or before.busy is None or after.busy is None:
            self.others = None
        else:
            self.others += after.busy - before.busy - own
        if self.stolen is None or before.stolen is None or after.stolen is None:
            self.stolen = None
        else:
            self.stolen += after.stolen - before.stolen
        if after.clock_mhz:
            self.clocks.append(after.clock_mhz)
        self.first = self.first or before
        self.last = after

    def conditions(self) -> dict[str, Any]:
        """For a record: what is known, rounded to what it is good for."""
        if self.first is None or self.last is None:
            return {"emulation": self.emulation} if self.emulation else {}
        found = {
            "governor": self.last.governor,
            "clock_mhz": [round(min(self.clocks)), round(max(self.clocks))]
            if self.clocks
            else None,
            "temperature_c": _pair(self.first.temperature, self.last.temperature),
            "load_before": self.first.load,
            "others_busy_cores": _cores(self.others, self.seconds),
            "stolen_cores": _cores(self.stolen, self.seconds),
        }
        return {name: value for name, value in found.items() if value is not None}

    def complaints(self) -> list[str]:
        """Why times taken meanwhile may be off."""
        found = []
        others, stolen = _cores(self.others, self.seconds), _cores(self.stolen, self.seconds)
        if others is not None and others > MAX_OTHERS:
            found.append(
                f"other processes kept {others:.1f} of {os.cpu_count()} cores busy meanwhile"
            )
        if stolen is not None and stolen > MAX_STOLEN:
            found.append(f"the hypervisor gave {stolen:.2f} cores' time to other machines")
        if self.clocks and max(self.clocks) > (1 + MAX_CLOCK_CHANGE) * min(self.clocks):
            found.append(
                f"the clock went between {min(self.clocks):.0f} and {max(self.clocks):.0f} MHz"
            )
        if (
            self.first
            and self.last
            and self.first.throttled is not None
            and self.last.throttled is not None
            and self.last.throttled > self.first.throttled
        ):
            found.append("the processor throttled itself: it is too hot")
        return found


def spread_complaints(launches: Sequence[Times]) -> list[str]:
    """Why the times themselves look disturbed.

    Args:
        launches: The times of each process, in milliseconds.
    """
    found: list[str] = []
    if not launches:
        return found
    medians = [float(np.median(times)) for times in launches]
    spreads = [
        (np.percentile(times, 90) - np.percentile(times, 10)) / middle
        for times, middle in zip(launches, medians, strict=True)
    ]
    spread = float(np.median(spreads))
    if spread > MAX_SPREAD:
        found.append(
            f"runs differ by {spread:.0%} of the median (10th to 90th percentile; "
            f"{MAX_SPREAD:.0%} is the limit)"
        )
    between = (max(medians) - min(medians)) / float(np.median(medians))
    if between > MAX_LAUNCH_SPREAD:
        found.append(f"the medians of {len(medians)} launches differ by {between:.0%}")
    return found


def _processor_seconds(root: Path) -> tuple[float, float] | None:
    """Busy and stolen core seconds since boot, from /proc/stat (see ``man 5 proc``)."""

    def read() -> tuple[float, float]:
        fields = (root / "proc/stat").read_text().splitlines()[0].split()
        if fields[0] != "cpu" or len(fields) < 9:
            raise ValueError("no line of all cores")
        user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
        ticks = os.sysconf("SC_CLK_TCK")
        return (user + nice + system + irq + softirq) / ticks, steal / ticks

    return _attempt(read)


def _numbers(paths: Iterable[Path]) -> list[float]:
    values = [_attempt(lambda path=path: float(path.read_text())) for path in paths]  # type: ignore[misc]
    return [value for value in values if value is not None]


def _text(path: Path) -> str | None:
    return _attempt(lambda: path.read_text().strip())


def _attempt(read: Callable[[], Read]) -> Read | None:
    try:
        return read()
    except (OSError, ValueError, IndexError):
        return None


def _pair(before: float | None, after: float | None) -> list[float] | None:
    return None if before is None or after is None else [before, after]


def _cores(used: float | None, seconds: float) -> float | None:
    # Ticks make a difference slightly negative, too.
    return None if used is None or seconds < MIN_SECONDS else round(max(0.0, used / seconds), 2)
