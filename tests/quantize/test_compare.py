"""A float model against its quantized version, and what is needed to look inside both."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from small_variants import LITE, B

from effnet_lite import compare
from effnet_lite.errors import InputError
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.compare import compare_layers
from effnet_lite.quantize.tflite.file import unpack
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import (
    operator_kinds,
    with_layer_outputs,
    with_logits_output,
)


@pytest.mark.parametrize("variant", [LITE, B])
def test_int8_against_float(converted, photos, variant):
    one, other = converted("float32", variant), converted("int8", variant)
    result = compare(one.output, other.output, photos, count=6)
    assert result.fidelity.count == 6
    assert 0 <= result.fidelity.top1_agreement <= 1
    assert (result.float_sha256, result.quantized_sha256) == (one.sha256, other.sha256)
    # Every layer but the softmax's conversions is lined up, in execution order.
    kinds = operator_kinds(unpack(one.output.read_bytes()))
    assert [layer.kind for layer in result.layers] == kinds
    assert result.layers[0].sqnr_db > 25  # nothing has accumulated yet
    assert all(math.isfinite(layer.sqnr_db) for layer in result.layers)
    worst = result.worst(3)
    assert [layer.sqnr_db for layer in worst] == sorted(layer.sqnr_db for layer in result.layers)[
        :3
    ]


def test_the_json_document(float_model, int8_model, photos):
    result = compare(float_model, int8_model, photos, count=2)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"count", "top1_agreement", "sqnr_db", "kl", "float", "quantized", "layers"} <= set(
        document
    )
    assert len(document["float"]["sha256"]) == len(document["quantized"]["sha256"]) == 64
    assert {"name", "sqnr_db"} <= set(document["layers"][0])
    assert document["layers"][0]["name"] == "stem_conv"


def test_a_model_against_itself(float_model, photos):
    result = compare(float_model, float_model, photos, count=2)
    assert (result.fidelity.top1_agreement, result.fidelity.kl) == (1.0, 0.0)
    assert result.fidelity.sqnr_db == math.inf
    assert {layer.sqnr_db for layer in result.layers} == {math.inf}
    assert {layer["sqnr_db"] for layer in result.to_json()["layers"]} == {None}


def test_the_figures_are_those_of_the_conversion(converted, photos, tmp_path):
    """``convert`` and ``compare`` measure the same thing in the same way."""
    one, other = converted("float32"), converted("int8")
    used = {path.split("/")[-1] for path in other.calibration["files"]}
    for path in photos.iterdir():
        if path.name not in used:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    found = compare(one.output, other.output, tmp_path, layers=False).fidelity
    assert found.sqnr_db == pytest.approx(other.fidelity.sqnr_db, abs=1e-6)
    assert found.kl == pytest.approx(other.fidelity.kl, abs=1e-9)
    assert found.top1_agreement == other.fidelity.top1_agreement


def test_without_layers(float_model, int8_model, photos):
    assert compare(float_model, int8_model, photos, count=1, layers=False).layers == ()


@pytest.mark.usefixtures("sample_photos")
def test_the_sample_photos_are_the_default(float_model, int8_model):
    result = compare(float_model, int8_model, count=2, layers=False)
    assert (result.photos, result.fidelity.labelled) == ("samples", 2)


def test_different_networks(converted, photos):
    other = converted("float32", weights="random", classes=10)
    with pytest.raises(InputError, match="1000 and 10 classes"):
        compare(converted("float32").output, other.output, photos)


def test_layers_that_do_not_correspond_are_not_lined_up(float_model, tiny_model):
    other = tiny_model(size=64, classes=10, quantized=False)
    pixels = [np.zeros((64, 64, 3), np.uint8)]
    assert compare_layers(float_model.read_bytes(), other, pixels, Preprocessing(64)) == ()


def test_missing_folder(float_model, int8_model, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        compare(float_model, int8_model, tmp_path / "nope")
    with pytest.raises(InputError, match="no photo in"):
        compare(float_model, int8_model, tmp_path)


@pytest.mark.parametrize("precision", ["float32", "int8", "float16", "dynamic"])
def test_logits_output(converted, photo, precision):
    data = converted(precision).output.read_bytes()
    whole, cut = Predictor(data), Predictor(with_logits_output(data))
    pixels = whole.preprocessing.pixels(photo)
    logits = cut.output(pixels).astype(float)
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    # The 8-bit softmax rounds to 1/256, and its kernel looks exponentials up in a table.
    tolerance = 2 / 256 if precision == "int8" else 1e-5
    np.testing.assert_allclose(whole.output(pixels), probabilities, rtol=0, atol=tolerance)
    assert "SOFTMAX" in operator_kinds(unpack(data))


def test_a_model_that_ends_in_logits_is_left_alone(converted, tiny):
    data = converted("float32", head="logits").output.read_bytes()
    assert with_logits_output(data) == data
    assert with_logits_output(tiny) == tiny


def test_layer_outputs(float_model, int8_model):
    _, names = with_layer_outputs(float_model.read_bytes())
    quantized, others = with_layer_outputs(int8_model.read_bytes())
    assert [name.name for name in names] == [name.name for name in others]
    assert (names[0].name, names[0].kind, names[0].shape) == (
        "stem_conv",
        "CONV_2D",
        (1, 32, 32, 32),
    )
    assert names[-1].name == "probability"
    assert len(Predictor(quantized, Preprocessing(64)).runner.outputs) == len(names)


def test_a_foreign_model_compares(tiny_model, tmp_path, photos):
    for name, quantized in (("float", False), ("int8", True)):
        (tmp_path / name).write_bytes(tiny_model(size=8, classes=10, quantized=quantized))
    preprocessing = Preprocessing(8, mean=(128.0,), std=(128.0,))
    result = compare(tmp_path / "float", tmp_path / "int8", photos, preprocessing=preprocessing)
    assert result.fidelity.count == 30
    assert len(result.layers) == 1
