"""Whether a model suits a phone, and what of it the app must be told.

Suited is what the Kotlin library (android_demo/effnetlite) runs: one square RGB image in, a
vector over the classes out, a fixed batch of 1, 8-bit, 16-bit or float32 tensors, operators
that its runtime knows. What the file says of itself must be true: its labels, its record, its
golden check.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.lite.labels import default_labels, fit_labels, read_labels
from effnet_lite.mobile.feature_map import has_feature_map, with_feature_map
from effnet_lite.mobile.operators import RUNTIME, custom_operators, unknown_operators
from effnet_lite.printable import printable
from effnet_lite.quantize.tflite import metadata
from effnet_lite.quantize.tflite.description import Description
from effnet_lite.quantize.tflite.file import read_model, unpack
from effnet_lite.quantize.tflite.golden import GoldenResult, replay
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.refusal import EDGETPU_OPERATOR
from effnet_lite.quantize.tflite.runtime import TensorInfo

#: Lite4 takes 16 MB in int8 and 52 MB in float32.
LARGE_BYTES = 25_000_000

#: Of inputs and outputs, as TensorInfo.kt lists them.
_TYPES = ("uint8", "int8", "int16", "float32")
_MAX_SIZE, _MAX_CLASSES = 8192, 1_000_000


@dataclasses.dataclass(frozen=True)
class MobileModel:
    """A model that suits a phone.

    Attributes:
        data: The file as it goes into the app.
        description: Its record; None for a model of another tool.
        input: ``(1, size, size, 3)``.
        classes: Length of the output vector.
        labels: One name an output, in order; None where nobody knows them.
        golden: How it answered to its golden check here; None where it carries none.
        normalized: Whether the file says how a float input is normalised, or needs not.
        activation_map: Whether a second output holds the last feature map.
        warnings: What is worth knowing, a sentence each.
    """

    data: bytes
    description: Description | None
    input: TensorInfo
    classes: int
    labels: tuple[str, ...] | None
    golden: GoldenResult | None
    normalized: bool
    activation_map: bool
    warnings: tuple[str, ...]


def suit_phone(
    path: Path,
    activation_map: bool = False,
    labels: str | os.PathLike[str] | None = None,
    newer_runtime: bool = False,
) -> MobileModel:
    """Read a model and check it.

    Args:
        path: A .tflite file.
        activation_map: Add the last feature map as a second output.
        labels: A text file with one name a line, for a model that carries none.
        newer_runtime: Pass over operators that the library's own runtime does not know.

    Raises:
        InputError: Missing, damaged, or not suited; the message says why and what to do.
    """
    data = read_model(path)
    _check_operators(path, data, newer_runtime)
    _check_shapes(path, data)
    if activation_map:
        data = with_feature_map(path, data)
    try:
        predictor = Predictor(data)
        _check_tensors(predictor)
        normalized = _says_normalization(predictor, data)
        names, unnamed = _labels(data, predictor.classes, labels)
        golden = _replay(predictor)
    except InputError as error:
        raise InputError(f"{path} does not suit a phone: {error}") from error
    info, record = predictor.runner.image_input, predictor.description
    warnings = [
        _about_record(record, normalized), unnamed, _about_size(len(data), record),
        _about_types(predictor),
    ]  # fmt: skip
    return MobileModel(
        data=data,
        description=record,
        input=info,
        classes=predictor.classes,
        labels=names,
        golden=golden,
        normalized=normalized,
        activation_map=has_feature_map(data),
        warnings=tuple(filter(None, warnings)),
    )


def _check_operators(path: Path, data: bytes, newer_runtime: bool) -> None:
    tree = unpack(data)
    custom = [printable(name) for name in custom_operators(tree)]
    if EDGETPU_OPERATOR in custom:
        raise InputError(
            f"{path} is compiled for Coral's Edge TPU, which no phone has; give the .tflite from "
            "before edgetpu_compiler"
        )
    if any(name.startswith("Flex") for name in custom):
        raise InputError(
            f"{path} does not suit a phone: {', '.join(custom)} run only with the Flex delegate, "
            "which is TensorFlow itself; convert the model without SELECT_TF_OPS"
        )
    if custom:
        raise InputError(
            f"{path} does not suit a phone: its custom operators {', '.join(custom)} are in no "
            "runtime from Maven; convert the model without them"
        )
    unknown = unknown_operators(tree)
    if unknown and not newer_runtime:
        raise InputError(
            f"{path} does not load on a phone: {' '.join(RUNTIME)}, which the library brings, does "
            f"not know {', '.join(unknown)}; convert to int8, float16 or float32, or pass "
            "--newer-runtime if your app brings a runtime that does"
        )


def _check_shapes(path: Path, data: bytes) -> None:
    """Before a runtime sees the file: it would take a batch of any size for one of 1."""
    graph = unpack(data).subgraphs[0]
    outputs = [] if graph.outputs is None else [graph.tensors[int(one)] for one in graph.outputs]
    if not outputs or outputs[0].shape is None or not len(outputs[0].shape):
        raise InputError(
            f"{path} does not suit a phone: expected an output vector over the classes, found "
            + ("a single value" if outputs else "no output")
        )
    for tensor in () if graph.inputs is None else graph.inputs:
        signature = graph.tensors[int(tensor)].shapeSignature
        sides = [] if signature is None else [int(side) for side in signature]
        if -1 in sides:
            raise InputError(
                f"{path} does not suit a phone: its input has the shape {tuple(sides)}, -1 for "
                "any length, and delegates refuse such models; convert it with a fixed batch of 1"
            )


def _check_tensors(predictor: Predictor) -> None:
    info, outputs = predictor.runner.image_input, predictor.runner.outputs
    for tensor in (info, *outputs):
        if tensor.dtype not in _TYPES:
            raise InputError(
                f"expected inputs and outputs of type {', '.join(_TYPES)}, found {tensor.kind}"
            )
    if info.dtype in ("int8", "int16") and not info.quantized:
        raise InputError(f"expected an {info.dtype} input with a scale, found none")
    if info.shape[1] > _MAX_SIZE:
        raise InputError(f"expected at most {_MAX_SIZE} pixels a side, found {info.shape[1]}")
    shape = outputs[0].shape
    if not shape or max(shape) != predictor.classes or sum(side != 1 for side in shape) > 1:
        raise InputError(f"expected an output vector over the classes, found shape {shape}")
    if predictor.classes > _MAX_CLASSES:
        raise InputError(f"expected at most {_MAX_CLASSES} classes, found {predictor.classes}")
    record = predictor.description
    if record and record.classes != predictor.classes:
        raise InputError(
            f"its record says {record.classes} classes, but it has {predictor.classes} outputs"
        )


def _labels(
    data: bytes, classes: int, given: str | os.PathLike[str] | None
) -> tuple[tuple[str, ...] | None, str]:
    """Names of the outputs, in order, and a warning."""
    own = metadata.read_labels(data)
    if own is not None and len(own) != classes:
        raise InputError(
            f"it carries {len(own)} labels for {classes} outputs, so that names would be shifted; "
            "convert it with a right label file"
        )
    if own is not None:
        metadata.label_file(own)  # refuses a name without a visible character
    if given is not None:
        names = fit_labels(read_labels(given), classes)
        if own not in (None, names):
            raise InputError(
                "it carries labels of its own, which the app reads; leave --labels away, or "
                "convert it with those labels"
            )
        return names, ""
    if own is not None:
        return own, ""
    names_by_number = default_labels(classes)
    if names_by_number:
        return names_by_number, (
            f"it carries no labels; as it has {classes} outputs, ImageNet's names are beside it "
            "(--labels FILE names other classes)"
        )
    return None, (
        "it carries no labels, so that the app says 'class 0', 'class 1', …; --labels FILE (one "
        "name a line, in the order of the outputs) puts names beside it"
    )


def _replay(predictor: Predictor) -> GoldenResult | None:
    """Run it once, on its golden check where it has one."""
    record = predictor.description
    if record is None or record.golden is None:
        import numpy as np

        size = predictor.runner.image_input.shape[1]
        output = predictor.output(np.full((size, size, 3), 128, np.uint8))
        if not np.isfinite(output).all():
            raise InputError("it answers to a grey picture with NaN or infinities")
        return None
    golden = record.golden
    result = replay(golden, predictor.raw)
    if not result.passed:
        raise InputError(
            f"it fails its own golden check on {predictor.runner.runtime}: off by "
            f"{result.max_difference_steps:.1f} steps, at most {golden.tolerance:.1f} pass; the "
            "file was changed after it was made, so convert it again"
        )
    return result


def _says_normalization(predictor: Predictor, data: bytes) -> bool:
    """Whether the app knows how to fill the input; metadata that says grey is refused."""
    said = metadata.read_metadata(data)
    image = said.inputs[0] if said and said.inputs else None
    if image and image.color_space == "GRAYSCALE":
        raise InputError("its metadata says that it takes grey pictures; expected RGB")
    if predictor.description or predictor.runner.image_input.dtype != "float32":
        return True
    return bool(image and image.mean and image.std)


def _about_record(record: Description | None, normalized: bool) -> str:
    if record is None:
        text = (
            "it carries no record of effnet-lite: the app crops the centre (0.875) and resizes "
            "bicubically, which may not be what it was trained with, and there is no golden check "
            "to replay; effnet-lite convert makes files that say all this"
        )
        if not normalized:
            text += (
                "; nor does it say how pixels are normalised: set mean and std in the code below"
            )
        return text
    if record.golden is None:
        return "it carries no golden check, so that the app's self-test has nothing to replay"
    return ""


def _about_size(count: int, record: Description | None) -> str:
    if count <= LARGE_BYTES:
        return ""
    precision = record.precision if record else None
    advice = {
        None: "8-bit weights take a quarter of float32's",
        "float32": "convert --int8 makes a quarter of it",
        "float16": "convert --int8 makes a half of it",
    }.get(precision, "a smaller variant makes less")
    return (
        f"it takes {count / 1e6:.0f} MB, which every user of the app downloads and keeps (weights "
        f"hardly compress); {advice}"
    )


def _about_types(predictor: Predictor) -> str:
    tensors: tuple[Any, ...] = (predictor.runner.image_input, predictor.runner.outputs[0])
    record = predictor.description
    if (record and record.precision == "int16x8") or any(one.dtype == "int16" for one in tensors):
        return (
            "it computes in 16 bits, for which XNNPACK has no kernels, so that it is slower than "
            "float32; prefer --int8 on a phone"
        )
    return ""
