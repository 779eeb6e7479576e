"""The profiler in a process of its own.

It calls native code by an interface that may have changed, so it may crash. The process takes
its task as JSON on stdin and answers with lines of JSON: progress, then the result.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effnet_lite.benchmark.host import child
from effnet_lite.benchmark.host.inputs import random_inputs
from effnet_lite.benchmark.host.session import TURN_SECONDS, pin
from effnet_lite.benchmark.profiling import roofline
from effnet_lite.benchmark.profiling.litert_profiler import (
    XNNPACK,
    Event,
    ProfiledModel,
    library_of,
)
from effnet_lite.benchmark.profiling.roofline import Peaks
from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.runtime import Runner, find_runtime

#: Seconds without a sign of life after which the process is ended.
SILENCE = 600.0


@dataclasses.dataclass(frozen=True)
class Task:
    """What to profile and how.

    Attributes:
        model: The file.
        kernels: ``xnnpack`` or ``builtin``.
        threads, cores, warmup, seed: As for :class:`~effnet_lite.benchmark.host.session.Setup`.
        runs: With the profiler, and as many without.
        peaks: Types to measure the machine's peaks for; none leaves them out.
    """

    model: str
    kernels: str
    threads: int
    runs: int
    warmup: int
    seed: int
    cores: tuple[int, ...] = ()
    peaks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Raw:
    """What the process measured; times in milliseconds.

    Attributes:
        events: Of one run, without times.
        event_ms: The time of each; together they are as long as the quieter half of the profiled
            runs on the average.
        inference_ms: That half's mean of the runs without a profiler.
        inference_times_ms: All of these.
        cpu_seconds: That the process used.
    """

    events: tuple[Event, ...]
    event_ms: tuple[float, ...]
    inference_ms: float
    inference_times_ms: tuple[float, ...]
    peaks: Peaks | None
    cpu_seconds: float


def run(task: Task, progress: Progress | None = None, silence: float = SILENCE) -> Raw:
    """Start the process, wait for its answer, and end it.

    Raises:
        EffnetLiteError: What it raised, or one line about how it died.
    """
    with tempfile.TemporaryFile() as said, subprocess.Popen(
        child.command(__name__), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
    ) as process:  # fmt: skip
        assert process.stdin is not None  # both were asked for as pipes
        assert process.stdout is not None
        guard = _Guard(process, silence)
        try:
            # Past the buffer, which would fail once more when it is closed; and not closed,
            # because its end tells the process that nobody waits any more.
            os.write(process.stdin.fileno(), json.dumps(dataclasses.asdict(task)).encode() + b"\n")
            for line in process.stdout:
                guard.wait_again()
                answer = json.loads(line)
                if "error" in answer:
                    raise child.raised(answer)
                if "done" not in answer:
                    return _raw(answer)
                if progress:
                    progress(answer["done"], answer["total"], "profiling")
        except BrokenPipeError:
            pass
        finally:
            guard.end()
        said.seek(0)
        raise EffnetLiteError(_death(task, process, guard.silent, said.read()))


class _Guard:
    """Ends the process when it is no longer wanted, or says nothing for too long."""

    def __init__(self, process: subprocess.Popen[bytes], silence: float) -> None:
        self._process, self._silence = process, silence
        self.silent = False
        self._timer = self._started()

    def wait_again(self) -> None:
        self._timer.cancel()
        self._timer = self._started()

    def _started(self) -> threading.Timer:
        timer = threading.Timer(self._silence, self._give_up)
        timer.daemon = True
        timer.start()
        return timer

    def end(self) -> None:
        self._timer.cancel()
        if self._process.poll() is None and not self._dying():
            self._process.kill()
        self._process.wait()

    def _dying(self) -> bool:
        """Whether it goes by itself: a crash closes the pipe a moment before the process."""
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _give_up(self) -> None:
        self.silent = True
        self._process.kill()


def _raw(answer: dict[str, Any]) -> Raw:
    peaks = answer["peaks"]
    return Raw(
        events=tuple(Event(*event) for event in answer["events"]),
        event_ms=tuple(answer["event_ms"]),
        inference_ms=answer["inference_ms"],
        inference_times_ms=tuple(answer["inference_times_ms"]),
        peaks=Peaks(**peaks) if peaks else None,
        cpu_seconds=answer["cpu_seconds"],
    )


def _death(task: Task, process: subprocess.Popen[bytes], silent: bool, said: bytes) -> str:
    how = "hung and was ended" if silent else child.ending(process, said)
    return (
        f"the runtime's profiler {how} on {Path(task.model).name}; time without a profile, "
        "or try another release of ai-edge-litert"
    )


def serve() -> None:
    """What the process does."""
    answer = child.answers()
    fields = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    fields["cores"], fields["peaks"] = tuple(fields["cores"]), tuple(fields["peaks"])
    try:
        answer(_measure(Task(**fields), lambda done, total: answer({"done": done, "total": total})))
    except Exception as error:  # whatever a runtime raises
        answer(child.failure(error, f"the profiler failed on {fields['model']}"))


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _measure(task: Task, report: Callable[[int, int], None]) -> dict[str, Any]:
    pin(task.cores)
    data = read_model(task.model)
    runtime = find_runtime("litert")
    library = library_of(runtime)
    runner = Runner(data, task.threads, runtime, default_delegate=task.kernels == XNNPACK)
    inputs = random_inputs(runner, task.seed)
    runner.set_inputs(inputs)
    profiled = ProfiledModel(library, runtime, data, inputs, task.kernels, task.threads)
    for _ in range(task.warmup):
        runner.invoke()
        profiled.run()
    times: list[float] = []
    runs: list[list[Event]] = []
    turn = max(1, round(1000 * TURN_SECONDS / _timed(runner.invoke)))
    while len(times) < task.runs:
        report(len(times), task.runs)
        wanted = min(turn, task.runs - len(times))
        # After a change the other had the caches: what that costs is no part of a run.
        if turn > 1:
            runner.invoke()
        times += [_timed(runner.invoke) for _ in range(wanted)]
        if turn > 1:
            profiled.run()
        runs += [profiled.run() for _ in range(wanted)]
    events = [dataclasses.replace(event, microseconds=0) for event in runs[0]]
    if any([dataclasses.replace(e, microseconds=0) for e in one] != events for one in runs):
        raise InputError("the model runs other operators each time: they cannot be averaged")
    peaks = None
    if task.peaks:
        peaks = dataclasses.asdict(roofline.measure_peaks(task.peaks, task.threads, runtime))
    return {
        "events": [dataclasses.astuple(event) for event in events],
        "event_ms": _typical([[event.microseconds / 1000 for event in one] for one in runs]),
        "inference_ms": _quieter_half(times),
        "inference_times_ms": times,
        "peaks": peaks,
        "cpu_seconds": time.process_time(),
    }


def _timed(invoke: Callable[[], None]) -> float:
    start = time.perf_counter()
    invoke()
    return 1000 * (time.perf_counter() - start)


def _typical(runs: Sequence[Sequence[float]]) -> list[float]:
    """The time of each event: its share is that of typical runs, the sum that of whole ones.

    What disturbs a run hits single operators hard, so that each one's mean is taken over the
    middle half of its times: a mean, because the profiler knows whole microseconds only. Their
    sum would be a run that nothing ever disturbed, and does not compare with an inference.
    """
    values = np.sort(np.asarray(runs, np.float64).reshape(len(runs), -1), axis=0)
    quarter = len(runs) // 4
    typical = values[quarter : len(runs) - quarter].mean(axis=0)
    if not typical.any():
        return values.mean(axis=0).tolist()  # type: ignore[no-any-return]
    whole = _quieter_half([sum(one) for one in runs])
    return (typical * whole / typical.sum()).tolist()  # type: ignore[no-any-return]


def _quieter_half(times: Sequence[float]) -> float:
    """The mean of the shorter ones: what disturbs a run only makes it longer."""
    return float(np.mean(sorted(times)[: (len(times) + 1) // 2]))
