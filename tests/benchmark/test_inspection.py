"""What is inside a file."""

from __future__ import annotations

import json

import pytest
from small_variants import LITE, B

from effnet_lite import inspect
from effnet_lite.errors import InputError
from effnet_lite.files import sha256
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.variants import get_variant


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8", "int16x8"])
@pytest.mark.parametrize("variant", [LITE, B])
def test_cost_is_the_plans_at_every_precision(converted, precision, variant):
    row = get_variant(variant)
    normalization = 3 * row.size**2 if variant == B else 0
    found = inspect(converted(precision, variant).output)
    assert found.madds == architecture(row).madds + normalization
    assert sum(found.ops.values()) == len(found.layers)


def test_layers(int8_model):
    layers = inspect(int8_model).layers
    assert [layer.number for layer in layers] == list(range(len(layers)))
    stem = layers[1]
    assert (stem.kind, stem.name, stem.shape, stem.dtype) == (
        "CONV_2D",
        "stem_conv",
        (1, 32, 32, 32),
        "int8",
    )
    # 3 · 3 · 3 · 32 int8 weights and 32 int32 biases; each weight serves 32 · 32 pixels.
    assert (stem.bytes, stem.madds) == (864 + 128, 864 * 1024)


def test_the_json_document(int8_model):
    document = json.loads(json.dumps(inspect(int8_model).to_json(), allow_nan=False))
    assert {"inputs", "outputs", "ops", "metadata", "record"} <= set(document)
    assert document["sha256"] == sha256(int8_model.read_bytes())
    assert document["inputs"][0] == {
        "name": "image",
        "shape": [1, 64, 64, 3],
        "dtype": "uint8",
        "scale": 1 / 128,
        "zero_point": 127,
    }
    assert document["record"]["variant"] == LITE
    assert document["ops"]["QUANTIZE"] == 2


def test_a_foreign_model(tiny, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(tiny)
    found = inspect(path)
    assert (found.record, found.metadata, found.labels) == (None, None, None)
    assert found.ops == {"FULLY_CONNECTED": 1}
    assert found.madds == 8 * 8 * 3 * 10
    assert (found.inputs[0].scale, found.inputs[0].zero_point) == (1 / 128, 128)


def test_models_of_other_tools(shared):
    """By other converters, years apart; with label archives, LSTMs and custom operators."""
    models = sorted((shared / "data" / "edgetpu_pairs").glob("*.tflite"))
    found = {path.stem: inspect(path) for path in models}
    for name, inspection in found.items():
        assert inspection.inputs, name
        assert inspection.outputs, name
        json.dumps(inspection.to_json(), allow_nan=False)
    # tensorflow/models research/slim mobilenet_v1.md: 14 and 239 million MACs.
    assert round(found["mobilenet_v1_0.25_128_quant"].madds / 1e6) == 14
    assert round(found["mobilenet_v1_0.75_192_quant"].madds / 1e6) == 239


def test_what_is_no_model(tmp_path, photo):
    with pytest.raises(InputError, match="JPEG image"):
        inspect(photo)
    with pytest.raises(InputError, match="does not exist"):
        inspect(tmp_path / "nope.tflite")
