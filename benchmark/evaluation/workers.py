"""Processes that decode and classify, each with an interpreter of its own.

Threads would share Python's lock, and one bad photo could end or hold up everything. Here each
process does a photo from file to answer, so that processes need nothing from each other and
one that crashes, or decodes for ever, takes only its photo with it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
import queue
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.benchmark.evaluation.contenders import Contender
from effnet_lite.benchmark.evaluation.worker import Task, Worker
from effnet_lite.benchmark.host import child
from effnet_lite.errors import InputError
from effnet_lite.lite.preprocessing import Preprocessing

# A worker has its next photo before it has answered, so that it need not wait for this process.
_AHEAD = 2
_PEAK_SECONDS = 5.0
_OVERSLEPT = 1.0


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
        self._events: queue.SimpleQueue[tuple[Worker, dict[str, Any] | None]]
        self._events = queue.SimpleQueue()
        self._workers: list[Worker] = []
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
        self._workers.append(Worker(self._setup, self._events))

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

    def _heard(self, worker: Worker, event: dict[str, Any]) -> Iterator[Outcome]:
        if "error" in event:
            raise child.raised(event)
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

    def _dead(self, worker: Worker) -> Iterator[Outcome]:
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

    def _replace(self, worker: Worker) -> None:
        self._again.extend(list(worker.pending)[1:])
        worker.end()
        self._workers.remove(worker)
        self._start()
