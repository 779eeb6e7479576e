"""Which models suit a phone, and what is said of the others."""

from __future__ import annotations

import dataclasses
import re

import bad_models
import numpy as np
import pytest
from bad_models import Tensor, one_operator
from small_variants import LITE, B
from tiny_models import build_tiny_model

from effnet_lite.benchmark.activation_map import ActivationMapper
from effnet_lite.errors import InputError
from effnet_lite.lite.labels import imagenet_labels
from effnet_lite.mobile import suitability
from effnet_lite.mobile.operators import NEWEST, RUNTIME, custom_operators, unknown_operators
from effnet_lite.mobile.suitability import suit_phone
from effnet_lite.quantize.tflite import archive, metadata
from effnet_lite.quantize.tflite.description import read_description, with_description
from effnet_lite.quantize.tflite.file import pack, read_model, schema, set_metadata_buffer, unpack
from effnet_lite.quantize.tflite.metadata import ModelInfo, with_metadata
from effnet_lite.quantize.tflite.metadata_schema import encode
from effnet_lite.quantize.tflite.predictor import Predictor


@pytest.fixture
def save(tmp_path):
    def write(data):
        path = tmp_path / "model.tflite"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, "uint8"),
        ({"input_type": "int8"}, "int8"),
        ({"input_type": "float32"}, "float32"),
        ({"precision": "float32"}, "float32"),
        ({"precision": "float16"}, "float32"),
        ({"variant": B}, "uint8"),
    ],
)
def test_models_of_convert_suit(converted, options, dtype):
    path = converted(**options).output
    model = suit_phone(path)
    assert model.data == path.read_bytes()
    assert model.input.dtype == dtype
    assert model.input.shape == (1, 64, 64, 3)
    assert model.golden is not None
    assert model.golden.passed
    assert model.labels == imagenet_labels()
    assert (model.classes, model.normalized, model.activation_map) == (1000, True, False)
    assert model.warnings == ()


def test_16_bits_are_slow(converted):
    model = suit_phone(converted("int16x8").output)
    assert model.golden is not None
    assert any("16 bits" in warning for warning in model.warnings)


def test_an_operator_that_the_phones_runtime_does_not_know(converted):
    """Dense layers of int8 weights and float activations have a version of 2024."""
    path = converted("dynamic").output
    with pytest.raises(InputError, match=r"does not load.*FULLY_CONNECTED version 12.*--newer"):
        suit_phone(path)
    assert suit_phone(path, newer_runtime=True).golden is not None


def test_the_table_of_operators(root):
    kinds = vars(schema().BuiltinOperator)
    assert set(NEWEST) <= set(kinds)
    assert (NEWEST["CONV_2D"], NEWEST["SOFTMAX"], NEWEST["FULLY_CONNECTED"]) == (8, 3, 11)
    for version, unknown in ((11, []), (13, ["FULLY_CONNECTED version 13"])):
        tensor = Tensor((1, 4))
        tree = unpack(one_operator("FULLY_CONNECTED", [tensor, tensor], [tensor], version))
        assert unknown_operators(tree) == unknown
    tree = unpack(one_operator("STABLEHLO_CBRT", [tensor], [tensor]))
    assert unknown_operators(tree) == ["STABLEHLO_CBRT"]
    assert custom_operators(tree) == []
    catalogue = root / "android_demo" / "gradle" / "libs.versions.toml"
    if catalogue.is_file():  # the library brings the runtime that the table is of
        name, version = RUNTIME
        text = catalogue.read_text("utf-8")
        assert name in text
        assert re.search(rf'"{re.escape(version)}"', text)


REFUSED = {
    "edgetpu": (bad_models.compiled_for_edgetpu, "compiled for Coral's Edge TPU, which no phone"),
    "custom": (bad_models.unknown_operator, "custom operators MyOwnOperator"),
    "flex": (lambda: bad_models.unknown_operator("FlexErf"), "FlexErf run only with the Flex"),
    "dynamic batch": (bad_models.dynamic_batch, r"\(-1, 8, 8, 3\).*fixed batch of 1"),
    "dynamic size": (
        lambda: bad_models.with_shapes((1, 1, 1, 3), (1, -1, -1, 3)), r"\(1, -1, -1, 3\)",
    ),
    "batch of 8": (lambda: bad_models.with_shapes((8, 8, 8, 3)), r"found \(8, 8, 8, 3\)"),
    "grey": (lambda: bad_models.with_shapes((1, 8, 8, 1)), r"found \(1, 8, 8, 1\)"),
    "channels first": (lambda: bad_models.with_shapes((1, 3, 8, 8)), r"found \(1, 3, 8, 8\)"),
    "oblong": (lambda: bad_models.with_shapes((1, 8, 16, 3)), "square"),
    "two inputs": (bad_models.two_inputs, r"found \(1, 8, 8, 3\), \(1, 8, 8, 3\)"),
    "no inputs": (bad_models.no_inputs, "found none"),
    "text": (bad_models.string_input, "one input of shape"),
    "int32": (lambda: bad_models.mirror("INT32", (1, 8, 8, 3)), "found int32"),
    "float16": (lambda: bad_models.mirror("FLOAT16", (1, 8, 8, 3)), "found float16"),
    "int8 without a scale": (lambda: bad_models.mirror("INT8", (1, 8, 8, 3)), "with a scale"),
    "an image out": (lambda: bad_models.with_shapes((1, 8, 8, 3)), "a vector|vector over"),
    "cut short": (bad_models.truncated, "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(save, name):
    make, message = REFUSED[name]
    path = save(make())
    with pytest.raises(InputError, match=message) as error:
        suit_phone(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("outputs", [[], None])
def test_no_output(save, outputs):
    tree = unpack(build_tiny_model())
    tree.subgraphs[0].outputs, tree.signatureDefs = outputs, []
    with pytest.raises(InputError, match="found no output"):
        suit_phone(save(pack(tree)))


def test_a_single_value_out(save):
    tree = unpack(build_tiny_model())
    tree.subgraphs[0].tensors[-1].shape = []
    with pytest.raises(InputError, match="found a single value"):
        suit_phone(save(pack(tree)))


def test_grey_by_its_metadata(save):
    tree = unpack(build_tiny_model(quantized=False))
    image = {"content": {"content_properties": ("ImageProperties", {"color_space": 2})}}
    message = {"subgraph_metadata": [{"input_tensor_metadata": [image]}]}
    set_metadata_buffer(tree, metadata.ENTRY, encode(message))
    with pytest.raises(InputError, match="grey pictures; expected RGB"):
        suit_phone(save(pack(tree)))


def test_a_model_that_answers_nothing(save):
    tree = unpack(build_tiny_model(quantized=False))
    tree.buffers[2].data = np.full(10, np.nan, np.float32)
    with pytest.raises(InputError, match="NaN"):
        suit_phone(save(pack(tree)))


def test_a_model_that_fails_its_own_check(save, int8_model):
    """Half of its constants turned round: it loads, and computes something else."""
    data = read_model(int8_model)
    tree = unpack(data)
    for buffer in tree.buffers:
        if buffer.data is not None and len(buffer.data) > 10_000:
            buffer.data = np.asarray(buffer.data)[::-1]
    damaged = archive.append_files(
        pack(tree), {"labels.txt": metadata.label_file(imagenet_labels())}
    )
    path = save(damaged)
    with pytest.raises(InputError, match=r"fails its own golden check on litert.*at most") as error:
        suit_phone(path)
    assert str(path) in str(error.value)


def test_labels_that_are_too_few(save, int8_model):
    data = read_model(int8_model)
    flatbuffer = pack(unpack(data))
    labels = metadata.label_file(imagenet_labels()[:-1])
    with pytest.raises(InputError, match="999 labels for 1000 outputs"):
        suit_phone(save(archive.append_files(flatbuffer, {"labels.txt": labels})))


def test_labels_without_a_name(save, int8_model):
    flatbuffer = pack(unpack(read_model(int8_model)))
    labels = "\n".join(["tench", "", *imagenet_labels()[2:]]) + "\n"
    with pytest.raises(InputError, match="label 1 is empty"):
        suit_phone(save(archive.append_files(flatbuffer, {"labels.txt": labels.encode()})))


def test_a_record_of_another_model(save, int8_model):
    record = read_description(read_model(int8_model))
    lie = dataclasses.replace(record, classes=999, golden=None)
    tree = unpack(read_model(int8_model))
    set_metadata_buffer(tree, "EFFNET_LITE", lie.to_json().encode())
    with pytest.raises(InputError, match="its record says 999 classes, but it has 1000"):
        suit_phone(save(pack(tree)))


def test_a_record_without_a_golden_check(save, int8_model):
    record = dataclasses.replace(read_description(read_model(int8_model)), golden=None)
    model = suit_phone(save(with_description(read_model(int8_model), record, imagenet_labels())))
    assert model.golden is None
    assert any("no golden check" in warning for warning in model.warnings)


def test_a_foreign_model(save):
    model = suit_phone(save(build_tiny_model()))
    assert (model.description, model.labels, model.golden) == (None, None, None)
    assert model.normalized
    text = " ".join(model.warnings)
    for part in ("no record of effnet-lite", "class 0", "--labels FILE"):
        assert part in text
    assert "normalised" not in text


def test_a_foreign_float_model(save):
    data = build_tiny_model(quantized=False)
    model = suit_phone(save(data))
    assert not model.normalized
    assert any("normalised" in warning for warning in model.warnings)
    labels = [f"thing {number}" for number in range(10)]
    described = suit_phone(save(with_metadata(data, ModelInfo("x"), labels)))
    assert described.normalized
    assert described.labels == tuple(labels)


@pytest.mark.parametrize("classes", [1000, 1001])
def test_a_foreign_model_of_imagenet(save, classes):
    model = suit_phone(save(build_tiny_model(classes=classes)))
    assert model.labels is not None
    assert len(model.labels) == classes
    assert (model.labels[0] == "background") == (classes == 1001)
    assert any("ImageNet's names are beside it" in warning for warning in model.warnings)


def test_labels_from_a_file(save, tmp_path, int8_model):
    path, file = save(build_tiny_model()), tmp_path / "names.txt"
    file.write_text("\n".join("abcdefghij"), "utf-8")
    assert suit_phone(path, labels=file).labels == tuple("abcdefghij")
    file.write_text("\n".join("abcdefghi"), "utf-8")
    assert suit_phone(path, labels=file).labels == ("background", *"abcdefghi")
    file.write_text("a\nb\n", "utf-8")
    with pytest.raises(InputError, match="10 outputs but there are 2 labels"):
        suit_phone(path, labels=file)
    with pytest.raises(InputError, match="does not exist"):
        suit_phone(path, labels=tmp_path / "missing")
    file.write_text("\n".join(imagenet_labels()), "utf-8")
    assert suit_phone(int8_model, labels=file).labels == imagenet_labels()
    file.write_text("\n".join(reversed(imagenet_labels())), "utf-8")
    with pytest.raises(InputError, match="labels of its own"):
        suit_phone(int8_model, labels=file)


def test_a_background_class(converted, weights_file):
    """Names stand where the outputs are, the background first."""
    path = converted(weights=weights_file(LITE, 1001)).output
    model = suit_phone(path)
    assert model.description is not None
    assert model.description.label_offset == 1
    assert model.labels == ("background", *imagenet_labels())


def test_large_models(monkeypatch, int8_model, float_model):
    monkeypatch.setattr(suitability, "LARGE_BYTES", 100_000)
    (warning,) = suit_phone(int8_model).warnings
    assert "every user of the app downloads" in warning
    assert "smaller variant" in warning
    (warning,) = suit_phone(float_model).warnings
    assert "--int8 makes a quarter" in warning


@pytest.mark.parametrize(
    "options",
    [{}, {"input_type": "int8"}, {"precision": "float32"}, {"precision": "float16"},
     {"precision": "int16x8"}, {"variant": B}, {"head": "logits"}],
)  # fmt: skip
def test_the_activation_map(converted, save, options):
    """What explain computes from the model itself, the app reads from the second output."""
    path = converted(**options).output
    model = suit_phone(path, activation_map=True)
    assert model.activation_map
    assert model.golden is not None
    assert model.golden.passed
    original, mapper = read_model(path), ActivationMapper(path, 1, None, None)
    assert read_description(model.data) == read_description(original)
    assert metadata.read_labels(model.data) == metadata.read_labels(original)
    said, before = metadata.read_metadata(model.data), metadata.read_metadata(original)
    assert said is not None
    assert before is not None
    assert said.outputs[0] == before.outputs[0]
    assert [output.name for output in said.outputs] == [before.outputs[0].name, "feature_map"]
    assert dataclasses.replace(said, outputs=()) == dataclasses.replace(before, outputs=())
    predictor = Predictor(model.data, threads=1)
    assert len(predictor.runner.outputs) == 2
    random = np.random.default_rng(0)
    for _ in range(3):
        pixels = random.integers(0, 256, (64, 64, 3), np.uint8)
        _, features = mapper.look(pixels)
        output = predictor.output(pixels)
        runner = predictor.runner
        assert np.array_equal(output, mapper.predictor.output(pixels))
        assert np.array_equal(runner.outputs[1].dequantize(runner.output(1))[0], features)
    with_map = save(model.data)
    assert suit_phone(with_map).activation_map
    again = suit_phone(with_map, activation_map=True)  # a file that has it already
    assert again.activation_map
    assert metadata.read_metadata(again.data) == said
    assert read_description(again.data) == read_description(original)


def test_a_foreign_models_metadata_stays(save, int8_model):
    """Another writer may say more of the outputs than we can read."""
    tree = unpack(read_model(int8_model))
    tree.metadata = [entry for entry in tree.metadata if entry.name != b"EFFNET_LITE"]
    foreign = archive.append_files(
        pack(tree), {"labels.txt": metadata.label_file(imagenet_labels())}
    )
    model = suit_phone(save(foreign), activation_map=True)
    assert model.description is None
    assert metadata.read_metadata(model.data) == metadata.read_metadata(foreign)
    assert model.labels == imagenet_labels()


def test_a_model_without_a_map(save):
    path = save(build_tiny_model())
    message = r"global average pooling.*leave --activation-map away"
    with pytest.raises(InputError, match=message):
        suit_phone(path, activation_map=True)
