"""Python processes that answer in lines of JSON: native code may crash in them, not here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from effnet_lite import errors
from effnet_lite.errors import EffnetLiteError

# Not -m, which would look for modules in the folder that the user happens to be in.
_CODE = """
import sys
sys.path[:] = filter(None, sys.path)
from {module} import {function}
{function}()
"""
_LOG = ("INFO:", "WARNING:", "VERBOSE:")  # how the runtimes' log lines begin


def command(module: str, function: str = "serve") -> list[str]:
    """The command line of a process that calls a function of ours."""
    return [sys.executable, "-c", _CODE.format(module=module, function=function)]


def answers() -> Callable[[dict[str, Any]], None]:
    """In the child: writes one line of JSON, however much native code prints on stdout."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(document: dict[str, Any]) -> None:
        channel.write(json.dumps(document) + "\n")
        channel.flush()

    return answer


def failure(error: Exception, what: str) -> dict[str, Any]:
    """In the child: the answer that :func:`raised` turns back into an error.

    Args:
        error: Ours, or whatever a runtime raises.
        what: What was being done, for the message of a foreign one.
    """
    if isinstance(error, EffnetLiteError):
        return {"error": type(error).__name__, "message": str(error)}
    text = f"{what}: {type(error).__name__}: {error}"
    return {"error": "InputError", "message": " ".join(text.split())[:400]}


def raised(answer: dict[str, Any]) -> EffnetLiteError:
    """The error that a child answered with."""
    kind = getattr(errors, answer["error"])
    error: EffnetLiteError = kind.__new__(kind)
    Exception.__init__(error, answer["message"])  # MissingDependencyError makes its own message
    return error


def ending(process: subprocess.Popen[bytes], said: bytes) -> str:
    """How a process ended, as ``was ended by SIGSEGV``, with its last words on stderr."""
    code = process.wait()
    how = f"was ended by {signal_name(-code)}" if code < 0 else f"exited with {code}"
    lines = said.decode("utf-8", "replace").strip().splitlines()
    words = [line for line in lines if not line.startswith(_LOG)]
    return how + (f" ({words[-1].strip()[:200]})" if words else "")


def signal_name(number: int) -> str:
    """As ``SIGSEGV``."""
    try:
        return signal.Signals(number).name
    except ValueError:  # one that Python does not know
        return f"signal {number}"
