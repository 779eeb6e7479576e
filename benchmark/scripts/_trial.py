"""One variant converted in several ways, and each file judged against the float model."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.benchmark.inspection import inspect
from effnet_lite.benchmark.intervals import Ratio, ratio
from effnet_lite.benchmark.scripts import _process
from effnet_lite.benchmark.scripts._interleaved import interleave
from effnet_lite.errors import ConversionError, EffnetLiteError, InputError
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.quantize.fidelity import Fidelity, measure
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.surgery import with_logits_output

STOCK, SYNTHETIC = "stock", "synthetic"


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to convert one variant.

    Attributes:
        seconds, peak_mib: Of the conversion's process; measured on this host.
        bytes, constant_bytes, sha256: Of the file; of its weights, biases and other
            constants, without the labels and the description that only ours has.
        ops: Operators by kind.
        same_ops: Whether they are those of stock's file; None where there is no such file.
        fidelity: Against our float32 file.
        latency: Over stock's file, one thread; measured on this host.
        error: None, or what went wrong first.
    """

    variant: str
    recipe: str
    seconds: float | None = None
    peak_mib: float | None = None
    bytes: int | None = None
    constant_bytes: int | None = None
    sha256: str | None = None
    ops: dict[str, int] | None = None
    same_ops: bool | None = None
    fidelity: Fidelity | None = None
    latency: Ratio | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """One entry of ``rows`` in the document."""
        document = dataclasses.asdict(self)
        document["fidelity"] = self.fidelity.to_json() if self.fidelity else None
        return document


@dataclasses.dataclass(frozen=True)
class Photos:
    """What judges, and the class index of each photo, None where it is not known."""

    source: str
    paths: tuple[Path, ...]
    classes: tuple[int | None, ...]


class Trial:
    """One variant: its float model, run once on each photo, and the rows against it.

    Args:
        variant: A name from the table.
        folder: Takes the files.
        photos: What judges.
        calibration_count: Sample photos to calibrate on.
        rounds: Timed runs of each file; None leaves the latency out.
    """

    def __init__(
        self, variant: str, folder: Path, photos: Photos, calibration_count: int, rounds: int | None
    ) -> None:
        self.variant = variant
        self.folder = folder
        self.photos = photos
        self.calibration_count = calibration_count
        self.rounds = rounds
        self._stock: Row | None = None

    def row(self, recipe: str) -> Row:
        """Convert, judge, time; what fails ends the row and is its error."""
        # A recipe's name may hold what a file's must not.
        path = self._path(re.sub(r"\W", "-", recipe))
        row = Row(self.variant, recipe)
        try:
            done = self._convert(recipe, path)
            row = dataclasses.replace(row, seconds=done.seconds, peak_mib=done.peak_mib)
            if done.error:
                return dataclasses.replace(row, error=done.error)
            found = inspect(path)
            row = dataclasses.replace(
                row,
                bytes=found.bytes,
                constant_bytes=found.constant_bytes,
                sha256=found.sha256,
                ops=found.ops,
            )
            if recipe == STOCK:
                self._stock = row
            elif self._stock:
                row = dataclasses.replace(row, same_ops=row.ops == self._stock.ops)
            row = dataclasses.replace(row, fidelity=self._judge(path))
            if self.rounds and self._stock and recipe != STOCK:
                row = dataclasses.replace(row, latency=self._latency(path, self.rounds))
        except EffnetLiteError as error:
            return dataclasses.replace(row, error=str(error))
        except Exception as error:  # of a runtime, say: the rows before and after still count
            return dataclasses.replace(row, error=f"{type(error).__name__}: {error}")
        return row

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.variant}-{name}.tflite"

    def _convert(self, recipe: str, path: Path) -> _process.Finished:
        photos = str(self.calibration_count)
        if recipe == STOCK:
            script = Path(__file__).with_name("stock_convert.py")
            return _process.run([str(script), self.variant, str(path), "--photos", photos])
        synthetic = recipe == SYNTHETIC
        return _process.effnet_lite([
            "convert", "--variant", self.variant, "--int8", "--no-check", "-o", str(path),
            "--recipe", "default" if synthetic else recipe,
            "--calibration", SYNTHETIC if synthetic else "samples",
            "--calibration-count", photos,
        ])  # fmt: skip

    def _judge(self, path: Path) -> Fidelity:
        model = Predictor(with_logits_output(read_model(path)), self._preprocessing)
        return measure(self._float, model, self._pixels, self.photos.classes)

    def _latency(self, path: Path, rounds: int) -> Ratio:
        first, second = (self._inference(one) for one in (self._path(STOCK), path))
        return ratio(*interleave(first, second, rounds))

    def _inference(self, path: Path) -> Callable[[], None]:
        model = Predictor(read_model(path), self._preprocessing, threads=1)
        check_io(model.runner)
        model.raw(self._pixels[0])  # leaves a photo in the input
        return model.runner.invoke

    @functools.cached_property
    def _float(self) -> RememberingPredictor:
        path = self._path("float32")
        done = _process.effnet_lite(
            ["convert", "--variant", self.variant, "--fp32", "-o", str(path)]
        )
        if done.error:
            raise ConversionError(f"no float32 model to judge by: {done.error}")
        return RememberingPredictor(with_logits_output(read_model(path)))

    @property
    def _preprocessing(self) -> Preprocessing:
        return self._float.preprocessing

    @functools.cached_property
    def _pixels(self) -> list[Pixels]:
        return [self._preprocessing.pixels(path) for path in self.photos.paths]


class RememberingPredictor(Predictor):
    """Runs once on each photo, however many models are compared with it."""

    @functools.cached_property
    def _known(self) -> dict[bytes, npt.NDArray[np.float32]]:
        return {}

    def output(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """As :meth:`Predictor.output`."""
        key = hashlib.sha256(pixels.tobytes()).digest()
        if key not in self._known:
            self._known[key] = super().output(pixels)
        return self._known[key]


def check_io(runner: Runner) -> None:
    """Raise InputError unless all inputs and outputs are uint8: others cost other conversions."""
    types = [info.dtype for info in (*runner.inputs, *runner.outputs)]
    if set(types) != {"uint8"}:
        raise InputError(f"latency compares files with uint8 at both ends, found {types}")
