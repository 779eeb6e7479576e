"""The command lines that repeat by hand what a sweep does."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

# Options that are called otherwise on the command line.
_FLAGS = {"output": "-o", "input_type": "--input"}
_PRECISIONS = {"float32": "--fp32", "float16": "--fp16"}


def command_line(command: str, arguments: Iterable[object] = (), **options: Any) -> str:
    """For a shell: ``effnet-lite COMMAND ARGUMENTS --OPTION VALUE``.

    Args:
        command: Its name.
        arguments: What comes first.
        options: As the command's function has them; None and False are left out, lists have
            commas between their entries.
    """
    words = ["effnet-lite", command, *map(str, arguments)]
    for name, value in options.items():
        if value is None or value is False:
            continue
        if name == "precision":
            words.append(_PRECISIONS.get(value, f"--{value}"))
            continue
        words.append(_FLAGS.get(name, f"--{name.replace('_', '-')}"))
        if value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, tuple) else str(value))
    return shlex.join(words)
