"""Processes that decode and classify, each with an interpreter of its own.

Threads would share Python's lock, and one bad photo could end or hold up everything. Here each
process does a photo from file to answer, so that processes need nothing from each other and
one that crashes, or decodes for ever, takes only its photo with it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import math
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from effnet_lite import errors
from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.benchmark.evaluation.contenders import Contender
from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.lite.datasets import Photo
from effnet_lite.lite.preprocessing import Preprocessing

# Not -m, which would look for modules in the folder that the user happens to be in.
_CHILD = """
import sys
sys.path[:] = filter(None, sys.path)
from effnet_lite.benchmark.evaluation.worker_process import serve
serve()
"""
# A worker has its next photo before it has answered, so that it need not wait for this process.
_AHEAD = 2
_PEAK_SECONDS = 5.0
_OVERSLEPT = 1.0


@dataclasses.dataclass(frozen=True)
class Task:
    """One photo, its number in the data set, and its class."""

    number: int
    photo: Photo
    right: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a photo.

    Attributes:
        number: Of the photo.
        answers: One a model; empty if the photo could not be used.
        sha256: Of the encoded photo; None if it could not be used.
        unreadable: Why it could not be used.
        final: Whether it would be the same another time; not so if its worker ran out of
            time or crashed.
    """

    number: int
    answers: tuple[Answer, ...] = ()
    sha256: str | None = None
    unreadable: str | None = None
    final: bool = True


class Pool:
    """Worker processes; use as a context manager, which ends them.

    Args:
        models: What each worker loads.
        processes: How many workers.
        threads: CPU threads of each model in each worker.
        timeout: Seconds that a photo may take to be read and decoded.
        preprocessing: None takes what each file says of itself.
    """

    def __init__(
        self,
        models: Sequence[Contender],
        processes: int,
        threads: int,
        timeout: float,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        self._models, self._timeout = models, timeout
        self._scratch = tempfile.TemporaryDirectory(prefix="effnet-lite-")
        self._setup = {
            "models": [
                {"path": str(model.path), "sha256": model.sha256, "offset": model.offset}
                for model in models
            ],
            "threads": threads,
            "preprocessing": dataclasses.asdict(preprocessing) if preprocessing else None,
            "scratch": self._scratch.name,
        }
        self._events: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]]
        self._events = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._again: collections.deque[Task] = collections.deque()
        self._crashed: set[int] = set()
        try:
            for _ in range(processes):
                self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Each photo's outcome, in the order in which they are ready.

        Raises:
            EffnetLiteError: A model answers with NaN, cannot be run, or brings its process
                down; the message names it and the photo.
        """
        left = iter(tasks)
        while True:
            for worker in self._workers:
                while len(worker.pending) < _AHEAD:
                    task = self._again.popleft() if self._again else next(left, None)
                    if task is None:
                        break
                    worker.give(task)
            if not any(worker.pending for worker in self._workers):
                return
            yield from self._wait()

    def peak_rss_mib(self) -> float | None:
        """The greatest peak of a worker; None where the system does not tell."""
        for worker in self._workers:
            worker.send({"peak": True})
        peaks: list[float | None] = []
        until = time.monotonic() + _PEAK_SECONDS
        while len(peaks) < len(self._workers):
            try:
                _, event = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if event is None or "peak" in event:
                peaks.append(event["peak"] if event else None)
        return max((peak for peak in peaks if peak is not None), default=None)

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        with contextlib.suppress(OSError):  # a file that a worker still holds, on Windows
            self._scratch.cleanup()

    def _start(self) -> None:
        self._workers.append(_Worker(self._setup, self._events))

    def _wait(self) -> Iterator[Outcome]:
        """Until something happens."""
        until = min(worker.since for worker in self._workers) + self._timeout
        pause = None if math.isinf(until) else max(0.0, until - time.monotonic())
        try:
            worker, event = self._events.get(timeout=pause)
        except queue.Empty:
            overslept = time.monotonic() - until
            if overslept > _OVERSLEPT:  # this process was stopped, not the workers
                for other in self._workers:
                    other.since += overslept
            else:
                yield from self._late()
            return
        if worker in self._workers:  # not one that was ended for being late
            if event is None:
                yield from self._dead(worker)
            else:
                yield from self._heard(worker, event)

    def _heard(self, worker: _Worker, event: dict[str, Any]) -> Iterator[Outcome]:
        if "error" in event:
            raise _rebuilt(event["error"], event["message"])
        if "ready" in event:
            worker.begin()
        elif "decoded" in event:
            worker.decoded()
        elif "photo" in event:
            task = worker.finished()
            yield Outcome(
                number=task.number,
                answers=tuple(map(Answer.from_json, event.get("answers", ()))),
                sha256=event.get("sha256"),
                unreadable=event.get("unreadable"),
            )

    def _late(self) -> Iterator[Outcome]:
        """End workers whose photo takes too long."""
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.since + self._timeout > now:
                continue
            task = worker.pending[0]
            self._replace(worker)
            yield Outcome(
                task.number,
                unreadable=f"{task.photo.path} took longer than {self._timeout:g} s to decode",
                final=False,
            )

    def _dead(self, worker: _Worker) -> Iterator[Outcome]:
        """Blame the photo that a worker died on, if it is the second time.

        The first time may be the system's doing, which ends processes when memory is short.
        """
        how = worker.how_it_ended()
        if not worker.loaded:
            names = ", ".join(str(model.path) for model in self._models)
            raise InputError(f"a worker process {how} while it loaded {names}")
        if not worker.pending:
            raise InputError(f"a worker process {how} without having had anything to do")
        task, decoding = worker.pending[0], not worker.busy_with_model
        self._replace(worker)
        if task.number not in self._crashed:
            self._crashed.add(task.number)
            self._again.appendleft(task)
        elif decoding:
            yield Outcome(
                task.number,
                unreadable=f"{task.photo.path} cannot be decoded: the decoder's process {how}",
                final=False,
            )
        else:
            names = ", ".join(str(model.path) for model in self._models)
            raise InputError(
                f"a worker process {how} while it ran {names} on {task.photo.name}; "
                "`effnet-lite benchmark` tries each model in a process of its own"
            )

    def _replace(self, worker: _Worker) -> None:
        self._again.extend(list(worker.pending)[1:])
        worker.end()
        self._workers.remove(worker)
        self._start()


class _Worker:
    """One process, and what it has been given.

    Attributes:
        pending: Photos without an answer, in the order in which they were given.
        since: When the first of them was begun; infinite while nothing is being decoded.
        loaded: Whether the models are.
        busy_with_model: Whether the first of ``pending`` is decoded.
    """

    def __init__(self, setup: dict[str, Any], events: queue.SimpleQueue[Any]) -> None:
        self.pending: collections.deque[Task] = collections.deque()
        self.since = math.inf
        self.loaded = self.busy_with_model = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in end)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()
        self.send(setup)

    def give(self, task: Task) -> None:
        """The next photo."""
        self.pending.append(task)
        if len(self.pending) == 1:
            self._next()
        photo = task.photo
        self.send({"photo": task.number, "right": task.right, **dataclasses.asdict(photo)})

    def send(self, question: dict[str, Any]) -> None:
        """Say something; that a process is gone, its silence tells."""
        assert self._process.stdin is not None  # asked for as a pipe
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def begin(self) -> None:
        """The models are loaded: the first photo's time starts."""
        self.loaded = True
        self._next()

    def decoded(self) -> None:
        """The first photo's time has ended."""
        self.busy_with_model, self.since = True, math.inf

    def finished(self) -> Task:
        """The first photo has its answer; the next one's time starts."""
        task = self.pending.popleft()
        self._next()
        return task

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for a disk
            self._process.wait(timeout=2)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._errors.close()

    def how_it_ended(self) -> str:
        """For a message: by which signal, or what it said last."""
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # it only closed its pipe
            self._process.kill()
            code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        last = f" ({said[-1][:200]})" if said else ""
        try:
            name = signal.Signals(-code).name if code < 0 else f"code {code}"
        except ValueError:  # a signal that Python does not know
            name = f"signal {-code}"
        return f"ended with {name}{last}"

    def _next(self) -> None:
        self.busy_with_model = False
        self.since = time.monotonic() if self.pending and self.loaded else math.inf

    def _listen(self, events: queue.SimpleQueue[Any]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                try:
                    events.put((self, json.loads(line)))
                except ValueError:  # the last line of one that was killed
                    break
        events.put((self, None))


def _rebuilt(name: str, message: str) -> EffnetLiteError:
    kind = getattr(errors, name)
    error: EffnetLiteError = kind.__new__(kind)
    Exception.__init__(error, message)  # MissingDependencyError makes its message itself
    return error
