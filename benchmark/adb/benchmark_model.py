"""The command line of ``benchmark_model`` and what it prints.

Two programs have this name. TensorFlow's (tensorflow/lite/tools/benchmark) runs the
interpreter and takes delegates; LiteRT's (litert/tools) runs the CompiledModel API and shares
the loop with the first, but has flags and a summary of its own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from effnet_lite.errors import DelegateError, DeviceError, EffnetLiteError, UsageError

BUILT_IN = ("cpu", "none", "gpu", "nnapi")
# The program stops after so many seconds even if runs are missing.
MIN_MAX_SECONDS = 150.0
_PREFIX = r"^(?:INFO: |I tflite\s*: )?"
_COUNT = re.compile(_PREFIX + r"count=(?P<count>\d+)\b(?P<rest>.*)$", re.MULTILINE)
_SUMMARY = re.compile(
    r"Inference timings in us: Init: (?P<init>[\d.e+]+), First inference: (?P<first>[\d.e+]+), "
    r"Warmup \(avg\): [\d.e+]+, Inference \(avg\): [\d.e+]+"
)
_SESSION = re.compile(r"Initialized session in ([\d.e+]+) ?ms")
_MEMORY = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): "
    r"init=[\d.e+-]+ overall=([\d.e+-]+)|Overall footprint:\s+([\d.]+) MB"
)
_REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(")
_NODES = re.compile(r"delegate: (\d+) nodes delegated out of (\d+) nodes")
_APPLIED = re.compile(
    r"pplied (\w+) delegate, and the model graph will be (completely|partially) executed"
)
_NOT_APPLIED = re.compile(r"the model graph will not be executed by the delegate")
_DELEGATE_PROBLEM = re.compile(
    r"(?:Unable to load external|Could not create|Failed to (?:apply|create|load|initialize))"
    r".*delegate.*|Disallowed CPU fallback.*",
    re.IGNORECASE,
)
_UNKNOWN_FLAGS = re.compile(
    r"Unconsumed cmdline flags:.*?"
    r"(--(?:use_\w+|external_\w+|num_threads|num_runs|enable_op_profiling)\b[^\s]*)"
)
_LIBRARY = re.compile(r"CANNOT LINK EXECUTABLE.*|.*error while loading shared libraries.*")
_SIGNALS = {4: "SIGILL, an instruction the processor does not know", 6: "SIGABRT", 7: "SIGBUS",
            9: "SIGKILL; perhaps the memory was used up", 11: "SIGSEGV"}  # fmt: skip
_SECTION = "Operator-wise Profiling Info for Regular Benchmark Runs"
_ROW = re.compile(
    r"^\s*(?P<kind>\S.*?)\s+(?:(?P<start>[-\d.e+]+)\s+)?(?P<first>[\d.e+-]+)\s+"
    r"(?P<average>[\d.e+-]+)\s+[\d.e+-]+%\s+[\d.e+-]+%\s+[\d.e+-]+\s+(?P<calls>\d+)\s+(?P<name>.*)$"
)


@dataclasses.dataclass(frozen=True)
class Job:
    """What to run on the device.

    Attributes:
        graph: The model's path there.
        delegate: One of ``BUILT_IN``, or the path of a library there.
        options: Of an external delegate.
        threads, runs, min_seconds, warmup: As in a record.
        profile: Whether to time each operator, which makes the whole slower.
    """

    graph: str
    delegate: str
    options: Mapping[str, str]
    threads: int
    runs: int
    min_seconds: float
    warmup: int
    profile: bool = False

    @property
    def max_seconds(self) -> float:
        """When the program stops its timed runs, and its warm-up, if it has not before."""
        return max(MIN_MAX_SECONDS, 3 * self.min_seconds)


@dataclasses.dataclass(frozen=True)
class Stat:
    """A ``count=…`` line; milliseconds, None where old releases do not print it."""

    count: int
    first: float
    minimum: float
    maximum: float
    mean: float
    deviation: float
    p5: float | None
    median: float | None
    p95: float | None


@dataclasses.dataclass(frozen=True)
class OpTime:
    """An operator's share of an inference.

    Attributes:
        number: Its index in the model, as the program prints it; None if it does not.
        kind: ``CONV_2D``, or the name of a delegate's kernel.
        name: Its output tensors.
        ms: All calls of one inference.
        calls: In one inference.
        within_delegate: Whether the time is part of a delegate's own line (``Delegate
            internal``), and so must not be added to the others.
    """

    number: int | None
    kind: str
    name: str
    ms: float
    calls: int
    within_delegate: bool = False


@dataclasses.dataclass(frozen=True)
class Launch:
    """What one run of the program showed; times in milliseconds.

    Attributes:
        timed: The timed runs.
        warmup: Runs before them.
        init_ms, first_ms: Loading, and the first inference of all.
        model_rss_mib: Growth of the peak resident memory since the start of the program.
        delegated_ops, ops: If the program says so.
        delegation: ``completely``, ``partially``, ``not``; None if it does not say.
        profile: By operator; empty unless asked for.
    """

    timed: Stat
    warmup: int
    init_ms: float | None
    first_ms: float | None
    model_rss_mib: float | None
    delegated_ops: int | None
    ops: int | None
    delegation: str | None
    profile: tuple[OpTime, ...] = ()


def arguments(job: Job, litert: bool) -> list[str]:
    """The command line, not quoted.

    Raises:
        UsageError: A delegate's option cannot be written.
        DelegateError: This program does not have the delegate.
    """
    found = [
        f"--graph={job.graph}",
        f"--num_threads={job.threads}",
        f"--num_runs={job.runs}",
        f"--min_secs={job.min_seconds:g}",
        f"--max_secs={job.max_seconds:g}",
        f"--warmup_runs={job.warmup}",
        # Half a second, the default, lets the clock of a phone rise.
        f"--warmup_min_secs={0.5 if job.warmup else -1:g}",
    ]
    found += _litert_delegate(job) if litert else _delegate(job)
    if job.profile:
        found.append("--use_profiler=true" if litert else "--enable_op_profiling=true")
    return found


def parse(text: str, code: int, job: Job, litert: bool = False) -> Launch:
    """Read the program's output.

    Args:
        text: stdout and stderr.
        code: Exit code.
        job: What was asked for.
        litert: Whether it is LiteRT's program.

    Raises:
        DelegateError: The delegate did not load, or left the model to the processor.
        DeviceError: The program crashed, or its output ends early.
    """
    _check_flags(text)
    lines = list(_COUNT.finditer(text))
    stats = [_stat(line) for line in lines]
    summary = _SUMMARY.search(text)
    # LiteRT's summary may go to Android's log instead; what follows the line shows it is whole.
    whole = summary or (litert and lines and lines[-1].end() < len(text))
    if code or len(stats) < 2 or not whole:
        raise failure(text, code)
    warmup, timed = stats[0], stats[-1]
    if timed is None:
        raise DeviceError("benchmark_model timed no run; raise the number of runs")
    delegation = _check_delegate(text, job, litert)
    replaced = _REPLACED.search(text) or _NODES.search(text)
    session, memory = _SESSION.search(text), _MEMORY.search(text)
    init = float(summary["init"]) / 1000 if summary else session and float(session[1])
    return Launch(
        timed=timed,
        warmup=warmup.count if warmup else 0,
        init_ms=init or None,
        first_ms=(warmup or timed).first,
        model_rss_mib=float(memory[1] or memory[2]) if memory else None,
        delegated_ops=int(replaced[1]) if replaced else None,
        ops=int(replaced[2]) if replaced else None,
        delegation=delegation,
        profile=parse_profile(text) if job.profile else (),
    )


def parse_profile(text: str) -> tuple[OpTime, ...]:
    """The operators of the table "Run Order" of the timed runs, in the order printed."""
    _, _, runs = text.rpartition(_SECTION)
    found: list[OpTime] = []
    within_delegate = in_table = False
    for line in runs.splitlines():
        if line.startswith("Delegate internal"):
            within_delegate = True
        elif "======" in line:
            in_table = "Run Order" in line
        elif not line.strip():
            in_table = False
        elif in_table and (row := _ROW.match(line)):
            calls = int(row["calls"])
            name, _, number = row["name"].rpartition(":")
            numbered = number.isdecimal()
            found.append(
                OpTime(
                    number=int(number) if numbered else None,
                    kind=row["kind"],
                    name=(name if numbered else row["name"]).strip("[]"),
                    # The average is of a call. Calls are a whole number for an inference:
                    # 0 is an operator that not every inference ran.
                    ms=float(row["average"]) * max(1, calls),
                    calls=calls,
                    within_delegate=within_delegate,
                )
            )
    return tuple(found)


def failure(text: str, code: int) -> EffnetLiteError:
    """Why there is no result, in one line."""
    if found := _DELEGATE_PROBLEM.search(text):
        return DelegateError(f"benchmark_model: {_one_line(found[0])}")
    if found := _LIBRARY.search(text):
        return DeviceError(
            f"benchmark_model lacks a library: {_one_line(found[0])}; take the official download"
        )
    last = _one_line(next((x for x in reversed(text.splitlines()) if x.strip()), "nothing"))
    if code > 128:
        signal = _SIGNALS.get(code - 128, str(code - 128))
        return DeviceError(f"benchmark_model crashed (signal {signal}) after printing: {last}")
    if code:
        return DeviceError(f"benchmark_model failed with exit code {code}: {last}")
    return DeviceError(
        "the output of benchmark_model is cut short: it ends with exit code 0 and no line "
        f'"Inference timings in us"; its last line: {last}'
    )


def _delegate(job: Job) -> list[str]:
    if job.delegate in ("cpu", "none"):
        return [f"--use_xnnpack={'true' if job.delegate == 'cpu' else 'false'}"]
    if job.delegate in ("gpu", "nnapi"):
        return [f"--use_{job.delegate}=true"]
    found = [f"--external_delegate_path={job.delegate}"]
    if job.options:
        for key, value in job.options.items():
            if re.search("[:;]", key + value):
                raise UsageError(
                    f"benchmark_model cannot take the delegate option {key}={value}: "
                    "colons and semicolons separate options there"
                )
        pairs = ";".join(f"{key}:{value}" for key, value in job.options.items())
        found.append(f"--external_delegate_options={pairs}")
    return found


def _litert_delegate(job: Job) -> list[str]:
    if job.delegate == "cpu":
        return ["--use_cpu=true"]
    if job.delegate == "gpu":
        return ["--use_gpu=true"]
    raise DelegateError(
        f"LiteRT's benchmark_model has no delegate {job.delegate!r}, only cpu and gpu; "
        "use TensorFlow's (android_aarch64_benchmark_model)"
    )


def _stat(match: re.Match[str]) -> Stat | None:
    """None for ``count=0``."""
    count = int(match["count"])
    pairs = re.findall(r"(\w+)=([\d.]+(?:e[+-]?\d+)?)", match["rest"])
    values = {name: float(value) / 1000 for name, value in pairs}
    if not count or "curr" not in values:
        return None
    only = values["curr"]  # printed alone where all runs took as long
    return Stat(
        count=count,
        first=values.get("first", only),
        minimum=values.get("min", only),
        maximum=values.get("max", only),
        mean=values.get("avg", only),
        deviation=values.get("std", 0.0),
        p5=values.get("p5"),
        median=values.get("median", None if "avg" in values else only),
        p95=values.get("p95"),
    )


def _check_flags(text: str) -> None:
    """Flags that the program passes over would change what is timed without a word."""
    if found := _UNKNOWN_FLAGS.search(text):
        raise DelegateError(
            f"this benchmark_model does not know {_one_line(found[1])}; take a newer one, or one "
            "that was built with the delegate"
        )


def _check_delegate(text: str, job: Job, litert: bool) -> str | None:
    """``completely``, ``partially``, ``not`` (allowed on the processor only), or None."""
    applied = _APPLIED.search(text)
    if applied:
        return applied[2]
    refused = bool(_NOT_APPLIED.search(text))
    if job.delegate in ("cpu", "none"):
        return "not" if refused else None
    problem = _DELEGATE_PROBLEM.search(text)
    if problem or refused or not litert:
        reason = _one_line(problem[0]) if problem else "it took over no operator"
        name = job.delegate.rpartition("/")[2]
        raise DelegateError(
            f"the delegate {name} was not used ({reason}); the times would be the processor's"
        )
    return None


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def medians(launches: Sequence[Launch]) -> list[float] | None:
    """The median of each launch; None unless all have one."""
    found = [launch.timed.median for launch in launches]
    return None if None in found else [value for value in found if value is not None]
