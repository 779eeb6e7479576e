"""One worker process as its parent sees it: what it has been given, and how long it takes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import math
import queue
import subprocess
import tempfile
import threading
import time
from typing import Any

from effnet_lite.benchmark.host import child
from effnet_lite.lite.datasets import Photo


@dataclasses.dataclass(frozen=True)
class Task:
    """One photo, its number in the data set, and its class."""

    number: int
    photo: Photo
    right: int


class Worker:
    """One process; starts at once.

    Args:
        setup: Its first line.
        events: Where its lines go, each with the worker; None for the line after the last.

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
            child.command("effnet_lite.benchmark.evaluation.worker_process"),
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
        name = child.signal_name(-code) if code < 0 else f"code {code}"
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
