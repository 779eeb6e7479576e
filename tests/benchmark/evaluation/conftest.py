"""Models and photos to evaluate, and workers that stall or crash on some photos."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluated import HOOK, save_labelled, tiny_classifier


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``model_file(**options of tiny_classifier)``: a .tflite file."""
    folder = tmp_path_factory.mktemp("evaluated")

    @functools.cache
    def make(**options: Any) -> Path:
        kind = "int8" if options.get("quantized", True) else "float"
        path = folder / f"{kind}-{len(list(folder.iterdir()))}.tflite"
        path.write_bytes(tiny_classifier(**options))
        return path

    return make


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos of 6 classes."""
    return save_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes workers slow down, stall or crash on photos that are called so."""
    folder = tmp_path / "hook"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.fixture(scope="session")
def figures(model_file: Callable[..., Path], labelled: Path) -> Any:
    """The evaluation of an int8 and a float model on ``labelled``, made once."""
    from effnet_lite.benchmark.evaluation.evaluate import evaluate

    return evaluate([model_file(), model_file(quantized=False)], labelled, processes=1, top=3)
