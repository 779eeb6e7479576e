"""Finding edgetpu_compiler and running it.

It is a program of Google's for Debian on x86-64, in no package registry but Coral's own.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from effnet_lite.benchmark.edgetpu.compiler_log import CompilerLog, parse_log
from effnet_lite.errors import ConversionError, EffnetLiteError, InputError

VARIABLE = "EFFNET_LITE_EDGETPU_COMPILER"
PROGRAM = "edgetpu_compiler"

_PAGE = "https://coral.ai/docs/edgetpu/compiler"
_INSTALL = (
    f"on Debian or Ubuntu (x86-64): add Coral's package repository as {_PAGE} says, then "
    "apt-get install edgetpu-compiler"
)
_ELSEWHERE = (
    "elsewhere run it in a container (docker run --platform linux/amd64 debian), or in the Colab "
    f"notebook of {_PAGE}"
)
_LAST_LINES = 2
_LONGEST = 300


@dataclasses.dataclass(frozen=True)
class CompilerRun:
    """What became of one model.

    Attributes:
        model: The compiled file's bytes.
        log: What the compiler said of it.
    """

    model: bytes
    log: CompilerLog


def find_compiler(given: str | os.PathLike[str] | None = None) -> Path:
    """The program: as given, else of $EFFNET_LITE_EDGETPU_COMPILER, else on PATH.

    Raises:
        InputError: The one that is named is not there, or cannot be run.
        EffnetLiteError: There is none.
    """
    for named, said in ((given, "--compiler"), (os.environ.get(VARIABLE), f"${VARIABLE}")):
        if not named:
            continue
        found = shutil.which(os.fspath(named))
        if found is None:
            raise InputError(
                f"{said} is {os.fspath(named)}, where there is no program that can be run; "
                f"expected the path of {PROGRAM}"
            )
        return Path(found).absolute()
    found = shutil.which(PROGRAM)
    if found:
        return Path(found).absolute()
    raise EffnetLiteError(f"{PROGRAM} is not installed; {how_to_install()}")


def how_to_install() -> str:
    """For this machine."""
    fits = sys.platform == "linux" and platform.machine().lower() in ("x86_64", "amd64")
    return f"{_INSTALL}; {_ELSEWHERE}" if fits else f"there is none for this machine: {_ELSEWHERE}"


def run_compiler(
    compiler: Path, model: Path, folder: Path, options: Sequence[str], timeout: float
) -> CompilerRun:
    """Compile one file.

    Args:
        compiler: The program.
        model: The file; its name must not begin with a dash.
        folder: Empty, for what the compiler writes.
        options: Further ones, in the compiler's words.
        timeout: Seconds.

    Raises:
        ConversionError: It fails, crashes, hangs, or writes nothing.
    """
    command = [str(compiler), "--show_operations", "--out_dir", str(folder), *options, str(model)]
    text, code = _output(command, timeout)
    logs = sorted(folder.glob("*.log"))
    written = sorted(folder.glob("*_edgetpu.tflite"))
    log = parse_log("\n".join([text, *(path.read_text("utf-8", "replace") for path in logs)]))
    if code == 0 and written and written[0].stat().st_size:
        return CompilerRun(written[0].read_bytes(), log)
    raise ConversionError(f"{_title(compiler, log)} {_why(text, code, log)}")


def _output(command: Sequence[str], timeout: float) -> tuple[str, int]:
    """Both streams together, and the exit status."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConversionError(f"{command[0]} cannot be run: {reason}") from error
    try:
        printed, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"{Path(command[0]).name} has not ended after {timeout:g} seconds and was stopped; "
            "large activations take it long: make the model's input smaller, or pass --timeout"
        ) from error
    finally:
        _stop(process)
    return printed.decode("utf-8", "replace"), process.returncode


def _stop(process: subprocess.Popen[bytes]) -> None:
    """With the child in which compiler 16 does its work."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def _title(compiler: Path, log: CompilerLog) -> str:
    return f"{compiler.name} {log.version}:" if log.version else f"{compiler.name}:"


def _why(text: str, code: int, log: CompilerLog) -> str:
    if log.complaint:
        return log.complaint
    if code < 0:
        return f"it crashed ({_signal(-code)}) and left no reason; {_last(text)}"
    if code == 0:
        return f"it ended well, but wrote no compiled model; {_last(text)}"
    if log.version is None:
        return f"it does not seem to be {PROGRAM}: {_last(text)} (exit code {code})"
    return f"it failed with exit code {code}; {_last(text)}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    said = " / ".join(lines[-_LAST_LINES:])[:_LONGEST]
    return f"it last said: {said}" if said else "it said nothing"
