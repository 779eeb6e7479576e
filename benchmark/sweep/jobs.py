"""Conversions and checks in processes of their own, several beside each other.

Each is mostly one core's work, and one that runs out of memory takes no other with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from effnet_lite.benchmark.host import child
from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.progress import Progress

_FUNCTIONS = {
    "convert": "effnet_lite.quantize.convert",
    "compare": "effnet_lite.quantize.compare",
}
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Job:
    """A call of one of our functions.

    Attributes:
        function: ``convert`` or ``compare``.
        name: Of what it is done to, for messages.
        options: Its keyword arguments, as JSON.
    """

    function: str
    name: str
    options: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: Which.
        seconds: That it took, with others beside it.
        document: The result's JSON; empty if it failed.
        error: Why it failed.
    """

    job: Job
    seconds: float
    document: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: EffnetLiteError | None = None


def run_jobs(
    jobs: Sequence[Job], processes: int, label: str, progress: Progress | None = None
) -> Iterator[Outcome]:
    """Do them, ``processes`` at a time; outcomes come as they are ready.

    Args:
        jobs: Started in this order.
        processes: How many run beside each other.
        label: For the progress, which counts jobs.
        progress: Called after each job.
    """
    waiting = list(reversed(jobs))
    with contextlib.ExitStack() as stack:
        running: list[_Running] = []
        done = 0
        while waiting or running:
            while waiting and len(running) < processes:
                running.append(stack.enter_context(_Running(waiting.pop())))
            if progress:
                progress(done, len(jobs), label)
            ready = [entry for entry in running if entry.ended()]
            running = [entry for entry in running if entry not in ready]
            for entry in ready:
                done += 1
                yield entry.outcome()
            if not ready:
                time.sleep(_POLL_SECONDS)
        if progress and jobs:
            progress(done, len(jobs), label)


class _Running:
    """A job's process; use as a context manager, which ends it."""

    def __init__(self, job: Job) -> None:
        self._job, self._began = job, time.monotonic()
        # Files, because nobody reads while the process works, and a pipe's buffer is small.
        self._answer = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            child.command(__name__),
            stdin=subprocess.PIPE,
            stdout=self._answer,
            stderr=self._errors,
        )

    def __enter__(self) -> _Running:
        assert self._process.stdin is not None  # asked for as a pipe
        with contextlib.suppress(BrokenPipeError):  # its ending will say why
            self._process.stdin.write(json.dumps(dataclasses.asdict(self._job)).encode() + b"\n")
            self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._answer.close()
        self._errors.close()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def outcome(self) -> Outcome:
        seconds = time.monotonic() - self._began
        answer = _last_line(self._answer)
        if not answer:
            self._errors.seek(0)
            how = child.ending(self._process, self._errors.read())
            error: EffnetLiteError = InputError(
                f"the process that was to {self._job.function} {self._job.name} {how}; "
                "if memory was short, give fewer --processes"
            )
            return Outcome(self._job, seconds, error=error)
        found = json.loads(answer)
        if "error" in found:
            return Outcome(self._job, seconds, error=child.raised(found))
        return Outcome(self._job, seconds, found["document"])


def _last_line(file: IO[bytes]) -> bytes:
    file.seek(0)
    lines = file.read().splitlines()
    return lines[-1] if lines else b""


def serve() -> None:
    """What the process does: one job from stdin, one line of JSON as the answer."""
    answer = child.answers()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow, daemon=True).start()
    name = job["function"]
    try:
        function = getattr(importlib.import_module(_FUNCTIONS[name]), name)
        answer({"document": function(**job["options"]).to_json()})
    except Exception as error:  # whatever native code raises: the parent goes on with the others
        answer(child.failure(error, f"{name} failed on {job['name']}"))


def _follow() -> None:
    """End with the parent, however it ends: nobody is left to take the answer."""
    sys.stdin.read()
    os._exit(1)
