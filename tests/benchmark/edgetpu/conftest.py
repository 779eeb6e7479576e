"""A compiler that stands in for Google's."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("compiler_stand_in.py")


@dataclasses.dataclass(frozen=True)
class StandIn:
    """The program, and how to tell it what to do.

    Attributes:
        path: Of the program.
        folder: For its files.
        patch: pytest's, which takes the variables away again.
    """

    path: Path
    folder: Path
    patch: pytest.MonkeyPatch

    def plays(self, scenario: str, output: bytes = b"") -> Path:
        """Set the scenario and the compiled model; returns the program."""
        compiled = self.folder / "compiled.tflite"
        compiled.write_bytes(output)
        self.patch.setenv("STAND_IN_SCENARIO", scenario)
        self.patch.setenv("STAND_IN_OUTPUT", str(compiled))
        self.patch.setenv("STAND_IN_ARGUMENTS", str(self.arguments_file))
        return self.path

    @property
    def arguments_file(self) -> Path:
        """Where the arguments of the last run are."""
        return self.folder / "arguments"

    @property
    def arguments(self) -> Any:
        """Of the last run."""
        return json.loads(self.arguments_file.read_text())


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """In a folder of its own, not on PATH."""
    if sys.platform == "win32":
        pytest.skip("a script needs a shebang line")
    folder = tmp_path / "stand-in"
    folder.mkdir()
    program = folder / "edgetpu_compiler"
    program.write_text(f"#!{sys.executable}\n{SOURCE.read_text()}")
    program.chmod(0o755)
    monkeypatch.delenv("EFFNET_LITE_EDGETPU_COMPILER", raising=False)
    return StandIn(program, folder, monkeypatch)
