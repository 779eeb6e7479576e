"""Building ``c_delegate.c``, and running models with one runtime in a process of its own.

As a script it is that process: a JSON list of cases in, a JSON list of answers out.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_suffix(".c")


def build(library: Path, *flags: str, source: Path = SOURCE) -> Path:
    """Compile a shared library; skips the test where there is no gcc."""
    import pytest

    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    library.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, *flags]
    subprocess.run(list(map(str, command)), check=True)
    return library


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and a delegate.

    Attributes:
        model: The file.
        delegate, options: As on the command line.
    """

    model: Path
    delegate: str = "cpu"
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


def ask(
    runtime: str, cases: Sequence[Case], library_path: Path | None = None
) -> list[dict[str, Any]]:
    """What each case ends in: ``output`` and ``operators``, or ``error`` and ``message``.

    Args:
        runtime: A name.
        cases: In this order, in one process.
        library_path: Where the loader looks first.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if library_path:
        environment["LD_LIBRARY_PATH"] = str(library_path)
    question = [{**dataclasses.asdict(case), "model": str(case.model)} for case in cases]
    result = subprocess.run(
        [sys.executable, __file__, runtime],
        input=json.dumps(question), capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    for noise in ("Exception ignored", "Traceback", "a library may print"):
        assert noise not in result.stderr
    return json.loads(result.stdout)


def _answer(runtime: Any, case: dict[str, Any]) -> dict[str, Any]:
    from effnet_lite.benchmark.host import delegates
    from effnet_lite.benchmark.host.inputs import random_inputs
    from effnet_lite.errors import EffnetLiteError
    from effnet_lite.quantize.tflite.file import read_model
    from effnet_lite.quantize.tflite.runtime import Runner

    try:
        spec = delegates.parse(case["delegate"])
        data = read_model(case["model"])
        loaded = delegates.load(spec, runtime, case["options"])
        with delegates.blaming(spec):
            runner = Runner(data, 1, runtime, loaded, default_delegate=spec.name == "cpu")
            runner.set_inputs(random_inputs(runner, seed=0))
            runner.invoke()
            output = runner.output().reshape(-1).tolist()
    except EffnetLiteError as error:
        return {"error": type(error).__name__, "message": str(error)}
    operators = [entry["op_name"] for entry in runner.interpreter._get_ops_details()]
    return {"output": output, "operators": operators}


if __name__ == "__main__":
    from effnet_lite.quantize.tflite.runtime import find_runtime

    given = find_runtime(sys.argv[1])
    json.dump([_answer(given, case) for case in json.load(sys.stdin)], sys.stdout)
