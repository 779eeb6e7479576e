"""The folder of a training: everything to go on with it, to redo it, and to use what came out.

::

    config.json           network, photos, weights and settings
    environment.json      versions, devices, the git state of the folder that it was started in
    data.json             how many photos, their digest, what was left out
    labels.txt            the classes, a name a line
    metrics.csv           a line an epoch
    curves.png            the same, drawn (with matplotlib)
    logs/                 the same, for TensorBoard
    last.safetensors      the state to go on from
    weights.safetensors   the best epoch's averaged weights, which ``convert --weights`` reads
    result.json           what ``train --json`` prints
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.files import read_bytes, write_bytes
from effnet_lite.finite import finite
from effnet_lite.lite.training.loop import Epoch
from effnet_lite.lite.weights.checkpoint import RUN_STATE, RUN_WEIGHTS
from effnet_lite.versions import versions

_PACKAGES = ("numpy", "pillow", "tensorflow", "tf-keras", "safetensors")
_GIT_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The files of one training; see the module."""

    path: Path

    @property
    def config(self) -> Path:
        """What decides the training."""
        return self.path / "config.json"

    @property
    def data(self) -> Path:
        """Facts about the photos."""
        return self.path / "data.json"

    @property
    def labels(self) -> Path:
        """The classes."""
        return self.path / "labels.txt"

    @property
    def state(self) -> Path:
        """To go on from."""
        return self.path / RUN_STATE

    @property
    def weights(self) -> Path:
        """The best weights."""
        return self.path / RUN_WEIGHTS

    @property
    def logs(self) -> Path:
        """TensorBoard's."""
        return self.path / "logs"

    @property
    def curves(self) -> Path:
        """The picture."""
        return self.path / "curves.png"

    @property
    def result(self) -> Path:
        """What came out, in JSON."""
        return self.path / "result.json"

    def prepare(self, resume: bool, overwrite: bool) -> None:
        """Make the folder, or see that it is there.

        Raises:
            InputError: It holds a training already, or for ``resume`` none.
        """
        if resume:
            if not self.config.is_file():
                raise InputError(
                    f"there is no training in {self.path} to go on with (no {self.config.name}); "
                    "leave --resume out to begin one"
                )
            return
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; give a folder for the training")
        if self.config.exists() and not overwrite:
            raise InputError(
                f"{self.path} holds a training already; pass --resume to go on with it, or "
                "--overwrite to begin anew"
            )
        if self.path.is_dir() and not self.config.exists() and any(self.path.iterdir()):
            raise InputError(f"{self.path} is not empty and holds no training; give another folder")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {self.path}: {error.strerror}") from error
        for old in (self.state, self.weights, self.result, self.curves, *self.logs.glob("*")):
            old.unlink(missing_ok=True)

    def write_json(self, path: Path, document: dict[str, Any]) -> None:
        """Write one of the JSON files.

        Raises:
            InputError: The disk refuses.
        """
        text = json.dumps(finite(document), indent=2, ensure_ascii=False) + "\n"
        write_bytes(path, text.encode("utf-8", "surrogateescape"), overwrite=True)

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read one of the JSON files.

        Raises:
            InputError: Missing or damaged.
        """
        try:
            document = json.loads(read_bytes(path, "a file of a training"))
        except ValueError as error:
            raise InputError(f"{path} is damaged: it is no JSON") from error
        if not isinstance(document, dict):
            raise InputError(f"{path} is damaged: it holds no JSON object")
        return document

    def write_labels(self, classes: Sequence[str]) -> None:
        """Write the classes' names.

        Raises:
            InputError: The disk refuses.
        """
        text = "".join(f"{' '.join(name.split())}\n" for name in classes)
        write_bytes(self.labels, text.encode("utf-8", "replace"), overwrite=True)

    def write_environment(self, devices: dict[str, Any]) -> None:
        """Write what the training runs on.

        Raises:
            InputError: The disk refuses.
        """
        document = {
            "versions": versions(_PACKAGES),
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "devices": devices,
            "git": git_state(Path.cwd()),
        }
        self.write_json(self.path / "environment.json", document)

    def write_metrics(self, history: Sequence[Epoch]) -> None:
        """Write the line of every epoch so far.

        Raises:
            InputError: The disk refuses.
        """
        text = io.StringIO()
        names = [field.name for field in dataclasses.fields(Epoch)]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(epoch) for epoch in history)
        write_bytes(self.path / "metrics.csv", text.getvalue().encode(), overwrite=True)


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out there, and whether files differ from it; None without git."""

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words],
                check=False, capture_output=True, text=True, timeout=_GIT_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "changed": bool(ask("status", "--porcelain"))}
