"""Other runtimes with an int8 of their own: how each quantizes a network, and the contest.

Settings are those that their documentation recommends for a CPU.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effnet_lite.benchmark.intervals import Ratio, ratio_of_launches
from effnet_lite.benchmark.scripts import _process, _runtimes
from effnet_lite.benchmark.scripts._context import has_weights
from effnet_lite.benchmark.scripts._onnx import to_onnx
from effnet_lite.benchmark.scripts._runtimes import OPENERS, Array, channels_first
from effnet_lite.errors import ConversionError, MissingDependencyError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import Preprocessing, preprocessing_for
from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.calibration_set import CalibrationSet, choose
from effnet_lite.quantize.convert import convert
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import Graph
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

EXTRA = "rivals"
MISSING = "not installed: "
OURS = "ours"
#: Largest difference of float32 logits, over the largest logit.
FLOAT_TOLERANCE = 1e-4
CHECK_PHOTOS = 40


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant in one runtime.

    Attributes:
        variant, weights: The network: ``imagenet`` or ``random``.
        rival: A key of ``RIVALS``; ``ours`` for our file in LiteRT.
        p50_ms: Median of the launches' medians; of this host.
        ratio: Over ours; None for ours.
        agreement: Share of the check photos with the float network's first class; None with
            random weights, which tell no photos apart.
        bytes: Of the file, or files.
        error: None, or why there is no more.
    """

    variant: str
    weights: str
    rival: str
    p50_ms: float | None = None
    ratio: Ratio | None = None
    agreement: float | None = None
    bytes: int | None = None
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Whether something went wrong, other than that a package is missing."""
        return self.error is not None and not self.error.startswith(MISSING)


@dataclasses.dataclass(frozen=True)
class Network:
    """What all quantize: the float32 graph, its preprocessing, and photos to calibrate on."""

    graph: Graph
    preprocessing: Preprocessing
    images: CalibrationSet
    folder: Path
    family: str

    def inputs(self) -> Iterator[Array]:
        """The calibration photos as ONNX's float32 input, (1, 3, size, size)."""
        for pixels in self.images.pixels(self.preprocessing):
            yield channels_first(self.preprocessing.normalize(pixels))

    @functools.cached_property
    def check_pixels(self) -> Array:
        """Photos that calibrated nothing, (N, size, size, 3) uint8; if there are any."""
        paths = self.images.check.paths[:CHECK_PHOTOS]
        found = [self.preprocessing.pixels(path) for path in paths]
        return np.stack(found or list(self.images.pixels(self.preprocessing, 1)))

    def float_top1(self) -> list[int]:
        """First classes of the check photos by the float32 network."""
        runner = Runner(to_flatbuffer(self.graph))
        floats = self.preprocessing.normalize(self.check_pixels)
        return [int(runner.run(image[np.newaxis]).argmax()) for image in floats]


def float_onnx(network: Network, runtime: str) -> Path:
    """Write the float32 network as ONNX, and check its logits in this runtime against ours.

    Args:
        network: What to write.
        runtime: A key of ``OPENERS`` that opens float32 ONNX.

    Raises:
        ConversionError: They differ by more than ``FLOAT_TOLERANCE``.
    """
    [dense] = [op for op in network.graph.ops if op.kind == "FULLY_CONNECTED"]
    logits = network.graph.with_outputs([dense.output])
    probe = network.folder / "logits.onnx"
    probe.write_bytes(to_onnx(logits).SerializeToString())
    theirs, ours = OPENERS[runtime](probe), Runner(to_flatbuffer(logits), 1)
    for pixels in network.images.pixels(network.preprocessing, 3):
        image = network.preprocessing.normalize(pixels)
        theirs.load(image)
        theirs.invoke()
        expected = ours.run(image[np.newaxis]).reshape(-1)
        error = np.abs(theirs.output() - expected).max() / np.abs(expected).max()
        if not error <= FLOAT_TOLERANCE:  # true for NaN, too
            raise ConversionError(
                f"expected the same float32 logits in {runtime}, found differences of {error:.1e} "
                f"of the largest, above {FLOAT_TOLERANCE:.0e}: the ONNX file is another network"
            )
    path = network.folder / "float32.onnx"
    path.write_bytes(to_onnx(network.graph).SerializeToString())
    return path


def static_qdq(network: Network, ours: Path, activations: str) -> Path:
    """Onnxruntime's static quantization: pre-processing, QDQ format, per channel.

    "Quantize ONNX models" of its documentation calls int8 activations (S8S8) in QDQ the first
    choice. On x86 onnxruntime 1.32 then runs 14 of Lite0's 49 convolutions and 54 of B0's 82
    in float32, and with uint8 activations (U8S8) none.

    Args:
        network: What to quantize.
        ours: Not looked at.
        activations: A name from ``QuantType``.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = network.inputs()

        def get_next(self) -> dict[str, Array] | None:
            image = next(self.images, None)
            return None if image is None else {"image": image}

    prepared = network.folder / "prepared.onnx"
    path = network.folder / f"{activations}.onnx"
    # Symbolic shapes are for transformers; every shape here is static.
    quant_pre_process(float_onnx(network, "onnxruntime"), prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, path, Photos(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType[activations], weight_type=QuantType.QInt8,
    )  # fmt: skip
    return path


def nncf_ptq(network: Network, ours: Path) -> Path:
    """NNCF's post-training quantization of the ONNX file, by its defaults.

    But for B: its documentation recommends ``MIXED`` for activations that go below zero.
    """
    import nncf
    import openvino

    photos = list(network.inputs())
    model = nncf.quantize(
        openvino.Core().read_model(float_onnx(network, "openvino-float")),
        nncf.Dataset(photos),
        preset=nncf.QuantizationPreset.MIXED if network.family == "b" else None,
        subset_size=len(photos),
    )
    path = network.folder / "nncf.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


@dataclasses.dataclass(frozen=True)
class Rival:
    """A way to run the network in int8.

    Attributes:
        label: In the table.
        packages: What must be installed, as PyPI and ``import`` name it.
        runtime: What opens the file: a key of ``OPENERS``.
        floats: Whether the file takes normalized floats; uint8 pixels otherwise.
        make: Network and our int8 .tflite to the file.
    """

    label: str
    packages: tuple[str, ...]
    runtime: str
    floats: bool
    make: Callable[[Network, Path], Path]

    def check_installed(self) -> None:
        """Raise MissingDependencyError for the first package that is not installed."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise MissingDependencyError(self.label, package, EXTRA)


_ONNX = ("onnx", "onnxruntime")
RIVALS = {
    "onnxruntime": Rival("onnxruntime, QDQ U8S8", _ONNX, "onnxruntime", True,
                         functools.partial(static_qdq, activations="QUInt8")),
    "onnxruntime-s8s8": Rival("onnxruntime, QDQ S8S8", _ONNX, "onnxruntime", True,
                              functools.partial(static_qdq, activations="QInt8")),
    "openvino": Rival("OpenVINO, our .tflite", ("openvino",), "openvino", False,
                      lambda network, ours: ours),
    "nncf": Rival("OpenVINO, NNCF", ("onnx", "openvino", "nncf"), "openvino", True, nncf_ptq),
}  # fmt: skip


def contest(
    variant: str,
    rivals: Sequence[str],
    folder: Path,
    recipe: str,
    photos: int,
    launches: int,
    rounds: int,
) -> list[Row]:
    """Ours and the rivals' rows; one that fails has an error and does not stop the others.

    Args:
        variant: A name from the table.
        rivals: Keys of ``RIVALS``.
        folder: Takes the files.
        recipe: Of our file.
        photos: Sample photos to calibrate on.
        launches, rounds: Processes, and turns of each file in one.

    Raises:
        EffnetLiteError: Our own file cannot be made.
    """
    weights, row = "imagenet" if has_weights(variant) else "random", get_variant(variant)
    loaded = load_weights(weights, row, None, 0)
    graph = export(architecture(row, loaded.classes), loaded.tensors)
    images = choose(None, photos)
    network = Network(graph, preprocessing_for(row), images, folder, row.family.name)
    ours = folder / "ours.tflite"
    convert(variant, "int8", weights, ours, calibration_count=photos, recipe=recipe, check=False)
    files = {OURS: ("litert", str(ours), False)}
    errors: dict[str, str] = {}
    for name in rivals:
        rival = RIVALS[name]
        try:
            rival.check_installed()
            with contextlib.redirect_stdout(sys.stderr):  # progress bars
                files[name] = (rival.runtime, str(rival.make(network, ours)), rival.floats)
        except MissingDependencyError as error:
            errors[name] = MISSING + str(error).rpartition("run: ")[2]
        except Exception as error:  # whatever a rival raises
            errors[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    try:
        answers = _launch(network, files, launches, rounds)
    except ConversionError as error:
        errors = dict.fromkeys(files, str(error)) | errors
        answers = []
    for answer in answers:
        errors |= answer["errors"]
    compare = weights == "imagenet" and len(images.check) > 0
    expected = network.float_top1() if compare else None
    return [
        Row(variant, weights, name, error=errors[name])
        if name in errors
        else _row(Row(variant, weights, name), answers, expected, Path(files[name][1]))
        for name in (OURS, *rivals)
    ]


def _launch(
    network: Network, files: dict[str, tuple[str, str, bool]], launches: int, rounds: int
) -> list[dict[str, Any]]:
    """What each process answered, see :func:`_runtimes.serve`."""
    photos, pixels = network.folder / "photos.npz", network.check_pixels
    np.savez(photos, pixels=pixels, floats=network.preprocessing.normalize(pixels))
    named = [[name, *file] for name, file in files.items()]
    task = json.dumps({"files": named, "photos": str(photos), "rounds": rounds})
    answers = []
    for _ in range(launches):
        done = _process.run([str(Path(_runtimes.__file__)), task])
        if done.error:
            raise ConversionError(f"timing by turns failed: {done.error}")
        answers.append(json.loads(done.output.splitlines()[-1]))
    return answers


def _row(
    row: Row, answers: Sequence[dict[str, Any]], expected: list[int] | None, path: Path
) -> Row:
    times = [[np.asarray(answer["times_ms"][name]) for answer in answers]
             for name in (OURS, row.rival)]  # fmt: skip
    found, top1 = ratio_of_launches(*times), answers[0]["top1"][row.rival]
    weights = [path.with_suffix(".bin")] if path.suffix == ".xml" else []  # OpenVINO's
    return dataclasses.replace(
        row,
        p50_ms=found.second_ms,
        ratio=None if row.rival == OURS else found,
        agreement=None if expected is None else float(np.mean(np.equal(top1, expected))),
        bytes=sum(one.stat().st_size for one in (path, *weights)),
    )
