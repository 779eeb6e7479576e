"""A :class:`Session` in a process of its own, driven over a pipe.

Runtimes do not share a process (tflite-runtime fails beside TensorFlow), a process's peak
memory is its own model's only if no other was loaded before, native code may crash, and the
memory layout that makes a process a little faster or slower is drawn anew in each.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from effnet_lite.benchmark.host import child
from effnet_lite.benchmark.host.session import Loaded, Session, Setup, Turn
from effnet_lite.errors import InputError

Answer = TypeVar("Answer")


class Launch:
    """Starts the process and loads the model; use as a context manager, which ends it.

    Raises:
        EffnetLiteError: What the session raised, or one line about how the process died.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            child.command(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        try:
            self.loaded = self._ask(dataclasses.asdict(setup), Loaded)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def time(self, most: int | None = None) -> Turn:
        """As :meth:`Session.time`."""
        return self._ask({"most": most}, Turn)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, question: dict[str, Any], kind: type[Answer]) -> Answer:
        assert self._process.stdin is not None  # both were asked for as pipes
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise InputError(self._death())
        answer = json.loads(line)
        if "error" in answer:
            raise child.raised(answer)
        return kind(**{name: tuple(value) if isinstance(value, list) else value
                       for name, value in answer.items()})  # fmt: skip

    def _death(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        how = child.ending(self._process, self._errors.read())
        name, delegate = Path(self._setup.model).name, self._setup.delegate
        return (
            f"{self._setup.runtime} {how} while it ran {name} with delegate {delegate}; "
            "try another --delegate or --runtime"
        )


def serve() -> None:
    """What the child does: a setup, then turns, a line of JSON each, until the pipe ends."""
    answer = child.answers()
    setup = json.loads(sys.stdin.readline())
    setup["cores"] = tuple(setup["cores"])
    try:
        session = Session(Setup(**setup))
    except Exception as error:  # whatever a runtime raises: the parent goes on with the others
        answer(child.failure(error, f"{setup['runtime']} failed on {setup['model']}"))
        return
    answer(dataclasses.asdict(session.loaded))
    for line in sys.stdin:
        answer(dataclasses.asdict(session.time(json.loads(line)["most"])))
