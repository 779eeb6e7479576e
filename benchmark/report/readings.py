"""What documents say, typed: reading.py makes these out of JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True, order=True)
class Setting:
    """How times were taken: only times of the same setting may be compared.

    Attributes:
        kind: ``host``, ``adb``, ``app`` or ``emulated``.
        device: The processor of a host, or a phone's maker, model and SoC.
        serial: Of a phone; empty for a host.
        runtime, version: The interpreter.
        delegate: As in a record of ``benchmark``.
        threads: CPU threads.
        cores: That the process was pinned to.
    """

    kind: str
    device: str
    serial: str
    runtime: str
    version: str
    delegate: str
    threads: int
    cores: tuple[int, ...]

    def __str__(self) -> str:
        """What a figure says of itself, in words."""
        where = {
            "host": f"host measurement on {self.device}",
            "adb": f"device measurement on {self.device}",
            "app": f"measurement of the app on {self.device}",
            "emulated": f"emulated on {self.device}",
        }.get(self.kind, f"{self.kind} measurement on {self.device}")
        serial = f" ({self.serial})" if self.serial else ""
        cores = f" on cores {', '.join(map(str, self.cores))}" if self.cores else ""
        plural = "s" * (self.threads != 1)
        return (
            f"{where}{serial}, {self.threads} thread{plural}{cores}, {self.runtime} "
            f"{self.version}, delegate {self.delegate}"
        )


@dataclasses.dataclass(frozen=True)
class Timing:
    """One model, timed in one setting; milliseconds, None where a source gives none."""

    sha256: str
    model: str
    setting: Setting
    runs: int
    processes: int
    mean_ms: float | None
    mean_interval: Interval | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    init_ms: float | None
    first_run_ms: float | None
    peak_rss_mib: float | None
    noise: tuple[str, ...]
    times_ms: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Speed:
    """The time of b over that of a, both timed by turns, with a 99 % interval."""

    a: str
    b: str
    setting: Setting
    ratio: float
    interval: Interval

    def turned(self) -> Speed:
        """a over b."""
        low, high = self.interval
        ends = 1 / high, 1 / low
        return dataclasses.replace(self, a=self.b, b=self.a, ratio=1 / self.ratio, interval=ends)

    @property
    def verdict(self) -> str:
        """Of b."""
        low, high = self.interval
        return "no difference" if low <= 1 <= high else "slower" if low > 1 else "faster"


@dataclasses.dataclass(frozen=True)
class Operator:
    """One of a profile.

    Attributes:
        ms: Of one inference.
        roof: Least possible time over ``ms`` (0-1); None if unknown.
        within: Part of a delegate's own time: not to be added to the others.
    """

    name: str
    kind: str
    ms: float
    roof: float | None
    within: bool


@dataclasses.dataclass(frozen=True)
class Profile:
    """A model's time by operator.

    Attributes:
        how: Device, kernels and threads, in words.
        inference_ms: Measured without a profiler; None if it was not.
    """

    sha256: str
    model: str
    how: str
    operators: tuple[Operator, ...]
    inference_ms: float | None
    noise: tuple[str, ...]

    @property
    def kinds(self) -> list[tuple[str, float, int]]:
        """Kind, milliseconds and number of its operators, the costliest first."""
        mine = [operator for operator in self.operators if not operator.within]
        kinds = dict.fromkeys(operator.kind for operator in mine)
        found = []
        for kind in kinds:
            times = [operator.ms for operator in mine if operator.kind == kind]
            found.append((kind, sum(times), len(times)))
        return sorted(found, key=lambda entry: -entry[1])


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """Photos of a class, how many of them were right, and the 95 % interval of that share."""

    label: str
    photos: int
    right: int
    interval: Interval


@dataclasses.dataclass(frozen=True)
class Bin:
    """Photos with an answer of similar confidence: their number, mean confidence and accuracy."""

    low: float
    high: float
    photos: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Photos:
    """A data set: only shares of the same photos may be compared.

    Attributes:
        digest: Over all photos.
        count: Photos that were judged.
    """

    digest: str
    count: int


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """One model on labelled photos; shares 0-1.

    Attributes:
        path: Of the data set.
        confusion: (class, answer, photos); the answer -1 is a background class.
        labels: Names of the classes in ``confusion``.
    """

    sha256: str
    model: str
    name: str
    photos: Photos
    path: str
    top1: float
    top1_interval: Interval
    top5: float
    top5_interval: Interval | None
    ece: float | None
    bins: tuple[Bin, ...]
    classes: dict[int, ClassCount]
    confusion: tuple[tuple[int, int, int], ...]
    labels: Mapping[int, str]

    def label(self, index: int) -> str:
        """Name of a class."""
        return self.labels.get(index, f"class {index}")


@dataclasses.dataclass(frozen=True)
class Change:
    """Top-1 of b minus that of a on the same photos: points with a 95 % interval.

    Attributes:
        lost, won: Photos that only a, or only b, gets right.
        p_value: Of McNemar's exact test.
        agreement: Share of photos (0-1) with the same answer.
    """

    a: str
    b: str
    photos: Photos
    points: float
    interval: Interval
    lost: int
    won: int
    p_value: float
    agreement: float

    def turned(self) -> Change:
        """a minus b."""
        low, high = self.interval
        return dataclasses.replace(
            self, a=self.b, b=self.a, points=-self.points, interval=(-high, -low), lost=self.won,
            won=self.lost,
        )  # fmt: skip

    @property
    def verdict(self) -> str:
        """Of b."""
        low, high = self.interval
        return "no difference" if low <= 0 <= high else "better" if low > 0 else "worse"


@dataclasses.dataclass(frozen=True)
class Layer:
    """Error of a layer in dB, None where there is none or no figure; saturated share 0-1."""

    name: str
    kind: str
    sqnr_db: float | None
    weights_db: float | None
    activation_db: float | None
    saturation: float | None


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """A quantized model against its float parent.

    Attributes:
        float_sha256: Of the parent; None where ``convert`` measured it on its way.
        photos: What kind: ``folder``, ``samples``, or ``check`` of a conversion.
        count: Photos.
        agreement, interval: Share of the same answers, with a 95 % interval.
        sqnr_db, kl: Of the logits; None is an infinite SQNR.
        layers: In execution order; empty where they were not compared.
    """

    sha256: str
    float_sha256: str | None
    photos: str
    count: int
    agreement: float
    interval: Interval
    sqnr_db: float | None
    kl: float | None
    layers: tuple[Layer, ...]
